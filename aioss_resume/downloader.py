"""Downloader: one session, one signer, one set of limits. Its methods only call the use cases."""

import asyncio
import errno
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import aiohttp
from oss2 import defaults as oss2_defaults

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._file.download import Download
from aioss_resume._file.sharing import share
from aioss_resume._file.sync import sync
from aioss_resume._io.fetch import RequestCounts, Source
from aioss_resume._io.sign import check_bucket
from aioss_resume._io.storage import STORAGE
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.retrying import with_retries
from aioss_resume.errors import ConfigError, ObjectName, local_file_error
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

_KEY_MOST = 1023  # bytes of UTF-8. Source: OSS's object naming rules

F = TypeVar("F", bound=Callable[..., Any])  # Any: every signature


def _with_the_keywords_spelt_out(function: F) -> F:
    """Let help() and editors show the keywords, which are written once, in DownloadOptions."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(DownloadOptions)
    ]
    function.__signature__ = signature.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
    return function


class Downloader:
    """Downloads from one bucket, over one session and under one set of limits.

    Use it with `async with`, in one event loop; its methods may be called by any number of tasks of that loop.

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
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise ConfigError(f"session must be an aiohttp.ClientSession or None, not {type(session).__name__}")
        self._bucket = bucket
        self._concurrency = checked_concurrency(concurrency)
        self._rate = checked_rate(max_bytes_per_second)
        self._session = session
        self._storage = STORAGE
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        if self._client is not None:
            raise ConfigError("this Downloader is in use already: enter it once, or make another")
        self._loop = asyncio.get_running_loop()
        self._client = Client(
            self._bucket,
            concurrency=self._concurrency,
            max_bytes_per_second=self._rate,
            session=self._session,
            storage=self._storage,
        )
        self._client.lease()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        client, self._client = self._entered(), None
        await client.end_lease()

    def __repr__(self) -> str:
        state = "open" if self._client is not None else "closed"
        return f"<Downloader of oss://{self._bucket.bucket_name}, {state}>"

    @_with_the_keywords_spelt_out
    async def download(
        self, key: str, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
    ) -> DownloadResult:
        """Download an object into a file; as `aioss_resume.download()`, within this Downloader's limits."""
        client = self._entered()
        options = DownloadOptions(**keywords)
        if options.integrity == "require" and not self._bucket.enable_crc:
            raise ConfigError('integrity="require" contradicts the bucket\'s enable_crc=False')
        name = self._name(key)
        destination = await _destination(client, path, name)

        def make() -> Download:
            return Download(client, name, destination, options, self._timeouts(options.timeouts))

        return await share(client, name, destination, options, make)

    async def sync(self, results: Iterable[DownloadResult]) -> None:
        """Have files that were downloaded with `fsync=False`, and their names, on the disk when this returns.

        For a batch of small files it is cheaper than `fsync=True` for each of them: a directory is synced once for all
        of its files, and the disk has had time to begin. Until then a power cut may cost any of them.

        Args:
            results: What `download()` returned for them.

        Raises:
            ConfigError: Something else is among them.
            LocalFileError: A file could not be synced, or is gone; all others are on the disk then, or as it says.
        """
        await sync(self._entered(), results)

    async def head(
        self,
        key: str,
        *,
        version_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> ObjectMeta:
        """What OSS says of an object.

        Args:
            key: The object's.
            version_id: That version of it; None: the current one.
            headers, params: More request headers and query parameters, signed.

        Raises:
            AiossError: As `aioss_resume.download()`, less what concerns files.
        """
        client, counts = self._entered(), RequestCounts()
        source = Source(
            client.session,
            client.signer,
            client.bucket,
            self._name(key),
            version_id=version_id,
            headers=checked_headers(headers),
            params=checked_params(params),
            timeouts=self._timeouts(DEFAULT_TIMEOUTS),
            clock=client.clock,
            counts=counts,
        )
        slot = await client.slot()
        try:
            return await with_retries(source.head, DEFAULT_RETRY, client.clock, counts)
        finally:
            slot.release()

    def _entered(self) -> Client:
        if self._client is None:
            raise ConfigError("this Downloader is not open: use it within `async with`")
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigError("this Downloader belongs to another event loop: make one in each")
        return self._client

    def _name(self, key: str) -> ObjectName:
        if not isinstance(key, str) or not key:
            raise ConfigError(f"key must be a string that is not empty, not {key!r}")
        try:
            length = len(key.encode())
        except UnicodeEncodeError:
            length = 0
        if not 0 < length <= _KEY_MOST:
            raise ConfigError(f"key must have 1 to {_KEY_MOST} bytes of UTF-8; {ascii(key)[:80]} has not")
        return ObjectName(self._bucket.bucket_name, key)

    def _timeouts(self, given: Timeouts) -> Timeouts:
        """Those given; else the bucket's own connect_timeout, which oss2 applies to connecting and to reading."""
        own = self._bucket.timeout
        if given is not DEFAULT_TIMEOUTS or own == oss2_defaults.connect_timeout or not isinstance(own, int | float):
            return given
        return Timeouts(connect=own, response=own, stall=own)


@_with_the_keywords_spelt_out
async def download(
    bucket: Any, key: str, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
) -> DownloadResult:
    """Download an object of Alibaba Cloud OSS into a file; interrupted in any way, the next call goes on.

    The file appears at `path` as a whole or not at all, and only when the CRC-64 of what was written equals the
    object's. What is there already stays until then. Missing directories are made.

    Args:
        bucket: An oss2.Bucket: where, and as whom. Any: oss2 has no types.
        key: The object's, 1 to 1023 bytes of UTF-8.
        path: Where the file goes.
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
    concurrency = DownloadOptions(**keywords).concurrency  # checked before anything else
    most = CONCURRENCY_OF_ALL if concurrency == "auto" else concurrency
    async with Downloader(bucket, concurrency=most) as downloader:
        return await downloader.download(key, path, **keywords)


async def _destination(client: Client, path: str | os.PathLike[str], name: ObjectName) -> str:
    """The destination as an absolute path, or an error before anything is touched."""
    given = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(given, str) or not given or "\0" in given:
        raise ConfigError(f"path must be a file's path as str or PathLike, not {path!r}")
    if given.endswith(("/", "/.", "/..")) or given in (".", ".."):
        raise local_file_error("download to", errno.EISDIR, given, name=name)
    # A relative path asks for the working directory, which is a call of the system; an absolute one asks for nothing.
    absolute = os.path.abspath
    return absolute(given) if os.path.isabs(given) else await client.threads.run(absolute, given)  # noqa: PTH117
