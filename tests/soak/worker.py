"""The process that downloads: one Downloader, many objects, over and over. Run as a file; it imports no tests.

`worker.py '{"endpoint": ..., "seconds": ..., ...}'` prints a line of JSON after each round, at rest: what was
downloaded, and what the process holds. When the time is over it says "last", waits for a line (the faults are gone
then), brings every object once more and tells what lies in the directory.
"""

import asyncio
import ctypes
import gc
import json
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oss2

import aioss_resume
from aioss_resume.testing import GeneratedContent, MiB

TASKS = 8
CONCURRENCY = 16
ROUND_SECONDS = 2.0
FLIPPED = 90_001  # the byte of an object in which the fault flips a bit
_MOST_SECONDS_TO_CANCEL = 0.3
_RETRY = aioss_resume.RetryPolicy(attempts=6, wait_initial=0.01, wait_max=0.1)
_TIMEOUTS = aioss_resume.Timeouts(connect=5, response=0.7, stall=0.7)


class Warnings(logging.Handler):
    """Counts what the library warns of, instead of printing it: each retry, each object that changed."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        type(self).count += 1


@dataclass
class Soak:
    """The state of the process.

    Attributes:
        outcomes: How downloads ended, by the kind of their end.
        wrong: What must not be.
    """

    directory: Path
    objects: list[tuple[str, int, int]]  # key, size, seed
    cancels: float
    dice: random.Random
    sign: Callable[[str], str]  # a presigned address of a key
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    fetched: int = 0

    async def rounds(self, downloader: aioss_resume.Downloader, seconds: float) -> None:
        """Download until the time is over, and be at rest now and then."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end and not self.wrong:
            until = min(end, now + ROUND_SECONDS)
            async with asyncio.TaskGroup() as group:
                for index in range(TASKS):
                    group.create_task(self._downloads(downloader, self.objects[index::TASKS], until))
            tell(await self._at_rest())

    async def once_more(self, downloader: aioss_resume.Downloader) -> None:
        """Every object, each to its end."""
        for given in self.objects:
            await self._download(downloader, *given, None)

    async def _downloads(
        self, downloader: aioss_resume.Downloader, objects: list[tuple[str, int, int]], until: float
    ) -> None:
        while time.monotonic() < until and not self.wrong:
            chance = self.dice.random() < self.cancels
            cancelled_after = self.dice.uniform(0, _MOST_SECONDS_TO_CANCEL) if chance else None
            what = self.dice.choices(["file", "read", "stream", "address"], [6, 1, 2, 1])[0]
            if what == "file":
                await self._download(downloader, *self.dice.choice(objects), cancelled_after)
            else:
                await self._read(downloader, what, *self.dice.choice(objects), cancelled_after)

    async def _read(
        self,
        downloader: aioss_resume.Downloader,
        what: str,
        key: str,
        size: int,
        seed: int,
        cancelled_after: float | None,
    ) -> None:
        """Bytes to this process: whole or a slice, by one call, or by a stream that may be left early."""
        start = self.dice.choice([None, None, self.dice.randint(-size, size)])
        source: Any = key
        if what == "address":
            source = aioss_resume.SignedURL(self.sign(key))
        limits: Any = {"retry": _RETRY, "timeouts": _TIMEOUTS, "part_size": self.dice.choice([None, MiB])}
        try:
            async with asyncio.timeout(cancelled_after):
                if what == "read":
                    found, is_whole = await downloader.read(source, start, **limits), True
                else:
                    found, is_whole = await self._streamed(downloader, source, start, limits)
        except TimeoutError:
            self.outcomes["read cancelled"] += 1
        except aioss_resume.AiossError as error:
            self.outcomes[f"read {type(error).__name__}"] += 1
        else:
            self.outcomes[what] += 1
            versions = [GeneratedContent(size, seed), GeneratedContent(size, -1 - seed)]
            wrong = [wrong_bytes(found, bytes(each.read(0, size)), start, is_whole=is_whole) for each in versions]
            if all(wrong):
                self.wrong.append(f"{what} of {key} from {start} is not the object: {' or '.join(wrong)}")

    async def _streamed(
        self, downloader: aioss_resume.Downloader, source: Any, start: int | None, limits: Any
    ) -> tuple[bytes, bool]:
        """What a stream brought, and whether it was read to its end."""
        leaves_after = self.dice.choice([None, self.dice.randrange(8 * MiB)])
        found = bytearray()
        async with downloader.stream(source, start, window=self.dice.choice([MiB, 16 * MiB]), **limits) as stream:
            async for chunk in stream:
                found += chunk
                if leaves_after is not None and len(found) > leaves_after:
                    return bytes(found), False
                if self.dice.random() < 0.1:
                    await asyncio.sleep(0.01)  # a slow reader
        return bytes(found), True

    async def _download(
        self, downloader: aioss_resume.Downloader, key: str, size: int, seed: int, cancelled_after: float | None
    ) -> None:
        path = self.directory / key
        try:
            async with asyncio.timeout(cancelled_after):
                result = await downloader.download(
                    key,
                    path,
                    part_size=self.dice.choice([None, MiB, 3 * MiB]),
                    multiget_threshold=self.dice.choice([MiB // 2, 4 * MiB]),
                    fsync=self.dice.random() < 0.1,
                    overwrite="if_changed" if self.dice.random() < 0.2 else "always",
                    retry=_RETRY,
                    timeouts=_TIMEOUTS,
                )
        except TimeoutError:
            self.outcomes["cancelled"] += 1
        except aioss_resume.AiossError as error:
            self.outcomes[type(error).__name__] += 1
        else:
            self.outcomes["skipped" if result.skipped else "resumed" if result.resumed_bytes else "fetched"] += 1
            self.fetched += result.fetched_bytes
            await asyncio.to_thread(self._compare, path, result, size, seed)
            return
        if path.exists():
            await asyncio.to_thread(self._compare, path, None, size, seed)

    def _compare(self, path: Path, result: aioss_resume.DownloadResult | None, size: int, seed: int) -> None:
        """The file is one of the object's two versions; and if a download succeeded, the one that it tells of."""
        versions = [GeneratedContent(size, seed), GeneratedContent(size, -1 - seed)]
        if result is not None:
            versions = [version for version in versions if version.etag == result.etag]
            if not result.verified:
                self.wrong.append(f"{path.name} was not verified")
        if not any(_is_same(path, version) for version in versions):
            self.wrong.append(f"{path.name} is not the object ({result})")

    async def _at_rest(self) -> dict[str, Any]:
        for _ in range(20):  # closed transports close their sockets in later turns of the loop
            await asyncio.sleep(0)
        gc.collect()
        trim()
        sockets, files = descriptors()
        return {
            "memory": memory(),
            "sockets": sockets,
            "files": files,
            # only the library's: this program compares the files in a pool of its own
            "threads": sum(thread.name.startswith("aioss-resume") for thread in threading.enumerate()),
            "tasks": len(asyncio.all_tasks()),
            "time": time.monotonic(),
            "outcomes": self.outcomes,
            "fetched": self.fetched,
            "wrong": self.wrong,
            "warnings": Warnings.count,
        }


def wrong_bytes(found: bytes, content: bytes, start: int | None, *, is_whole: bool) -> str:
    """What of the bytes from `start` is not the object's; "": nothing.

    Args:
        is_whole: They were read to the object's end. Then nothing may differ, if they are the whole object: its CRC-64
            was compared. Of a slice it cannot be, and the one bit may be another that the fault flips.
    """
    expected = content[start:]
    if is_whole and len(found) != len(expected):
        return f"{len(found)} bytes instead of {len(expected)}"
    expected = expected[: len(found)]
    first = len(content) - len(content[start:])
    is_verified = is_whole and first == 0
    if not is_verified and 0 <= FLIPPED - first < len(expected):
        at = FLIPPED - first
        if found[at] ^ expected[at] == 1:
            expected = expected[:at] + found[at : at + 1] + expected[at + 1 :]
    if found == expected:
        return ""
    if len(found) > len(expected):
        return f"{len(found)} bytes, and there are only {len(expected)}"
    differing = [first + at for at, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other]
    return f"{len(differing)} of {len(found)} bytes differ, in {differing[0]} to {differing[-1]}"


def _is_same(path: Path, content: GeneratedContent) -> bool:
    with path.open("rb") as file:
        return all(
            file.read(MiB) == content.read(start, start + MiB) for start in range(0, content.size, MiB)
        ) and not file.read(1)


def memory() -> int:
    """Bytes of this process that are in the memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def trim() -> None:
    """Give back to the system what malloc keeps, so that what is left is what is used. glibc only."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)


def descriptors() -> tuple[int, int]:
    """How many sockets are open, and how many other descriptors."""
    targets = []
    for name in os.listdir("/proc/self/fd"):
        try:
            targets.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # that of the listing itself
            continue
    sockets = sum(target.startswith("socket:") for target in targets)
    return sockets, len(targets) - sockets


def tell(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def main(given: dict[str, Any]) -> None:
    logging.getLogger("aioss_resume").addHandler(Warnings(logging.WARNING))
    logging.getLogger("aioss_resume").propagate = False
    auth = oss2.AuthV4(os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"])
    bucket = oss2.Bucket(auth, given["endpoint"], given["bucket"], region=given["region"])
    objects = [tuple(each) for each in given["objects"]]
    soak = Soak(
        Path(given["directory"]),
        objects,  # type: ignore[arg-type]
        given["cancels"],
        random.Random(given["seed"]),
        lambda key: bucket.sign_url("GET", key, 3600),
    )
    async with aioss_resume.Downloader(bucket, concurrency=CONCURRENCY) as downloader:
        await soak.rounds(downloader, given["seconds"])
        tell({"last": True})
        await asyncio.to_thread(sys.stdin.readline)
        await soak.once_more(downloader)
        failed = [key for key, _, _ in objects if not (soak.directory / key).exists()]
        expected = {key for key, _, _ in objects}
        tell(
            {
                "end": True,
                "outcomes": soak.outcomes,
                "wrong": soak.wrong,
                "missing": failed,
                "left": sorted({path.name for path in soak.directory.iterdir()} - expected),
            }
        )


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
