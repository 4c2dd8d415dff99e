"""What holds for all tests."""

import signal
import tempfile
from collections.abc import Iterator
from typing import NoReturn

import pytest

_SENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that tests send to their child processes."""


@pytest.fixture(scope="session", autouse=True)
def children_do_not_ignore_signals() -> Iterator[None]:
    """Let child processes start with default signal handling, whatever this process inherited.

    A process that is started by `nohup`, by `&` in a script or by some CI runners ignores SIGINT or SIGHUP, and so do
    its children. A signal with a handler is reset to its default in a child; so the ignored ones get a handler here,
    which does nothing.
    """
    ignored = [number for number in _SENT if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows the user's home directory, and there is none for temporary files, as in a container."""

    def has_no_entry(_uid: int) -> NoReturn:
        raise KeyError

    def finds_none() -> NoReturn:
        raise FileNotFoundError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pytest.importorskip("pwd"), "getpwuid", has_no_entry)
    monkeypatch.setattr(tempfile, "gettempdir", finds_none)
