"""Resumable downloads from Alibaba Cloud OSS for asyncio."""

from aioss_resume._core.objects import ObjectMeta
from aioss_resume.downloader import Downloader, download
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
from aioss_resume.events import DownloadResult
from aioss_resume.options import CheckpointStore, RetryPolicy, Timeouts

__all__ = [
    "AccessDeniedError",
    "AiossError",
    "CheckpointStore",
    "ConfigError",
    "CredentialsError",
    "DownloadInProgressError",
    "DownloadResult",
    "Downloader",
    "IntegrityError",
    "LocalFileError",
    "NoSuchBucketError",
    "NoSuchKeyError",
    "ObjectArchivedError",
    "ObjectChangedError",
    "ObjectMeta",
    "ObjectNotFoundError",
    "ProtocolError",
    "RequestError",
    "RetryPolicy",
    "ServerFaultError",
    "ServiceError",
    "SignatureError",
    "ThrottledError",
    "Timeouts",
    "download",
]
