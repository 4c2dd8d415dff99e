"""Display of running transfers: a bar, lines, JSON, or nothing. Only JSON goes to standard output."""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Protocol

import click

from aioss_resume.cli.sizes import in_words
from aioss_resume.errors import printable

SCHEMA: Final = 1
"""The version of the --json output, in each line as "v"."""
_LINE_SECONDS: Final = 2.0
_LEAST_WIDTH_OF_BARS: Final = 60  # columns; narrower terminals have no space for a bar


def print_json(**fields: Any) -> None:  # Any: what JSON has
    """Print one line of the --json output."""
    click.echo(json.dumps({"v": SCHEMA, **fields}, default=str))


@dataclass(slots=True)
class State:
    """The progress of one transfer, or of all of them.

    Attributes:
        total: Bytes; None if unknown.
        consumed: Bytes, including those in kept.
        kept: Bytes that existed before.
        has_ended: Whether to stop displaying this transfer, one of many.
    """

    title: str
    total: int | None = None
    consumed: int = 0
    kept: int = 0
    retries: int = 0
    in_flight: int = 0
    has_ended: bool = False


class Shown(Protocol):
    """Displays the state of transfers.

    Attributes:
        has_bar: Whether running transfers and the total are displayed.
        has_progress: Whether progress is displayed, and not only finished transfers.
    """

    has_bar: bool
    has_progress: bool

    def show(self, state: State) -> None:
        """Display a changed state."""

    def event(self, kind: str, **fields: Any) -> None:  # Any: what JSON has
        """Display an event."""

    def line(self, text: str) -> None:
        """Print a line, above a bar if there is one."""

    def error(self, text: str) -> None:
        """Print a line of an error message, in every mode."""


class _Nothing:
    has_bar = has_progress = False

    def show(self, state: State) -> None:
        pass

    def event(self, kind: str, **fields: Any) -> None:
        pass

    def line(self, text: str) -> None:
        pass

    def error(self, text: str) -> None:
        click.echo(text, err=True)


class _Json(_Nothing):
    has_progress = True

    def show(self, state: State) -> None:
        self.event("progress", key=state.title, consumed=state.consumed, total=state.total, kept=state.kept)

    def event(self, kind: str, **fields: Any) -> None:
        print_json(event=kind, **fields)


class _Plain(_Nothing):
    has_progress = True

    def __init__(self) -> None:
        self._shown_at = 0.0

    def show(self, state: State) -> None:
        now = time.monotonic()
        if now < self._shown_at + _LINE_SECONDS:
            return
        self._shown_at = now
        of = f" of {in_words(state.total)}" if state.total is not None else ""
        more = f", {state.retries} retries" if state.retries else ""
        click.echo(f"{printable(state.title)}: {in_words(state.consumed)}{of}{more}", err=True)

    def line(self, text: str) -> None:
        click.echo(text, err=True)


class _Bar(_Nothing):
    has_bar = has_progress = True

    def __init__(self, progress: Any) -> None:  # Any: rich is an extra
        self._progress = progress
        self._tasks: dict[int, Any] = {}  # rich's tasks, by the id of their State

    def show(self, state: State) -> None:
        if state.has_ended:
            if (task := self._tasks.pop(id(state), None)) is not None:
                self._progress.remove_task(task.id)
            return
        values = {
            "total": state.total,
            "completed": state.consumed,
            "kept": state.kept,
            "description": _described(state),
        }
        if (task := self._tasks.get(id(state))) is None:
            self._progress.add_task(**values)
            self._tasks[id(state)] = self._progress.tasks[-1]
        else:
            task.completed += max(0, state.kept - task.fields["kept"])  # kept bytes do not count for the speed
            self._progress.update(task.id, **values)

    def line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def error(self, text: str) -> None:
        self.line(text)  # above the bar, and not in the middle of it


def _described(state: State) -> str:
    words = [f"{state.in_flight} in flight"] if state.in_flight else []
    words += [f"{state.retries} retries"] if state.retries else []
    words += [f"{in_words(state.kept)} kept"] if state.kept else []
    return f"{printable(state.title)}: {', '.join(words)}" if words else printable(state.title)


class _Lines(_Nothing):
    """For output that is not a terminal: only lines that belong in a log."""

    def line(self, text: str) -> None:
        click.echo(text, err=True)


def is_animated(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether standard error is a terminal that allows animation."""
    still = environment.get("CI") or environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return sys.stderr.isatty() and not still and find_spec("rich") is not None


@contextmanager
def showing(how: str, *, as_json: bool, quiet: bool) -> Iterator[Shown]:
    """Choose the display: auto, bar, plain, json or none."""
    if as_json or how == "json":
        yield _Json()
    elif quiet or how == "none":
        yield _Nothing()
    elif how == "bar" or (how == "auto" and is_animated()):
        with _bar() as bar:
            yield bar
    elif how == "plain" or sys.stderr.isatty():
        yield _Plain()
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[_Bar]:
    """Display two lines for each transfer: its name and counters, then its progress. Both fit in 40 columns."""
    from rich import progress as rich
    from rich.console import Console, RenderableType
    from rich.table import Column
    from rich.text import Text

    class Bars(rich.Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            for task in self.tasks:
                yield Text(task.description, no_wrap=True, overflow="ellipsis")
                yield self.make_tasks_table([task])

    def fixed(width: int) -> Column:  # so that the columns of all rows are aligned
        return Column(no_wrap=True, min_width=width, justify="right")

    console = Console(stderr=True)
    is_narrow = console.width < _LEAST_WIDTH_OF_BARS
    columns = (
        rich.TaskProgressColumn(table_column=fixed(4)),
        *(() if is_narrow else (rich.BarColumn(bar_width=None),)),
        rich.DownloadColumn(binary_units=True, table_column=fixed(14)),
        rich.TransferSpeedColumn(table_column=fixed(10)),
        rich.TimeRemainingColumn(compact=is_narrow, table_column=fixed(5 if is_narrow else 7)),
    )
    # Other output is printed above the bar, unless standard output is redirected.
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    with Bars(*columns, console=console, expand=True, redirect_stdout=is_terminal) as progress:
        yield _Bar(progress)
