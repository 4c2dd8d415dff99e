"""Resumable downloads from Alibaba Cloud OSS for asyncio.

The names below are imported at once, so that nothing is left to be imported while an event loop runs. Only the command
of this package imports them when they are used: its --help needs none of them.
"""

import sys
from typing import TYPE_CHECKING, Final

from aioss_resume._lazy import attach

if TYPE_CHECKING:
    from aioss_resume._batch.listing import ObjectListing
    from aioss_resume._batch.outcomes import Outcome, PrefixOutcome, PrefixSummary
    from aioss_resume._core.objects import ObjectMeta
    from aioss_resume._stream.stream import ObjectStream
    from aioss_resume.compat import resumable_download
    from aioss_resume.downloader import Downloader, download, download_url
    from aioss_resume.errors import (
        AccessDeniedError,
        AiossError,
        ConfigError,
        CredentialsError,
        DownloadInProgressError,
        IntegrityError,
        LocalFileError,
        NoSuchBucketError,
        NoSuchKeyError,
        ObjectArchivedError,
        ObjectChangedError,
        ObjectNotFoundError,
        ProtocolError,
        RequestError,
        ServerFaultError,
        ServiceError,
        SignatureError,
        ThrottledError,
    )
    from aioss_resume.events import (
        AttemptFailed,
        CheckpointFlushed,
        DownloadCommitted,
        DownloadFailed,
        DownloadFinished,
        DownloadResult,
        DownloadStarted,
        DownloadVerified,
        Event,
        ObjectChanged,
        SpanFetched,
        StreamFinished,
        StreamStarted,
    )
    from aioss_resume.options import CheckpointStore, RetryPolicy, Timeouts
    from aioss_resume.urls import SignedURL

__all__ = [
    "AccessDeniedError",
    "AiossError",
    "AttemptFailed",
    "CheckpointFlushed",
    "CheckpointStore",
    "ConfigError",
    "CredentialsError",
    "DownloadCommitted",
    "DownloadFailed",
    "DownloadFinished",
    "DownloadInProgressError",
    "DownloadResult",
    "DownloadStarted",
    "DownloadVerified",
    "Downloader",
    "Event",
    "IntegrityError",
    "LocalFileError",
    "NoSuchBucketError",
    "NoSuchKeyError",
    "ObjectArchivedError",
    "ObjectChanged",
    "ObjectChangedError",
    "ObjectListing",
    "ObjectMeta",
    "ObjectNotFoundError",
    "ObjectStream",
    "Outcome",
    "PrefixOutcome",
    "PrefixSummary",
    "ProtocolError",
    "RequestError",
    "RetryPolicy",
    "ServerFaultError",
    "ServiceError",
    "SignatureError",
    "SignedURL",
    "SpanFetched",
    "StreamFinished",
    "StreamStarted",
    "ThrottledError",
    "Timeouts",
    "download",
    "download_url",
    "resumable_download",
]

_HOMES: Final = {
    "_batch.listing": ("ObjectListing",),
    "_batch.outcomes": (
        "Outcome",
        "PrefixOutcome",
        "PrefixSummary",
    ),
    "_core.objects": ("ObjectMeta",),
    "_stream.stream": ("ObjectStream",),
    "compat": ("resumable_download",),
    "downloader": (
        "Downloader",
        "download",
        "download_url",
    ),
    "errors": (
        "AccessDeniedError",
        "AiossError",
        "ConfigError",
        "CredentialsError",
        "DownloadInProgressError",
        "IntegrityError",
        "LocalFileError",
        "NoSuchBucketError",
        "NoSuchKeyError",
        "ObjectArchivedError",
        "ObjectChangedError",
        "ObjectNotFoundError",
        "ProtocolError",
        "RequestError",
        "ServerFaultError",
        "ServiceError",
        "SignatureError",
        "ThrottledError",
    ),
    "events": (
        "AttemptFailed",
        "CheckpointFlushed",
        "DownloadCommitted",
        "DownloadFailed",
        "DownloadFinished",
        "DownloadResult",
        "DownloadStarted",
        "DownloadVerified",
        "Event",
        "ObjectChanged",
        "SpanFetched",
        "StreamFinished",
        "StreamStarted",
    ),
    "options": (
        "CheckpointStore",
        "RetryPolicy",
        "Timeouts",
    ),
    "urls": ("SignedURL",),
}
__getattr__, __dir__ = attach(__name__, _HOMES, ("compat", "contrib", "errors", "events", "options", "testing", "urls"))


def _is_own_command() -> bool:
    started_as = sys.argv[0] if sys.argv else ""
    return started_as.endswith(("/aioss-resume", "\\aioss-resume.exe")) or sys.orig_argv[1:3] == ["-m", __name__]


if not _is_own_command():
    for _name in __all__:
        __getattr__(_name)
