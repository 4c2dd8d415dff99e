"""Downloader, download() and download_url(): the public entry points. They check arguments and call the use cases.

This module has more than 300 lines because it is the public interface, with its documentation.
"""

import asyncio
import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, Unpack
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
from oss2 import defaults as oss2_defaults

from aioss_resume._arguments import (
    checked_names,
    checked_options,
    checked_path,
    checked_ranges,
    checked_slice,
    destination,
    object_name,
    refuse_other_meanings,
    refuse_signed_keywords,
    with_keywords_of,
)
from aioss_resume._batch.batch import Batch
from aioss_resume._batch.listing import ObjectListing, Pages
from aioss_resume._batch.many import DownloadInto, Items, many
from aioss_resume._batch.outcomes import Outcome
from aioss_resume._batch.prefix import PrefixBatch
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._file.download import Download
from aioss_resume._file.sharing import DownloadRequest, share
from aioss_resume._file.sync import sync
from aioss_resume._io.foreign import ForeignRecords, Store
from aioss_resume._io.origin import Origin
from aioss_resume._io.session import check_netrc, check_session
from aioss_resume._io.sign import check_bucket
from aioss_resume._io.storage import STORAGE, Storage
from aioss_resume._stream.ranges import read_ranges
from aioss_resume._stream.read import read, read_into, writable_bytes
from aioss_resume._stream.reading import Reading
from aioss_resume._stream.stream import ObjectStream
from aioss_resume._transfer.calls import Calls, closed_error
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.opening import Opener
from aioss_resume._transfer.retrying import with_retries
from aioss_resume.errors import ConfigError, ObjectName
from aioss_resume.events import DownloadResult, EventHook
from aioss_resume.options import (
    CONCURRENCY_OF_ALL,
    DEFAULT_RETRY,
    DEFAULT_TIMEOUTS,
    DownloadKeywords,
    DownloadOptions,
    PrefixKeywords,
    PrefixOptions,
    RangesKeywords,
    RangesOptions,
    ReadKeywords,
    ReadOptions,
    StreamKeywords,
    StreamOptions,
    Timeouts,
    checked_concurrency,
    checked_headers,
    checked_rate,
)
from aioss_resume.urls import Refresh, SignedURL


