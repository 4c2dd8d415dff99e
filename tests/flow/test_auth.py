"""Who signs, with which keys, by which clock: what the bucket's auth says, through expiry and refusal."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import oss2
import pytest
from canary import TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, Watch, watching  # noqa: F401
from ranged import PART, RANGED, SIZE, begins_at, names, whole

import aioss_resume
from aioss_resume import AccessDeniedError, ConfigError, CredentialsError, Downloader, ServiceError, SignatureError
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio

OTHER_ID = "canary-other-id-0c9e"
OTHER_SECRET = "canary-other-secret-1f44"
OTHER_TOKEN = "canary-other-token-be03"
HOUR = 3600.0

Happens = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Credentials:
    """What a provider of the user's gives: any object with these three methods."""

    access_key_id: Any  # Any: some tests give what is no string
    access_key_secret: Any
    token: Any = None

    def get_access_key_id(self) -> Any:
        return self.access_key_id

    def get_access_key_secret(self) -> Any:
        return self.access_key_secret

    def get_security_token(self) -> Any:
        return self.token


FIRST = Credentials(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN)
SECOND = Credentials(OTHER_ID, OTHER_SECRET, OTHER_TOKEN)


@dataclass
class Provider:
    """Gives one credential after the other, the last one for ever; an exception in their place is raised."""

    given: list[Any]
    threads: list[int] = field(default_factory=list)

    def get_credentials(self) -> Any:
        self.threads.append(threading.get_ident())
        found = self.given[min(len(self.threads), len(self.given)) - 1]
        if isinstance(found, BaseException):
            raise found
        return found


class OwnSigner:
    """A signer of the user's own: no class of oss2's, and nothing but the one method that oss2.Bucket calls."""

    def __init__(self, oss: LocalOSS) -> None:
        self._signs = oss2.AuthV4(oss.access_key_id, oss.access_key_secret)
        self.threads: list[int] = []

    def _sign_request(self, request: Any, bucket_name: str, key: str) -> None:
        self.threads.append(threading.get_ident())
        request.headers["x-oss-signed-by"] = "me"
        self._signs._sign_request(request, bucket_name, key)


class OverridingSigner(oss2.AuthV4):  # type: ignore[misc]  # oss2 has no types
    """Adds a header to what oss2 signs."""

    def _sign_request(self, request: Any, bucket_name: str, key: str, *more: Any, **keywords: Any) -> None:
        request.headers["x-oss-signed-by"] = "me"
        super()._sign_request(request, bucket_name, key, *more, **keywords)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture(autouse=True)
def stored(oss: LocalOSS, watch: Watch) -> None:
    """The object, two temporary keys that may read it; and no word of any of them is ever said."""
    watch.secrets |= {OTHER_ID, OTHER_SECRET, OTHER_TOKEN}
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.add_credentials(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN)
    oss.add_credentials(OTHER_ID, OTHER_SECRET, OTHER_TOKEN)


@pytest.fixture
def midway(oss: LocalOSS) -> Happens:
    """Let something happen in the server once, just before the range that begins at the fifth part is answered."""

    def happens(what: Callable[[], None]) -> None:
        once = [what]

        def scope(range_: Any) -> bool:  # runs when the request arrives, in the server's thread
            if begins_at(5 * PART)(range_) and once:
                once.pop()()
            return False

        oss.faults.delay(0, range=scope)

    return happens


def refused(oss: LocalOSS) -> list[Any]:
    return [record for record in oss.requests if record.status not in (200, 206)]


def assert_nothing_was_lost(oss: LocalOSS, path: Path, result: Any) -> None:
    """The right file, and each byte of it sent once."""
    assert path.read_bytes() == whole()
    assert result.verified
    assert sum(record.bytes_sent for record in oss.requests if record.status == 206) == SIZE
    assert result.attempts == len(oss.requests)
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize(
    ("auth", "scheme"),
    [(oss2.Auth, "OSS "), (oss2.AuthV2, "OSS2 "), (oss2.AuthV4, "OSS4-HMAC-SHA256 ")],
    ids=["v1", "v2", "v4"],
)
async def test_download_is_signed_as_the_auth_says(oss: LocalOSS, path: Path, auth: Any, scheme: str) -> None:
    bucket = oss.bucket("examplebucket", auth=auth(oss.access_key_id, oss.access_key_secret))
    result = await aioss_resume.download(bucket, "key", path, **RANGED, params={"response-content-language": "de/+ x"})
    assert_nothing_was_lost(oss, path, result)
    assert all(record.headers["Authorization"].startswith(scheme) for record in oss.requests)
    assert all("x-oss-security-token" not in record.headers for record in oss.requests)


