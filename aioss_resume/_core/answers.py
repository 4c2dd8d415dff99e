"""Checks that a response matches its request, before a byte of it is written."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from aioss_resume._core.objects import ObjectMeta, difference, read_meta
from aioss_resume._core.ranges import Range, Suffix, parse_content_range
from aioss_resume.errors import ObjectName, ProtocolError, changed_error, printable, service_error


class Accepted(NamedTuple):
    """A response that matches its request.

    Attributes:
        meta: The object as this response describes it.
        range: The range of the object that the body contains.
        skip: Number of bytes in the body before that range.
        ignores_ranges: Whether the server sent the whole object although less was asked for.
    """

    meta: ObjectMeta
    range: Range
    skip: int = 0
    ignores_ranges: bool = False


def accept_range(
    name: ObjectName,
    asked: Range | Suffix,
    pinned: ObjectMeta | None,
    status: int,
    headers: Mapping[str, str],
    *,
    is_oss: bool = True,
) -> Accepted:
    """Check a response to a range request: a 206 with the requested range of the pinned object.

    A 200 is accepted if nothing is pinned yet and the whole object lies within the requested range: OSS sends one for
    folder objects, because it ignores ranges of them.

    Args:
        is_oss: Whether the response must have the headers of OSS.

    Raises:
        ProtocolError: The response contradicts the request.
        ObjectChangedError: The response is for another object than the pinned one.
    """
    if status == 200 and pinned is None:
        whole = _whole_length(headers)
        if whole is not None and asked.within(whole) == Range(0, whole):
            return Accepted(_meta(name, whole, headers, is_oss=is_oss), Range(0, whole))
    if status != 206:
        raise ProtocolError(
            f"{name}: asked for {asked}, got status {status} instead of 206",
            name=name,
            hint="a server or proxy that ignores ranges stands between; the download needs them",
        )
    given = parse_content_range(headers.get("Content-Range", ""))
    if given is None:
        found = headers.get("Content-Range") or headers.get("Content-Type")
        raise ProtocolError(
            f"{name}: asked for {asked}, got a 206 that does not say which bytes it has ({found!r})",
            name=name,
        )
    meta = _meta(name, given.size, headers, is_oss=is_oss)
    _same(name, pinned, meta)
    if given.range != asked.within(given.size):
        raise ProtocolError(f"{name}: asked for {asked}, got {given.range} of {given.size}", name=name)
    announced = headers.get("Content-Length")
    if announced is not None and announced != str(given.range.length):
        raise ProtocolError(
            f"{name}: asked for {asked}, got {announced[:20]} bytes that claim to be {given.range}",
            name=name,
        )
    return Accepted(meta, given.range)


def accept_of_any_server(
    name: ObjectName, asked: Range | Suffix, pinned: ObjectMeta | None, status: int, headers: Mapping[str, str]
) -> Accepted:
    """Check a response to a range request for a presigned address, whose server may not be OSS.

    OSS itself ignores some ranges unless a signed header forbids that. A 200 with the whole object is accepted for the
    bytes from the start of the range on. The bytes before it are skipped, so none is written at a wrong offset.

    Raises:
        ServiceError: Status 416: the range begins beyond the end of the object.
        ProtocolError, ObjectChangedError: As accept_range().
    """
    if status != 200:
        return accept_range(name, asked, pinned, status, headers, is_oss=False)
    meta, whole = accept_whole(name, status, headers, is_oss=False)
    if whole is None:
        raise ProtocolError(f"{name}: the server ignores ranges and does not tell the object's length", name=name)
    _same(name, pinned, meta)
    given = asked.within(whole)
    if given.start >= whole > 0:
        raise service_error(416, {"Code": "InvalidRange"}, name=name)
    return Accepted(meta, Range(given.start, whole), given.start, given.length < whole)


def accept_whole(
    name: ObjectName, status: int, headers: Mapping[str, str], *, is_oss: bool = True
) -> tuple[ObjectMeta, int | None]:
    """Check a 200 to a request without a range. Returns the object, and the body's length in bytes or None.

    Raises:
        ProtocolError: Another status, no headers of OSS, or a body whose truncation could not be detected.
    """
    if status != 200:
        raise ProtocolError(f"{name}: asked for the whole object, got status {status} instead of 200", name=name)
    length = _whole_length(headers)
    if length is None and "chunked" not in headers.get("Transfer-Encoding", "").lower():
        raise ProtocolError(f"{name}: got a body with neither a length nor chunks: its end could be a cut", name=name)
    return _meta(name, length or 0, headers, is_oss=is_oss), length


def refuse_redirect(name: ObjectName, status: int, headers: Mapping[str, str]) -> ProtocolError:
    """The error for a 3xx. It names the target without path and query, which may contain a signature."""
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


def _meta(name: ObjectName, size: int, headers: Mapping[str, str], *, is_oss: bool) -> ObjectMeta:
    if is_oss and not (headers.get("x-oss-request-id") or (headers.get("ETag") and not _is_page(headers))):
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
