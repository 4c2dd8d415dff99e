"""One fault: which requests it affects, how often, and how."""

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypedDict

from aioss_resume.testing.server.answers import Answer
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.contents import Content

Asked = tuple[int, int | None] | None
"""A requested range, as in the ledger."""


class Scope(TypedDict, total=False):
    """Selects the requests that a fault affects. Every fault accepts these keywords."""

    times: int | None
    """How often it occurs (default 1); None for always."""
    bucket: str | None
    key: str | None
    method: str | None
    """The method (default "GET"); None for any."""
    range: tuple[int, int | None] | Callable[[Asked], bool] | None
    """The requested range, half-open as in the ledger, or a function that returns whether it is affected."""
    nth: int | None
    """Only the nth request in scope, counted from 1."""
    after_requests: int
    """Number of requests in scope that are not affected at first."""
    probability: float | None
    """The chance of each request to be affected, repeatable by `seed`."""
    seed: int


class World(Protocol):
    """The operations on the server that are available to faults."""

    def replace_content(
        self, call: Call, content: Content | None, *, same_etag: bool, stale_crc: bool, same_date: bool = False
    ) -> None: ...

    def delete_object(self, call: Call) -> None: ...

    def expire_credentials(self, call: Call) -> None: ...

    def shift_clock(self, seconds: float) -> None: ...

    def is_under_way(self, call: Call) -> bool: ...


When = Callable[[Call, World], bool]
"""Whether an early fault applies to a request in its scope."""
Early = Callable[[Call, World], Answer | Call | None]
"""Called before the request is executed. Returns a response, a request to execute instead, or None."""
Late = Callable[[Answer], bool]
"""Changes a response. Returns False if the fault does not apply to that response."""


def _check_scope(name: str, scope: Scope) -> None:
    """Check the keywords of a fault. With a misspelt one, it would have no effect, or affect all requests.

    Raises:
        TypeError: A keyword is unknown.
        ValueError: A number is out of bounds.
    """
    known = Scope.__annotations__
    for keyword in scope:
        if keyword not in known:
            raise TypeError(f"{name}() got an unexpected keyword argument {keyword!r}; there are {', '.join(known)}")
    values: Mapping[str, Any] = scope  # Any: they are of many types
    for keyword, least in (("times", 1), ("nth", 1), ("after_requests", 0)):
        value = values.get(keyword)
        if value is not None and value < least:
            raise ValueError(f"{name}(): {keyword} must be at least {least}, not {value}")
    probability = scope.get("probability")
    if probability is not None and not 0 <= probability <= 1:
        raise ValueError(f"{name}(): probability must be between 0 and 1, not {probability}")


class Fault:
    """A handle for counting and cancelling a fault."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        lock: threading.RLock,
        *,
        early: Early | None = None,
        late: Late | None = None,
        when: When | None = None,
    ) -> None:
        _check_scope(name, scope)
        self.name = name
        self.early = early
        self.late = late
        self.when = when
        self._lock = lock  # shared by all faults
        self._scope = scope
        self._dice = random.Random(scope.get("seed", 0))  # noqa: S311 - repeatable, not secret
        self._left = scope.get("times", 1)
        self._seen = 0
        self._hits = 0
        self.is_cancelled = False

    def __repr__(self) -> str:
        left = "for ever" if self._left is None else f"{self._left} left"
        return f"<Fault {self.name}: {self._hits} hits, {left}>"

    @property
    def hits(self) -> int:
        """How often the fault occurred."""
        with self._lock:
            return self._hits

    def cancel(self) -> None:
        """Prevent further occurrences."""
        with self._lock:
            self.is_cancelled = True

    def meets(self, call: Call) -> bool:
        """Whether the fault affects this request; counts the request. The caller must hold the lock."""
        scope = self._scope
        method = scope.get("method", "GET")
        if method is not None and method != call.method:
            return False
        if scope.get("bucket") not in (None, call.bucket) or scope.get("key") not in (None, call.key):
            return False
        wanted = scope.get("range")
        if wanted is not None and not (wanted(call.range) if callable(wanted) else wanted == call.range):
            return False
        self._seen += 1
        nth = scope.get("nth")
        if self._seen <= scope.get("after_requests", 0) or (nth is not None and nth != self._seen):
            return False
        probability = scope.get("probability")
        return probability is None or self._dice.random() < probability

    @property
    def is_over(self) -> bool:
        return self.is_cancelled or self._left == 0

    def count(self) -> None:
        self._hits += 1
        if self._left is not None:
            self._left -= 1
