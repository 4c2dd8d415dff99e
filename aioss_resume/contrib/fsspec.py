"""A file system for fsspec, with which pandas, pyarrow, dask and torch read from OSS. Extra: `fsspec`.

It is read-only. `oss-resume://bucket/key` works without an import, `oss://` only after `use_for_oss()`.

This module has more than 300 lines because fsspec asks for a file system, two kinds of files and a cache.
"""

import asyncio
import errno
import os
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, Final

from aioss_resume._core.objects import ObjectMeta
from aioss_resume.contrib._buckets import BucketConfig
from aioss_resume.contrib._extras import extra
from aioss_resume.downloader import Downloader
from aioss_resume.errors import AccessDeniedError, ObjectNotFoundError
from aioss_resume.options import MAX_GAP, KiB, MiB

fsspec = extra("fsspec", "fsspec")
_MODULES: Final = ("asyn", "caching", "callbacks", "spec")
_asyn, _caching, _callbacks, _spec = (extra(f"fsspec.{name}", "fsspec") for name in _MODULES)

_AHEAD_LEAST: Final = 64 * KiB
_inherited: Final[list[object]] = []
# What a forked child inherited of its parent's event loop. Closing it would disturb the parent.


class SequentialCache(_caching.BaseCache):  # type: ignore[misc, name-defined]  # fsspec has no types
    """Reads ahead of sequential readers, further each time. For random access, only the requested bytes are read."""

    name = "oss-resume"

    def __init__(self, blocksize: int, fetcher: Callable[[int, int], bytes], size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._start, self._bytes = 0, b""
        self._ahead = 0

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start, stop = start or 0, self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        kept_stop = self._start + len(self._bytes)
        if self._start <= start and stop <= kept_stop:
            return self._bytes[start - self._start : stop - self._start]
        kept, ahead = b"", 0
        if self._start <= start <= kept_stop and self._bytes:
            kept = self._bytes[start - self._start :]
            ahead = min(max(2 * self._ahead, stop - start, _AHEAD_LEAST), self.blocksize)
        fetched = self.fetcher(start + len(kept), min(stop + ahead, self.size))
        self._start, self._bytes, self._ahead = start, kept + fetched, ahead  # together, because fetching may fail
        return self._bytes[: stop - start]


_caching.register_cache(SequentialCache, clobber=True)


class OSSResumeFileSystem(_asyn.AsyncFileSystem):  # type: ignore[misc, name-defined]  # fsspec has no types
    """The objects of OSS as files, read-only.

    Paths are `bucket/key`. All reads through one instance share a Downloader with its connections and limits. Ranges
    are fetched with retries. An open file always reads the version that was opened: if the object is replaced, reading
    raises ObjectChangedError.

    Args:
        endpoint: See BucketConfig. It contains no secrets, so instances can be pickled.
        region: See BucketConfig.
        provider: See BucketConfig.
        concurrency: See Downloader.
        max_bytes_per_second: See Downloader.
        read_options: Keywords for Downloader.read(), such as retry, timeouts or headers.
        fs_options: Options of fsspec's AsyncFileSystem.
    """

    protocol: ClassVar[tuple[str, ...]] = ("oss-resume",)
    _pid: int

    def __init__(
        self,
        endpoint: str | None = None,
        region: str | None = None,
        provider: str = "environment",
        *,
        concurrency: int = 32,
        max_bytes_per_second: float | None = None,
        read_options: Mapping[str, Any] | None = None,  # Any: the keywords are of many types
        **fs_options: Any,  # Any: fsspec's own
    ) -> None:
        super().__init__(**fs_options)
        BucketConfig(endpoint, "any", region, provider)  # raises ConfigError for invalid arguments
        self._endpoint, self._region, self._provider = endpoint, region, provider
        self._concurrency, self._max_bytes_per_second = concurrency, max_bytes_per_second
        self._read_options = dict(read_options or {})
        self._opened: _Opened | None = None

    @property
    def loop(self) -> Any:  # Any: asyncio's loop, or None
        if self._pid != os.getpid():  # a forked child begins anew, with an event loop of its own
            _inherited.append(self._opened)
            self._opened, self._pid = None, os.getpid()
            self._loop = None if self.asynchronous else _asyn.get_loop()
        return self._loop

    @property
    def fsid(self) -> str:
        return f"oss-resume_{self._endpoint}_{self._region}"

    async def close(self) -> None:
        """Close the connections. They are also closed when the instance is garbage-collected."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        bucket, key = self._split(path)
        if not key:
            return _directory(bucket)
        with _as_os_errors(path):
            downloader = await self._downloader(bucket)
            try:
                return _file(bucket, await downloader.head(key))
            except ObjectNotFoundError:
                async with downloader.list(f"{key}/") as objects:
                    async for _found in objects:
                        return _directory(f"{bucket}/{key}")
                raise

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        bucket, key = self._split(path)
        with _as_os_errors(path):
            downloader = await self._downloader(bucket)
            below = f"{key}/" if key else ""
            async with downloader.list(below, delimiter="/") as objects:
                found = [_file(bucket, meta) async for meta in objects if meta.key != below]
                found += [_directory(f"{bucket}/{prefix.rstrip('/')}") for prefix in objects.prefixes]
            if not found and key:
                info = await self._info(path)
                found = [info] if info["type"] == "file" else []
        found.sort(key=lambda info: str(info["name"]))
        return found if detail else [info["name"] for info in found]

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        prefix: str = "",
        **_: Any,
    ) -> Any:
        """Find all files below a path with one flat listing."""
        bucket, key = self._split(path)
        below = f"{key}/" if key else ""
        found: dict[str, dict[str, Any]] = {}
        with _as_os_errors(path):
            downloader = await self._downloader(bucket)
            async with downloader.list(below + prefix) as objects:
                async for meta in objects:
                    for info in _with_parents(bucket, below, meta, withdirs=withdirs):
                        depth = info["name"].count("/") - f"{bucket}/{below}".count("/") + 1
                        if maxdepth is None or depth <= maxdepth:
                            found.setdefault(info["name"], info)
            if not found and key and not prefix:
                try:
                    info = await self._info(path)
                except FileNotFoundError:
                    info = {"type": "none"}
                if info["type"] == "file":
                    found[info["name"]] = info
            elif withdirs and found and key:
                found.setdefault(f"{bucket}/{key}", _directory(f"{bucket}/{key}"))
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        bucket, key = self._split(path)
        with _as_os_errors(path):
            return await (await self._downloader(bucket)).read(key, start, end, **self._read_options)

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Read ranges of objects. Those of one object are fetched together, neighbours by one request."""
        if not isinstance(paths, list):
            raise TypeError("paths must be a list")
        starts = list(starts) if isinstance(starts, Iterable) else [starts] * len(paths)
        ends = list(ends) if isinstance(ends, Iterable) else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("paths, starts and ends must have the same length")
        places: dict[str, list[int]] = defaultdict(list)
        for place, path in enumerate(paths):
            places[path].append(place)
        found: list[Any] = [None] * len(paths)

        async def read(path: str) -> None:
            ranges = [(starts[place], ends[place]) for place in places[path]]
            try:
                parts: Sequence[Any] = await self._read_ranges(path, ranges, max_gap)
            except Exception as error:
                if on_error != "return":
                    raise
                parts = [error] * len(ranges)
            for place, part in zip(places[path], parts, strict=True):
                found[place] = part

        await _asyn._run_coros_in_chunks([read(path) for path in places], batch_size=batch_size, nofiles=True)
        return found

    async def _read_ranges(
        self, path: str, ranges: Sequence[tuple[int | None, int | None]], max_gap: int | None
    ) -> list[bytes]:
        bucket, key = self._split(path)
        gap = MAX_GAP if max_gap is None else max_gap
        with _as_os_errors(path):
            return await (await self._downloader(bucket)).read_ranges(key, ranges, max_gap=gap, **self._read_options)

    async def _get_file(self, rpath: str, lpath: Any, callback: Any = None, **_: Any) -> None:
        """Download to a local path, with resumption and verification, or write to an open file."""
        callback = callback or _callbacks.DEFAULT_CALLBACK
        bucket, key = self._split(rpath)
        if not hasattr(lpath, "write") and (not key or await self._isdir(rpath)):
            await asyncio.to_thread(os.makedirs, lpath, exist_ok=True)
            return

        def report(consumed: int, total: int | None) -> None:
            callback.set_size(total)
            callback.absolute_update(consumed)

        with _as_os_errors(rpath):
            downloader = await self._downloader(bucket)
            if not hasattr(lpath, "write"):
                await downloader.download(key, lpath, progress_callback=report, **self._read_options)
                return
            async with downloader.stream(key, **self._read_options) as stream:
                callback.set_size(stream.size)
                async for chunk in stream:
                    await asyncio.to_thread(lpath.write, chunk)
                    callback.relative_update(len(chunk))

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | str | None = None,
        autocommit: bool = True,
        cache_options: Mapping[str, Any] | None = None,
        cache_type: str = SequentialCache.name,
        **options: Any,
    ) -> "OSSResumeFile":
        if mode != "rb":
            raise _read_only(path)
        size = 5 * MiB if block_size in (None, "default") else block_size
        return OSSResumeFile(self, path, mode, size, autocommit, cache_type, cache_options, **options)

    async def open_async(self, path: str, mode: str = "rb", **_: Any) -> "OSSResumeStream":
        """Open a file for asynchronous reading.

        Raises:
            OSError: `mode` is not "rb", or there is no such file.
        """
        if mode != "rb":
            raise _read_only(path)
        bucket, key = self._split(path)
        with _as_os_errors(path):
            downloader = await self._downloader(bucket)
            meta = await downloader.head(key)
        return OSSResumeStream(downloader, meta, path, self._read_options)

    async def _read_open_file(self, path: str, meta: ObjectMeta, start: int, stop: int) -> bytes:
        """Read bytes of the version that was opened."""
        with _as_os_errors(path):
            downloader = await self._downloader(self._split(path)[0])
            return await downloader.read(meta, start, stop, **self._read_options)

    def ukey(self, path: str) -> str:
        """A value that changes when the object is replaced: its ETag and size."""
        info = self.info(path)
        return f"{info['name']}-{info.get('ETag')}-{info['size']}"

    def modified(self, path: str) -> datetime:
        """The time at which the object was written."""
        found: datetime | None = self.info(path).get("LastModified")
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "it is a directory, which has no time", path)
        return found

    def created(self, path: str) -> datetime:
        """The time at which the object was written, because objects are always replaced as a whole."""
        return self.modified(path)

    async def _refuse(self, path: Any = "", *_: Any, **__: Any) -> None:
        raise _read_only(path)

    _put_file = _pipe_file = _cp_file = _mv_file = _rm_file = _rm = _mkdir = _makedirs = _refuse

    def touch(self, path: str, **_: Any) -> None:
        raise _read_only(path)

    def rmdir(self, path: str) -> None:
        raise _read_only(path)

    def _split(self, path: str) -> tuple[str, str]:
        bucket, _, key = self._strip_protocol(path).lstrip("/").partition("/")
        if not bucket:
            raise FileNotFoundError(errno.ENOENT, "buckets are not listed: begin the path with one", path)
        return bucket, key

    async def _downloader(self, bucket: str) -> Downloader:
        """The Downloader for a bucket, in the running event loop."""
        _ = self.loop  # notices a fork
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened.loop is not loop:
            root = Downloader(None, concurrency=self._concurrency, max_bytes_per_second=self._max_bytes_per_second)
            self._opened = _Opened(root, loop)
            weakref.finalize(self, self._opened.close_soon)
            await self._opened.root.__aenter__()
        views = self._opened.views
        if bucket not in views:
            config = BucketConfig(self._endpoint, bucket, self._region, self._provider)
            views[bucket] = self._opened.root.for_bucket(config.open())
        return views[bucket]


