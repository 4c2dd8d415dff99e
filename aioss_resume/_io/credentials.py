"""Access keys, fetched without blocking the event loop; tasks that need them at the same time share one fetch.

oss2 calls its provider synchronously for each request, and providers may use the network. Here one snapshot of the keys
serves all requests for a few seconds, and the next one is fetched in a thread. A provider whose get_credentials() is a
coroutine function is awaited instead.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

import oss2.auth

from aioss_resume._io.clock import Clock
from aioss_resume._io.single_flight import SingleFlight
from aioss_resume._io.threads import Threads
from aioss_resume.errors import AiossError, ConfigError, CredentialsError

SECRET_LEAST: Final = 8
"""Shorter secrets are not masked: it would take half the alphabet out of a message. OSS's own have 16 and more."""

_FRESH_SECONDS: Final = 10.0
# Providers cache their keys until shortly before they expire, so asking them is cheap. This saves the thread call.

_WAIT_MOST: Final = 60.0  # seconds before a provider that failed is asked again, while its last keys may still be good
_ASYNC_SECONDS: Final = 60.0  # in which an async provider must return keys
_WAITS: Final = (0.2, 0.4, 0.8)  # seconds, at most, before a provider that raised is asked again, if there are no keys

_NO_KEYS: Final = "it returned no access key id or secret"

logger = logging.getLogger("aioss_resume")


