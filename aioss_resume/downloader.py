"""Downloader, download() and download_url(): the public entry points. They check arguments and call the use cases."""

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
    """Everything that is fetched from one bucket, over one session and under one set of limits.

    Use it with `async with`, in one event loop; its methods may be called by any number of tasks of that loop. Leaving
    the block ends what still runs through it: those calls raise RequestError, and what they wrote can be resumed. A
    transfer that a caller of another Downloader has joined goes on.

    Wherever a method takes a key, it takes a SignedURL too. The methods that read take an ObjectMeta as well, from
    list() or head(): they read that very version of the object.

    Args:
        bucket: An oss2.Bucket: its auth, endpoint, name, region, addressing, proxies, timeout and enable_crc count.
            Nothing is sent through its own session. None: only SignedURLs can be fetched. Any: oss2 has no types.
        concurrency: Most range requests in flight over all that runs here, shared fairly; at least 1.
        max_bytes_per_second: Over all that runs here; None: no limit. It can be changed at any time.
        session: An aiohttp.ClientSession of the caller's, used and never closed; None: one is made.
        on_event: Called with each event, plain or async, in order and by one task, outside the data path: see
            `aioss_resume.events`. When it raises an exception, that is logged, and it is not called again.

    Raises:
        ConfigError: An argument that cannot be.
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
        """Call one more hook with each event, besides `on_event`. Each one has a queue of its own.

        Raises:
            ConfigError: The Downloader is open already.
        """
        if self._root._client is not None:
            raise ConfigError("this Downloader is open already: add hooks before it is entered")
        self._root._event_hooks.append(hook)

    @property
    def requests_in_flight(self) -> int:
        """How many requests are under way over all that runs here; 0 if it is not open."""
        client = self._root._client
        return client.slots.taken if client is not None else 0

    @property
    def max_bytes_per_second(self) -> float | None:
        """Bytes a second over all that runs here, views included; None: no limit.

        It may be set at any time, and takes effect within a second, on what runs too.

        Raises:
            ConfigError: It is set to something that is no number above 0.
        """
        return self._root._rate

    @max_bytes_per_second.setter
    def max_bytes_per_second(self, rate: float | None) -> None:
        root = self._root
        root._rate = checked_rate(rate)
        if root._client is not None:
            root._client.limit_rate(rate)

    def for_bucket(self, bucket: Any) -> "Downloader":
        """A view for another bucket: the same session, threads, limits and events.

        It is open as long as this Downloader is, and is not entered or left itself.

        Args:
            bucket: An oss2.Bucket. Any: oss2 has no types.

        Raises:
            ConfigError: It cannot be downloaded from.
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
        """Download an object into a file; as `aioss_resume.download()`, within this Downloader's limits."""
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
        """Download within a call, or within a batch, which is one call itself.

        The file as it was published comes with the result; None if another call's download, or none, has published it.

        Args:
            store: Where oss2 may have left a record of this download, if it is adopted; None: where it does by default.
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
        """Download many objects, and hand out each outcome as it ends: `async with`, `async for`.

        A failure does not stop the others. No more is asked of `items` than can begin, or wait to be handed out: both
        at most as many as the Downloader's `concurrency`. Leaving the block cancels what runs (it can be resumed), and
        closes `items`.

        Args:
            items: Pairs `(key, path)`, from a plain or an async iterable; the key may be a SignedURL, or an ObjectMeta
                from list() or head(). A plain iterable must not block. An exception that it raises ends the batch.
            stop_on_error: The first failure cancels the others, and is raised.
            keywords: As download(), for all of them.

        Raises:
            ConfigError: An argument that cannot be. An item that cannot be is an outcome with one instead.
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
        """Download a prefix into a directory, and hand out each outcome as it ends: `async with`, `async for`.

        A second run over an unchanged tree reads no file, and sends only listings: a manifest remembers what was
        downloaded. A failure does not stop the others. Each key below the prefix is a relative path; nothing is written
        outside the directory, whatever the keys are and whatever links lie in it. A prefix without a slash at its end
        is a directory of objects, if there are any in it; otherwise the beginning of names.

        Args:
            prefix: What the keys begin with; "": all.
            directory: Made when it is missing.
            keywords: See PrefixOptions: include, exclude, overwrite, delete_extra, dry_run, stop_on_error, manifest,
                and the keywords of download() but for version_id.

        Raises:
            ConfigError: An argument that cannot be.
            LocalFileError: On Windows, the directory's name means something else.
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
        """What lists the objects of a prefix, and what downloads one of them."""
        return partial(self.list, headers=_payer(options)), partial(self._download_into, client)

    async def sync(self, results: Iterable[DownloadResult]) -> None:
        """Sync files that were downloaded with `fsync=False`, and their names, to the disk.

        For a batch of small files it is cheaper than `fsync=True` for each of them: a directory is synced once for all
        of its files, and the disk has had time to begin. Until then a power cut may cost any of them.

        Args:
            results: What `download()` returned for them.

        Raises:
            ConfigError: Something else is among them.
            LocalFileError: A file could not be synced, or is gone; all others are on the disk then, or as it says.
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
        """The metadata of an object. Of a SignedURL it costs a GET of one byte: a HEAD would have to be signed.

        Args:
            key: The object's.
            version_id: That version of it; None: the current one.
            headers: More request headers, signed.
            params: More query parameters, signed.

        Raises:
            AiossError: As `aioss_resume.download()`, less what concerns files.
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
        """The bytes `whole[start:stop]` of an object, for all integers and None as in Python, in parallel requests.

        A slice that is known to be empty costs no request, a small one costs one, a negative `start` too.

        Args:
            key: The object's; an ObjectMeta of it: that very version, or ObjectChangedError.
            start: Offset of the first byte; negative: counted from the end; None: 0.
            stop: Offset after the last byte; negative: counted from the end; None: the end.
            keywords: See ReadOptions: version_id, part_size, concurrency, headers, params, integrity, retry, timeouts.

        Raises:
            ConfigError: An argument that cannot be; before any request.
            IntegrityError: All of the object was read, twice, and its CRC-64 differs.
            ObjectChangedError: The object was replaced or deleted meanwhile.
            AiossError: As `aioss_resume.download()`, less what concerns files.
        """
        wanted = checked_slice(start, stop)
        reading = self._reading(key, checked_options(ReadOptions, "read", keywords))
        with self._calls.call():
            return await read(reading, wanted)
        raise closed_error(reading.name)

    @with_keywords_of(ReadOptions)
    async def read_into(
        self, key: str | SignedURL | ObjectMeta, buffer: Any, start: int = 0, **keywords: Unpack[ReadKeywords]
    ) -> int:
        """Fill a buffer with the bytes of an object from `start` on, without a copy; the number of bytes filled.

        The rest of the buffer is left alone, if the object ends before. The buffer cannot be resized meanwhile.

        Args:
            key: The object's; an ObjectMeta of it: that very version, or ObjectChangedError.
            buffer: Writable and contiguous: bytearray, memoryview, mmap, array, a NumPy array. Any: so many kinds.
            start: Offset of the first byte; negative: from the end.
            keywords: As read().

        Raises:
            ConfigError: No such buffer, or another argument that cannot be; before any request.
            AiossError: As read(). Nothing writes to the buffer any more, and its content means nothing.
        """
        view = writable_bytes(buffer)
        wanted = checked_slice(start, None, most=len(view))
        reading = self._reading(key, checked_options(ReadOptions, "read_into", keywords))
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
        """The bytes `whole[a:b]` for each of many pairs `(a, b)`, in their order; they may overlap and repeat.

        Neighbours are fetched by one request, and no byte is fetched twice.

        Args:
            key: The object's; an ObjectMeta of it: that very version, or ObjectChangedError.
            ranges: Pairs of offsets, as in read().
            keywords: As read(), and max_gap: see RangesOptions.

        Raises:
            ConfigError: An argument that cannot be; before any request.
            AiossError: As read().
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
        """The bytes `whole[start:stop]` of an object in order, read ahead in parallel requests: `async with`.

        Args:
            key: The object's; an ObjectMeta of it: that very version, or ObjectChangedError.
            start: As in read().
            stop: As in read().
            keywords: As read(), and window: see StreamOptions. The policy's deadline is that of the first response.

        Raises:
            ConfigError: An argument that cannot be.
        """
        wanted, options = checked_slice(start, stop), checked_options(StreamOptions, "stream", keywords)
        return ObjectStream(self._reading(key, options), wanted, self._calls, options.window)

    def list(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        start_after: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ObjectListing:
        """The objects whose keys begin with a prefix, in the order of their keys' bytes: `async with`, `async for`.

        Each is an ObjectMeta with key, size, etag, last_modified, storage_class and object_type; `crc64` is None. The
        next page of 1000 is fetched while one is read.

        Args:
            prefix: What the keys begin with; "": all.
            delimiter: Keys that have it after the prefix are not listed; what they have up to it is in `prefixes`.
            start_after: Only keys that come after this one.
            headers: More request headers, signed.

        Raises:
            ConfigError: An argument that cannot be.
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
        """The bucket, or the address, as requests reach it. The bucket's is kept with the keys that it has fetched."""
        if isinstance(key, SignedURL):
            return client.address_origin(key)
        if self._origin is None:
            self._origin = client.origin(self._bucket)
        return self._origin

    def _timeouts(self, given: Timeouts) -> Timeouts:
        """The given ones, or the bucket's connect_timeout, which oss2 applies to connecting and reading."""
        own = self._bucket.timeout if self._bucket is not None else None
        if given is not DEFAULT_TIMEOUTS or own == oss2_defaults.connect_timeout or not isinstance(own, int | float):
            return given
        return Timeouts(connect=own, response=own, stall=own)


def _payer(options: DownloadOptions) -> dict[str, str]:
    """Those of the headers that a listing needs, too."""
    return {name: value for name, value in (options.headers or {}).items() if name.lower() == "x-oss-request-payer"}


_shared: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Client]] = WeakKeyDictionary()
# What concurrent calls of download() share, by event loop, as long as one of them runs.


