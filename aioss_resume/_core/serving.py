"""What an HTTP server answers to a request for an object: conditions, ranges and headers.

Source: RFC 9110, sections 13 (conditional requests), 14 (range requests) and 15; RFC 6266 and 8187 for file names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from aioss_resume._core.coalesce import merged
from aioss_resume._core.objects import ObjectMeta, http_date, read_http_date
from aioss_resume._core.ranges import Range
from aioss_resume.errors import (
    AccessDeniedError,
    AiossError,
    ObjectArchivedError,
    ObjectNotFoundError,
    ThrottledError,
)

_RANGES_MOST: Final = 100  # in one request; more are an attack, or a mistake, and get the whole object
_DIGITS_MOST: Final = 30  # of a number; more are no offset
_SPEC: Final = re.compile(r"(\d*)\s*-\s*(\d*)", re.ASCII)
_ETAG: Final = re.compile(r'(?:W/)?"[^"]*"')

Headers = list[tuple[str, str]]

CONDITIONS: Final = ("if-match", "if-unmodified-since", "if-none-match", "if-modified-since", "if-range")


class MalformedRangeError(ValueError):
    """The Range header is none, and the request is refused."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One range of a Range header, before the object's size is known.

    Attributes:
        start, stop: As of a Python slice; `start` is negative for a suffix, and `stop` may be beyond the end.
    """

    start: int
    stop: int | None

    def of(self, size: int) -> Range:
        """The bytes that it is of an object; an empty range if it cannot be satisfied."""
        start, stop, _ = slice(self.start, self.stop).indices(size)
        return Range(start, max(start, stop))


def read_ranges(header: str | None) -> list[Spec] | None:
    """The ranges that a Range header asks for; None if the whole object is to be sent.

    Raises:
        MalformedRangeError: It begins as a range of bytes and is none.
    """
    if header is None:
        return None
    unit, equals, listed = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        if unit.strip().lower() == "bytes":
            raise MalformedRangeError("Malformed Range header")
        return None  # a unit that is not understood must be ignored
    texts = [text.strip() for text in listed.split(",")]
    if len(texts) > _RANGES_MOST:
        return None
    specs = [_spec(text) for text in texts if text]
    if not specs:
        raise MalformedRangeError("Malformed Range header: it has no range")
    return specs


def _spec(text: str) -> Spec:
    found = _SPEC.fullmatch(text)
    if found is None or not (found[1] or found[2]) or max(len(found[1]), len(found[2])) > _DIGITS_MOST:
        raise MalformedRangeError("Malformed Range header")
    if not found[1]:
        length = int(found[2])
        return Spec(-length, None) if length else Spec(1 << 100, None)  # no object has so many bytes
    start, stop = int(found[1]), int(found[2]) + 1 if found[2] else None
    if stop is not None and stop <= start:
        raise MalformedRangeError("Malformed Range header: a range ends before it begins")
    return Spec(start, stop)


def satisfiable(specs: Sequence[Spec], size: int) -> list[Range]:
    """The ranges of an object of that size, in order, overlapping ones merged; none if none can be satisfied."""
    return merged((spec.of(size) for spec in specs), -1 if len(specs) == 1 else 0)


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
    """Whether If-Range, if there is one, lets the ranges be sent: the object is still the same."""
    condition = headers.get("if-range")
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return _is_listed(condition, meta.etag, is_weak=False) and "," not in _ETAG.sub("", condition)
    return meta.last_modified is not None and read_http_date(condition) == meta.last_modified


def _is_listed(condition: str, etag: str, *, is_weak: bool) -> bool:
    """Whether a list of entity tags, or `*`, has the object's."""
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
    """An ETag as a header has it."""
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
    if filename is not None:
        headers.append(("content-disposition", content_disposition(filename)))
    return headers


def content_disposition(filename: str) -> str:
    """The header that makes a browser save the object under a name, whatever characters it has."""
    quoted = quote(filename, safe="", errors="replace")
    if quoted == filename:
        return f'attachment; filename="{filename}"'
    return f"attachment; filename*=utf-8''{quoted}"


def content_range(range_: Range, size: int) -> str:
    """The value of Content-Range."""
    return f"bytes {range_.start}-{range_.stop - 1}/{size}"


def multipart_heads(ranges: Sequence[Range], size: int, content_type: str, boundary: str) -> tuple[list[bytes], bytes]:
    """What stands before each range of a multipart/byteranges body, and at its end."""
    heads = [
        f"{'' if at == 0 else chr(13) + chr(10)}--{boundary}\r\nContent-Type: {content_type}\r\n"
        f"Content-Range: {content_range(range_, size)}\r\n\r\n".encode("latin-1")
        for at, range_ in enumerate(ranges)
    ]
    return heads, f"\r\n--{boundary}--".encode("latin-1")


def error_status(error: AiossError) -> tuple[int, Headers]:
    """The status and the headers for an object that cannot be sent. The error's text is not for strangers."""
    if isinstance(error, ObjectNotFoundError):
        return 404, []
    if isinstance(error, AccessDeniedError | ObjectArchivedError):
        return 403, []
    if isinstance(error, ThrottledError):
        return 503, [("retry-after", str(max(1, round(error.retry_after or 1))))]
    return 502, []


def _safe(value: str | None) -> str | None:
    """A header's value, or None if it could begin another header, or cannot be sent."""
    return value if value and value.isascii() and value.isprintable() else None
