"""Keys: one fetch for all who wait, off the loop, and anew when OSS refuses them."""

import asyncio
import threading
from typing import Any

import oss2
import pytest
from oss2.credentials import Credentials, CredentialsProvider

from aioss_resume import ConfigError, CredentialsError
from aioss_resume._io.clock import Clock
from aioss_resume._io.credentials import KeyRing, Keys, provider_of
from aioss_resume._io.threads import Threads

pytestmark = pytest.mark.anyio


class Provider(CredentialsProvider):  # type: ignore[misc]  # oss2 has no types
    """Gives out keys in turn, the last ones for ever; says in which threads it was asked."""

    def __init__(self, *keys: tuple[str, str, str | None]) -> None:
        self._keys = list(keys) or [("id", "secret", "token")]
        self.threads: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def get_credentials(self) -> Any:
        self.threads.append(threading.current_thread().name)
        assert self.may_answer.wait(20)
        return Credentials(*(self._keys.pop(0) if len(self._keys) > 1 else self._keys[0]))

    @property
    def asked(self) -> int:
        return len(self.threads)


class SetClock(Clock):
    seconds = 0.0

    def now(self) -> float:
        return self.seconds


def ring(threads: Threads, provider: Any, clock: Clock | None = None) -> KeyRing:
    auth = oss2.ProviderAuthV4(provider)
    return KeyRing(lambda: auth, threads, clock or SetClock())


async def test_provider_is_asked_in_a_thread_of_ours(threads: Threads) -> None:
    provider = Provider()
    keys = await ring(threads, provider).keys()
    assert keys.secrets == ("id", "secret", "token")
    [name] = provider.threads
    assert name.startswith("aioss-resume")


async def test_all_who_wait_share_one_fetch(threads: Threads) -> None:
    provider = Provider()
    provider.may_answer.clear()
    shared = ring(threads, provider)
    waiting = [asyncio.ensure_future(shared.keys()) for _ in range(50)]
    while not provider.asked:  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)
    provider.may_answer.set()
    found = await asyncio.gather(*waiting)
    assert provider.asked == 1
    assert all(keys is found[0] for keys in found)


async def test_snapshot_serves_until_it_is_old(threads: Threads) -> None:
    provider, clock = Provider(("a", "s", None), ("b", "s", None)), SetClock()
    kept = ring(threads, provider, clock)
    assert (await kept.keys()).access_key_id == "a"
    clock.seconds = 9.0
    assert (await kept.keys()).access_key_id == "a"
    clock.seconds = 11.0
    assert (await kept.keys()).access_key_id == "b"
    assert provider.asked == 2


async def test_refused_keys_are_replaced_by_one_fetch_for_all_who_were_refused(threads: Threads) -> None:
    provider = Provider(("a", "s", None), ("b", "s", None), ("c", "s", None))
    shared = ring(threads, provider)
    refused = await shared.keys()
    assert await asyncio.gather(*(shared.replace(refused) for _ in range(20))) == [True] * 20
    assert provider.asked == 2
    assert (await shared.keys()).access_key_id == "b"


async def test_late_refusal_of_keys_that_were_replaced_fetches_nothing(threads: Threads) -> None:
    provider = Provider(("a", "s", None), ("b", "s", None))
    shared = ring(threads, provider)
    old = await shared.keys()
    assert await shared.replace(old)
    assert await shared.replace(old)
    assert provider.asked == 2


async def test_provider_with_only_the_refused_keys_is_detected(threads: Threads) -> None:
    shared = ring(threads, Provider(("a", "s", "t")))
    assert not await shared.replace(await shared.keys())


async def test_keys_with_another_token_are_different_keys(threads: Threads) -> None:
    shared = ring(threads, Provider(("a", "s", "old"), ("a", "s", "new")))
    assert await shared.replace(await shared.keys())
    assert (await shared.keys()).security_token == "new"


class Failing(CredentialsProvider):  # type: ignore[misc]
    def __init__(self, error: Exception | None = None, given: Any = None) -> None:
        self._error, self._given = error, given
        self.asked = 0

    def get_credentials(self) -> Any:
        self.asked += 1
        if self._error is not None:
            raise self._error
        return self._given


class Impatient(SetClock):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def test_waiting_tasks_share_the_attempts_of_a_failing_provider(threads: Threads) -> None:
    provider = Failing(RuntimeError())
    shared = ring(threads, provider, Impatient())
    found = await asyncio.gather(*(shared.keys() for _ in range(50)), return_exceptions=True)
    assert {type(error) for error in found} == {CredentialsError}
    assert len({id(error) for error in found}) == 50  # each caller gets an error with a traceback of its own
    assert len({(str(error), error.is_temporary) for error in found if isinstance(error, CredentialsError)}) == 1
    assert provider.asked == 4


async def test_many_refusals_of_unchanged_keys_cause_two_fetches(threads: Threads) -> None:
    """The first refusal's, and one that has begun after all of the others."""
    provider = Provider(("a", "s", "t"))
    shared = ring(threads, provider)
    refused = await shared.keys()
    assert await asyncio.gather(*(shared.replace(refused) for _ in range(20))) == [False] * 20
    assert provider.asked == 1 + 2


