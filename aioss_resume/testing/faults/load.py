"""Faults of an overloaded service, which refuses requests beyond a limit or at random."""

import random
import time
from typing import Unpack

from aioss_resume.testing.faults.fault import Fault, Scope, World
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer, RefusedError, error_answer
from aioss_resume.testing.server.calls import Call

_BUSY = {
    429: "QpsLimitExceeded",
    500: "InternalError",
    503: "DownloadTrafficRateLimitExceeded",
}


class LoadFaults(FaultSet):
    """Refusals that depend on the load. They continue forever, unless `times` is given."""

    def throttle(
        self,
        requests_per_second: float | None = None,
        most_in_flight: int | None = None,
        *,
        burst: int = 1,
        code: int = 503,
        oss_code: str | None = None,
        retry_after: float | str | None = None,
        **scope: Unpack[Scope],
    ) -> Fault:
        """Refuse requests beyond a rate or a number in flight. Its hits count the refusals.

        Args:
            requests_per_second: Most accepted requests per second; None for no limit.
            most_in_flight: Most accepted requests whose responses are not complete; None for no limit.
            burst: Requests that may arrive at once after a pause, at least 1.
            code: The HTTP status: 503, 429 or another.
            oss_code: OSS's error code; None for the usual one.
            retry_after: Seconds, or the text of the header.
            scope: `times` defaults to None, which means forever.
        """
        gate = _Gate(requests_per_second, most_in_flight, burst)
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        lasting: Scope = {"times": None, **scope}

        def act(call: Call, _world: World) -> Answer:
            return _busy(call, code, oss_code, headers)

        return self._early("throttle", act, lasting, when=gate.refuses)

    def storm(
        self,
        chance: float = 1.0,
        *,
        codes: tuple[int, ...] = (500, 502, 503, 504),
        seconds: float | None = None,
        **scope: Unpack[Scope],
    ) -> Fault:
        """Refuse random requests, repeatably, with one of the codes, for so many seconds from now; None for forever."""
        lasting: Scope = {"times": None, "probability": chance, **scope}
        dice = random.Random(scope.get("seed", 0))  # noqa: S311 - repeatable, not secret
        end = None if seconds is None else time.monotonic() + seconds

        def is_raging(_call: Call, _world: World) -> bool:
            return end is None or time.monotonic() < end

        def act(call: Call, _world: World) -> Answer:
            return _busy(call, dice.choice(codes), None, {})

        return self._early("storm", act, lasting, when=is_raging)


class _Gate:
    """Accepts requests up to a rate and a number in flight. The lock of the faults guards it."""

    def __init__(self, rate: float | None, most: int | None, burst: int) -> None:
        self._rate = rate
        self._most = most
        self._burst = burst
        self._tokens = float(burst)
        self._refilled = time.monotonic()
        self._passed: list[Call] = []

    def refuses(self, call: Call, world: World) -> bool:
        if self._most is not None:
            self._passed = [passed for passed in self._passed if world.is_under_way(passed)]
            if len(self._passed) >= self._most:
                return True
        if self._rate is not None:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._refilled) * self._rate)
            self._refilled = now
            if self._tokens < 1:
                return True
            self._tokens -= 1
        if self._most is not None:
            self._passed.append(call)
        return False


def _busy(call: Call, code: int, oss_code: str | None, headers: dict[str, str]) -> Answer:
    name = oss_code or _BUSY.get(code, "InternalError")
    refused = RefusedError(code, name, "The service is busy; reduce your request rate.", headers=headers)
    return error_answer(refused, method=call.method, request_id=call.request_id, host=call.host)