class _Opened:
    """The Downloader of one file system in one event loop, and its views by bucket."""

    def __init__(self, root: Downloader, loop: asyncio.AbstractEventLoop) -> None:
        self.root = root
        self.loop = loop
        self.views: dict[str, Downloader] = {}
        self._pid = os.getpid()
        self._is_closed = False

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self.root.__aexit__(None, None, None)

    def close_soon(self) -> None:
        """Close the Downloader soon. For a finalizer, in any thread."""
        if self._is_closed or self._pid != os.getpid() or self.loop.is_closed() or not self.loop.is_running():
            return
        coroutine = self.close()
        try:
            asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:  # the loop is closed now
            coroutine.close()


class OSSResumeFile(_spec.AbstractBufferedFile):  # type: ignore[misc, name-defined]  # fsspec has no types
    """An object as an open file."""

    def __init__(self, fs: OSSResumeFileSystem, path: str, *args: Any, **options: Any) -> None:
        super().__init__(fs, path, *args, **options)
        if self.details["type"] != "file":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)

    def _fetch_range(self, start: int, end: int) -> bytes:
        meta: ObjectMeta = self.details["meta"]
        read: Callable[..., bytes] = _asyn.sync
        return read(self.fs.loop, self.fs._read_open_file, self.path, meta, start, end)


