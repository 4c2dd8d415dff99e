"""Every option with its default, its bounds and the reason for them.

This module has more than 300 lines because each option is documented and checked in one place.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypedDict, get_args

from aioss_resume.errors import ConfigError

KiB: Final = 1024
MiB: Final = 1024 * KiB
GiB: Final = 1024 * MiB

ProgressCallback: TypeAlias = Callable[[int, int | None], Awaitable[None] | None]
Overwrite: TypeAlias = Literal["always", "if_changed", "never"]
OnChange: TypeAlias = Literal["restart", "fail"]
OnBusy: TypeAlias = Literal["wait", "fail"]
Concurrency: TypeAlias = int | Literal["auto"]
Integrity: TypeAlias = Literal["auto", "require"]

PART_SIZE_LEAST: Final = 100 * KiB  # OSS's own minimum; below it, requests cost more than bytes
PART_SIZE_MOST: Final = 5 * GiB  # OSS's own largest part

MULTIGET_THRESHOLD: Final = 10 * MiB
"""Bytes below which an object is fetched with one request. oss2 has 100 MiB here, boto3 8 MiB."""

WINDOW: Final = 64 * MiB
"""Bytes that a stream keeps in memory. Eight connections of 25 MB/s fill it in a third of a second."""
WINDOW_LEAST: Final = 256 * KiB
MAX_GAP: Final = 256 * KiB
"""Bytes between two ranges that are rather fetched than left out by a request of their own."""

RESTARTS_MOST: Final = 3
"""How often a download starts from zero because the object was replaced. An object that is replaced
faster than it can be read would otherwise be fetched forever; s3transfer gives up at once."""

# What one span keeps in memory, and how far the checkpoint may lag behind.
WRITE_SIZE: Final = 1 * MiB
"""Bytes gathered for one write. 1 GiB over loopback took 1.49 s with 256 KiB, 1.23 with 512, 1.06 with 1 or 2 MiB."""
READ_MOST: Final = 256 * KiB
"""Bytes of one read from a connection; asyncio's own transports read as much."""
READ_LEAST: Final = 16 * KiB
READ_TURN: Final = 768 * KiB
"""Most bytes read in one iteration of the event loop over all connections, so that the host program's tasks run soon: a
connection reads READ_MOST if there are three, and less if there are more, but at least READ_LEAST. Beside one download
and ten streams, a trivial endpoint took 3.9 ms more at p99 with 512 KiB, 4.4 with 768, and 5.7 with 1 MiB; a single
stream took 5 % more time with 512 KiB."""
READ_BUFFER: Final = 128 * KiB
"""aiohttp's buffer for each connection; it stops reading the socket at twice that. Only what comes along with headers
and bodies of unknown length pass through it."""
WRITE_SECONDS: Final = 0.25
"""Seconds after which what was gathered is written however little, so that a slow connection loses little to a kill."""
FLUSH_BYTES: Final = 8 * MiB
"""New bytes after which the checkpoint is flushed, unless the last flush was FLUSH_PAUSE ago or less."""
FLUSH_BYTES_AT_ONCE: Final = 32 * MiB
"""New bytes after which it is flushed in any case: half of UNFLUSHED_MOST, so that writing goes on meanwhile."""
FLUSH_PAUSE: Final = 0.05
"""Least seconds between two flushes, and at least nine times what the last one took: a slow disk has other work too."""
UNFLUSHED_MOST: Final = 64 * MiB
"""Bytes that a kill may cost, besides what is in memory: writing waits for the flush beyond it."""
FLUSH_SECONDS: Final = 1.0
"""Seconds after which new bytes are flushed however few. aria2 flushes every 60 s, rclone every part."""

AUTO_PART_SLOTS: Final = 8
"""For how many slots "auto" cuts an object. Larger parts pause less often for a round trip: over 50 ms of latency,
parts for 32 slots cost 2 to 9 % of the speed. Slots beyond these take their share of what flies."""
CONCURRENCY_OF_ALL: Final = 32
"""Most range requests in flight in one Downloader. OSS grants an account 5 Gbit/s and more; 32 connections of the usual
25 MB/s each fill that."""

PROGRESS_SECONDS: Final = 0.1
"""Least seconds between two progress calls. tqdm's mininterval is 0.1 too."""


def _whole(name: str, value: object, *, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise ConfigError(f"{name} must be a whole number {bounds}, not {value!r}")


def _seconds(name: str, value: object, *, zero: bool = True) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (0 <= value <= sys.float_info.max)  # neither NaN, infinity nor a value that would overflow in sums
        or not (zero or value)
    ):
        raise ConfigError(f"{name} must be a number {'of at least' if zero else 'above'} 0, not {value!r}")


