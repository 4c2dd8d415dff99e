"""What is shown while transfers run: a bar, lines, JSON, or nothing. All of it goes to standard error, but JSON."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Protocol

import click

from aioss_resume.cli.sizes import in_words
from aioss_resume.errors import printable

SCHEMA: Final = 1
"""The version of what --json prints, in each line as "v"."""
_LINE_SECONDS: Final = 2.0


def print_json(**fields: Any) -> None:  # Any: what JSON has
    """One line of what --json prints."""
    click.echo(json.dumps({"v": SCHEMA, **fields}, default=str))


@dataclass(slots=True)
class State:
    """How far one transfer is, or all of them."""

    title: str
    total: int | None = None
    consumed: int = 0
    kept: int = 0
    retries: int = 0
    in_flight: int = 0


class Shown(Protocol):
    """Shows the state of transfers."""

    def show(self, state: State) -> None:
        """Something has changed."""

    def event(self, kind: str, **fields: Any) -> None:  # Any: what JSON has
        """Something has happened."""

    def line(self, text: str) -> None:
        """Print a line, above a bar if there is one."""

    def error(self, text: str) -> None:
        """Print a line of an error, however little else is shown."""


class _Nothing:
    def show(self, state: State) -> None:
        pass

    def event(self, kind: str, **fields: Any) -> None:
        pass

    def line(self, text: str) -> None:
        pass

    def error(self, text: str) -> None:
        click.echo(text, err=True)


class _Json(_Nothing):
    def show(self, state: State) -> None:
        self.event("progress", key=state.title, consumed=state.consumed, total=state.total, kept=state.kept)

    def event(self, kind: str, **fields: Any) -> None:
        print_json(event=kind, **fields)


class _Plain(_Nothing):
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
    def __init__(self, progress: Any) -> None:  # Any: rich is an extra
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def show(self, state: State) -> None:
        if state.title not in self._tasks:
            self._tasks[state.title] = self._progress.add_task("", name=printable(state.title), more="", total=None)
        words = [f"{state.in_flight} in flight" if state.in_flight else "", f"{state.retries} retries"]
        words += [f"{in_words(state.kept)} kept"] if state.kept else []
        more = ", ".join(word for word in words if word and not word.startswith("0 "))
        self._progress.update(self._tasks[state.title], total=state.total, completed=state.consumed, more=more)

    def line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def error(self, text: str) -> None:
        self.line(text)  # above the bar, and not in the middle of it


class _Lines(_Nothing):
    """Not a terminal: nothing but what a log should have."""

    def line(self, text: str) -> None:
        click.echo(text, err=True)


def is_animated(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether standard error is a terminal on which something may move."""
    still = environment.get("CI") or environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return sys.stderr.isatty() and not still and find_spec("rich") is not None


@contextmanager
def showing(how: str, *, as_json: bool, quiet: bool) -> Iterator[Shown]:
    """Show progress in that way: auto, bar, plain, json or none."""
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
    from rich import progress as rich
    from rich.console import Console

    console = Console(stderr=True)
    narrow = console.width < 60
    columns: list[Any] = [rich.TextColumn("{task.fields[name]}", table_column=None)] if not narrow else []
    columns += [rich.BarColumn(bar_width=None if not narrow else 10), rich.DownloadColumn(binary_units=True)]
    columns += [] if narrow else [rich.TransferSpeedColumn(), rich.TimeRemainingColumn()]
    columns.append(rich.TextColumn("{task.fields[more]}"))
    with rich.Progress(*columns, console=console, expand=True) as progress:
        yield _Bar(progress)
