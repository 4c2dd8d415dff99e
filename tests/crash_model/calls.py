"""A storage that passes all calls on, remembers them, and may let one fail."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from aioss_resume._io.storage import Storage

METHODS: Final = tuple(name for name, value in vars(Storage).items() if callable(value) and not name.startswith("_"))

_FORGIVEN: Final = {
    ("close", ".lock"),  # nothing was written to it
    ("unlink", ".lock"),  # a lock file that stays locks nothing
    ("close", ".mode"),
    ("unlink", ".mode"),
    ("close", ".checkpoint"),  # it was read
    ("open", ".checkpoint"),  # one that cannot be read is ignored
}
# A span that cannot be read back is fetched again.
_FORGIVEN_IN_PROOFS: Final = {("open", ".part"), ("read_at", ".part"), ("close", ".part")}


def may_be_forgiven(method: str, kind: str, error: int, *, is_resumed: bool) -> bool:
    """Whether a failure with that method and kind of file may go unnoticed; nothing else may."""
    # EMFILE is about the process, not the file.
    if (method, error) == ("open", errno.EMFILE):
        return False
    return (method, kind) in (_FORGIVEN | _FORGIVEN_IN_PROOFS if is_resumed else _FORGIVEN)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the method, what the file is to a download (its suffix), and what came of it."""

    method: str
    kind: str
    outcome: str

    @property
    def shape(self) -> tuple[str, str, str]:
        return self.method, self.kind, self.outcome


class Calls(Storage):
    """Passes on to another storage.

    Attributes:
        made: The calls, in order.
        fail_at: The number, from 1 on, of the call of `fail` that fails; 0: none.
        failed: The kind of file with which it has; None while it has not.
        when_failed: Called then.
    """

    __slots__ = ("_count", "_inner", "_lock", "_names", "error", "fail", "fail_at", "failed", "made", "when_failed")

    def __init__(
        self,
        inner: Storage,
        fail: str = "",
        fail_at: int = 0,
        error: int = errno.EIO,
        when_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._lock = threading.Lock()  # guards the count: the library's threads come side by side
        self._count = 0
        self._names: dict[int, str] = {}
        self.fail, self.fail_at, self.error = fail, fail_at, error
        self.failed: str | None = None
        self.when_failed = when_failed
        self.made: list[Call] = []

    def _pass_on(self, method: str, subject: Any, *arguments: Any, **options: Any) -> Any:  # Any: of all methods
        if isinstance(subject, int):
            kind = self._names.pop(subject) if method == "close" else self._names[subject]
        else:
            kind = PurePath(subject).suffix or "a name"
        with self._lock:
            self._count += method == self.fail
            fails = method == self.fail and self._count == self.fail_at
        try:
            if fails:
                self._fail(method, kind, subject)
            outcome = getattr(self._inner, method)(subject, *arguments, **options)
        except OSError as error:
            self.made.append(Call(method, kind, errno.errorcode[error.errno or 0]))
            raise
        if method == "open":
            self._names[outcome] = kind
        self.made.append(Call(method, kind, _shown(outcome)))
        return outcome

    def _fail(self, method: str, kind: str, subject: Any) -> None:
        self.failed = kind
        self.when_failed()
        if method == "close":  # Linux closes the descriptor even when close() fails
            self._inner.close(subject)
        raise OSError(self.error, os.strerror(self.error), str(subject))


def _shown(outcome: object) -> str:
    if isinstance(outcome, os.stat_result):
        size = 0 if stat.S_ISDIR(outcome.st_mode) else outcome.st_size
        links = 1 if stat.S_ISDIR(outcome.st_mode) else outcome.st_nlink
        return f"{stat.S_IFMT(outcome.st_mode):o} {size} {links}"
    return "" if outcome is None else type(outcome).__name__


def _passing(method: str) -> Any:  # Any: a method of any signature
    def call(self: Calls, subject: Any, *arguments: Any, **options: Any) -> Any:
        return self._pass_on(method, subject, *arguments, **options)

    return call


for _method in METHODS:
    setattr(Calls, _method, _passing(_method))
