"""Downloader and download(): the front door. Its methods check their arguments and call the use cases."""

import asyncio
import difflib
import errno
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
from anyio import CancelScope
from oss2 import defaults as oss2_defaults

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._file.disk import USE_STREAM
from aioss_resume._file.download import Download
from aioss_resume._file.sharing import Wish, share
from aioss_resume._file.sync import sync
from aioss_resume._io.cancellation import wait_uncancelled
from aioss_resume._io.fetch import RequestCounts, Source
from aioss_resume._io.origin import Origin
from aioss_resume._io.resolve import NOT_REGULAR, is_system_path
from aioss_resume._io.session import check_netrc, check_session
from aioss_resume._io.sign import check_bucket
from aioss_resume._io.storage import STORAGE
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.retrying import with_retries
from aioss_resume.errors import ConfigError, ObjectName, RequestError, local_file_error
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

_KEY_MOST: Final = 1023  # bytes of UTF-8. Source: OSS's object naming rules

_KEYWORDS: Final = tuple(field.name for field in fields(DownloadOptions))
_OTHERS_KEYWORDS: Final = {
    "num_threads": "concurrency",
    "filename": "path",
    "byte_range": "part_size",
    "process": "params={'x-oss-process': ...}",
    "versionId": "version_id",
    "parallel_num": "concurrency",
}
# What oss2 and alibabacloud-oss-v2 call ours.

F = TypeVar("F", bound=Callable[..., Any])  # Any: every signature


def _with_explicit_keywords(function: F) -> F:
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
        self._calls: set[CancelScope] = set()
        self._all_calls_ended = asyncio.Event()

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
        self._all_calls_ended.clear()
        for scope in self._calls:
            scope.cancel()
        cancelled = await wait_uncancelled(lambda: not self._calls, self._all_calls_ended.wait)
        await client.end_lease()
        if cancelled:
            raise cancelled

    def __repr__(self) -> str:
        state = "open" if self._client is not None else "closed"
        return f"<Downloader of oss://{self._bucket.bucket_name}, {state}>"

    @_with_explicit_keywords
    async def download(
        self, key: str, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
    ) -> DownloadResult:
        """Download an object into a file; as `aioss_resume.download()`, within this Downloader's limits."""
        client, options = self._open_client(), _options(keywords)
        if options.integrity == "require" and not self._bucket.enable_crc:
            raise ConfigError('integrity="require" contradicts the bucket\'s enable_crc=False')
        name = self._name(key)
        with self._call(name):
            destination = await _destination(client, path, name)
            origin = self._open_origin()

            def make() -> Download:
                return Download(client, origin, name, destination, options, self._timeouts(options.timeouts))

            return await share(Wish(client, self._bucket.endpoint, name, destination, options), make)

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
        client = self._open_client()
        with self._call(ObjectName(self._bucket.bucket_name, "")):
            await sync(client, self._bucket.bucket_name, results)

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
        client, counts, name = self._open_client(), RequestCounts(), self._name(key)
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
        with self._call(name), await client.slot():
            return await with_retries(source.head, DEFAULT_RETRY, client.clock, counts)

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

    def _call(self, name: ObjectName) -> "_Call":
        return _Call(self, name)

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


class _Call:
    """The time of one call, which ends early when its Downloader is closed."""

    def __init__(self, downloader: Downloader, name: ObjectName) -> None:
        self._downloader = downloader
        self._name = name
        self._scope = CancelScope()

    def __enter__(self) -> None:
        self._scope.__enter__()
        self._downloader._calls.add(self._scope)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        downloader = self._downloader
        downloader._calls.discard(self._scope)
        if not downloader._calls:
            downloader._all_calls_ended.set()
        is_over = self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught:
            raise RequestError(
                f"{self._name}: the Downloader was closed",
                name=self._name,
                hint="keep its `async with` block open until its calls have ended; what was written is kept",
            ) from None
        return is_over


_shared: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Client]] = WeakKeyDictionary()
# What concurrent calls of download() share, by event loop, as long as one of them runs.


@_with_explicit_keywords
async def download(
    bucket: Any, key: str, path: str | os.PathLike[str], **keywords: Unpack[DownloadKeywords]
) -> DownloadResult:
    """Download an object of Alibaba Cloud OSS into a file; interrupted in any way, the next call goes on.

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
    concurrency = _options(keywords).concurrency  # checked before anything else
    downloader = Downloader(bucket)
    client = _shared_client()
    downloader._enter(client)
    try:
        if concurrency != "auto":
            client.allow(concurrency)
        return await downloader.download(key, path, **keywords)
    finally:
        await _end_shared_lease(client)


def _shared_client() -> Client:
    """The client that concurrent calls of download() share: that of the calls that run now, or a new one."""
    loop = asyncio.get_running_loop()
    client = _shared.get(loop)
    if client is None or not client.is_leased:
        client = Client(concurrency=CONCURRENCY_OF_ALL, max_bytes_per_second=None, session=None, storage=STORAGE)
        _shared[loop] = client
    return client


async def _end_shared_lease(client: Client) -> None:
    try:
        await client.end_lease()
    finally:
        loop = asyncio.get_running_loop()
        if not client.is_leased and _shared.get(loop) is client:
            del _shared[loop]  # a client refers to its loop, and would keep it alive


def _options(keywords: Mapping[str, Any]) -> DownloadOptions:  # Any: they are checked here
    """The options that the keywords make.

    Raises:
        TypeError: A keyword that there is not; the message names the one that was probably meant.
        ConfigError: A value that cannot be.
    """
    for name in keywords:
        if name not in _KEYWORDS:
            near = difflib.get_close_matches(name, _KEYWORDS, n=1)
            meant = _OTHERS_KEYWORDS.get(name) or (near[0] if near else None)
            hint = f"; did you mean {meant!r}?" if meant else f"; there are {', '.join(_KEYWORDS)}"
            raise TypeError(f"download() got an unexpected keyword argument {name!r}{hint}")
    return DownloadOptions(**keywords)


async def _destination(client: Client, path: str | os.PathLike[str], name: ObjectName) -> str:
    """The destination as an absolute path, or an error before anything is touched."""
    given = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(given, str) or not given or "\0" in given:
        raise ConfigError(f"path must be a file's path as str or PathLike, not {path!r}")
    if given.endswith(("/", "/.", "/..")) or given in (".", ".."):
        raise local_file_error("download to", errno.EISDIR, given, name=name)
    # A relative path asks for the working directory, which is a call of the system; an absolute one asks for nothing.
    absolute = os.path.abspath
    found = absolute(given) if os.path.isabs(given) else await client.threads.run(absolute, given)  # noqa: PTH117
    if is_system_path(found):
        raise local_file_error("download to", NOT_REGULAR, found, name=name, hint=USE_STREAM)
    return found
