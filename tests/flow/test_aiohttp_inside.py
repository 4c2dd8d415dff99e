"""aiohttp's inside may change: each attribute that we rely on is taken from us, and every download is still right.

aiohttp itself needs them. So they are hidden from the modules of aioss_resume only.
"""

import asyncio
import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ranged import QUICK, whole

import aioss_resume
from aioss_resume import Downloader, RequestError, RetryPolicy, Timeouts
from aioss_resume._io import body, fetch
from aioss_resume.options import READ_MOST
from aioss_resume.testing import LocalOSS, MiB

pytestmark = pytest.mark.anyio

PART = 2 * MiB
SIZE = 3 * PART + 17
RANGED: dict[str, Any] = {"part_size": PART, "multiget_threshold": PART, "fsync": False, "retry": QUICK}
assert PART > READ_MOST  # smaller bodies are never read from the socket

ATTRIBUTES = [(*where.split(":"), name) for where, names in body._RELIED_ON.items() for name in names]


class Hidden:
    """Stands for an attribute of a class: our modules do not find it, and all others do."""

    def __init__(self, original: Any, name: str) -> None:
        self.original = original
        self.name = name
        self.refused = 0

    def __get__(self, instance: Any, owner: type) -> Any:
        if sys._getframe(1).f_globals["__name__"].startswith("aioss_resume."):
            self.refused += 1
            raise AttributeError(self.name)
        return self.original.__get__(instance, owner)

    def __set__(self, instance: Any, value: Any) -> None:
        if sys._getframe(1).f_globals["__name__"].startswith("aioss_resume."):
            self.refused += 1
            raise AttributeError(self.name)
        self.original.__set__(instance, value)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """The check, which runs once in a process, runs again."""
    for cached in (body.reads_sockets, body._may_take_over, fetch._client_timeout):
        cached.cache_clear()
    yield
    for cached in (body.reads_sockets, body._may_take_over, fetch._client_timeout):
        cached.cache_clear()


@pytest.fixture(params=ATTRIBUTES, ids=[".".join(attribute[1:]) for attribute in ATTRIBUTES])
def hidden(request: pytest.FixtureRequest, unchecked: None, monkeypatch: pytest.MonkeyPatch) -> Hidden:
    module, class_name, name = request.param
    owner = getattr(importlib.import_module(module), class_name)
    original = next(kind.__dict__[name] for kind in owner.__mro__ if name in kind.__dict__)
    hidden = Hidden(original, name)
    monkeypatch.setattr(owner, name, hidden)
    return hidden


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [message for message in messages if "aiohttp" in message]


async def test_download_is_right_without_the_attribute_and_one_warning_names_it(
    oss: LocalOSS, bucket: Any, tmp_path: Path, hidden: Hidden, caplog: pytest.LogCaptureFixture
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.reset_after(PART // 2, times=2)
    async with Downloader(bucket) as downloader:
        for number in range(2):
            result = await downloader.download("key", tmp_path / str(number), **RANGED)
            assert result.verified
            assert (tmp_path / str(number)).read_bytes() == whole(SIZE)
    assert hidden.refused == 1  # the check asked for it once, and nothing did afterwards
    [warning] = warnings_in(caplog)
    assert hidden.name in warning


async def test_stall_is_noticed_without_the_attributes(
    oss: LocalOSS, bucket: Any, tmp_path: Path, hidden: Hidden
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.stall(PART // 2, range=(0, PART))
    keywords = {**RANGED, "timeouts": Timeouts(stall=0.2), "retry": RetryPolicy(attempts=1), "concurrency": 1}
    with pytest.raises(RequestError, match=r"0\.2 s"):
        await aioss_resume.download(bucket, "key", tmp_path / "file", **keywords)


async def test_pause_shorter_than_the_stall_limit_is_no_stall_without_the_attributes(
    oss: LocalOSS, bucket: Any, tmp_path: Path, hidden: Hidden
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.stall(PART // 2, seconds=0.6, range=(0, PART))
    keywords = {**RANGED, "timeouts": Timeouts(response=0.2, stall=20), "retry": RetryPolicy(attempts=1)}
    result = await aioss_resume.download(bucket, "key", tmp_path / "file", **{**keywords, "concurrency": 1})
    assert result.verified


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # it changes a transport of asyncio
async def test_transport_that_takes_no_other_protocol_is_read_by_aiohttp(
    oss: LocalOSS, bucket: Any, tmp_path: Path, unchecked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    hidden = Hidden(transport.set_protocol, "set_protocol")
    monkeypatch.setattr(transport, "set_protocol", hidden)
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    assert (await aioss_resume.download(bucket, "key", tmp_path / "file", **RANGED)).verified
    assert hidden.refused == 1


def test_nothing_is_missing_in_this_release_of_aiohttp(unchecked: None, caplog: pytest.LogCaptureFixture) -> None:
    assert body.reads_sockets()
    assert warnings_in(caplog) == []
