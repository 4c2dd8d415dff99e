"""Outcomes of a batch, one for each item, and the summary of a prefix."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from aioss_resume.errors import printable
from aioss_resume.events import DownloadResult

Action: TypeAlias = Literal["downloaded", "unchanged", "deleted", "failed", "would_download", "would_delete"]

_FAILURES_MOST: Final = 100
_FAILURES_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the download of one item ended. Either `result` or `error` is None.

    Attributes:
        item: The item as the caller passed it. Any: it may be of any type.
        error: An AiossError, or what the caller's own callback raised.
    """

    item: Any
    result: DownloadResult | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class PrefixOutcome:
    """What happened to one object below a prefix, or to the file of an object that no longer exists.

    Attributes:
        item: The object as listed; None for a deleted file.
        key: The object's.
        path: The file's path; the directory itself if the key cannot be mapped to a path.
        action: "downloaded", "unchanged", "deleted", "failed"; or with dry_run "would_download", "would_delete".
        size: Bytes of the object, or of the deleted file.
        result: The result of the download or comparison; None if neither was needed.
        error: Why it failed: an AiossError, or what the caller's own callback raised.
    """

    item: Any  # an ObjectMeta; Any as in Outcome
    key: str
    path: Path
    action: Action
    size: int = 0
    result: DownloadResult | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class PrefixSummary:
    """The number of objects and bytes below a prefix, and what failed. `str()` gives a few readable lines.

    Attributes:
        counts: Number of objects (for "deleted": files) by action; 0 for an action that did not occur.
        bytes: Bytes of these objects by action, regardless of how many were fetched in this run.
        failures: Key and error of the first 100 objects that failed.
    """

    counts: Mapping[str, int] = field(default_factory=Counter)
    bytes: Mapping[str, int] = field(default_factory=Counter)
    failures: tuple[tuple[str, Exception], ...] = ()

    def __str__(self) -> str:
        lines = [f"{count} {action} ({self.bytes[action]} bytes)" for action, count in self.counts.items()]
        lines = [", ".join(lines) or "nothing there"]
        lines += [f"  failed: {printable(key)}: {error}" for key, error in self.failures[:_FAILURES_SHOWN]]
        if (more := self.counts.get("failed", 0) - _FAILURES_SHOWN) > 0:
            lines.append(f"  and {more} more failed")
        return "\n".join(lines)


class Tally:
    """Counts the outcomes of a prefix."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._failures: list[tuple[str, Exception]] = []

    def add(self, outcome: PrefixOutcome) -> None:
        self._counts[outcome.action] += 1
        self._bytes[outcome.action] += outcome.size
        if outcome.error is not None and len(self._failures) < _FAILURES_MOST:
            self._failures.append((outcome.key, outcome.error))

    def summary(self) -> PrefixSummary:
        return PrefixSummary(self._counts.copy(), self._bytes.copy(), tuple(self._failures))
