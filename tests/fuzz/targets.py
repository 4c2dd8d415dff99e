"""The readers of what comes from outside, each as a function of bytes that raises when a promise is broken.

pytest feeds them with Hypothesis (test_fuzz.py), `python -m tests.fuzz` with atheris where it is installed. What a
target may raise is documented and swallowed; anything else is a finding. No file is touched, no clock is read.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from aioss_resume._core.answers import accept_range, accept_whole, refuse_redirect
from aioss_resume._core.checkpoint import Unusable, decode, encode
from aioss_resume._core.objects import ObjectMeta, http_date, read_crc64, read_http_date
from aioss_resume._core.paths import NAME_MOST, checkpoint_name, lock_name, part_name, temporary_name
from aioss_resume._core.ranges import Range, parse_content_range
from aioss_resume._core.retry import Attempts, read_retry_after
from aioss_resume._core.xml import read_error
from aioss_resume.errors import AiossError, ObjectChangedError, ObjectName, ProtocolError, ServiceError, service_error
from aioss_resume.options import RetryPolicy

NAME: Final = ObjectName("examplebucket", "key")
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
SIZE_MOST: Final = 1 << 50
TEXT_MOST: Final = 2000


def checkpoint(data: bytes) -> None:
    """`Unusable`, or a checkpoint whose spans are ordered, disjoint and within the object, and which encodes again."""
    try:
        found = decode(data)
    except Unusable:
        return
    assert 0 <= found.meta.size <= SIZE_MOST
    edge = 0
    for span in found.spans:
        assert edge <= span.start < span.stop <= found.meta.size
        assert 0 <= span.crc64 < 1 << 64
        edge = span.stop
    _is_header(found.meta.if_match or "")
    assert decode(encode(found)) == found


def checkpoint_fields(fields: dict[str, object]) -> bytes:
    """A hostile checkpoint whose sum holds: what whoever knows the format would plant."""
    from aioss_resume._core.checkpoint import _dumped
    from aioss_resume._core.crc64 import crc64

    text = _dumped(fields)
    return f'{{"check":"{crc64(text.encode()):016x}","checkpoint":{text}}}\n'.encode()


def planted(data: bytes) -> None:
    """As checkpoint(), with a sum that holds whatever the content is."""
    try:
        fields = json.loads(data)
        text = checkpoint_fields(fields)
    except (ValueError, RecursionError):
        return
    checkpoint(text)


def content_range(data: bytes) -> None:
    """None, or a range that is not empty and lies within the size."""
    found = parse_content_range(_header(data))
    if found is not None:
        assert 0 <= found.range.start < found.range.stop <= found.size < 10**19


def retry_after(data: bytes) -> None:
    """None, or seconds that are not negative; and no wait is longer than the policy's longest."""
    seconds = read_retry_after(_header(data), NOW)
    assert seconds is None or 0 <= seconds < float("inf")
    error = service_error(503, {"Code": "ServiceUnavailable"}, name=NAME, retry_after=seconds)
    policy = RetryPolicy()
    wait = Attempts(policy).wait_after(error, progress=0, chance=0.5)
    assert wait is not None
    assert 0 <= wait <= policy.wait_max


def http_dates(data: bytes) -> None:
    """None, or a moment in UTC that is written as it was read."""
    moment = read_http_date(_header(data))
    if moment is not None:
        assert moment.utcoffset() == timedelta(0)
        if moment.year >= 100:  # RFC 5322 reads a year of fewer digits as one of our time
            assert read_http_date(http_date(moment)) == moment


def crc_header(data: bytes) -> None:
    """`ValueError` of bounded length, or a number of 64 bits."""
    found, problem = 0, ""
    try:
        found = read_crc64(_header(data)) or 0
    except ValueError as error:
        problem = str(error)
    assert len(problem) < 400
    assert 0 <= found < 1 << 64


def error_xml(data: bytes) -> None:
    """Few elements of bounded length, and an error of ours that can be printed."""
    found = read_error(data)
    assert len(found) <= 10
    assert all(len(text) <= TEXT_MOST for text in found.values())
    error = service_error(403, found, name=NAME)
    assert isinstance(error, ServiceError)
    assert len(str(error)) < 10 * TEXT_MOST
    assert str(error).isprintable()


def answer_headers(data: bytes) -> None:
    """Whatever an answer's headers say: accepted within what was asked for, or an error of ours that can be printed."""
    lines = [line.partition(":") for line in _header(data).split("\n")]
    headers = {name.strip(): value.strip() for name, _, value in lines}
    headers.setdefault("x-oss-request-id", "1")
    status = (200, 206, 416, 302)[len(data) % 4]
    pinned = (None, ObjectMeta("key", 1000, "A1", 1))[len(data) // 4 % 2]
    asked = Range(100, 300)
    try:
        accepted = accept_range(NAME, asked, pinned, status, headers)
        assert asked.start <= accepted.range.start < accepted.range.stop <= asked.stop
        assert accepted.range.stop <= accepted.meta.size
        accept_whole(NAME, status, headers)
    except (ProtocolError, ObjectChangedError) as error:
        _is_short(error, len(data))
    _is_short(refuse_redirect(NAME, 302, headers), 1000)


def names(data: bytes) -> None:
    """Whatever the key, the ETag and the destination: hidden names of one component, short enough for a disk."""
    text = data.decode("utf-8", "surrogateescape")
    bucket, _, rest = text.partition("\n")
    key, _, destination = rest.partition("\n")
    # As a Path's name is: one component, neither empty nor a dot or two.
    last = destination.replace("\0", "").rpartition("/")[2]
    last = last if last not in ("", ".", "..") else "file"
    name, meta = ObjectName(bucket, key), ObjectMeta(key, len(data), etag=rest[:100], crc64=1, version_id=bucket)
    for found in (
        part_name(last, name, meta),
        temporary_name(last, "f" * 24),
        checkpoint_name(f"/a/directory/{last}", name, key or None),
        lock_name(last),
    ):
        assert "/" not in found
        assert "\0" not in found
        assert found.startswith(".")
        assert found not in (".", "..")
        assert 0 < len(os.fsencode(found)) <= NAME_MOST - len(".mode")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        checkpoint,
        planted,
        content_range,
        retry_after,
        http_dates,
        crc_header,
        error_xml,
        answer_headers,
        names,
    )
}


def _header(data: bytes) -> str:
    """As aiohttp decodes headers."""
    return data.decode("utf-8", "surrogateescape")


def _is_header(value: str) -> None:
    assert value.isascii()
    assert not set(value) & set("\r\n\0")


def _is_short(error: AiossError, most: int) -> None:
    assert len(str(error)) <= 1000 + 8 * most
