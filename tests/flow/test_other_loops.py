"""Event loops as Windows has them: no signal handlers, and a transport that hands received bytes over by copying."""

import asyncio
from asyncio import protocols, selector_events
from pathlib import Path
from typing import Any

import pytest
from flow.ranged import PART, RANGED, SIZE, whole

import aioss_resume
from aioss_resume.testing import LocalOSS


class CopyingTransport(selector_events._SelectorSocketTransport):  # type: ignore[misc,name-defined]  # private
    """Feeds a BufferedProtocol as the Proactor's transport does: what was received is copied into its buffers."""

    copied = 0

    def _read_ready__get_buffer(self) -> None:
        try:
            data = self._sock.recv(256 * 1024)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if not data:
            self._read_ready__on_eof()
            return
        CopyingTransport.copied += len(data)
        protocols._feed_data_to_buffered_proto(self._protocol, data)  # type: ignore[attr-defined]


class OtherLoop(asyncio.SelectorEventLoop):
    def _make_socket_transport(  # Any: asyncio's own
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> CopyingTransport:
        return CopyingTransport(self, sock, protocol, waiter, extra, server)

    def add_signal_handler(self, *_: Any) -> None:
        raise NotImplementedError

    def remove_signal_handler(self, *_: Any) -> bool:
        raise NotImplementedError


@pytest.mark.parametrize("fault", ["nothing", "reset", "slow"])
def test_download_and_stream_are_right(oss: LocalOSS, bucket: Any, tmp_path: Path, fault: str) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    if fault == "reset":
        oss.faults.reset_after(PART // 3, times=3)
    elif fault == "slow":
        oss.faults.slow(PART, times=1, range=lambda asked: asked is not None and asked[0] == 3 * PART)

    async def main() -> bytes:
        async with aioss_resume.Downloader(bucket) as downloader:
            result = await downloader.download("key", tmp_path / "file", **RANGED)
            assert result.verified
            async with downloader.stream("key", part_size=PART) as stream:
                chunks = [chunk async for chunk in stream]
            assert stream.verified
            return b"".join(chunks)

    before = CopyingTransport.copied
    with asyncio.Runner(loop_factory=OtherLoop) as runner:
        assert runner.run(main()) == whole(SIZE)
    assert (tmp_path / "file").read_bytes() == whole(SIZE)
    assert CopyingTransport.copied > before + SIZE // 2  # so the body was received through this transport