class Downloader:
    """Fetches objects from one bucket over one session and with one set of limits.

    Use it with `async with` in one event loop; any number of tasks in that loop may call its methods. Leaving the block
    ends the calls that still run: they raise RequestError, and their downloads can be resumed. A transfer that a caller
    of another Downloader has joined continues.

    Every method that takes a key also takes a SignedURL. Methods that read also take an ObjectMeta from list() or
    head(), and then read exactly that version of the object.

    Args:
        bucket: An oss2.Bucket. Its auth, endpoint, name, region, addressing, proxies, timeout and enable_crc are used;
            nothing is sent through its own session. None to fetch only SignedURLs. Any: oss2 has no types.
        concurrency: Most range requests in flight, shared fairly by everything that runs here; at least 1.
        max_bytes_per_second: Limit for everything that runs here; None for no limit. It can be changed at any time.
        session: The caller's aiohttp.ClientSession, which is never closed here; None to create one.
        on_event: A function or coroutine function that is called with each event (see `aioss_resume.events`), in order,
            by a separate task with the context variables of the caller. If it raises an exception, the exception is
            logged and the function is not called again.

    Raises:
        ConfigError: An argument is invalid.
    """

    def __init__(
        self,
        bucket: Any,
        *,
        concurrency: int = CONCURRENCY_OF_ALL,
        max_bytes_per_second: float | None = None,
        session: aiohttp.ClientSession | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        if bucket is not None:
            check_bucket(bucket)
        check_session(session)
        if on_event is not None and not callable(on_event):
            raise ConfigError(f"on_event must be callable, not {type(on_event).__name__}")
        self._bucket = bucket
        self._concurrency = checked_concurrency(concurrency)
        self._rate = checked_rate(max_bytes_per_second)
        self._session = session
        self._event_hooks = [on_event] if on_event is not None else []
        self._storage = STORAGE
        self._client: Client | None = None
        self._origin: Origin | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls = Calls()
        self._root = self  # what is entered and left; another one for a view

    async def __aenter__(self) -> Self:
        if self._root is not self:
            raise ConfigError("this is a view of another Downloader, which is entered and left instead")
        if self._client is not None:
            raise ConfigError("this Downloader is in use already: enter it once, or make another")
        self._enter(
            Client(
                concurrency=self._concurrency,
                max_bytes_per_second=self._rate,
                session=self._session,
                storage=self._storage,
                event_hooks=self._event_hooks,
            )
        )
        if self._session is not None and self._session.trust_env and self._bucket is not None:
            host = urlsplit(self._bucket.endpoint).hostname or ""
            try:
                await self._open_client().threads.run(check_netrc, host)
            except BaseException:
                await self.__aexit__(None, None, None)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        client, self._client, self._origin = self._open_client(), None, None
        cancelled = await self._calls.end_all()
        await client.end_lease()
        if cancelled:
            raise cancelled

    def __repr__(self) -> str:
        state = "open" if self._root._client is not None else "closed"
        what = f"oss://{self._bucket.bucket_name}" if self._bucket is not None else "addresses"
        return f"<Downloader of {what}, {state}>"

    def add_event_hook(self, hook: EventHook) -> None:
        """Add a hook that is called with each event, in addition to `on_event`. Each hook has its own queue.

        Raises:
            ConfigError: The Downloader is already open.
        """
        if self._root._client is not None:
            raise ConfigError("this Downloader is open already: add hooks before it is entered")
        self._root._event_hooks.append(hook)

    @property
    def requests_in_flight(self) -> int:
        """The number of requests in flight; 0 if the Downloader is not open."""
        client = self._root._client
        return client.slots.taken if client is not None else 0

    @property
    def max_bytes_per_second(self) -> float | None:
        """The limit in bytes per second for everything that runs here, including views; None for no limit.

        It may be set at any time. A new value takes effect within a second, also for running calls.

        Raises:
            ConfigError: The new value is not a number above 0.
        """
        return self._root._rate

    @max_bytes_per_second.setter
    def max_bytes_per_second(self, rate: float | None) -> None:
        root = self._root
        root._rate = checked_rate(rate)
        if root._client is not None:
            root._client.limit_rate(rate)

    def for_bucket(self, bucket: Any) -> "Downloader":
        """Make a view for another bucket with the same session, threads, limits and events.

        It is open as long as this Downloader is, and must not be entered itself.

        Args:
            bucket: An oss2.Bucket. Any: oss2 has no types.

        Raises:
            ConfigError: The bucket cannot be downloaded from.
        """
        view = type(self)(bucket)
        if bucket is None:
            raise ConfigError("bucket must be an oss2.Bucket: a view without one would be of no use")
        view._root, view._calls = self._root, self._root._calls
        return view

    @with_keywords_of(DownloadOptions)
    async def download(
        self, key: str | SignedURL, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
    ) -> DownloadResult:
        """Download an object into a file. Like `aioss_resume.download()`, with this Downloader's limits."""
        options = checked_options(DownloadOptions, "download", keywords)
        return await self._download(self._open_client(), key, path, options)

    async def _download(
        self,
        client: Client,
        key: str | SignedURL,
        path: str | os.PathLike[str],
        options: DownloadOptions,
        store: Store | None = None,
    ) -> DownloadResult:
        name = self._name(key)
        with self._calls.call():
            result, _ = await self._download_into(client, key, path, options, client.storage, store)
            return result
        raise closed_error(name)

    async def _download_into(
        self,
        client: Client,
        key: str | SignedURL,
        path: str | os.PathLike[str],
        options: DownloadOptions,
        storage: Storage,
        store: Store | None = None,
    ) -> tuple[DownloadResult, os.stat_result | None]:
        """Download within a running call or batch.

        Returns the result, and the stat result of the published file; None if this call did not publish it.

        Args:
            store: The store with oss2's record of this download, for `adopt`; None for oss2's default directory.
        """
        if options.integrity == "require" and not isinstance(key, SignedURL) and not self._checked_bucket().enable_crc:
            raise ConfigError('integrity="require" contradicts the bucket\'s enable_crc=False')
        name = self._name(key)
        refuse_signed_keywords(key, options)
        absolute = await destination(client, path, name)
        origin = self._origin_of(client, key)
        made: list[Download] = []

        def make() -> Download:
            timeouts = self._timeouts(options.timeouts)
            records = ForeignRecords(client.threads, store) if options.adopt else None
            made.append(Download(client, storage, origin, name, absolute, options, timeouts, records))
            return made[0]

        endpoint = name.bucket if isinstance(key, SignedURL) else self._bucket.endpoint
        result = await share(DownloadRequest(client, storage, endpoint, name, absolute, options), make)
        return result, made[0].committed if made else None

    @with_keywords_of(DownloadOptions)
    def download_many(
        self, items: Items, *, stop_on_error: bool = False, **keywords: Unpack[DownloadKeywords]
    ) -> Batch[Outcome]:
        """Download many objects, and yield each outcome when it is ready: `async with`, `async for`.

        A failure does not stop the other downloads. `items` is consumed only as fast as downloads can start and
        outcomes are read; at most `concurrency` of each are pending. Leaving the block cancels running downloads, which
        can be resumed, and closes `items`.

        Args:
            items: Pairs `(key, path)` from a sync or async iterable. The key may be a SignedURL, or an ObjectMeta from
                list() or head(). A sync iterable must not block. An exception that it raises ends the batch.
            stop_on_error: Whether the first failure cancels the other downloads and is raised.
            keywords: As for download(). They apply to all items.

        Raises:
            ConfigError: An argument is invalid. An invalid item yields an outcome with a ConfigError instead.
        """
        options = checked_options(DownloadOptions, "download_many", keywords)
        if not isinstance(items, Iterable | AsyncIterable):
            raise ConfigError(f"items must be an iterable of pairs (key, path), not {type(items).__name__}")
        client, bucket_name = self._open_client(), self._bucket.bucket_name if self._bucket is not None else ""
        source = many(items, bucket_name, options, partial(self._download_into, client), client.storage)
        most = client.slots.limit
        return Batch(ObjectName(bucket_name, ""), source, self._calls, most=most, stop_on_error=stop_on_error)

    @with_keywords_of(PrefixOptions)
    def download_prefix(
        self, prefix: str, directory: str | os.PathLike[str], **keywords: Unpack[PrefixKeywords]
    ) -> PrefixBatch:
        """Download a prefix into a directory, and yield each outcome when it is ready: `async with`, `async for`.

        A manifest records what was downloaded, so that a second run over an unchanged tree reads no files and only
        sends list requests. A failure does not stop the other downloads. Each key below the prefix becomes a relative
        path. Nothing is written outside the directory, whatever the keys are and whatever links the directory contains.
        If the prefix does not end with a slash but objects exist below `prefix/`, only those are downloaded.

        Args:
            prefix: The common prefix of the keys; "" for all objects.
            directory: The directory, which is created if it does not exist.
            keywords: See PrefixOptions: include, exclude, overwrite, delete_extra, dry_run, stop_on_error, manifest,
                and the keywords of download() except version_id.

        Raises:
            ConfigError: An argument is invalid.
            LocalFileError: On Windows, the directory's name has a special meaning.
        """
        options = checked_options(PrefixOptions, "download_prefix", keywords)
        checked_names(prefix=prefix)
        given = checked_path(directory, "directory")
        client, bucket_name = self._open_client(), self._checked_bucket().bucket_name
        refuse_other_meanings(given, ObjectName(bucket_name, prefix))
        listing, download = self._prefix_parts(client, options)
        return PrefixBatch(client, self._calls, bucket_name, prefix, given, options, listing, download)

    def _prefix_parts(
        self, client: Client, options: PrefixOptions
    ) -> tuple[Callable[[str], ObjectListing], DownloadInto]:
        """The functions that list the objects of a prefix and that download one of them."""
        return partial(self.list, headers=_payer(options)), partial(self._download_into, client)

    async def sync(self, results: Iterable[DownloadResult]) -> None:
        """Sync files that were downloaded with `fsync=False`, and their names, to the disk.

        For many small files this is cheaper than `fsync=True` for each: a directory is synced once for all of its
        files, and the disk has already begun to write. Until this returns, a power cut may lose any of the files.

        Args:
            results: The results that `download()` returned for the files.

        Raises:
            ConfigError: The argument is not an iterable of DownloadResults.
            LocalFileError: A file could not be synced, or does not exist any more. All others were synced.
        """
        client, bucket_name = self._open_client(), self._bucket.bucket_name if self._bucket is not None else ""
        with self._calls.call():
            return await sync(client, bucket_name, results)
        raise closed_error(ObjectName(bucket_name, ""))

    async def head(
        self,
        key: str | SignedURL,
        *,
        version_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> ObjectMeta:
        """Fetch the metadata of an object. For a SignedURL, a GET of one byte is sent, because a HEAD must be signed.

        Args:
            key: The key of the object.
            version_id: The version of the object; None for the current one.
            headers: Additional request headers, which are signed.
            params: Additional query parameters, which are signed.

        Raises:
            AiossError: As for `aioss_resume.download()`, except errors of files.
        """
        client, name = self._open_client(), self._name(key)
        options = ReadOptions(version_id=version_id, headers=headers, params=params)
        refuse_signed_keywords(key, options)
        report = client.reporter(name)
        origin, timeouts = self._origin_of(client, key), self._timeouts(DEFAULT_TIMEOUTS)
        source = client.source(origin, name, options, timeouts, report.counts)
        with self._calls.call(), await client.slot(client.share()):
            if isinstance(key, SignedURL):
                return await Opener(source, DEFAULT_RETRY, client.clock, report).fetch_meta()
            return await with_retries(source.head, DEFAULT_RETRY, client.clock, report)
        raise closed_error(name)

    @with_keywords_of(ReadOptions)
    async def read(
        self,
        key: str | SignedURL | ObjectMeta,
        start: int | None = None,
        stop: int | None = None,
        **keywords: Unpack[ReadKeywords],
    ) -> bytes:
        """Read the bytes `whole[start:stop]` of an object in parallel requests. Offsets work as in Python slices.

        A slice that is always empty costs no request. A small slice costs one request, also with a negative `start`.

        Args:
            key: The key of the object, or an ObjectMeta to read exactly that version.
            start: Offset of the first byte; negative to count from the end; None for 0.
            stop: Offset after the last byte; negative to count from the end; None for the end.
            keywords: See ReadOptions: version_id, part_size, concurrency, headers, params, integrity, retry, timeouts.

        Raises:
            ConfigError: An argument is invalid. Raised before any request.
            IntegrityError: The whole object was read twice, and its CRC-64 differs.
            ObjectChangedError: The object was replaced or deleted meanwhile, or is not the version of the ObjectMeta.
            AiossError: As for `aioss_resume.download()`, except errors of files.
        """
        wanted = checked_slice(start, stop)
        reading = self._reading(key, checked_options(ReadOptions, "read", keywords, "start", "stop"))
        with self._calls.call():
            return await read(reading, wanted)
        raise closed_error(reading.name)

    @with_keywords_of(ReadOptions)
    async def read_into(
        self, key: str | SignedURL | ObjectMeta, buffer: Any, start: int = 0, **keywords: Unpack[ReadKeywords]
    ) -> int:
        """Fill a buffer with the bytes of an object from `start` on, without a copy. Returns the number of bytes.

        If the object ends earlier, the rest of the buffer is not changed. The buffer cannot be resized meanwhile.

        Args:
            key: The key of the object, or an ObjectMeta to read exactly that version.
            buffer: A writable, contiguous buffer: bytearray, memoryview, mmap, array, NumPy array. Any: so many types.
            start: Offset of the first byte; negative to count from the end.
            keywords: As for read().

        Raises:
            ConfigError: The buffer or another argument is invalid. Raised before any request.
            AiossError: As for read(). Nothing writes to the buffer any more, and its content is undefined.
        """
        view = writable_bytes(buffer)
        wanted = checked_slice(start, None, most=len(view))
        reading = self._reading(key, checked_options(ReadOptions, "read_into", keywords, "start"))
        with view, self._calls.call():
            return await read_into(reading, wanted, view)
        raise closed_error(reading.name)

    @with_keywords_of(RangesOptions)
    async def read_ranges(
        self,
        key: str | SignedURL | ObjectMeta,
        ranges: Iterable[tuple[int | None, int | None]],
        **keywords: Unpack[RangesKeywords],
    ) -> list[bytes]:
        """Read the bytes `whole[a:b]` for many pairs `(a, b)`, in their order. Ranges may overlap and repeat.

        Neighbouring ranges are fetched by one request, and no byte is fetched twice.

        Args:
            key: The key of the object, or an ObjectMeta to read exactly that version.
            ranges: Pairs of offsets, as in read().
            keywords: As for read(), and max_gap: see RangesOptions.

        Raises:
            ConfigError: An argument is invalid. Raised before any request.
            AiossError: As for read().
        """
        wanted, options = checked_ranges(ranges), checked_options(RangesOptions, "read_ranges", keywords)
        reading = self._reading(key, options)
        with self._calls.call():
            return await read_ranges(reading, wanted, options.max_gap)
        raise closed_error(reading.name)

    @with_keywords_of(StreamOptions)
    def stream(
        self,
        key: str | SignedURL | ObjectMeta,
        start: int | None = None,
        stop: int | None = None,
        **keywords: Unpack[StreamKeywords],
    ) -> ObjectStream:
        """Stream the bytes `whole[start:stop]` of an object in order, with read-ahead: `async with`.

        Args:
            key: The key of the object, or an ObjectMeta to read exactly that version.
            start: As in read().
            stop: As in read().
            keywords: As for read(), and window: see StreamOptions. The policy's deadline applies to the first response.

        Raises:
            ConfigError: An argument is invalid.
        """
        wanted = checked_slice(start, stop)
        options = checked_options(StreamOptions, "stream", keywords, "start", "stop")
        return ObjectStream(self._reading(key, options), wanted, self._calls, options.window)

    def list(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        start_after: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ObjectListing:
        """List the objects whose keys begin with a prefix, sorted by their keys' bytes: `async with`, `async for`.

        Each is an ObjectMeta with key, size, etag, last_modified, storage_class and object_type; `crc64` is None. The
        next page of 1000 objects is fetched while one is read.

        Args:
            prefix: The common prefix of the keys; "" for all objects.
            delimiter: Keys that contain it after the prefix are not listed. Instead, `prefixes` gets the beginning of
                the key, up to and including the delimiter.
            start_after: Only keys after this one are listed.
            headers: Additional request headers, which are signed.

        Raises:
            ConfigError: An argument is invalid.
        """
        bucket_name = self._checked_bucket().bucket_name
        client = self._open_client()
        checked_names(prefix=prefix, delimiter=delimiter, start_after=start_after)
        pages = Pages(
            client,
            self._origin_of(client, bucket_name),
            bucket_name,
            prefix,
            delimiter=delimiter,
            start_after=start_after,
            headers=checked_headers(headers),
            timeouts=self._timeouts(DEFAULT_TIMEOUTS),
        )
        return ObjectListing(pages, self._calls)

    def _reading(self, key: str | SignedURL | ObjectMeta, options: ReadOptions) -> Reading:
        pinned, key = (key, key.key) if isinstance(key, ObjectMeta) else (None, key)
        if pinned is not None and pinned.version_id is not None and options.version_id is None:
            options = replace(options, version_id=pinned.version_id)
        client, name = self._open_client(), self._name(key)
        refuse_signed_keywords(key, options)
        origin, timeouts = self._origin_of(client, key), self._timeouts(options.timeouts)
        return Reading(client, origin, name, options, timeouts, pinned)

    def _enter(self, client: Client) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        client.lease()

    def _open_client(self) -> Client:
        root = self._root
        if root._client is None:
            raise ConfigError("this Downloader is not open: use it within `async with`")
        if asyncio.get_running_loop() is not root._loop:
            raise ConfigError("this Downloader belongs to another event loop: make one in each")
        return root._client

    def _checked_bucket(self) -> Any:  # Any: oss2 has no types
        if self._bucket is None:
            raise ConfigError(
                "this Downloader has no bucket, so it serves nothing but a SignedURL",
                hint="pass an oss2.Bucket to Downloader() or for_bucket()",
            )
        return self._bucket

    def _name(self, key: str | SignedURL) -> ObjectName:
        return key.name if isinstance(key, SignedURL) else object_name(self._checked_bucket().bucket_name, key)

    def _origin_of(self, client: Client, key: str | SignedURL) -> Origin:
        """The origin of the bucket or address. The bucket's origin is kept, with the keys that it has fetched."""
        if isinstance(key, SignedURL):
            return client.address_origin(key)
        if self._origin is None:
            self._origin = client.origin(self._bucket)
        return self._origin

    def _timeouts(self, given: Timeouts) -> Timeouts:
        """The given timeouts, or the bucket's connect_timeout, which oss2 applies to connecting and reading."""
        own = self._bucket.timeout if self._bucket is not None else None
        if given is not DEFAULT_TIMEOUTS or own == oss2_defaults.connect_timeout or not isinstance(own, int | float):
            return given
        return Timeouts(connect=own, response=own, stall=own)


def _payer(options: DownloadOptions) -> dict[str, str]:
    """The headers that a listing also needs."""
    return {name: value for name, value in (options.headers or {}).items() if name.lower() == "x-oss-request-payer"}


_shared: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Client]] = WeakKeyDictionary()
# What concurrent calls of download() share, by event loop, as long as one of them runs.


@with_keywords_of(DownloadOptions)
async def download(
    bucket: Any, key: str | SignedURL, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
) -> DownloadResult:
    """Download an object of Alibaba Cloud OSS into a file. After any interruption, the next call resumes.

    The file is published at `path` atomically, after the CRC-64 of the written bytes was compared with the object's. An
    existing file stays until then. Missing directories are created.

    Concurrent calls in one event loop share one session, one set of threads and one budget of 32 requests, whatever
    their buckets. A call with a larger `concurrency` raises that budget.

    Args:
        bucket: An oss2.Bucket with the location and the credentials. Any: oss2 has no types.
        key: The key of the object, 1 to 1023 bytes of UTF-8.
        path: The destination. If it is a symbolic link, the link stays, and the file that it leads to is replaced.
        keywords: See DownloadOptions: version_id, part_size, multiget_threshold, concurrency, store,
            progress_callback, headers, params, overwrite, on_change, on_busy, integrity, fsync, adopt, retry, timeouts.

    Raises:
        ConfigError: An argument is invalid. Raised before any request.
        ServiceError: OSS returned an error. The error is also an instance of the class that oss2 raises for it.
        ObjectChangedError: The object was deleted, or replaced more often than `on_change` permits.
        IntegrityError: The CRC-64 differs, or `integrity="require"` and OSS sends none.
        RequestError, ProtocolError: All attempts failed without a usable response, or the deadline has passed.
        CredentialsError: There are no usable keys.
        LocalFileError: The disk is full, or the path is unusable. It is an OSError with its errno.
        DownloadInProgressError: Another process is downloading to the path, and `on_busy="fail"`.
        BaseException: `progress_callback` raised it.
    """
    options = checked_options(DownloadOptions, "download", keywords)  # checked before anything else
    if bucket is None:  # valid for a Downloader, which serves addresses then, and not here
        check_bucket(bucket)
    return await _download_through_shared_client(Downloader(bucket), key, path, options)


@with_keywords_of(DownloadOptions)
async def download_url(
    url: str | SignedURL,
    path: str | os.PathLike[str],
    *,
    refresh: Refresh | None = None,
    session: aiohttp.ClientSession | None = None,
    **keywords: Unpack[DownloadKeywords],
) -> DownloadResult:
    """Download from a presigned or public address into a file. Like download(), which does so from a bucket.

    A download can be resumed with a newly signed address of the same object.

    Args:
        url: An http or https address, presigned (V1 or V4) or public, of OSS or of any server that supports ranges. If
            the server sends no CRC-64, the file is not verified.
        path: The destination.
        refresh: See SignedURL.
        session: The caller's aiohttp.ClientSession, which is never closed here; None to share one.
        keywords: As for download(), except version_id and params, which must be signed.

    Raises:
        AccessDeniedError: The address has expired, and there is no new one.
        AiossError: As for download().
    """
    options = checked_options(DownloadOptions, "download_url", keywords, "refresh", "session")
    key = url = SignedURL(url, refresh) if not isinstance(url, SignedURL) else url  # its repr shows no signature
    if session is None:
        return await _download_through_shared_client(Downloader(None), key, path, options)
    concurrency = options.concurrency if options.concurrency != "auto" else CONCURRENCY_OF_ALL
    async with Downloader(None, session=session, concurrency=concurrency) as downloader:
        return await downloader._download(downloader._open_client(), key, path, options)


async def _download_through_shared_client(
    downloader: Downloader,
    key: str | SignedURL,
    path: str | os.PathLike[str],
    options: DownloadOptions,
    store: Store | None = None,
) -> DownloadResult:
    client = _shared_client()
    downloader._enter(client)
    try:
        if options.concurrency != "auto":
            client.allow(options.concurrency)
        return await downloader._download(client, key, path, options, store)
    finally:
        await client.end_lease()


def _shared_client() -> Client:
    """The client that concurrent calls of download() share: the one in use, or a new one."""
    loop = asyncio.get_running_loop()
    client = _shared.get(loop)
    if client is None or not client.is_leased:
        client = Client(concurrency=CONCURRENCY_OF_ALL, max_bytes_per_second=None, session=None, storage=STORAGE)
        _shared[loop] = client
    return client