@with_keywords_of(DownloadOptions)
async def download(
    bucket: Any, key: str | SignedURL, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
) -> DownloadResult:
    """Download an object of Alibaba Cloud OSS into a file; after any interruption, the next call continues.

    The file appears at `path` as a whole or not at all, and only when the CRC-64 of what was written equals the
    object's. What is there already stays until then. Missing directories are made.

    Calls that run at the same time in one event loop share one session, one set of threads and one budget of 32
    requests, whatever their buckets. A call with a larger `concurrency` raises that budget.

    Args:
        bucket: An oss2.Bucket: where, and as whom. Any: oss2 has no types.
        key: The object's, 1 to 1023 bytes of UTF-8.
        path: Where the file goes. A symbolic link stays, and the file that it leads to is replaced.
        keywords: See DownloadOptions: version_id, part_size, multiget_threshold, concurrency, store,
            progress_callback, headers, params, overwrite, on_change, on_busy, integrity, fsync, adopt, retry, timeouts.

    Raises:
        ConfigError: An argument that cannot be; before any request.
        ServiceError: OSS said no; also the class that oss2 raises for the same answer.
        ObjectChangedError: The object was replaced or deleted meanwhile, and `on_change` does not permit more.
        IntegrityError: The bytes are not the object's, or `integrity="require"` and OSS sends no CRC-64.
        RequestError, ProtocolError: No usable answer after all attempts, or the deadline has passed.
        CredentialsError: No usable keys.
        LocalFileError: The disk is full, or the path cannot be; an OSError with its errno.
        DownloadInProgressError: The path is taken and `on_busy="fail"`.
        BaseException: Whatever `progress_callback` raised, as it is.
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
    """Download from a presigned or public address into a file; as download(), which does the same for a bucket.

    A newly signed address of the same object continues an older download.

    Args:
        url: http or https, presigned (V1 or V4) or public, of OSS or of any server that supports ranges. An object
            for which it sends no CRC-64 is not verified.
        path: Where the file goes.
        refresh: See SignedURL.
        session: An aiohttp.ClientSession of the caller's, used and never closed; None: one is shared.
        keywords: As download(), without version_id and params, which would have to be signed.

    Raises:
        As download(). AccessDeniedError: The address has expired, and there is no new one.
    """
    options = checked_options(DownloadOptions, "download_url", keywords)
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
    """The client that concurrent calls of download() share: that of the calls that run now, or a new one."""
    loop = asyncio.get_running_loop()
    client = _shared.get(loop)
    if client is None or not client.is_leased:
        client = Client(concurrency=CONCURRENCY_OF_ALL, max_bytes_per_second=None, session=None, storage=STORAGE)
        _shared[loop] = client
    return client