_CHOICES: Final = {
    "overwrite": get_args(Overwrite),
    "on_change": get_args(OnChange),
    "on_busy": get_args(OnBusy),
    "integrity": get_args(Integrity),
}


def _kind(name: str, value: object, kind: type | tuple[type, ...], words: str) -> None:
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be {words}, not {value!r}")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a span is tried, and how long between.

    Args:
        attempts: Most attempts for one span without progress, including the first; at least 1. botocore's standard mode
            has 3, oss2 none, object_store 10. Six attempts with these waits survive a fault of about ten seconds.
        deadline: Most seconds for the whole download, including waits for locks and retries; None for no limit.
        wait_initial: Upper bound of the first jittered wait in seconds. It doubles with each failure.
        wait_max: Upper bound of every wait in seconds, regardless of `Retry-After`. botocore also uses 20.
    """

    attempts: int = 6
    deadline: float | None = None
    wait_initial: float = 0.2
    wait_max: float = 20.0

    def __post_init__(self) -> None:
        _whole("RetryPolicy.attempts", self.attempts, least=1)
        if self.deadline is not None:
            _seconds("RetryPolicy.deadline", self.deadline)
        _seconds("RetryPolicy.wait_initial", self.wait_initial)
        _seconds("RetryPolicy.wait_max", self.wait_max)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits after which a connection is given up. Its span continues over another one.

    Args:
        connect: Most seconds to connect, including TLS. requests and oss2 use 60, curl 300, aiohttp 30.
        response: Most seconds from the request to the response's headers.
        stall: Most seconds without a byte of the body. object_store uses 30 for the whole request, boto3 60 per read.
        min_speed: Bytes per second below which a connection is given up; 0 for never. Like curl's --speed-limit.
        min_speed_window: Seconds over which the speed is measured. curl's --speed-time is 30 by default.
    """

    connect: float = 10.0
    response: float = 30.0
    stall: float = 30.0
    min_speed: float = 1024
    min_speed_window: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connect", "response", "stall", "min_speed_window"):
            _seconds(f"Timeouts.{name}", getattr(self, name), zero=False)
        _seconds("Timeouts.min_speed", self.min_speed)


DEFAULT_RETRY: Final = RetryPolicy()
DEFAULT_TIMEOUTS: Final = Timeouts()
"""Where a download has this very object, its bucket's own connect_timeout counts, if it has one."""


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """A directory for checkpoints, instead of beside the destinations. Part files stay beside the destinations.

    Args:
        directory: Created if it does not exist, accessible to this user only.
    """

    directory: str | os.PathLike[str]

    def __post_init__(self) -> None:
        if not isinstance(self.directory, str | os.PathLike) or not os.fspath(self.directory):
            raise ConfigError(f"CheckpointStore's directory must be a path, not {self.directory!r}")
        object.__setattr__(self, "directory", Path(os.fspath(self.directory)))


class ReadKeywords(TypedDict, total=False):
    """The keywords of `Downloader.read()`; ReadOptions describes each one."""

    version_id: str | None
    part_size: int | None
    concurrency: Concurrency
    headers: Mapping[str, str] | None
    params: Mapping[str, str] | None
    integrity: Integrity
    retry: RetryPolicy
    timeouts: Timeouts


class RangesKeywords(ReadKeywords, total=False):
    """The keywords of `Downloader.read_ranges()`; RangesOptions describes each one."""

    max_gap: int


class StreamKeywords(ReadKeywords, total=False):
    """The keywords of `Downloader.stream()`; StreamOptions describes each one."""

    window: int


class DownloadKeywords(ReadKeywords, total=False):
    """The keywords of `download()`; DownloadOptions describes each one."""

    multiget_threshold: int | None
    store: CheckpointStore | None
    progress_callback: ProgressCallback | None
    overwrite: Overwrite
    on_change: OnChange
    on_busy: OnBusy
    fsync: bool
    adopt: bool


