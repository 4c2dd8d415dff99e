"""Records of what happened: the result of a download, and the events that `on_event` gets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from aioss_resume.errors import AiossError, printable


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """The result of a successful download.

    Attributes:
        path: The file.
        key, version_id, size, etag, crc64: The object, as OSS described it; size in bytes, the ETag without quotes.
        verified: Whether the CRC-64 of the file equals the one that OSS sent.
        resumed_bytes: Bytes kept from an earlier run and proven on the disk.
        fetched_bytes: Body bytes received in this run, each counted once. The sum of both is the size.
        requests: Number of requests that succeeded.
        attempts: Number of all requests, including those that failed and were tried again.
        elapsed: Seconds.
        skipped: Whether the file already had the object's content, so that nothing was fetched.
    """

    path: Path
    key: str
    version_id: str | None
    size: int
    etag: str
    crc64: int | None
    verified: bool
    resumed_bytes: int
    fetched_bytes: int
    requests: int
    attempts: int
    elapsed: float
    skipped: bool

    def __str__(self) -> str:
        how, path = "verified" if self.verified else "not verified", printable(str(self.path))
        if self.skipped:
            return f"{path}: {self.size:,} bytes were there already, {how}"
        requests = "1 request" if self.attempts == 1 else f"{self.attempts} requests"
        speed = self.fetched_bytes / self.elapsed / 2**20 if self.elapsed else 0.0
        return (
            f"{path}: {self.size:,} bytes, {self.resumed_bytes:,} kept, {self.fetched_bytes:,} fetched"
            f" in {self.elapsed:.2f} s ({speed:.1f} MiB/s), {requests}, {how}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base class of all events.

    Attributes:
        download_id: Identifies one download, stream or read in its events and log records.
        bucket, key: The object. For a SignedURL the bucket is its host, and the key is its path.
        dropped: How many events were dropped before this one, because the hook was too slow.
    """

    download_id: str
    bucket: str
    key: str
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadStarted(Event):
    """The metadata of the object is known, and fetching begins.

    Attributes:
        path: The destination.
        size: The size of the object in bytes; None if unknown.
        resumed_bytes: Bytes of an earlier run that will be proven.
    """

    path: Path
    size: int | None
    resumed_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFetched(Event):
    """A request received the bytes from `start` up to `stop` in `elapsed` seconds."""

    start: int
    stop: int
    elapsed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(Event):
    """An attempt failed; another one follows after `wait` seconds. `attempt` counts from 1."""

    error: AiossError
    attempt: int
    wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFlushed(Event):
    """The checkpoint was flushed to the disk: `bytes_done` bytes need not be fetched again."""

    bytes_done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChanged(Event):
    """The object was replaced, and the download starts from zero. An ETag is None if unknown."""

    old_etag: str | None
    new_etag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadVerified(Event):
    """The CRC-64 of the written bytes equals the object's."""

    crc64: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadCommitted(Event):
    """The file was renamed to its destination."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadFinished(Event):
    """The download succeeded."""

    result: DownloadResult


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadFailed(Event):
    """The download ended with an error; asyncio.CancelledError if it was cancelled."""

    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStarted(Event):
    """A stream or a read of `size` bytes from offset `start` begins."""

    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFinished(Event):
    """A stream or a read ended.

    Attributes:
        received_bytes: Bytes that the caller received.
        elapsed: Seconds.
        error: The error that ended it; None if it was read to its end, or left early.
    """

    received_bytes: int
    elapsed: float
    error: BaseException | None


EventHook: TypeAlias = Callable[[Event], Awaitable[None] | None]
"""Called with each event, plain or async."""
