"""Everything that is raised on purpose, in one tree.

    AiossError
    ├── ConfigError (ValueError)            a bad argument; raised before any request
    ├── CredentialsError                    no usable keys
    ├── RequestError                        no usable answer: could not connect, stalled, too slow, cut short
    ├── ProtocolError                       an answer that contradicts the request, a redirect
    ├── ServiceError (oss2 ServerError)     OSS said no
    │   ├── ObjectNotFoundError (oss2 NotFound)
    │   │   ├── NoSuchKeyError (oss2 NoSuchKey)
    │   │   └── NoSuchBucketError (oss2 NoSuchBucket)
    │   ├── AccessDeniedError
    │   │   └── SignatureError (oss2 SignatureDoesNotMatch)
    │   ├── ObjectArchivedError             must be restored first
    │   ├── ThrottledError                  429, 503
    │   └── ServerFaultError                other 5xx
    ├── ObjectChangedError                  replaced or deleted while downloading
    ├── IntegrityError (oss2 InconsistentError)
    ├── DownloadInProgressError             the path is taken and on_busy="fail"
    └── LocalFileError (OSError)            disk full, no permission, a path that cannot be: errno kept

An error for an answer of OSS is also an instance of the class that oss2.exceptions has for that status and code, and
an error of the file system is also the builtin for its errno: such classes are combined when they are first needed.
Every error pickles, and none carries a key, a token, a signature or an address with a query.

This module has more than 300 lines because the tree stands in one place.
"""

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from oss2 import exceptions as oss2_exceptions

__all__ = [
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
]


def printable(text: str) -> str:
    """Escape control characters in text from others, so that they do not reach a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class ObjectName(NamedTuple):
    """The bucket and key of an object, which every message names.

    For an address, they are its scheme and host, and its path.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        if "://" in self.bucket:
            return printable(f"{self.bucket}{self.key}")
        return f"oss://{printable(f'{self.bucket}/{self.key}')}"


class AiossError(Exception):
    """The root of everything that aioss_resume raises on purpose.

    Attributes:
        bucket, key: The requested object; None if the error does not concern an object.
        hint: What to do about the error; None if there is nothing to add.
    """

    bucket: str | None = None
    key: str | None = None
    hint: str | None = None

    def __init__(self, text: str, *, name: ObjectName | None = None, hint: str | None = None) -> None:
        Exception.__init__(self, text)  # not super(): the other base classes take other arguments
        self._text = text
        self.bucket, self.key = name or (None, None)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self._text}; {self.hint}" if self.hint else self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:  # Any: the form that pickle asks for
        parts = getattr(type(self), "_parts", (type(self),))
        errno_fields = (self.errno, self.strerror, self.filename) if isinstance(self, OSError) else None
        return _rebuilt, (parts, self.args, self.__dict__.copy(), errno_fields)


class ConfigError(AiossError, ValueError):
    """An invalid argument; raised before any request."""


class CredentialsError(AiossError):
    """The bucket's auth gave no usable keys.

    Attributes:
        is_temporary: Whether the provider raised an exception, and may return keys later.
    """

    is_temporary = False


class RequestError(AiossError):
    """No usable answer: could not connect, stalled, too slow, cut short. Tried again, unless `permanent`.

    Attributes:
        errno: The error number of the operating system, if there is one.
        is_past_deadline: Whether the policy's deadline has passed.
    """

    permanent = False
    is_past_deadline = False
    errno: int | None = None


class ProtocolError(AiossError):
    """An answer that contradicts the request, or a redirect. Tried again a few times."""


class ServiceError(AiossError, oss2_exceptions.ServerError):  # type: ignore[misc]  # oss2 has no types
    """OSS said no.

    Attributes:
        status: The HTTP status.
        code, message: OSS's error code and message; code is "" if the response had none.
        request_id, ec: Identifiers for Alibaba Cloud's support.
        details: These values as a dict, like in oss2's errors.
        retry_after: Seconds to wait, as requested by OSS, or None.
    """

    status: int
    code: str
    message: str
    request_id: str
    ec: str
    retry_after: float | None = None


class ObjectNotFoundError(ServiceError, oss2_exceptions.NotFound):  # type: ignore[misc]
    """404: no such object, version or bucket."""


class NoSuchKeyError(ObjectNotFoundError, oss2_exceptions.NoSuchKey):  # type: ignore[misc]
    """The bucket has no object with that key."""


class NoSuchBucketError(ObjectNotFoundError, oss2_exceptions.NoSuchBucket):  # type: ignore[misc]
    """There is no such bucket."""


class AccessDeniedError(ServiceError):
    """403: the keys are unknown, expired or may not do this."""


class SignatureError(AccessDeniedError, oss2_exceptions.SignatureDoesNotMatch):  # type: ignore[misc]
    """OSS computed another signature than we did; usually the secret is wrong."""


class ObjectArchivedError(ServiceError):
    """The object is archived and must be restored before it can be read."""


