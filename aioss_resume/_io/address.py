"""Presigned addresses: sent unchanged, and replaced by the caller's `refresh` function when they expire."""

import asyncio
import inspect
from collections.abc import Mapping
from copy import copy
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from yarl import URL

from aioss_resume._core.retry import STALE_KEYS
from aioss_resume._io.clock import Clock
from aioss_resume._io.credentials import SECRET_LEAST
from aioss_resume._io.sign import USER_AGENT, Signed
from aioss_resume._io.single_flight import SingleFlight
from aioss_resume._io.threads import Threads
from aioss_resume.errors import AccessDeniedError, ConfigError, ObjectName, ServiceError
from aioss_resume.urls import Refresh, checked_url, url_name

_TRIES: Final = 3  # of a refresh that fails
_WAIT: Final = 0.2  # seconds before the second one; twice as long before the third
_REFRESH_SECONDS: Final = 60.0  # for one call of refresh


class AddressSigner:
    """Makes requests to one presigned address, which contains its signature.

    There is one refresh at a time, and all tasks that wait for it get its result.
    """

    def __init__(self, url: str, refresh: Refresh | None, threads: Threads, clock: Clock) -> None:
        self._url = url
        self._refresh = refresh
        self._threads = threads
        self._clock = clock
        self._refreshing = SingleFlight(self._replace)

    async def sign(
        self,
        method: str,
        name: ObjectName,  # noqa: ARG002
        headers: Mapping[str, str],
        params: Mapping[str, str],
        now: datetime,  # noqa: ARG002
    ) -> Signed:
        """Make a request to the current address. It is not signed, and no parameters can be added."""
        assert not params
        sent = {"User-Agent": USER_AGENT, **headers}
        # encoded=True: path and query are sent byte for byte, as they were signed.
        return Signed(method, URL(self._url, encoded=True), sent, None, _secrets_of(self._url))

    async def cure(
        self,
        error: ServiceError,
        refused: Signed,
        server_time: datetime | None,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> str | None:
        """Replace the address if it has expired.

        Raises:
            AccessDeniedError: There is no new address; contains the server's response and a hint.
            ConfigError: The new address belongs to another object.
        """
        if not _says_expired(error):
            return None
        if self._refresh is None:
            error.hint = "the address has expired: pass SignedURL(url, refresh=...), or a new address"
            return None
        # No frame that an error passes through has an address in a local variable: error trackers show these.
        problem = await self._refreshing.join() if str(refused.url) == self._url else None
        if isinstance(problem, str):
            error.hint = f"the address has expired, and refresh {problem}"
            raise error
        if problem is not None:
            raise copy(problem)
        return "address"

    async def _replace(self) -> str | ConfigError | None:
        """Replace the address by a new one. If that fails, returns a description of what refresh did."""
        refresh, old, problem = self._refresh, self._url, ""
        assert refresh is not None
        for tried in range(_TRIES):
            if tried:
                await self._clock.sleep(_WAIT * 2 ** (tried - 1))
            new, problem = await self._call(refresh, old)
            if new is None:
                continue
            if new == old:
                return "returned the same address, which has expired"
            if url_name(new) != url_name(old):
                return ConfigError(
                    f"refresh returned the address of another object: {url_name(new)} instead of {url_name(old)}"
                )
            self._url = new
            return None
        return problem

    async def _call(self, refresh: Refresh, old: str) -> tuple[str | None, str]:
        """Call refresh. Returns the new address, or None and a description; its exception may contain secrets."""
        try:
            async with asyncio.timeout(_REFRESH_SECONDS):
                if inspect.iscoroutinefunction(refresh):
                    found = await refresh(old)
                else:
                    found = await self._threads.run(refresh, old)
                    if inspect.isawaitable(found):
                        found = await found
        except TimeoutError:
            return None, f"did not return within {_REFRESH_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001  # a stranger's code
            return None, f"raised {type(error).__name__}"
        try:
            return checked_url(found), ""
        except ConfigError as error:
            return None, f"returned no address: {error}"


def _says_expired(error: ServiceError) -> bool:
    """Whether an error response says that the address, or the token in it, has expired.

    Servers other than OSS may not give a reason.
    """
    if not isinstance(error, AccessDeniedError):
        return False
    return error.code in STALE_KEYS or "expired" in error.message.lower() or not error.code


def _secrets_of(url: str) -> frozenset[str]:
    """The values in the query that must not be shown, in each form in which a response may contain them."""
    values = (
        value
        for name, value in parse_qsl(urlsplit(url).query)
        if not name.startswith("response-") and not value.isdigit()
    )
    return frozenset(form for value in values for form in (value, quote(value, safe="")) if len(value) >= SECRET_LEAST)