@pytest.mark.parametrize(
    ("auth", "scheme"),
    [(oss2.ProviderAuth, "OSS "), (oss2.ProviderAuthV2, "OSS2 "), (oss2.ProviderAuthV4, "OSS4-HMAC-SHA256 ")],
    ids=["v1", "v2", "v4"],
)
async def test_provider_signs_in_every_version(oss: LocalOSS, path: Path, auth: Any, scheme: str) -> None:
    result = await aioss_resume.download(
        oss.bucket("examplebucket", auth=auth(Provider([FIRST]))), "key", path, **RANGED
    )
    assert_nothing_was_lost(oss, path, result)
    assert all(record.headers["Authorization"].startswith(scheme) for record in oss.requests)


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
async def test_temporary_keys_sign_in_every_version(oss: LocalOSS, path: Path, version: str) -> None:
    auth = oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version=version)
    result = await aioss_resume.download(oss.bucket("examplebucket", auth=auth), "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)
    assert {record.headers["x-oss-security-token"] for record in oss.requests} == {TOKEN}


async def test_anonymous_download_of_a_public_object_is_not_signed(oss: LocalOSS, path: Path) -> None:
    oss.make_public("examplebucket")
    bucket = oss.bucket("examplebucket", auth=oss2.AnonymousAuth(), region=None)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)
    assert not any({"Authorization", "x-oss-date", "x-oss-security-token"} & set(r.headers) for r in oss.requests)


async def test_anonymous_download_of_a_private_object_is_denied_once(oss: LocalOSS, path: Path, watch: Watch) -> None:
    with watch.raises(AccessDeniedError) as caught:
        await aioss_resume.download(oss.bucket("examplebucket", auth=oss2.AnonymousAuth()), "key", path, **RANGED)
    assert isinstance(caught.error, oss2.exceptions.AccessDenied)
    assert len(oss.requests) == 1
    assert names(path.parent) == []


async def test_provider_is_asked_once_and_off_the_loop(oss: LocalOSS, path: Path) -> None:
    provider = Provider([FIRST])
    await aioss_resume.download(oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider)), "key", path, **RANGED)
    assert len(provider.threads) == 1
    assert threading.get_ident() not in provider.threads


async def test_all_who_wait_for_keys_share_one_fetch(oss: LocalOSS) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    class Slow(Provider):
        def get_credentials(self) -> Any:
            found = super().get_credentials()
            asked.set()
            assert may_answer.wait(20)
            return found

    provider = Slow([FIRST])
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    async with Downloader(bucket) as downloader, anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(downloader.head, "key")
        assert await anyio.to_thread.run_sync(asked.wait, 20)
        may_answer.set()
    assert len(oss.requests) == 20
    assert len(provider.threads) == 1


def _expire(oss: LocalOSS) -> None:
    oss.expire(TEMPORARY_ID)


def _forget(oss: LocalOSS) -> None:
    oss.remove_credentials(TEMPORARY_ID)


def _reissue(oss: LocalOSS) -> None:
    oss.add_credentials(TEMPORARY_ID, TEMPORARY_SECRET, "another-token")


REFUSALS = [
    pytest.param(_expire, "SecurityTokenExpired", id="SecurityTokenExpired"),
    pytest.param(_forget, "InvalidAccessKeyId", id="InvalidAccessKeyId"),
    pytest.param(_reissue, "InvalidSecurityToken", id="InvalidSecurityToken"),
]


@pytest.mark.parametrize(("spoil", "code"), REFUSALS)
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_keys_refused_midway_are_fetched_again_once_and_no_part_is_lost(
    oss: LocalOSS, path: Path, midway: Happens, spoil: Any, code: str, concurrency: int
) -> None:
    midway(lambda: spoil(oss))
    provider = Provider([FIRST, SECOND])
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    result = await aioss_resume.download(bucket, "key", path, **RANGED, concurrency=concurrency)
    assert_nothing_was_lost(oss, path, result)
    assert {record.error for record in refused(oss)} == {code}
    assert 1 <= len(refused(oss)) <= concurrency
    assert len(provider.threads) == 2
    assert threading.get_ident() not in provider.threads


@pytest.mark.parametrize(("spoil", "code"), REFUSALS)
async def test_keys_refused_at_once_are_fetched_again_once(oss: LocalOSS, path: Path, spoil: Any, code: str) -> None:
    spoil(oss)
    provider = Provider([FIRST, SECOND])
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)
    assert [record.error for record in refused(oss)] == [code]
    assert len(provider.threads) == 2


