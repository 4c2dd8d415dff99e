"""resumable_download(): oss2's function of that name, as a coroutine."""

import os
from collections.abc import Mapping
from typing import Any, Final

from oss2 import defaults

from aioss_resume._file.sharing import tell_progress
from aioss_resume._io.foreign import checked_store
from aioss_resume._io.sign import check_bucket
from aioss_resume.downloader import Downloader, _download_through_shared_client
from aioss_resume.errors import ConfigError
from aioss_resume.events import DownloadResult
from aioss_resume.options import PART_SIZE_LEAST, CheckpointStore, DownloadOptions, ProgressCallback

_MOST_PARTS: Final = 100_000  # oss2 doubles the part size until an object has no more parts (oss2/resumable.py)


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
    """Download an object into a file. The arguments are those of oss2.resumable_download(), with the same meaning.

    A download that oss2, aiooss2 or alibabacloud-oss-v2 left unfinished is continued. Its record is searched in
    `store`, or in the default directory of the tool, and its bytes are proven. Our own checkpoint is beside the
    destination, not in `store`, and oss2 cannot resume from it.

    In all other respects it is `aioss_resume.download()`: verified, published atomically, and retried after errors.

    Args:
        bucket: An oss2.Bucket. Any: oss2 has no types.
        key: The key of the object.
        filename: The destination. Missing directories are created.
        multiget_threshold: Objects of this size in bytes are fetched in parts; None for
            oss2.defaults.multiget_threshold.
        part_size: Bytes of one part; None for oss2.defaults.multiget_part_size. A value below 100 KiB is doubled until
            it is larger, like in oss2.
        progress_callback: Called as callback(consumed_bytes, total_bytes), plain or async: once for each part, like in
            oss2, and at the end. The calls for finished parts are made ten times a second.
        num_threads: Most requests in flight; None for oss2.defaults.multiget_num_threads.
        store: An oss2.ResumableDownloadStore, or an object with the same methods, plain or async. Any: oss2 has no
            types.
        params: Query parameters, such as versionId.
        headers: Request headers. All of them are sent, whereas oss2 only sends two.

    Raises:
        ConfigError: An argument is invalid. Raised before any request.
        AiossError: As for `aioss_resume.download()`. The error is also an instance of the class that oss2 raises.
    """
    check_bucket(bucket)
    threshold = defaults.get(multiget_threshold, defaults.multiget_threshold)
    asked = _number("part_size", defaults.get(part_size, defaults.multiget_part_size))
    if callable(progress_callback):
        progress_callback = _PartByPart(progress_callback, asked)
    own_store = store if isinstance(store, CheckpointStore) else None
    options = DownloadOptions(
        multiget_threshold=threshold,
        part_size=_doubled(asked, PART_SIZE_LEAST),
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


class _PartByPart:
    """A progress callback that is called once for each part, with strictly growing numbers, as oss2 calls it."""

    def __init__(self, callback: ProgressCallback, part_size: int) -> None:
        self._callback = callback
        self._part_size = part_size
        self._told = -1

    async def __call__(self, consumed: int, total: int | None) -> None:
        if self._told < 0 or (total is None and self._told < consumed):
            await self._tell(consumed, total)
        part_size = self._parts_of(total)
        while self._told < consumed:
            part_end = (self._told // part_size + 1) * part_size
            if part_end > consumed and consumed != total:
                return  # this part is not finished
            await self._tell(min(part_end, consumed), total)

    async def _tell(self, consumed: int, total: int | None) -> None:
        self._told = consumed
        await tell_progress(self._callback, consumed, total)

    def _parts_of(self, total: int | None) -> int:
        """The part size that oss2 would choose."""
        if total is not None and total < self._part_size:
            return max(total, 1)
        return _doubled(self._part_size, max(defaults.min_part_size, -(-(total or 0) // _MOST_PARTS)))


def _doubled(part_size: int, least: int) -> int:
    """Double a part size until it has at least that value."""
    while part_size < least:
        part_size *= 2
    return part_size


def _number(name: str, given: Any) -> int:  # Any: it is checked here
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {given!r}")
    return given


def _text(name: str, given: Any) -> str:  # Any: it is checked here
    """Text, or UTF-8 bytes, which oss2 accepts as well."""
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