@dataclass(frozen=True)  # no slots, because cached_property needs a __dict__
class Keys:
    """A snapshot of access keys. Its repr shows none of them."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(repr=False)
    generation: int = 0

    # oss2's signers ask a provider for credentials, and the credentials for their parts. A snapshot serves as both.
    def get_credentials(self) -> "Keys":
        return self

    def get_access_key_id(self) -> str:
        return self.access_key_id

    def get_access_key_secret(self) -> str:
        return self.access_key_secret

    def get_security_token(self) -> str | None:
        return self.security_token

    def is_same_as(self, other: "Keys") -> bool:
        return self.secrets == other.secrets

    @property
    def secrets(self) -> tuple[str, str, str]:
        return self.access_key_id, self.access_key_secret, self.security_token or ""

    @cached_property
    def as_echoed(self) -> frozenset[str]:
        """The secrets in the forms in which a response may contain them: plain, and quoted as in an address."""
        forms = (form for each in self.secrets for form in (each, quote(each, safe="")))
        return frozenset(form for form in forms if len(form) >= SECRET_LEAST)


def provider_of(auth: Any) -> Any | None:
    """The credentials provider of an oss2 auth; None if the auth does not sign, or is not from oss2.

    Any: oss2 has no types, and the provider may be any object with a get_credentials() method.
    """
    if isinstance(auth, oss2.auth.StsAuth):
        auth = getattr(auth, "_StsAuth__auth", None)  # it wraps the auth that signs
    if not isinstance(auth, oss2.auth.AuthBase) or type(auth)._sign_request.__module__ != oss2.auth.__name__:
        return None
    return auth.credentials_provider


class KeyRing:
    """The keys of one bucket's auth. It is read again for each fetch, because users of oss2 may replace `bucket.auth`.

    There is one fetch at a time, and all tasks that wait for it get its keys, or its error. If the provider fails
    later, its last keys are still used; OSS decides whether they are valid.
    """

    def __init__(self, current_auth: Callable[[], Any], threads: Threads, clock: Clock) -> None:
        self._current_auth = current_auth
        self._threads = threads
        self._clock = clock
        self._fetching = SingleFlight(self._refresh)
        self._keys: Keys | None = None
        self._refused: Keys | None = None  # the last keys that OSS refused
        self._keys_auth: Any = None  # the auth that _keys came from. Any: oss2 has no types
        self._next_fetch = 0.0
        self._failures = 0

    async def keys(self) -> Keys:
        """The current snapshot, or a new one if it is too old or the auth was replaced.

        Raises:
            CredentialsError: The provider has never returned keys, and does not after several attempts.
        """
        if self._is_due():
            error = await self._fetching.join()
            if error is not None and not self._has_keys():
                raise copy(error)
        assert self._keys is not None
        return self._keys

    async def replace(self, refused: Keys) -> bool:
        """Fetch keys again because OSS refused these. Returns False if the provider returns the same ones.

        One fetch serves all tasks whose requests were refused with the same keys.

        Raises:
            CredentialsError: The provider returns no keys after several attempts.
        """
        self._refused = refused
        # A fetch that is already running may return the keys that the provider had before.
        for _ in range(2 if self._fetching.is_running else 1):
            if self._keys is not None and not self._keys.is_same_as(refused):
                break
            error = await self._fetching.join()
            if error is not None:
                raise copy(error)
        assert self._keys is not None
        return not self._keys.is_same_as(refused)

    def _has_keys(self) -> bool:
        return self._keys is not None and self._keys_auth is self._current_auth()

    def _has_refused_keys(self) -> bool:
        return self._keys is not None and self._refused is not None and self._keys.is_same_as(self._refused)

    def _is_due(self) -> bool:
        return not self._has_keys() or self._clock.now() > self._next_fetch

    async def _refresh(self) -> AiossError | None:
        """Fetch keys. Without usable ones, a provider that raises is called again after a wait. Returns the error."""
        for wait in (*_WAITS, None):
            error = await self._fetch()
            if error is None:
                return None
            if self._has_keys():
                self._failures += 1
                self._next_fetch = self._clock.now() + min(_FRESH_SECONDS * 2**self._failures, _WAIT_MOST)
                if not self._has_refused_keys():
                    if self._failures == 1:
                        logger.warning("%s; continuing with the keys that it gave before", error)
                    return error
            if wait is None or not (isinstance(error, CredentialsError) and error.is_temporary):
                return error
            logger.warning("%s; trying again", error)
            await self._clock.sleep(self._clock.chance() * wait)
        raise AssertionError("the last attempt returns")

    async def _fetch(self) -> AiossError | None:
        """Call the provider once. Returns the error if it gives no keys."""
        auth = self._current_auth()
        provider = provider_of(auth)
        if provider is None:
            return ConfigError("the bucket's auth was replaced by one of another kind while downloading")
        generation = self._keys.generation + 1 if self._keys else 0
        if inspect.iscoroutinefunction(getattr(provider, "get_credentials", None)):
            found = await _keys_of_async(provider, generation)
        else:
            found = await self._threads.run(_keys_of, provider, generation)
        if not isinstance(found, Keys):
            error = CredentialsError(
                f"asked {type(provider).__name__} for credentials: {found}",
                hint="check the provider, or the OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET of the environment",
            )
            error.is_temporary = found != _NO_KEYS
            return error
        self._keys = found
        self._keys_auth = auth
        self._failures = 0
        self._next_fetch = self._clock.now() + _FRESH_SECONDS
        return None


# The functions below return a reason instead of raising an error, because error trackers show the local variables of
# frames that an error passes through. An exception of a provider may contain secrets, so only its type is reported.


def _keys_of(provider: Any, generation: int) -> Keys | str:
    """Call the provider. Returns its keys, or the reason why there are none. Any: it may be of any class."""
    try:
        return _read(provider.get_credentials(), generation)
    except Exception as error:  # noqa: BLE001  # a stranger's code: whatever it raises, there are no keys
        return f"it raised {type(error).__name__}"


async def _keys_of_async(provider: Any, generation: int) -> Keys | str:
    """Like _keys_of(), for a provider whose get_credentials() is a coroutine function."""
    try:
        async with asyncio.timeout(_ASYNC_SECONDS):
            given = await provider.get_credentials()
        return _read(given, generation)
    except Exception as error:  # noqa: BLE001  # a stranger's code: whatever it raises, there are no keys
        return f"it raised {type(error).__name__}"


def _read(given: Any, generation: int) -> Keys | str:
    if not hasattr(given, "get_access_key_id"):
        return _NO_KEYS
    access_key_id, access_key_secret = given.get_access_key_id(), given.get_access_key_secret()
    token = given.get_security_token()
    if not (access_key_id and access_key_secret):
        return _NO_KEYS
    return Keys(str(access_key_id), str(access_key_secret), str(token) if token else None, generation)