async def test_head_also_replaces_refused_keys(oss: LocalOSS) -> None:
    oss.expire(TEMPORARY_ID)
    async with Downloader(
        oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(Provider([FIRST, SECOND])))
    ) as downloader:
        assert (await downloader.head("key")).size == SIZE
    assert [record.status for record in oss.requests] == [403, 200]


@pytest.mark.parametrize(("spoil", "code"), REFUSALS)
async def test_provider_that_has_only_the_refused_keys_costs_one_request(
    oss: LocalOSS, path: Path, watch: Watch, spoil: Any, code: str
) -> None:
    spoil(oss)
    provider = Provider([FIRST])
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    with watch.raises(AccessDeniedError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert caught.error.code == code
    assert len(oss.requests) == 1
    assert len(provider.threads) == 2
    assert names(path.parent) == []


async def test_provider_that_has_only_the_refused_keys_midway_makes_no_storm_and_keeps_what_came(
    oss: LocalOSS, path: Path, midway: Happens, watch: Watch
) -> None:
    midway(lambda: oss.expire(TEMPORARY_ID))
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(Provider([FIRST])))
    with watch.raises(AccessDeniedError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED, concurrency=4)
    assert caught.error.code == "SecurityTokenExpired"
    assert 1 <= len(refused(oss)) <= 4
    oss.clear_requests()
    oss.faults.clear()
    bucket.auth = oss2.StsAuth(OTHER_ID, OTHER_SECRET, OTHER_TOKEN, auth_version="v4")
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert result.resumed_bytes >= PART
    assert sum(record.bytes_sent for record in oss.requests) == SIZE - result.resumed_bytes


async def test_keys_are_replaced_once_even_if_the_new_ones_are_refused_too(
    oss: LocalOSS, path: Path, watch: Watch
) -> None:
    class Endless(Provider):
        def get_credentials(self) -> Any:
            super().get_credentials()
            return Credentials(f"canary-unknown-{len(self.threads)}", TEMPORARY_SECRET, TOKEN)

    watch.secrets |= {"canary-unknown-"}
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(Endless([None])))
    with watch.raises(AccessDeniedError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert len(oss.requests) == 2


NO_KEYS = [
    pytest.param(RuntimeError(f"no keys: {TEMPORARY_SECRET} {TOKEN}"), id="raises"),
    pytest.param(oss2.exceptions.RequestError(OSError(TOKEN)), id="raises as oss2 does"),
    pytest.param(oss2.exceptions.ClientError(TOKEN), id="raises another of oss2's"),
    pytest.param(None, id="nothing"),
    pytest.param(TOKEN, id="a string"),
    pytest.param(Credentials("", TEMPORARY_SECRET, TOKEN), id="no id"),
    pytest.param(Credentials(TEMPORARY_ID, "", TOKEN), id="no secret"),
    pytest.param(Credentials(None, None), id="None"),
]


@pytest.mark.parametrize("given", NO_KEYS)
async def test_provider_without_keys_is_a_credentials_error_before_any_request(
    oss: LocalOSS, path: Path, watch: Watch, given: Any
) -> None:
    provider = Provider([given])
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    with watch.raises(CredentialsError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert (caught.error.bucket, caught.error.key) == ("examplebucket", "key")
    assert caught.error.__cause__ is caught.error.__context__ is None
    assert "Provider" in str(caught.error)
    assert caught.error.hint
    # Exceptions may be temporary, so they are tried again.
    assert len(provider.threads) == (4 if isinstance(given, Exception) else 1)
    assert oss.requests == []
    assert names(path.parent) == []


@pytest.mark.parametrize("given", NO_KEYS)
async def test_provider_without_keys_midway_is_a_credentials_error_and_the_download_resumes(
    oss: LocalOSS, path: Path, midway: Happens, watch: Watch, given: Any
) -> None:
    midway(lambda: oss.expire(TEMPORARY_ID))
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(Provider([FIRST, given])))
    with watch.raises(CredentialsError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    oss.faults.clear()
    bucket.auth = oss2.ProviderAuthV4(Provider([SECOND]))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert result.resumed_bytes >= PART
    assert path.read_bytes() == whole()


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
async def test_replaced_auth_is_used_after_the_keys_have_expired(
    oss: LocalOSS, path: Path, midway: Happens, version: str
) -> None:
    bucket = oss.bucket("examplebucket", auth=oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version="v4"))

    def replace() -> None:
        oss.expire(TEMPORARY_ID)
        bucket.auth = oss2.StsAuth(OTHER_ID, OTHER_SECRET, OTHER_TOKEN, auth_version=version)

    midway(replace)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)
    assert OTHER_TOKEN in {record.headers["x-oss-security-token"] for record in oss.requests}