class ThrottledError(ServiceError):
    """429 or 503: too much at once. Tried again, slower."""


class ServerFaultError(ServiceError):
    """Any other 5xx. Tried again."""


class ObjectChangedError(AiossError):
    """The object was replaced or deleted while it was downloaded."""

    is_deleted = False
    is_refused_etag = False


class IntegrityError(AiossError, oss2_exceptions.InconsistentError):  # type: ignore[misc]
    """The bytes that came are not the object's: their CRC-64 differs, or there is none to compare with."""

    def __init__(self, text: str, *, name: ObjectName | None = None, hint: str | None = None) -> None:
        AiossError.__init__(self, text, name=name, hint=hint)
        _fill_in_oss2_fields(self, oss2_exceptions.OSS_INCONSISTENT_ERROR_STATUS, {}, text)


class DownloadInProgressError(AiossError):
    """Another download to the same path is under way, and on_busy="fail"."""


class LocalFileError(AiossError, OSError):
    """The disk is full, the path cannot be, a permission is missing. `errno` says which. Never tried again."""

    def __init__(self, text: str, *, name: ObjectName | None = None, hint: str | None = None) -> None:
        AiossError.__init__(self, text, name=name, hint=hint)

    def __str__(self) -> str:  # OSError's own would print errno and strerror only
        return AiossError.__str__(self)


def service_error(
    status: int,
    details: Mapping[str, str],
    *,
    name: ObjectName,
    retry_after: float | None = None,
    text: str | None = None,
) -> ServiceError:
    """The error for an answer of OSS that is not a success.

    Args:
        status: The HTTP status.
        details: The elements of the XML body that may be shown: Code, Message, RequestId, EC, ...
        name: The requested object.
        retry_after: Seconds, already clamped.
        text: The text of the error; None to describe the response.
    """
    details = {tag: printable(text) for tag, text in details.items()}
    code, message = details.get("Code", ""), details.get("Message", "")
    if text is None:
        said = " ".join(filter(None, (code, message and f"({message})"))) or "an answer without a reason"
        text = f"{name}: OSS answered {status} {said}, request id {details.get('RequestId') or 'unknown'}"
    kind = _also(_service_class(status, code), _oss2_class(status, code))
    error = kind(text, name=name, hint=_service_hint(code, details))
    _fill_in_oss2_fields(error, status, details, message)
    error.retry_after = retry_after
    return error


def changed_error(
    text: str, *, name: ObjectName, hint: str | None = None, answer: ServiceError | None = None
) -> ObjectChangedError:
    """The error for a changed object; `answer` is the 412 or 404 response that showed it."""
    if answer is None:
        return ObjectChangedError(text, name=name, hint=hint)
    kind = _also(ObjectChangedError, _oss2_class(answer.status, answer.code))
    error = kind(text, name=name, hint=hint)
    _fill_in_oss2_fields(error, answer.status, answer.details, answer.message)
    error.is_deleted = answer.status == 404
    error.is_refused_etag = answer.status == 412
    return error


NO_WORKING_DIRECTORY = "the working directory was deleted: change to another one, or pass an absolute path"
"""The hint if a relative path cannot be made absolute."""


def local_file_error(
    tried: str,
    cause: OSError | int,
    path: str | None = None,
    *,
    name: ObjectName | None = None,
    hint: str | None = None,
) -> LocalFileError:
    """The error for a failed call of the file system: also the builtin that fits its errno.

    Args:
        tried: What was tried, for the message.
        cause: The OSError, or the errno of a failure that was detected without one.
        path: The file or directory; None for that of the cause.
    """
    number = cause if isinstance(cause, int) else cause.errno or 0
    said = None if isinstance(cause, int) else cause.strerror  # more precise than the errno where the library raised it
    found = said or (os.strerror(number) if number else str(cause))
    path = path if path is not None or isinstance(cause, int) else cause.filename
    builtin = type(OSError(number, found))
    where = f" {path!r}" if path else ""
    hint = hint or (_IN_USE_HINT if getattr(cause, "winerror", None) in IN_USE else _ERRNO_HINTS.get(number))
    error = _also(LocalFileError, builtin)(f"could not {tried}{where}: {found}", name=name, hint=hint)
    error.errno, error.strerror, error.filename = number, found, path
    return error


def deadline_error(name: ObjectName, deadline: float, hint: str | None = None) -> RequestError:
    """The error for a call that exceeded its policy's deadline of so many seconds."""
    error = RequestError(f"{name}: not there after the deadline of {deadline:g} s", name=name, hint=hint)
    error.is_past_deadline = True
    return error


