"""resumable_download(): oss2's function of that name, as a coroutine."""

import os
from collections.abc import Mapping
from typing import Any

from oss2 import defaults

from aioss_resume._io.foreign import checked_store
from aioss_resume._io.sign import check_bucket
from aioss_resume.downloader import Downloader, _download_through_shared_client
from aioss_resume.errors import ConfigError
from aioss_resume.events import DownloadResult
from aioss_resume.options import PART_SIZE_LEAST, CheckpointStore, DownloadOptions, ProgressCallback


async def resumable_download(
    bucket: Any,
    key: str | bytes,
    filename: str | bytes | os.PathLike[str],
    multiget_threshold: int | None = None,
    part_size: int | None = None,
    progress_callback: ProgressCallback | None = None,
    num_threads: int | None = None,
    store: Any = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> DownloadResult:
    """Download an object into a file; the arguments of oss2.resumable_download(), in its order and with its meaning.

    A download that oss2 or aiooss2 began and did not finish is continued: its record is looked for in `store`, or where
    oss2 keeps it by default, and its bytes are proven, not believed. So are those of alibabacloud-oss-v2. What this
    function writes itself is as `aioss_resume.download()` does it: the checkpoint lies beside the destination, not in
    `store`, and oss2 does not continue from it.

    Otherwise it is `download()`: verified, published by a rename, and tried again after errors.

    Args:
        bucket: An oss2.Bucket. Any: oss2 has no types.
        key: The object's.
        filename: Where the file goes. Missing directories are made.
        multiget_threshold: Bytes from which the object is fetched in parts; None: oss2.defaults.multiget_threshold.
        part_size: Bytes of one part; None: oss2.defaults.multiget_part_size. Below 100 KiB it is doubled until it is
            more, as oss2 does.
        progress_callback: Called as callback(consumed_bytes, total_bytes), plain or async.
        num_threads: Most requests in flight; None: oss2.defaults.multiget_num_threads.
        store: An oss2.ResumableDownloadStore, or anything with its methods, plain or async. Any: oss2 has no types.
        params: Query parameters, such as versionId.
        headers: Request headers. All of them are sent, where oss2 sends two of them.

    Raises:
        ConfigError: An argument that cannot be; before any request.
        AiossError: As `aioss_resume.download()`; also the class that oss2 raises for the same answer.
    """
    check_bucket(bucket)
    threshold = defaults.get(multiget_threshold, defaults.multiget_threshold)
    size = _part_size(defaults.get(part_size, defaults.multiget_part_size))
    own_store = store if isinstance(store, CheckpointStore) else None
    options = DownloadOptions(
        multiget_threshold=threshold,
        part_size=size,
        progress_callback=progress_callback,
        concurrency=_number("num_threads", defaults.get(num_threads, defaults.multiget_num_threads)),
        params=params,
        headers=headers,
        store=own_store,
        adopt=True,
    )
    theirs = checked_store(store) if store is not None and own_store is None else None
    name, path = _text("key", key), _text("filename", filename)
    return await _download_through_shared_client(Downloader(bucket), name, path, options, theirs)


def _part_size(given: Any) -> int:  # Any: it is checked here
    size = _number("part_size", given)
    while size < PART_SIZE_LEAST:
        size *= 2
    return size


def _number(name: str, given: Any) -> int:  # Any: it is checked here
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {given!r}")
    return given


def _text(name: str, given: Any) -> str:  # Any: it is checked here
    """Text as oss2 takes it: also as UTF-8."""
    if isinstance(given, bytes):
        try:
            return given.decode()
        except UnicodeDecodeError:
            raise ConfigError(f"{name} must be UTF-8, not {given!r:.100}") from None
    if isinstance(given, os.PathLike) and name == "filename":
        return _text(name, os.fspath(given))
    if not isinstance(given, str):
        raise ConfigError(f"{name} must be a string, not {given!r:.100}")
    return given