class PrefixKeywords(DownloadKeywords, total=False):
    """The keywords of `download_prefix()`; PrefixOptions describes each one."""

    include: str | Sequence[str]
    exclude: str | Sequence[str]
    delete_extra: bool | Literal["force"]
    dry_run: bool
    stop_on_error: bool
    manifest: str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Options of `read()` and `read_into()`, which all other methods share.

    Args:
        version_id: The version of the object; None for the current one.
        part_size: Most bytes of one range request, 100 KiB to 5 GiB; None to choose it from the object's size.
        concurrency: Most range requests in flight, at least 1. "auto" uses as many as make it faster, from 4 up to the
            limit of the Downloader (32 in `download()`). With 10 MB/s per connection, 512 MiB took 6.9 s with 8
            requests and 2.2 s with "auto". oss2 uses 4 threads, boto3 and aws-c-s3 10.
        headers: Additional request headers, which are signed.
        params: Additional query parameters, which are signed.
        integrity: "require" fails if OSS sends no CRC-64; "auto" fetches the object anyway.
        retry: The retry policy for each span.
        timeouts: Limits after which a connection is given up.
    """

    version_id: str | None = None
    part_size: int | None = None
    concurrency: Concurrency = "auto"
    headers: Mapping[str, str] | None = None
    params: Mapping[str, str] | None = None
    integrity: Integrity = "auto"
    retry: RetryPolicy = DEFAULT_RETRY
    timeouts: Timeouts = DEFAULT_TIMEOUTS

    def __post_init__(self) -> None:
        if self.version_id is not None and (not isinstance(self.version_id, str) or not self.version_id):
            raise ConfigError(f"version_id must be a version's id or None, not {self.version_id!r}")
        if self.part_size is not None:
            _whole("part_size", self.part_size, least=PART_SIZE_LEAST, most=PART_SIZE_MOST)
        if self.concurrency != "auto":
            _whole("concurrency", self.concurrency, least=1)
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name, choices[0])) not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
        _kind("retry", self.retry, RetryPolicy, "a RetryPolicy")
        _kind("timeouts", self.timeouts, Timeouts, "a Timeouts")
        object.__setattr__(self, "headers", checked_headers(self.headers))
        params = dict(checked_params(self.params))
        if "versionId" in params:  # how oss2 asks for a version
            version_id = params.pop("versionId")
            if not version_id:
                raise ConfigError("params['versionId'] must be a version's id: leave it out for the current version")
            if self.version_id not in (None, version_id):
                raise ConfigError("version_id and params['versionId'] name different versions: pass one of them")
            object.__setattr__(self, "version_id", version_id)
        object.__setattr__(self, "params", params)

    @property
    def part_slots(self) -> int:
        """The number of slots from which the part size is chosen if the caller did not pass one."""
        return AUTO_PART_SLOTS if self.concurrency == "auto" else self.concurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class RangesOptions(ReadOptions):
    """Options of `read_ranges()`.

    Args:
        max_gap: Ranges with at most this many bytes between them are fetched by one request, including these bytes. A
            request costs about as much as 256 KiB. obstore uses 1 MiB.
    """

    max_gap: int = MAX_GAP

    def __post_init__(self) -> None:
        ReadOptions.__post_init__(self)  # super() fails in a class with slots
        _whole("max_gap", self.max_gap, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions(ReadOptions):
    """Options of `stream()`.

    Args:
        window: Most bytes kept in memory for the stream, at least 256 KiB.
    """

    window: int = WINDOW

    def __post_init__(self) -> None:
        ReadOptions.__post_init__(self)
        _whole("window", self.window, least=WINDOW_LEAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions(ReadOptions):
    """Options of `download()`.

    Args:
        multiget_threshold: A smaller object, in bytes, is fetched with one request and keeps no checkpoint. None for
            the default, 10 MiB.
        store: Where checkpoints are kept; None for beside the destination.
        progress_callback: Called as callback(consumed_bytes, total_bytes), plain or async. In a batch it is called for
            each of the downloads on its own.
        overwrite: "always", "if_changed" (skip if the file has the object's size and CRC-64) or "never".
        on_change: What to do if the object is replaced: "restart" from zero (at most 3 times) or "fail".
        on_busy: What to do if another process is downloading to this path: "wait" or "fail". Other processes only see
            the download of a small object after 50 ms; before that, both may fetch the whole object.
        fsync: Whether the file and its directory must be on the disk before `download` returns.
        adopt: Whether to continue a download to this path that oss2, aiooss2 or alibabacloud-oss-v2 left unfinished, if
            its record is in the default location. Its bytes are proven first.
    """

    multiget_threshold: int = MULTIGET_THRESHOLD
    store: CheckpointStore | None = None
    progress_callback: ProgressCallback | None = None
    overwrite: Overwrite = "always"
    on_change: OnChange = "restart"
    on_busy: OnBusy = "wait"
    fsync: bool = True
    adopt: bool = False

    def __post_init__(self) -> None:
        ReadOptions.__post_init__(self)
        given: object = self.multiget_threshold
        if given is None:  # means the default, as in oss2
            object.__setattr__(self, "multiget_threshold", MULTIGET_THRESHOLD)
        _whole("multiget_threshold", self.multiget_threshold, least=0)
        _kind("fsync", self.fsync, bool, "True or False")
        _kind("adopt", self.adopt, bool, "True or False")
        if self.store is not None:
            _kind("store", self.store, CheckpointStore, "a CheckpointStore or None")
        if self.progress_callback is not None and not callable(self.progress_callback):
            raise ConfigError(f"progress_callback must be callable, not {self.progress_callback!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixOptions(DownloadOptions):
    """Options of `download_prefix()`.

    Args:
        include: Patterns for the key below the prefix; only matching keys are downloaded. `*` and `?` match characters
            other than a slash, `**` any characters. A string is one pattern. Empty for all keys.
        exclude: Patterns for keys that are not downloaded.
        overwrite: As in download(). The default is "if_changed", which looks into the manifest first.
        delete_extra: Whether to delete files whose objects no longer exist. Nothing is deleted if more than half of the
            files would be, unless this is "force".
        dry_run: Whether to only report what would be done. A file without an entry in the manifest "would_download".
        stop_on_error: Whether the first failure cancels the other downloads and is raised.
        manifest: The file that records what was downloaded; None for `.aioss-resume.sqlite` in the directory.
    """

    include: str | Sequence[str] = ()
    exclude: str | Sequence[str] = ()
    overwrite: Overwrite = "if_changed"
    delete_extra: bool | Literal["force"] = False
    dry_run: bool = False
    stop_on_error: bool = False
    manifest: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        DownloadOptions.__post_init__(self)
        for name in ("include", "exclude"):
            object.__setattr__(self, name, _patterns(name, getattr(self, name)))
        if self.delete_extra not in (True, False, "force"):
            raise ConfigError(f'delete_extra must be True, False or "force", not {self.delete_extra!r}')
        _kind("dry_run", self.dry_run, bool, "True or False")
        _kind("stop_on_error", self.stop_on_error, bool, "True or False")
        if self.manifest is not None:
            _kind("manifest", self.manifest or None, (str, os.PathLike), "a file's path or None")
        if self.version_id is not None:
            raise ConfigError("version_id: the objects of a prefix have different versions: leave it out")


def _patterns(name: str, given: object) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else given
    if patterns is None:
        return ()
    if not isinstance(patterns, Sequence) or not all(isinstance(each, str) and each for each in patterns):
        raise ConfigError(f"{name} must be a pattern or a list of them, not {given!r}")
    return tuple(patterns)


RESERVED_HEADERS: Final = frozenset(
    {
        "range", "if-match", "host", "authorization", "accept-encoding", "content-length", "transfer-encoding",
        "connection", "x-oss-date", "x-oss-content-sha256", "x-oss-security-token", "x-oss-range-behavior", "date",
    }
)  # fmt: skip
"""Headers that a download sets itself."""
_RESERVED_PARAMS: Final = (
    "x-oss-signature",
    "x-oss-credential",
    "x-oss-date",
    "x-oss-expires",
    "signature",
    "ossaccesskeyid",
)


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Check request headers: names and values are strings on one line, and none is reserved. Raises ConfigError."""
    found = _strings("headers", headers)
    for name, value in found.items():
        if name.lower() in RESERVED_HEADERS:
            raise ConfigError(f"headers: {name!r} is set by the download itself: leave it out")
        if not name or any(c in name + value for c in "\r\n\0"):
            raise ConfigError(f"headers: {name!r} has a line break or no name")
    return found


def checked_params(params: Mapping[str, str] | None) -> dict[str, str]:
    """Check query parameters. Raises ConfigError."""
    found = _strings("params", params)
    for name in found:
        if name.lower().startswith(_RESERVED_PARAMS):
            raise ConfigError(f"params: {name!r} belongs to a signature, which is made here: leave it out")
    return found


def checked_concurrency(concurrency: int) -> int:
    """Check a number of requests in flight. Raises ConfigError."""
    _whole("concurrency", concurrency, least=1)
    return concurrency


def checked_rate(rate: float | None) -> float | None:
    """Check a number of bytes per second. Raises ConfigError."""
    if rate is not None:
        _seconds("max_bytes_per_second", rate, zero=False)
    return rate


def _strings(what: str, given: Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what} must be a mapping of strings, not {type(given).__name__}")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigError(f"{what}: {name!r} must be a string with a string as its value; '' for a flag")
    return dict(given)