async def test_replaced_auth_signs_the_next_request(oss: LocalOSS) -> None:
    bucket = oss.bucket("examplebucket", auth=oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version="v4"))
    async with Downloader(bucket) as downloader:
        await downloader.head("key")
        bucket.auth = oss2.StsAuth(OTHER_ID, OTHER_SECRET, OTHER_TOKEN, auth_version="v4")
        await downloader.head("key")
    assert [record.headers["x-oss-security-token"] for record in oss.requests] == [TOKEN, OTHER_TOKEN]


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
@pytest.mark.parametrize("auth", [oss2.Auth, oss2.AuthV2, oss2.AuthV4], ids=["v1", "v2", "v4"])
async def test_wrong_clock_is_learned_from_one_refusal(oss: LocalOSS, path: Path, offset: float, auth: Any) -> None:
    oss.clock_offset = offset
    bucket = oss.bucket("examplebucket", auth=auth(oss.access_key_id, oss.access_key_secret))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)
    assert [record.error for record in refused(oss)] == ["RequestTimeTooSkewed"]
    assert oss.requests[0].status == 403


async def test_clock_that_jumps_midway_costs_no_part(oss: LocalOSS, path: Path) -> None:
    jumps = {3 * PART: HOUR, 6 * PART: -HOUR}

    def jump(range_: Any) -> bool:
        oss.clock_offset = jumps.pop(range_[0], oss.clock_offset)
        return False

    oss.faults.delay(0, range=jump)
    bucket = oss.bucket("examplebucket", auth=oss2.AuthV4(oss.access_key_id, oss.access_key_secret))
    result = await aioss_resume.download(bucket, "key", path, **RANGED, concurrency=1)
    assert_nothing_was_lost(oss, path, result)
    assert [record.error for record in refused(oss)] == ["RequestTimeTooSkewed"] * 2


async def test_wrong_clock_and_expired_keys_are_both_repaired(oss: LocalOSS, path: Path) -> None:
    oss.clock_offset = HOUR
    oss.expire(TEMPORARY_ID)
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(Provider([FIRST, SECOND])))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)
    assert [record.error for record in refused(oss)] == ["RequestTimeTooSkewed", "SecurityTokenExpired"]


