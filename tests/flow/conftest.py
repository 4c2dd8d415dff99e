"""A LocalOSS for whole downloads, and a watch that nothing blocks the loop and nothing is left behind."""

import asyncio
import os
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import trustme
from blockbuster import BlockBuster, BlockBusterFunction
from flow.ranged import SIZE, whole

from aioss_resume.testing import Fault, GeneratedContent, LocalOSS, MiB

_UNWATCHED = ("fsync", "fdatasync", "pwrite", "pwritev", "pread", "preadv", "open", "ftruncate")
# Blocking file calls that BlockBuster does not watch by itself.


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The event loop of asyncio, or the one that `TEST_LOOP` in the environment says: uvloop, or eager.

    On the eager one each task begins where it is created, as in programs that set asyncio.eager_task_factory.
    """
    wanted = os.environ.get("TEST_LOOP")
    return "asyncio", {"loop_factory": _eager_loop} if wanted == "eager" else {"use_uvloop": wanted == "uvloop"}


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # new in Python 3.12
    return loop


@pytest.fixture
def oss() -> Iterator[LocalOSS]:
    with LocalOSS() as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """TLS settings of a client that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=["http", "https"])
def oss_of_both_schemes(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[LocalOSS]:
    context = None
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    with LocalOSS(tls=context) as server:
        yield server


@pytest.fixture
def bucket(oss: LocalOSS) -> Any:  # Any: oss2 has no types
    return oss.bucket("examplebucket")


@pytest.fixture
def same_bytes() -> Callable[[Path, GeneratedContent], bool]:
    """Whether a file is a content, byte for byte, with a MiB of it in memory."""

    def same(path: Path, content: GeneratedContent) -> bool:
        if path.stat().st_size != content.size:
            return False
        with path.open("rb") as file:
            return all(file.read(MiB) == content.read(start, start + MiB) for start in range(0, content.size, MiB))

    return same


@pytest.fixture
def content(oss: LocalOSS) -> bytes:
    """The bytes of the object "key", which is in the bucket."""
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    return whole()


class Gate:
    """Holds the answers to ranges from an offset on before their first byte, until it is opened.

    Not a byte before: what has got going and stalls is shared out among other flights, which end the download.
    """

    def __init__(self, oss: LocalOSS) -> None:
        self._oss = oss
        self._fault: Fault | None = None

    def close(self, offset: int) -> None:
        self._fault = self._oss.faults.stall(
            0, times=None, range=lambda asked: asked is not None and asked[0] >= offset
        )

    async def is_reached(self) -> None:
        """Wait until an answer is held, and all others are sent."""
        await anyio.to_thread.run_sync(self._wait)

    def open(self) -> None:
        """Break the connections of the answers that are held; the next attempts pass."""
        assert self._fault is not None
        self._fault.cancel()
        self._oss.drop_connections()

    def _wait(self) -> None:
        for _ in range(400):
            requests = self._oss.requests
            others = [request for request in requests if "stall" not in request.faults]
            if len(others) < len(requests) and all(request.is_finished for request in others):
                return
            with suppress(TimeoutError):  # a response may also end without sending another byte
                self._oss.wait_for_bytes(sum(request.bytes_sent for request in requests) + 1, timeout=0.05)
        raise TimeoutError("no answer was held")


@pytest.fixture
def gate(oss: LocalOSS) -> Gate:
    return Gate(oss)


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """Raise BlockingError where the library makes a blocking call in a thread that runs an event loop."""
    ours: dict[str, Any] = {"scanned_modules": ["aioss_resume"], "excluded_modules": ["aioss_resume.testing"]}
    watch = BlockBuster(**ours)
    for name in _UNWATCHED:
        watch.functions[f"os.{name}"] = BlockBusterFunction(os, name, **ours)
    # For an absolute path it does not block. For a relative one it calls os.getcwd(), which is watched, too.
    del watch.functions["os.path.abspath"]
    # aiohttp 3.11 looks for ~/.netrc there, if the caller's session has trust_env.
    watch.functions["os.stat"].can_block_in("aiohttp/helpers.py", {"netrc_from_env"})
    watch.activate()
    try:
        yield
    finally:
        watch.deactivate()


@pytest.fixture(autouse=True)
async def nothing_is_left_behind(anyio_backend: Any) -> AsyncIterator[None]:
    """No descriptor, no thread of ours and no task outlives a test. It ends after `oss`, whose own are gone then."""
    before = _descriptors()
    yield
    for _ in range(100):  # a closed transport closes its socket in a later turn of the loop
        descriptors = {number: target for number, target in _descriptors().items() if before.get(number) != target}
        if not (descriptors or _tasks()):
            break
        await asyncio.sleep(0)
    assert not descriptors
    assert not _tasks()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("aioss-resume")] == []


def _tasks() -> list[asyncio.Task[Any]]:
    """Every task but anyio's own, which run the tests."""
    return [task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())]


def _descriptors() -> dict[int, str]:
    """The open descriptors, except those that uvloop opens for itself: UNIX sockets and /dev/null."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # that of the listing itself
            continue
    if os.environ.get("TEST_LOOP") != "uvloop":
        return found
    unix = Path("/proc/net/unix").read_text().splitlines()[1:]
    loops = {"/dev/null", *(f"socket:[{line.split()[6]}]" for line in unix)}
    return {number: target for number, target in found.items() if target not in loops}
