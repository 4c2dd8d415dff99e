"""Rules for serving an object over HTTP: conditions, ranges and headers.

Source: RFC 9110, sections 13 (conditional requests), 14 (range requests) and 15; RFC 6266 and 8187 for file names.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from aioss_resume._core.coalesce import merged
from aioss_resume._core.objects import ObjectMeta, http_date, read_http_date
from aioss_resume._core.ranges import ContentRange, MalformedRangeError, Range, parse_range_spec
from aioss_resume._core.slices import Slice
from aioss_resume.errors import (
    AccessDeniedError,
    AiossError,
    ObjectArchivedError,
    ObjectNotFoundError,
    ServiceError,
    ThrottledError,
)

_RANGES_MOST: Final = 100  # in one request; more are an attack, or a mistake, and get the whole object
_ETAG: Final = re.compile(r'(?:W/)?"[^"]*"')

Headers = list[tuple[str, str]]

CONDITIONS: Final = ("if-match", "if-unmodified-since", "if-none-match", "if-modified-since", "if-range")


def read_ranges(header: str | None) -> list[Slice] | None:
    """Parse a Range header. Returns None if the whole object should be sent.

    Raises:
        MalformedRangeError: The header begins like a range of bytes but is malformed.
    """
    if header is None:
        return None
    unit, equals, listed = header.partition("=")
    if unit.strip().lower() != "bytes":
        return None  # a unit that is not understood must be ignored
    if not equals:
        raise MalformedRangeError("Malformed Range header")
    texts = [text.strip() for text in listed.split(",")]
    if len(texts) > _RANGES_MOST:
        return None
    slices = [Slice(*parse_range_spec(text)) for text in texts if text]
    if not slices:
        raise MalformedRangeError("Malformed Range header: it has no range")
    return slices


def satisfiable(slices: Sequence[Slice], size: int) -> list[Range]:
    """The satisfiable ranges of an object of that size, sorted, with overlapping ones merged."""
    return merged((slice_.of(size) for slice_ in slices), 0)


def precondition_status(headers: Mapping[str, str], meta: ObjectMeta) -> int | None:
    """304 or 412 if a condition of a GET or HEAD fails; None if the request goes on.

    Args:
        headers: The request's, with names in lower case.
    """
    modified = meta.last_modified
    match, since = headers.get("if-match"), read_http_date(headers.get("if-unmodified-since"))
    if match is not None and not _is_listed(match, meta.etag, is_weak=False):
        return 412
    if match is None and since is not None and modified is not None and modified > since:
        return 412
    if (match := headers.get("if-none-match")) is not None:
        return 304 if _is_listed(match, meta.etag, is_weak=True) else None
    since = read_http_date(headers.get("if-modified-since"))
    return 304 if since is not None and modified is not None and modified <= since else None


def range_holds(headers: Mapping[str, str], meta: ObjectMeta) -> bool:
    """Whether the ranges may be sent: there is no If-Range, or it matches the object."""
    condition = headers.get("if-range")
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return _is_listed(condition, meta.etag, is_weak=False) and "," not in _ETAG.sub("", condition)
    return meta.last_modified is not None and read_http_date(condition) == meta.last_modified


def _is_listed(condition: str, etag: str, *, is_weak: bool) -> bool:
    """Whether a list of entity tags contains the object's, or is `*`."""
    if condition.strip() == "*":
        return True
    if not etag or (etag.startswith("W/") and not is_weak):
        return False
    quoted = quoted_etag(etag)
    listed = _ETAG.findall(condition)
    if is_weak:
        return quoted.removeprefix("W/") in [each.removeprefix("W/") for each in listed]
    return quoted in listed


def quoted_etag(etag: str) -> str:
    """An ETag in the form that headers use."""
    return f'W/"{etag[2:]}"' if etag.startswith("W/") else f'"{etag}"'


def object_headers(meta: ObjectMeta, filename: str | None) -> Headers:
    """The headers that describe the object, whichever part of it is sent."""
    headers = [("accept-ranges", "bytes"), ("content-type", _safe(meta.content_type) or "application/octet-stream")]
    if meta.content_encoding and (encoding := _safe(meta.content_encoding)):
        headers.append(("content-encoding", encoding))
    if meta.etag and (etag := _safe(quoted_etag(meta.etag))):
        headers.append(("etag", etag))
    if meta.last_modified is not None:
        headers.append(("last-modified", http_date(meta.last_modified)))
    stored = {name: safe for name, value in meta.http_headers.items() if (safe := _safe(value))}
    if filename is not None:
        stored["content-disposition"] = content_disposition(filename)
    return [*headers, *stored.items()]


def content_disposition(filename: str) -> str:
    """The header that makes a browser save the object under a name, whatever characters it has."""
    quoted = quote(filename, safe="", errors="replace")
    if quoted == filename:
        return f'attachment; filename="{filename}"'
    return f"attachment; filename*=utf-8''{quoted}"


def multipart_heads(ranges: Sequence[Range], size: int, content_type: str, boundary: str) -> tuple[list[bytes], bytes]:
    """The text before each range of a multipart/byteranges body, and the text at its end."""
    heads = [
        f"--{boundary}\r\nContent-Type: {content_type}\r\n"
        f"Content-Range: {ContentRange(range_, size).header()}\r\n\r\n".encode("latin-1")
        for range_ in ranges
    ]
    return [heads[0], *(b"\r\n" + head for head in heads[1:])], f"\r\n--{boundary}--".encode("latin-1")


def error_status(error: AiossError) -> tuple[int, Headers]:
    """The status and headers for an object that cannot be sent. The error's text is not sent to clients."""
    if isinstance(error, ObjectNotFoundError):
        return 404, []
    if isinstance(error, ServiceError) and error.code == "InvalidObjectName":  # no object can have such a key
        return 404, []
    if isinstance(error, AccessDeniedError | ObjectArchivedError):
        return 403, []
    if isinstance(error, ThrottledError):
        return 503, [("retry-after", str(max(1, round(error.retry_after or 1))))]
    return 502, []


def _safe(value: str | None) -> str | None:
    """A header's value, or None if it contains a line break or cannot be encoded."""
    return value if value and value.isascii() and value.isprintable() else None
