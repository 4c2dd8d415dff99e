"""Downloader and download(): the public entry points. They check their arguments and call the use cases."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, Unpack
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
from oss2 import defaults as oss2_defaults

from aioss_resume._arguments import destination, download_options, object_name, with_explicit_keywords
from aioss_resume._calls import Calls, closed_error
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._file.download import Download
from aioss_resume._file.sharing import DownloadRequest, share
from aioss_resume._file.sync import sync
from aioss_resume._io.fetch import RequestCounts, Source
from aioss_resume._io.origin import Origin
from aioss_resume._io.session import check_netrc, check_session
from aioss_resume._io.sign import check_bucket
from aioss_resume._io.storage import STORAGE
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.retrying import with_retries
from aioss_resume.errors import ConfigError, ObjectName
from aioss_resume.events import DownloadResult
from aioss_resume.options import (
    CONCURRENCY_OF_ALL,
    DEFAULT_RETRY,
    DEFAULT_TIMEOUTS,
    DownloadKeywords,
    DownloadOptions,
    Timeouts,
    checked_concurrency,
    checked_headers,
    checked_params,
    checked_rate,
)


class Downloader:
    """Downloads from one bucket, over one session and under one set of limits.

    Use it with `async with`, in one event loop; its methods may be called by any number of tasks of that loop. Leaving
    the block ends what still runs through it: those calls raise RequestError, and what they wrote can be resumed. A
    transfer that a caller of another Downloader has joined goes on.

    Args:
        bucket: An oss2.Bucket: its auth, endpoint, name, region, addressing, proxies, timeout and enable_crc count.
            Nothing is sent through its own session. Any: oss2 has no types.
        concurrency: Most range requests in flight over all that runs here, shared fairly; at least 1.
        max_bytes_per_second: Over all that runs here; None: no limit.
        session: An aiohttp.ClientSession of the caller's, used and never closed; None: one is made.

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
    ) -> None:
        check_bucket(bucket)
        check_session(session)
        self._bucket = bucket
        self._concurrency = checked_concurrency(concurrency)
        self._rate = checked_rate(max_bytes_per_second)
        self._session = session
        self._storage = STORAGE
        self._client: Client | None = None
        self._origin: Origin | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls = Calls()

    async def __aenter__(self) -> Self:
        if self._client is not None:
            raise ConfigError("this Downloader is in use already: enter it once, or make another")
        self._enter(
            Client(
                concurrency=self._concurrency,
                max_bytes_per_second=self._rate,
                session=self._session,
                storage=self._storage,
            )
        )
        if self._session is not None and self._session.trust_env:
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
        state = "open" if self._client is not None else "closed"
        return f"<Downloader of oss://{self._bucket.bucket_name}, {state}>"

    @with_explicit_keywords
    async def download(
        self, key: str, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
    ) -> DownloadResult:
        """Download an object into a file; as `aioss_resume.download()`, within this Downloader's limits."""
        return await self._download(self._open_client(), key, path, download_options(keywords))

    async def _download(
        self, client: Client, key: str, path: str | os.PathLike[str], options: DownloadOptions
    ) -> DownloadResult:
        if options.integrity == "require" and not self._bucket.enable_crc:
            raise ConfigError('integrity="require" contradicts the bucket\'s enable_crc=False')
        name = object_name(self._bucket.bucket_name, key)
        with self._calls.call():
            absolute = await destination(client, path, name)
            origin = self._open_origin()

            def make() -> Download:
                return Download(client, origin, name, absolute, options, self._timeouts(options.timeouts))

            return await share(DownloadRequest(client, self._bucket.endpoint, name, absolute, options), make)
        raise closed_error(name)

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
        client = self._open_client()
        with self._calls.call():
            return await sync(client, self._bucket.bucket_name, results)
        raise closed_error(ObjectName(self._bucket.bucket_name, ""))

    async def head(
        self,
        key: str,
        *,
        version_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> ObjectMeta:
        """The metadata of an object.

        Args:
            key: The object's.
            version_id: That version of it; None: the current one.
            headers, params: More request headers and query parameters, signed.

        Raises:
            AiossError: As `aioss_resume.download()`, less what concerns files.
        """
        client, counts, name = self._open_client(), RequestCounts(), object_name(self._bucket.bucket_name, key)
        source = Source(
            client.session,
            self._open_origin(),
            name,
            version_id=version_id,
            headers=checked_headers(headers),
            params=checked_params(params),
            timeouts=self._timeouts(DEFAULT_TIMEOUTS),
            clock=client.clock,
            counts=counts,
        )
        with self._calls.call(), await client.slot():
            return await with_retries(source.head, DEFAULT_RETRY, client.clock, counts)
        raise closed_error(name)

    def _enter(self, client: Client) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        client.lease()

    def _open_client(self) -> Client:
        if self._client is None:
            raise ConfigError("this Downloader is not open: use it within `async with`")
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigError("this Downloader belongs to another event loop: make one in each")
        return self._client

    def _open_origin(self) -> Origin:
        """The bucket as requests reach it. Kept as long as this is open, with the keys that it has fetched."""
        if self._origin is None:
            self._origin = self._open_client().origin(self._bucket)
        return self._origin

    def _timeouts(self, given: Timeouts) -> Timeouts:
        """The given ones, or the bucket's connect_timeout, which oss2 applies to connecting and reading."""
        own = self._bucket.timeout
        if given is not DEFAULT_TIMEOUTS or own == oss2_defaults.connect_timeout or not isinstance(own, int | float):
            return given
        return Timeouts(connect=own, response=own, stall=own)


_shared: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Client]] = WeakKeyDictionary()
# What concurrent calls of download() share, by event loop, as long as one of them runs.


@with_explicit_keywords
async def download(
    bucket: Any, key: str, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
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
            progress_callback, headers, params, overwrite, on_change, on_busy, integrity, fsync, retry, timeouts.

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
    options = download_options(keywords)  # checked before anything else
    downloader = Downloader(bucket)
    client = _shared_client()
    downloader._enter(client)
    try:
        if options.concurrency != "auto":
            client.allow(options.concurrency)
        return await downloader._download(client, key, path, options)
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
