"""Checks that a response matches its request, before a byte of it is written."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from aioss_resume._core.objects import ObjectMeta, difference, read_meta
from aioss_resume._core.ranges import Range, parse_content_range
from aioss_resume.errors import ObjectName, ProtocolError, changed_error, printable


class Accepted(NamedTuple):
    """A response that matches its request.

    Attributes:
        meta: The object as this answer describes it.
        range: Which of the object's bytes the body is.
    """

    meta: ObjectMeta
    range: Range


def accept_range(
    name: ObjectName, asked: Range, pinned: ObjectMeta | None, status: int, headers: Mapping[str, str]
) -> Accepted:
    """Check a response to a range request: a 206 with the requested range of the pinned object.

    A 200 is taken when nothing is pinned yet and the whole object is no more than was asked for from its start:
    OSS answers so for folder objects, whose ranges it ignores.

    Raises:
        ProtocolError: The answer contradicts the request.
        ObjectChangedError: It is of another object than the pinned one.
    """
    if status == 200 and pinned is None and asked.start == 0:
        whole = _whole_length(headers)
        if whole is not None and whole <= asked.stop:
            return Accepted(_meta(name, whole, headers), Range(0, whole))
    if status != 206:
        raise ProtocolError(
            f"{name}: asked for {_words(asked)}, got status {status} instead of 206",
            name=name,
            hint="a server or proxy that ignores ranges stands between; the download needs them",
        )
    given = parse_content_range(headers.get("Content-Range", ""))
    if given is None:
        found = headers.get("Content-Range") or headers.get("Content-Type")
        raise ProtocolError(
            f"{name}: asked for {_words(asked)}, got a 206 that does not say which bytes it has ({found!r})",
            name=name,
        )
    meta = _meta(name, given.size, headers)
    _same(name, pinned, meta)
    if given.range != Range(asked.start, min(asked.stop, given.size)):
        raise ProtocolError(f"{name}: asked for {_words(asked)}, got {_words(given.range)} of {given.size}", name=name)
    announced = headers.get("Content-Length")
    if announced is not None and announced != str(given.range.length):
        raise ProtocolError(
            f"{name}: asked for {_words(asked)}, got {announced[:20]} bytes that claim to be {_words(given.range)}",
            name=name,
        )
    return Accepted(meta, given.range)


def accept_whole(name: ObjectName, status: int, headers: Mapping[str, str]) -> tuple[ObjectMeta, int | None]:
    """A 200 to a request without a range: the object, and its body's length in bytes or None when it is unknown.

    Raises:
        ProtocolError: Another status, no sign of OSS, or a body whose end could not be told from a cut.
    """
    if status != 200:
        raise ProtocolError(f"{name}: asked for the whole object, got status {status} instead of 200", name=name)
    length = _whole_length(headers)
    if length is None and "chunked" not in headers.get("Transfer-Encoding", "").lower():
        raise ProtocolError(f"{name}: got a body with neither a length nor chunks: its end could be a cut", name=name)
    return _meta(name, length or 0, headers), length


def refuse_redirect(name: ObjectName, status: int, headers: Mapping[str, str]) -> ProtocolError:
    """The error for a 3xx. Its target is named without path and query, which may carry a signature."""
    try:
        target = urlsplit(headers.get("Location", ""))
        where = printable(f"{target.scheme}://{target.hostname}"[:200]) if target.hostname else "nowhere"
    except ValueError:
        where = "nowhere"
    return ProtocolError(
        f"{name}: redirected ({status}) to {where}, which is not followed: our credentials stay with OSS",
        name=name,
        hint="check the bucket's endpoint and region",
    )


def _meta(name: ObjectName, size: int, headers: Mapping[str, str]) -> ObjectMeta:
    if not (headers.get("x-oss-request-id") or (headers.get("ETag") and not _is_page(headers))):
        raise ProtocolError(
            f"{name}: this is not an answer of OSS (no x-oss-request-id; {headers.get('Content-Type')!r})",
            name=name,
            hint="a proxy or a login page of the network may stand between",
        )
    try:
        return read_meta(name.key, size, headers)
    except ValueError as error:
        text = f"{name}: x-oss-hash-crc64ecma: {error}"
    raise ProtocolError(text, name=name)


def _is_page(headers: Mapping[str, str]) -> bool:
    """Whether this may be a login page: those that are files have an ETag too, but nothing of OSS.

    Some CDNs take all of OSS's own headers out, so that these alone cannot be asked for.
    """
    says_html = headers.get("Content-Type", "").lower().startswith("text/html")
    return says_html and not any(name.lower().startswith("x-oss-") for name in headers)


def _same(name: ObjectName, pinned: ObjectMeta | None, seen: ObjectMeta) -> None:
    if pinned is None:
        return
    if pinned.etag == seen.etag != "" and pinned.size != seen.size:
        raise ProtocolError(f"{name}: the size was {pinned.size} and is {seen.size}, under the same ETag", name=name)
    if found := difference(pinned, seen):
        raise changed_error(
            f"{name} changed while it was downloaded ({found})",
            name=name,
            hint="run again to fetch the new version",
        )
    if pinned.content_encoding != seen.content_encoding:
        raise ProtocolError(
            f"{name}: Content-Encoding was {pinned.content_encoding!r} and is {seen.content_encoding!r}: "
            "something on the way encodes the body",
            name=name,
        )


def _whole_length(headers: Mapping[str, str]) -> int | None:
    announced = headers.get("Content-Length", "")
    return int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 20 else None


def _words(range_: Range) -> str:
    return f"bytes [{range_.start}, {range_.stop})"
