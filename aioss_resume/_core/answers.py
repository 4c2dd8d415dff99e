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
        meta: The object as this answer describes it.
        range: Which of the object's bytes the body brings.
        skip: Bytes of the body before them.
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

    A 200 is taken when nothing is pinned yet and the whole object is no more than was asked for from its start:
    OSS answers so for folder objects, whose ranges it ignores.

    Args:
        is_oss: Whether it must look like an answer of OSS.

    Raises:
        ProtocolError: The answer contradicts the request.
        ObjectChangedError: It is of another object than the pinned one.
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
    """Check a response to a range request to a presigned address, whose server may be another than OSS.

    OSS itself ignores some ranges if no signed header tells it not to: a 200 with the whole object is taken for as much
    of it as follows the start of the range. The bytes before are skipped, so that none is written at a wrong offset.

    Raises:
        ServiceError: Status 416, as from a server that supports ranges: the range begins beyond the end.
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
    """A 200 to a request without a range: the object, and its body's length in bytes or None when it is unknown.

    Raises:
        ProtocolError: Another status, no sign of OSS, or a body whose end could not be told from a cut.
    """
    if status != 200:
        raise ProtocolError(f"{name}: asked for the whole object, got status {status} instead of 200", name=name)
    length = _whole_length(headers)
    if length is None and "chunked" not in headers.get("Transfer-Encoding", "").lower():
        raise ProtocolError(f"{name}: got a body with neither a length nor chunks: its end could be a cut", name=name)
    return _meta(name, length or 0, headers, is_oss=is_oss), length


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
