"""Programs that do to a download what a host program may do: fork, or end its loop. Run as a file, with a name.

`programs.py NAME ENDPOINT REGION BUCKET KEY PATH`; each prints what it found as a line of JSON and exits with 0.
"""

import asyncio
import fcntl
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

import oss2

import aioss_resume
from aioss_resume.cli import child

MiB = 1024 * 1024


class Place:
    """What to download, and where to."""

    def __init__(self, endpoint: str, region: str, bucket: str, key: str, path: str) -> None:
        auth = oss2.AuthV4(os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"])
        self.bucket = oss2.Bucket(auth, endpoint, bucket, region=region)
        self.key = key
        self.path = path

    async def download(self, path: str | None = None, **keywords: Any) -> aioss_resume.DownloadResult:
        keywords = {"multiget_threshold": MiB, "part_size": MiB, "concurrency": 4, **keywords}
        return await aioss_resume.download(self.bucket, self.key, path or self.path, **keywords)


def fork_in_the_middle(place: Place, child: Callable[[], int]) -> None:
    """Fork at the first progress, run `child` there, and download on here."""
    children: list[int] = []

    def fork(consumed: int, _total: int | None) -> None:
        if children or not consumed:
            return
        with warnings.catch_warnings():
            # Python warns of forking with threads, which is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            number = os.fork()
        if number:
            children.append(number)
            return
        code = 3
        try:
            asyncio._set_running_loop(None)  # asyncio.run() refuses to start while the parent's loop counts as running
            code = child()
        finally:
            os._exit(code)

    result = asyncio.run(place.download(progress_callback=fork))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps({"verified": result.verified, "codes": codes}))


def fork_and_exit(place: Place) -> None:
    """The child does nothing, and is gone at once."""
    fork_in_the_middle(place, lambda: 0)


def fork_and_download_elsewhere(place: Place) -> None:
    """The child downloads too, in a loop of its own, to another path."""
    fork_in_the_middle(place, lambda: int(not asyncio.run(place.download(place.path + ".child")).verified))


def fork_and_download_the_same(place: Place) -> None:
    """The child downloads the same object to the same path, and waits for its parent as any process would."""
    fork_in_the_middle(place, lambda: int(not asyncio.run(place.download()).verified))


def fork_and_be_killed(place: Place) -> None:
    """The parent is killed in the middle; a child that has nothing to do with the download lives on."""

    def live_on() -> int:
        os.kill(os.getppid(), signal.SIGKILL)
        sys.stdin.readline()
        return 0

    fork_in_the_middle(place, live_on)


def end_with_a_download_pending(place: Place) -> None:
    """The main task ends while a download is on its way: asyncio.run() cancels it."""

    async def main() -> None:
        got_going = asyncio.Event()

        def progress(consumed: int, _total: int | None) -> None:
            if consumed >= 4 * MiB:
                got_going.set()

        main.pending = asyncio.create_task(place.download(progress_callback=progress))  # type: ignore[attr-defined]
        await got_going.wait()

    asyncio.run(main())
    print(json.dumps({"cancelled": main.pending.cancelled()}))  # type: ignore[attr-defined]


def fail_with_a_download_pending(place: Place) -> None:
    """The main task raises while a download is on its way."""

    async def main() -> None:
        got_going = asyncio.Event()

        def progress(consumed: int, _total: int | None) -> None:
            if consumed >= 4 * MiB:
                got_going.set()

        async with aioss_resume.Downloader(place.bucket) as downloader, asyncio.TaskGroup() as group:
            keywords: Any = {"multiget_threshold": MiB, "part_size": MiB, "concurrency": 4}
            group.create_task(downloader.download(place.key, place.path, progress_callback=progress, **keywords))
            await got_going.wait()
            raise RuntimeError("the host program's own")

    try:
        asyncio.run(main())
    except* RuntimeError as group:
        print(json.dumps({"raised": [str(error) for error in group.exceptions]}))


def process_without_locks(place: Place) -> None:
    """What OSS makes of the object on the way, where locks do nothing; begins when it is sent a line."""
    fcntl.flock = lambda *_: None
    print("ready", flush=True)
    sys.stdin.readline()
    params = {"x-oss-process": "image/resize,w_100"}
    try:
        result = asyncio.run(place.download(params=params, retry=aioss_resume.RetryPolicy(wait_initial=0)))
    except aioss_resume.AiossError as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    else:
        print(json.dumps({"size": result.size}))


def be_interrupted(place: Place) -> None:
    """Nothing but asyncio.run(); says "begun" when there is something to keep."""
    asyncio.run(place.download(progress_callback=_say_begun))


def be_interrupted_while_it_cleans_up(place: Place) -> None:
    """As be_interrupted(); once cancelled, the flush says "flushing", and waits for a line."""
    tasks: list[asyncio.Task[Any]] = []

    async def main() -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        await place.download(progress_callback=_say_begun)

    def fsync(_descriptor: int) -> None:
        if tasks[0].cancelling():
            print("flushing", flush=True)
            sys.stdin.readline()

    os.fsync = fsync
    asyncio.run(main())


def command_with_a_disk_that_hangs(place: Place) -> None:
    """The command's own process; the first flush says "flushing", and never ends."""
    os.fsync = lambda _: (print("flushing", flush=True), sys.stdin.read())
    sizes = [f"--part-size={MiB}", f"--multiget-threshold={MiB}", "--concurrency=4"]
    sys.argv[1:] = [place.bucket.endpoint, place.bucket.region, place.bucket.bucket_name, place.key, place.path, *sizes]
    sys.exit(child.main())


def _say_begun(consumed: int, _total: int | None) -> None:
    if consumed >= 4 * MiB:
        print("begun", flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](Place(*sys.argv[2:]))
