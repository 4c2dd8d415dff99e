"""The commands get and mirror."""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aioss_resume._core.checkpoint import Unusable
from aioss_resume._core.paths import checkpoint_name
from aioss_resume._io.flush import CheckpointFile
from aioss_resume._io.resolve import LeadsElsewhere, check_destination
from aioss_resume._io.storage import STORAGE
from aioss_resume._io.threads import Threads
from aioss_resume.cli.exits import DONE, SOME_FAILED, explain
from aioss_resume.cli.listed import Item
from aioss_resume.cli.place import Address
from aioss_resume.cli.showing import Shown
from aioss_resume.cli.tracking import ManyTransfers, OneTransfer, total_from_listing
from aioss_resume.cli.writing import write_object_out
from aioss_resume.downloader import Downloader
from aioss_resume.errors import AiossError, ObjectName, printable
from aioss_resume.events import DownloadResult, EventHook
from aioss_resume.urls import SignedURL

_OF_STREAMS: Final = ("version_id", "part_size", "concurrency", "headers", "params", "integrity", "retry", "timeouts")
"""Keywords of download() that stream() takes, too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a command.

    Attributes:
        keywords: Keywords of download() or download_prefix(). Any: they are of many types.
    """

    keywords: dict[str, Any]
    concurrency: int
    limit_rate: int | None
    verbose: bool = False
    debug: bool = False


async def get(bucket: Any, source: Address | str, path: str, asked: Asked, shown: Shown) -> int:
    """Download one object or address to a file or to standard output. Any: oss2 has no types."""
    key = SignedURL(source) if isinstance(source, str) else source.key
    title = (key.name.key if isinstance(key, SignedURL) else key).rpartition("/")[2]
    transfer = OneTransfer(title, shown)
    async with _downloader(bucket, asked, transfer) as downloader:
        if path == "-":
            keywords = {name: asked.keywords[name] for name in _OF_STREAMS if name in asked.keywords}
            await write_object_out(downloader, key, **keywords)
            return DONE
        report = transfer.progress_callback(downloader)
        result = await downloader.download(key, path, progress_callback=report, **asked.keywords)
    say_result(result, shown)
    return DONE


async def get_many(bucket: Any, items: Iterable[Item], asked: Asked, shown: Shown) -> int:
    """Download the objects of a list. Any: as above."""
    failed, transfers = 0, ManyTransfers("all objects", shown)
    async with (
        _downloader(bucket, asked, transfers if shown.has_progress else None) as downloader,
        downloader.download_many(items, **asked.keywords) as outcomes,
    ):
        async for outcome in outcomes:
            if (result := outcome.result) is not None:
                kept = result.size if result.skipped else result.resumed_bytes
                transfers.ended(result.key, result.size, kept, downloader)
                say_result(result, shown)
            elif is_left(outcome.error, asked):
                shown.event("skipped", key=str(outcome.item[0]), path=outcome.item[1])
                shown.line(f"{printable(outcome.item[1])} is there already")
            else:
                failed += 1
                say_failure(outcome.item[0], outcome.error, asked, shown)
    transfers.end()
    return SOME_FAILED if failed else DONE


async def mirror(bucket: Any, source: Address, directory: str, asked: Asked, shown: Shown) -> int:
    """Mirror a prefix into a directory. Any: as above."""
    transfers = ManyTransfers(source.key or source.bucket, shown)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    async with (
        _downloader(bucket, asked, transfers if shown.has_progress else None) as downloader,
        downloader.download_prefix(source.key, directory, **asked.keywords) as outcomes,
        total_from_listing(downloader, source.key, asked.keywords, transfers.state, shown),
    ):
        async for outcome in outcomes:
            action: str = outcome.action
            result = outcome.result
            if is_left(outcome.error, asked):
                action = "skipped"
            counts[action] += 1
            sizes[action] += outcome.size
            is_there = action in ("unchanged", "skipped")
            kept = outcome.size if is_there else result.resumed_bytes if result is not None else 0
            if action not in ("deleted", "would_delete"):
                transfers.ended(outcome.key, outcome.size, kept, downloader)
            if action == "failed":
                say_failure(outcome.key, outcome.error, asked, shown)
                continue
            shown.event(action, key=outcome.key, path=str(outcome.path), size=outcome.size)
            if not is_there:
                shown.line(f"{action.replace('_', ' ')}: {printable(outcome.key)}")
    transfers.end()
    shown.event("summary", counts=counts, bytes=sizes)
    words = [f"{count} {action.replace('_', ' ')}" for action, count in counts.items()]
    shown.line(", ".join(words) or "nothing there")
    return SOME_FAILED if counts["failed"] else DONE


def _downloader(bucket: Any, asked: Asked, on_event: EventHook | None) -> Downloader:
    return Downloader(bucket, concurrency=asked.concurrency, max_bytes_per_second=asked.limit_rate, on_event=on_event)


def say_result(result: DownloadResult, shown: Shown) -> None:
    shown.event(
        "skipped" if result.skipped else "downloaded",
        key=result.key,
        path=str(result.path),
        size=result.size,
        kept=result.resumed_bytes,
        fetched=result.fetched_bytes,
        verified=result.verified,
        seconds=round(result.elapsed, 3),
    )
    shown.line(str(result))


def is_left(error: Exception | None, asked: Asked) -> bool:
    """Whether a file was left as it is, because of --no-clobber."""
    return isinstance(error, FileExistsError) and asked.keywords["overwrite"] == "never"


def say_failure(key: object, error: Exception | None, asked: Asked, shown: Shown) -> None:
    shown.event("failed", key=str(key), error=str(error))
    if isinstance(error, AiossError):
        explain(error, verbose=asked.verbose, debug=asked.debug, say=shown.error)
    else:
        shown.error(f"aioss-resume: {error!r}")


async def forget_checkpoint(name: ObjectName, version_id: str | None, path: str) -> bool:
    """Remove the part file and checkpoint of an earlier run. Returns whether there were any."""
    threads = Threads()
    try:
        destination = await threads.run(_final_path, path)
        checkpoint = destination.with_name(checkpoint_name(str(destination), name, version_id))
        file = CheckpointFile(str(checkpoint), name, threads, fsync=False)
        try:
            found = await threads.run(file.load)
        except Unusable:
            await file.remove()
            return True
        if found is not None:
            await file.remove(destination.with_name(found.part_file))
        return found is not None
    finally:
        await threads.close()


def _final_path(path: str) -> Path:
    """The absolute path of the file that a download to `path` replaces: a link is followed."""
    with suppress(OSError):  # then the download says what is wrong with the path
        path = os.path.abspath(path)  # noqa: PTH100  # Path.absolute() keeps dots
        try:
            check_destination(STORAGE, path)
        except LeadsElsewhere as link:
            return Path(link.target)
    return Path(path)
