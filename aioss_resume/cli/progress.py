"""Progress of the demo: a bar on a terminal if rich is installed, otherwise lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from aioss_resume.cli.sizes import in_words

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_STEP = 10  # per cent a line


class Progress(Protocol):
    """Shows the progress of several runs over the same object."""

    def begin(self, title: str, size: int) -> None:
        """Begin another run."""

    def show(self, consumed: int) -> None:
        """Show how many bytes are written."""


class _Lines:
    def __init__(self) -> None:
        self._size = 0
        self._next = 0

    def begin(self, title: str, size: int) -> None:  # noqa: ARG002  # each line has a title above it already
        self._size, self._next = size, -1

    def show(self, consumed: int) -> None:
        percent = 100 * consumed // max(1, self._size)
        if percent >= self._next:
            self._next = percent - percent % _STEP + _STEP
            print(f"    {percent:3} %  {in_words(consumed)} of {in_words(self._size)}", file=sys.stderr, flush=True)


@contextmanager
def progress_on_stderr() -> Iterator[Progress]:
    """Show a bar or lines on standard error."""
    if sys.stderr.isatty() and find_spec("rich") is not None:
        with _bar() as bar:
            yield bar
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich import progress as rich  # an optional extra
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.DownloadColumn(binary_units=True),
        rich.TransferSpeedColumn(),
    )
    console = Console(stderr=True)
    # Other output is printed above the bar, unless standard output is redirected.
    with rich.Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty(), redirect_stderr=False) as shown:
        yield _Bar(shown)


class _Bar:
    def __init__(self, shown: "RichProgress") -> None:
        self._shown = shown
        self._task: TaskID | None = None

    def begin(self, title: str, size: int) -> None:
        if self._task is not None:
            self._shown.stop_task(self._task)
        self._task = self._shown.add_task(title, total=size)

    def show(self, consumed: int) -> None:
        if self._task is not None:
            self._shown.update(self._task, completed=consumed)