def plain(group: BaseException) -> BaseException:
    """Choose the one error that the caller gets from those of a task group."""
    errors = list(_leaves(group))
    for wanted in (ObjectChangedError, LocalFileError, AiossError):
        for error in errors:
            if isinstance(error, wanted):
                return error
    return errors[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


WRONG_REGION = "0002-00000226"
"""The EC of a signature for another region than that of the endpoint, which may be in the answer."""

REQUESTER_PAYS = "0003-00000703"
"""The EC of a request without x-oss-request-payer for a bucket whose requesters pay."""


def _service_hint(code: str, details: Mapping[str, str]) -> str | None:
    if endpoint := details.get("Endpoint"):
        return f"the bucket is in another region: pass the endpoint https://{endpoint} and its region to oss2.Bucket"
    if (region := details.get("Region")) and details.get("EC") == WRONG_REGION:
        return f'pass region="{region}" to oss2.Bucket'
    return _HINTS.get(details.get("EC", "")) or _HINTS.get(code)


_HINTS = {
    "NoSuchBucket": "check the bucket's name and that the endpoint is the bucket's own region",
    "SignatureDoesNotMatch": "check the access key secret and the region of the bucket",
    "InvalidAccessKeyId": "check the access key id; temporary keys may have expired",
    "SecurityTokenExpired": "fetch new temporary keys",
    "RequestTimeTooSkewed": "set this machine's clock",
    "InvalidObjectState": "restore the object first (RestoreObject), then download it again",
    "AccessDenied": "check the RAM policy of these keys and the bucket's ACL",
    REQUESTER_PAYS: 'the requester pays: pass headers={"x-oss-request-payer": "requester"}',
    WRONG_REGION: "pass the bucket's own region to oss2.Bucket",
    "UserDisable": "the account is disabled or owes money",
}
# Source: OSS help pages on error codes; 0003-... and 0002-... are ECs, which OSS calls unstable: used for hints only.

IN_USE = (5, 32)
"""Windows' errors for a file that another program has open: ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION."""

_IN_USE_HINT = "another program may have the file open: close it and run again: what is there is kept"

_ERRNO_HINTS = {
    28: "free some space and run again: what is there is kept",  # ENOSPC
    122: "the quota is used up: free some space and run again: what is there is kept",  # EDQUOT
    27: "the file system or a limit of this process forbids files of that size",  # EFBIG
}

_BY_CODE: dict[str, type[ServiceError]] = {
    "NoSuchKey": NoSuchKeyError,
    "NoSuchBucket": NoSuchBucketError,
    "SignatureDoesNotMatch": SignatureError,
    "InvalidObjectState": ObjectArchivedError,
}


def _service_class(status: int, code: str) -> type[ServiceError]:
    if code in _BY_CODE and status in (403, 404):
        return _BY_CODE[code]
    if status == 404:
        return ObjectNotFoundError
    if status in (401, 403):
        return AccessDeniedError
    if status in (429, 503):
        return ThrottledError
    return ServerFaultError if status >= 500 else ServiceError


@lru_cache(maxsize=1)
def _oss2_classes() -> dict[tuple[int, str], type[Exception]]:
    """oss2's exception classes by (status, code), as oss2's make_exception() chooses them."""
    found: dict[tuple[int, str], type[Exception]] = {}
    pending = [oss2_exceptions.ServerError]
    while pending:
        kind = pending.pop(0)
        if kind.__module__ == oss2_exceptions.__name__:
            pending.extend(kind.__subclasses__())
            if hasattr(kind, "status") and hasattr(kind, "code"):
                found[kind.status, kind.code] = kind
    return found


def _oss2_class(status: int, code: str) -> type[Exception]:
    return _oss2_classes().get((status, code), oss2_exceptions.ServerError)  # type: ignore[no-any-return]


_E = TypeVar("_E", bound=AiossError)


_combined: dict[tuple[type, type], type[Any]] = {}  # Any: made at run time


def _also(ours: type[_E], theirs: type[BaseException]) -> type[_E]:
    """A cached subclass of both classes that has the name of ours."""
    if issubclass(ours, theirs):
        return ours
    if (ours, theirs) not in _combined:
        namespace = {"__module__": ours.__module__, "__doc__": ours.__doc__, "_parts": (ours, theirs)}
        _combined[ours, theirs] = type(ours.__name__, (ours, theirs), namespace)
    kind: type[_E] = _combined[ours, theirs]
    return kind


def _rebuilt(
    parts: tuple[type[Any], ...],
    args: tuple[Any, ...],
    state: dict[str, Any],
    errno_fields: tuple[Any, ...] | None,
) -> AiossError:
    """Restore a pickled error. Any: the arguments may be of any type."""
    kind: type[AiossError] = _also(*parts) if len(parts) == 2 else parts[0]
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    if isinstance(error, OSError) and errno_fields is not None:
        error.errno, error.strerror, error.filename = errno_fields
    return error


def _fill_in_oss2_fields(error: Any, status: int, details: Mapping[str, str], message: str) -> None:
    """Set the attributes of oss2's errors. Any: oss2's classes have no types."""
    error.status = status
    error.code = details.get("Code", "")
    error.message = message
    error.request_id = details.get("RequestId", "")
    error.ec = details.get("EC", "")
    error.details = dict(details)
    error.headers = {}
    error.body = ""