class OSSResumeStream(_asyn.AbstractAsyncStreamedFile):  # type: ignore[misc, name-defined]  # fsspec has no types
    """An object as an open file for asynchronous reading, with read-ahead."""

    def __init__(self, downloader: Downloader, meta: ObjectMeta, path: str, options: Mapping[str, Any]) -> None:
        self.path, self.size, self.mode, self.closed = path, meta.size, "rb", False
        self.loc = 0
        self._stream = downloader.stream(meta, **options)
        self._is_open = False
        self._received = bytearray()  # bytes that read() has not returned yet

    async def read(self, length: int | None = -1) -> bytes:
        """Read `length` bytes, or fewer at the end, or all remaining bytes if it is negative or None.

        If it fails or is cancelled, the next call begins with the same byte.
        """
        with _as_os_errors(self.path):
            if not self._is_open:
                await self._stream.__aenter__()
                self._is_open = True
            wanted = self.size - self.loc if length is None or length < 0 else length
            while len(self._received) < wanted and (chunk := await self._stream.read(wanted - len(self._received))):
                self._received += chunk
        found = bytes(self._received[:wanted])
        del self._received[:wanted]
        self.loc += len(found)
        return found

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self._is_open:
                await self._stream.__aexit__(None, None, None)

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def use_for_oss() -> None:
    """Let fsspec open `oss://bucket/key` with OSSResumeFileSystem, in this process."""
    fsspec.register_implementation("oss", OSSResumeFileSystem, clobber=True)
    if "oss" not in OSSResumeFileSystem.protocol:
        OSSResumeFileSystem.protocol = (*OSSResumeFileSystem.protocol, "oss")


@contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Translate our errors into the OSErrors that users of fsspec expect. Ours are their cause."""
    try:
        yield
    except ObjectNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, str(error), path) from error
    except AccessDeniedError as error:
        raise PermissionError(errno.EACCES, str(error), path) from error


def _read_only(path: object) -> OSError:
    return OSError(errno.EROFS, "this file system is read-only: it reads from OSS, and writes nothing there", str(path))


def _file(bucket: str, meta: ObjectMeta) -> dict[str, Any]:
    return {
        "name": f"{bucket}/{meta.key}",
        "size": meta.size,
        "type": "file",
        "ETag": meta.etag,
        "LastModified": meta.last_modified,
        "StorageClass": meta.storage_class,
        "meta": meta,
    }


def _directory(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}


def _with_parents(bucket: str, below: str, meta: ObjectMeta, *, withdirs: bool) -> Iterator[dict[str, Any]]:
    """An object as a file, and the directories between it and the path that is searched."""
    *parents, name = meta.key[len(below) :].split("/")
    if withdirs:
        path = f"{bucket}/{below}".rstrip("/")
        for parent in parents:
            path = f"{path}/{parent}"
            yield _directory(path)
    if name:  # otherwise it marks a directory
        yield _file(bucket, meta)