async def test_refused_keys_are_fetched_again_if_the_running_fetch_began_before_the_refusal(threads: Threads) -> None:
    """That one may return the keys that the provider had before it replaced them."""
    provider, clock = Provider(("a", "s", None), ("a", "s", None), ("b", "s", None)), SetClock()
    shared = ring(threads, provider, clock)
    refused = await shared.keys()
    provider.may_answer.clear()
    clock.seconds = 11.0
    others = [asyncio.create_task(shared.keys()) for _ in range(5)]
    while provider.asked < 2:  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)
    replaced = [asyncio.create_task(shared.replace(refused)) for _ in range(5)]
    await asyncio.sleep(0)
    provider.may_answer.set()
    await asyncio.gather(*others)
    assert await asyncio.gather(*replaced) == [True] * 5
    assert provider.asked == 3


async def test_cancelled_first_caller_does_not_make_the_others_fetch_again(threads: Threads) -> None:
    provider = Provider()
    provider.may_answer.clear()
    shared = ring(threads, provider)
    first, *others = [asyncio.create_task(shared.keys()) for _ in range(5)]
    while not provider.asked:  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.wait([first])
    provider.may_answer.set()
    await asyncio.gather(*others)
    assert provider.asked == 1


@pytest.mark.parametrize(
    ("error", "given"),
    [
        (RuntimeError("secret-text"), None),
        (oss2.exceptions.ClientError("secret-text"), None),
        (None, None),
        (None, Credentials("", "", "")),
        (None, Credentials("secret-text", None, None)),
        (None, Credentials(None, "secret-text", None)),
    ],
)
async def test_provider_without_usable_keys_is_a_credentials_error_that_repeats_nothing(
    threads: Threads, error: Exception | None, given: Any
) -> None:
    with pytest.raises(CredentialsError) as caught:
        await ring(threads, Failing(error, given)).keys()
    assert "secret-text" not in str(caught.value)
    assert caught.value.hint
    link: BaseException | None = caught.value
    while link is not None:
        assert "secret-text" not in repr(link)
        link = link.__cause__ or link.__context__


async def test_next_request_after_a_failed_fetch_gets_keys(threads: Threads) -> None:
    failing = Failing(RuntimeError())
    kept = ring(threads, failing)
    with pytest.raises(CredentialsError):
        await kept.keys()
    failing._error, failing._given = None, Credentials("a", "s", None)
    assert (await kept.keys()).access_key_id == "a"


async def test_keys_stay_in_use_while_their_provider_fails_and_is_asked_again_with_waits(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    failing, clock = Failing(given=Credentials("a", "s", None)), SetClock()
    kept = ring(threads, failing, clock)
    await kept.keys()
    failing._error = RuntimeError("secret-text")
    asked_at = []
    for second in range(200):
        clock.seconds = float(second)
        before = failing.asked
        assert (await kept.keys()).access_key_id == "a"
        if failing.asked > before:
            asked_at.append(second)
    assert asked_at == [11, 32, 73, 134, 195]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Failing" in caplog.text
    assert "RuntimeError" in caplog.text
    assert "secret-text" not in caplog.text
    failing._error, failing._given = None, Credentials("b", "s", None)
    clock.seconds = 300.0
    assert (await kept.keys()).access_key_id == "b"


async def test_refused_keys_whose_provider_fails_are_an_error_with_the_providers_reason(threads: Threads) -> None:
    failing = Failing(given=Credentials("a", "s", None))
    kept = ring(threads, failing)
    refused = await kept.keys()
    failing._error = RuntimeError()
    with pytest.raises(CredentialsError, match="Failing for credentials: it raised RuntimeError"):
        await kept.replace(refused)


async def test_fetch_whose_first_caller_is_cancelled_serves_the_next(threads: Threads) -> None:
    provider = Provider()
    provider.may_answer.clear()
    shared = ring(threads, provider)
    first, second = asyncio.ensure_future(shared.keys()), asyncio.ensure_future(shared.keys())
    while not provider.asked:  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.sleep(0)
    provider.may_answer.set()
    assert (await second).access_key_id == "id"
    assert first.cancelled()


async def test_auth_that_is_replaced_is_requested_its_own_keys(threads: Threads) -> None:
    auths = [oss2.AuthV4("old", "s")]
    clock = SetClock()
    kept = KeyRing(lambda: auths[-1], threads, clock)
    assert (await kept.keys()).access_key_id == "old"
    auths.append(oss2.AuthV4("new", "s"))
    clock.seconds = 11.0
    assert (await kept.keys()).access_key_id == "new"
    auths.append(oss2.AnonymousAuth())
    clock.seconds = 22.0
    with pytest.raises(ConfigError):
        await kept.keys()


async def test_every_auth_of_oss2_that_signs_has_a_provider() -> None:
    assert provider_of(oss2.AnonymousAuth()) is None
    assert provider_of(object()) is None
    signing = [
        oss2.Auth("a", "s"),
        oss2.AuthV2("a", "s"),
        oss2.AuthV4("a", "s"),
        *(oss2.StsAuth("a", "s", "t", auth_version=version) for version in ("v1", "v2", "v4")),
        *(kind(Provider()) for kind in (oss2.ProviderAuth, oss2.ProviderAuthV2, oss2.ProviderAuthV4)),
    ]
    for auth in signing:
        assert provider_of(auth).get_credentials().get_access_key_id() in ("a", "id")


async def test_custom_auth_keeps_its_own_way_of_signing() -> None:
    class Own(oss2.AuthV4):  # type: ignore[misc]
        def _sign_request(self, *args: Any) -> None: ...

    assert provider_of(Own("a", "s")) is None


async def test_repr_of_keys_shows_none() -> None:
    assert not any(secret in repr(Keys("the-id", "the-secret", "the-token")) for secret in ("id", "secret", "token"))