async def test_clock_that_stays_wrong_is_denied_after_one_correction(
    oss: LocalOSS, path: Path, bucket: Any, watch: Watch
) -> None:
    oss.faults.status(403, oss_code="RequestTimeTooSkewed", times=None)
    with watch.raises(AccessDeniedError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert caught.error.hint
    assert len(oss.requests) == 2


async def test_skew_without_a_readable_date_is_denied_at_once(
    oss: LocalOSS, path: Path, bucket: Any, watch: Watch
) -> None:
    oss.faults.status(403, oss_code="RequestTimeTooSkewed", headers={"Date": "yesterday"}, times=None)
    with watch.raises(AccessDeniedError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert len(oss.requests) == 1


async def test_oss2_of_the_process_keeps_its_clock_and_its_log(oss: LocalOSS, path: Path, bucket: Any) -> None:
    before = dict(vars(oss2.auth)), dict(vars(oss2.utils))
    oss.clock_offset = HOUR
    await aioss_resume.download(bucket, "key", path, **RANGED)
    assert (dict(vars(oss2.auth)), dict(vars(oss2.utils))) == before
    assert oss2.auth.datetime is datetime
    assert not oss2.auth.logger.disabled


async def test_signer_of_no_class_of_oss2_signs_each_request_off_the_loop(oss: LocalOSS, path: Path) -> None:
    auth = OwnSigner(oss)
    result = await aioss_resume.download(oss.bucket("examplebucket", auth=auth), "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)
    assert len(auth.threads) == len(oss.requests)
    assert threading.get_ident() not in auth.threads
    assert {record.headers["x-oss-signed-by"] for record in oss.requests} == {"me"}


async def test_subclass_that_overrides_the_signing_is_the_one_that_signs(oss: LocalOSS, path: Path) -> None:
    auth = OverridingSigner(oss.access_key_id, oss.access_key_secret)
    result = await aioss_resume.download(oss.bucket("examplebucket", auth=auth), "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)
    assert {record.headers["x-oss-signed-by"] for record in oss.requests} == {"me"}


async def test_subclass_that_overrides_nothing_is_signed_for_as_its_parent(oss: LocalOSS, path: Path) -> None:
    class Named(oss2.AuthV4):  # type: ignore[misc]
        pass

    bucket = oss.bucket("examplebucket", auth=Named(oss.access_key_id, oss.access_key_secret))
    oss.clock_offset = HOUR  # a custom signer would use its own clock, and be refused
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert_nothing_was_lost(oss, path, result)


async def test_signer_that_raises_is_a_credentials_error_that_repeats_nothing(
    oss: LocalOSS, path: Path, watch: Watch
) -> None:
    class Broken(OwnSigner):
        def _sign_request(self, *_: Any) -> None:
            raise ValueError(TOKEN)

    with watch.raises(CredentialsError) as caught:
        await aioss_resume.download(oss.bucket("examplebucket", auth=Broken(oss)), "key", path, **RANGED)
    assert "Broken" in str(caught.error)
    assert caught.error.__cause__ is caught.error.__context__ is None
    assert oss.requests == []


@pytest.mark.parametrize("auth", [oss2.Auth, oss2.AuthV2, oss2.AuthV4], ids=["v1", "v2", "v4"])
async def test_wrong_secret_is_a_signature_error_with_a_hint(
    oss: LocalOSS, path: Path, watch: Watch, auth: Any
) -> None:
    bucket = oss.bucket("examplebucket", auth=auth(oss.access_key_id, TEMPORARY_SECRET))
    with watch.raises(SignatureError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert isinstance(caught.error, oss2.exceptions.SignatureDoesNotMatch)
    assert "secret" in caught.error.hint
    assert len(oss.requests) == 1
    assert names(path.parent) == []


async def test_wrong_region_is_an_error_with_a_hint(oss: LocalOSS, path: Path, watch: Watch) -> None:
    bucket = oss.bucket("examplebucket", region="cn-beijing")
    with watch.raises(ServiceError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert (caught.error.status, caught.error.code) == (400, "InvalidArgument")
    assert "region" in caught.error.hint
    assert isinstance(caught.error, oss2.exceptions.InvalidArgument)
    assert len(oss.requests) == 1


def _crypto_bucket(oss: LocalOSS) -> Any:
    class NoCrypto(oss2.crypto.BaseCryptoProvider):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(cipher=object())

        def get_key(self) -> None: ...

        def get_iv(self) -> None: ...

        def decrypt_encrypted_key(self, encrypted_key: Any) -> None: ...

        def decrypt_encrypted_iv(self, encrypted_iv: Any) -> None: ...

        def reset_encryption_materials(self, encryption_materials: Any) -> None: ...

        def create_content_material(self) -> None: ...

        def check_magic_number_hmac(self, meta: Any) -> None: ...

    auth = oss2.AuthV4(oss.access_key_id, oss.access_key_secret)
    return oss2.CryptoBucket(auth, oss.endpoint, "examplebucket", NoCrypto(), region=oss.region)


def _nameless_bucket(oss: LocalOSS) -> Any:
    bucket = oss.bucket("examplebucket")
    bucket.bucket_name = ""
    return bucket


NO_BUCKETS: list[Any] = [
    pytest.param(lambda oss: oss.bucket("examplebucket", region=None), id="V4 without a region"),
    pytest.param(
        lambda oss: oss.bucket(
            "examplebucket",
            region=None,
            auth=oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version="v4"),
        ),
        id="temporary V4 without a region",
    ),
    pytest.param(_crypto_bucket, id="a CryptoBucket"),
    pytest.param(lambda oss: oss2.Service(oss2.AuthV4("a", "b"), oss.endpoint, region=oss.region), id="a Service"),
    pytest.param(lambda _: None, id="None"),
    pytest.param(lambda _: "examplebucket", id="a name"),
    pytest.param(lambda _: oss2.Bucket, id="the class"),
    pytest.param(lambda oss: oss.bucket("examplebucket", auth=oss2.AuthV4("a", "b")).auth, id="an auth"),
    pytest.param(_nameless_bucket, id="without a name"),
    pytest.param(lambda oss: oss2.Bucket(None, oss.endpoint, "examplebucket"), id="without an auth"),
    pytest.param(lambda oss: oss2.Bucket(object(), oss.endpoint, "examplebucket"), id="with an auth that cannot sign"),
]


@pytest.mark.parametrize("make", NO_BUCKETS)
async def test_invalid_bucket_is_a_config_error_before_any_request(
    oss: LocalOSS, path: Path, watch: Watch, make: Any
) -> None:
    bucket = make(oss)
    if bucket is not None:  # Downloader(None) is valid: it serves presigned addresses
        with watch.raises(ConfigError):
            Downloader(bucket)
    with watch.raises(ConfigError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert oss.requests == []
    assert names(path.parent) == []
