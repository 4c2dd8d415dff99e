# ruff: noqa: N802  # the ids of the rows are written as in the catalogue
"""T06: reads and streams of any slice are Python's slices of the object's bytes."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioss_resume import ConfigError, Downloader
from aioss_resume.testing import LocalOSS, MiB

SIZES = {"empty": 0, "byte": 1, "megabyte": MiB, "large": 64 * MiB}
SMALL = ["empty", "byte", "megabyte"]
OFFSETS = st.none() | st.integers(-70 * MiB, 70 * MiB) | st.integers(-3, 3) | st.integers(-(2**70), 2**70)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalOSS]:
    with LocalOSS() as oss:
        for seed, (key, size) in enumerate(SIZES.items()):
            oss.put("examplebucket", key, size=size, seed=seed)
        yield oss


class Wholes(dict[str, bytes]):
    """The objects' bytes. Hypothesis prints a failing test's arguments, and these are large."""

    def __repr__(self) -> str:
        return "Wholes()"


@pytest.fixture(scope="module")
def wholes(server: LocalOSS) -> Wholes:
    return Wholes((key, bytes(server.find("examplebucket", key).content.read(0, size))) for key, size in SIZES.items())


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def opened(server: LocalOSS, runner: asyncio.Runner) -> Iterator[Downloader]:
    downloader = Downloader(server.bucket("examplebucket"))
    runner.run(downloader.__aenter__())
    yield downloader
    runner.run(downloader.__aexit__(None, None, None))


@settings(max_examples=40, deadline=None)
@given(key=st.sampled_from(sorted(SIZES)), start=OFFSETS, stop=OFFSETS)
def test_T06_read_is_a_slice(
    opened: Downloader, runner: asyncio.Runner, wholes: Wholes, key: str, start: Any, stop: Any
) -> None:
    is_right = runner.run(opened.read(key, start=start, stop=stop)) == wholes[key][start:stop]
    assert is_right  # no comparison of megabytes is printed


@settings(max_examples=25, deadline=None)
@given(key=st.sampled_from(sorted(SIZES)), start=OFFSETS, stop=OFFSETS, window=st.sampled_from([256 * 1024, 64 * MiB]))
def test_T06_stream_is_a_slice(
    opened: Downloader,
    runner: asyncio.Runner,
    wholes: Wholes,
    key: str,
    start: Any,
    stop: Any,
    window: int,
) -> None:
    if window < MiB and key == "large":
        key = "megabyte"  # a small window needs many requests, so the object is smaller

    async def streamed() -> bytes:
        async with opened.stream(key, start, stop, window=window) as stream:
            assert stream.meta.size == SIZES[key]
            found = b"".join([chunk async for chunk in stream])
            assert stream.size == len(found)
            assert stream.start == slice(start, stop).indices(SIZES[key])[0]
            return found

    is_right = runner.run(streamed()) == wholes[key][start:stop]
    assert is_right


@settings(max_examples=40, deadline=None)
@given(
    key=st.sampled_from(SMALL),
    ranges=st.lists(st.tuples(OFFSETS, OFFSETS), max_size=6),
    max_gap=st.integers(0, 2 * MiB),
)
def test_T06_ranges_are_slices(
    opened: Downloader,
    runner: asyncio.Runner,
    wholes: Wholes,
    key: str,
    ranges: list[tuple[Any, Any]],
    max_gap: int,
) -> None:
    found = runner.run(opened.read_ranges(key, ranges, max_gap=max_gap))
    is_right = found == [wholes[key][start:stop] for start, stop in ranges]
    assert is_right  # no comparison of megabytes is printed


@settings(max_examples=30, deadline=None)
@given(
    key=st.sampled_from(sorted(SIZES)),
    start=OFFSETS.filter(lambda start: start is not None),
    length=st.integers(0, 3 * MiB),
)
def test_T06_read_into_fills_what_there_is(
    opened: Downloader, runner: asyncio.Runner, wholes: Wholes, key: str, start: int, length: int
) -> None:
    buffer = bytearray(b"\xff" * (length + 5))
    with memoryview(buffer)[:length] as view:
        filled = runner.run(opened.read_into(key, view, start=start))
    expected = wholes[key][start:][:length]
    assert filled == len(expected)
    is_right = buffer == expected + b"\xff" * (length + 5 - filled)
    assert is_right


@pytest.mark.parametrize("start", [1.5, "3", b"", object()])
def test_offset_that_is_no_whole_number_is_a_config_error(
    opened: Downloader, runner: asyncio.Runner, start: Any
) -> None:
    with pytest.raises(ConfigError):
        runner.run(opened.read("byte", start=start))
    with pytest.raises(ConfigError):
        opened_stream = opened.stream
        runner.run(_call(lambda: opened_stream("byte", start)))
    with pytest.raises(ConfigError):
        runner.run(opened.read_ranges("byte", [(start, None)]))


async def _call(function: Any) -> Any:
    return function()
