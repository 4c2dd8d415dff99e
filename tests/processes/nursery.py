"""A process that forks a child for each download: it has imported everything, so a child makes no call but its own.

Run as a file. For each line that it is sent, a JSON object of an endpoint, a path and keywords of download(), it says
the number of a child, which waits for another line. Then the child downloads, and says how it ended as a JSON object.
"""

import asyncio
import ctypes
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import oss2

import aioss_resume
from aioss_resume._io.clock import Clock
from aioss_resume._io.file_thread import FileThread
from aioss_resume._io.threads import Threads

_PR_SET_PTRACER = 0x59616D61
_ANYONE = ctypes.c_ulong(-1)


class SameNames(Clock):
    """The file that a small object passes through has the same name each time."""

    def token(self) -> str:
        return "0"


class InThePool(FileThread):
    """FileThread that the pool's thread does."""

    def __init__(self, threads: Threads) -> None:
        super().__init__()
        self.run, self.run_uncancelled = threads.run, threads.run_uncancelled  # type: ignore[method-assign]


async def download(endpoint: str, path: str, keywords: Any) -> object:
    """Download by one thread: strace counts the calls of each thread by themselves."""
    auth = oss2.AuthV4(os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"])
    bucket = oss2.Bucket(auth, endpoint, "examplebucket", region="cn-hangzhou")
    retry = aioss_resume.RetryPolicy(attempts=1)
    try:
        async with aioss_resume.Downloader(bucket, concurrency=1) as downloader:
            assert downloader._client is not None
            downloader._client.clock = SameNames()
            threads = downloader._client.threads
            threads._pool, threads._file_thread = ThreadPoolExecutor(1), InThePool(threads)
            await downloader.download("key", path, retry=retry, **keywords)
    except aioss_resume.LocalFileError as error:
        return {"error": "LocalFileError", "errno": error.errno, "text": str(error)}
    except aioss_resume.AiossError as error:
        return {"error": type(error).__name__}
    return {"error": None}


@contextmanager
def child() -> Iterator[None]:
    """Nothing of the parent runs in a child, whatever happens there."""
    try:
        yield
    except BaseException:  # noqa: BLE001  # else the child would go on as a second nursery
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def main() -> None:
    for line in iter(sys.stdin.readline, ""):
        number = os.fork()
        if not number:
            with child():
                ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYONE)  # else only its own parent may trace it
                print(os.getpid(), flush=True)
                sys.stdin.readline()
                print(json.dumps(asyncio.run(download(**json.loads(line)))), flush=True)
        if status := os.waitpid(number, 0)[1]:
            print(json.dumps({"error": f"died of {status}"}), flush=True)


if __name__ == "__main__":
    main()
