"""Conditions, ranges and headers of an HTTP server, as RFC 9110 has them."""
# ruff: noqa: N802

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume import IntegrityError, RequestError
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import MalformedRangeError, Range
from aioss_resume._core.serving import (
    content_disposition,
    error_status,
    object_headers,
    precondition_status,
    range_holds,
    read_ranges,
    satisfiable,
)
from aioss_resume._core.slices import Slice
from aioss_resume.errors import ObjectName, service_error

META = ObjectMeta("key", 100, etag="A1", last_modified=datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC))
WEAK = ObjectMeta("key", 100, etag="W/A1")
NAME = ObjectName("bucket", "key")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-9", [Range(0, 10)]),
        ("bytes=90-", [Range(90, 100)]),
        ("bytes=-10", [Range(90, 100)]),
        ("bytes=-1000", [Range(0, 100)]),
        ("bytes=95-1000", [Range(95, 100)]),
        ("bytes=100-", []),
        ("bytes=-0", []),
        ("bytes=99999999999999999999-", []),
        ("bytes=0-0,5-6,-1", [Range(0, 1), Range(5, 7), Range(99, 100)]),
        ("bytes= 5-6 , 0-5", [Range(0, 7)]),  # overlapping or touching ones are merged
        ("bytes=200-,0-1", [Range(0, 2)]),  # those that cannot be satisfied are left out
        ("bytes=200-,300-", []),
        ("bytes=,0-1,", [Range(0, 2)]),
        ("items=0-9", None),
        ("BYTES=0-9", [Range(0, 10)]),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 202, 2)), None),
        ("nonsense", None),
    ],
)
def test_W01_ranges_are_parsed_as_in_rfc_9110(header: str | None, expected: list[Range] | None) -> None:
    specs = read_ranges(header)
    assert (None if specs is None else satisfiable(specs, 100)) == expected


@pytest.mark.parametrize(
    "header",
    [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-3",
        "bytes=1-2-3",
        "bytes=٣-٤",
        "bytes=--1",
        "bytes=" + "9" * 40 + "-",
    ],
)
def test_W01_malformed_range_is_refused(header: str) -> None:
    with pytest.raises(MalformedRangeError):
        read_ranges(header)


@given(st.text(max_size=20), st.integers(0, 50))
def test_W01_any_header_gives_ranges_within_the_object_or_is_refused(text: str, size: int) -> None:
    try:
        specs = read_ranges("bytes=" + text)
    except MalformedRangeError:
        return
    for range_ in satisfiable(specs or [], size):
        assert 0 <= range_.start < range_.stop <= size


def test_W01_range_of_an_empty_object_cannot_be_satisfied() -> None:
    assert satisfiable([Slice(0, None)], 0) == []


DATES = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"if-none-match": '"A1"'}, 304),
        ({"if-none-match": 'W/"A1"'}, 304),
        ({"if-none-match": '"B2", W/"A1"'}, 304),
        ({"if-none-match": '"B2"'}, None),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"B2"', "if-modified-since": DATES[0]}, None),  # the first one counts
        *(({"if-modified-since": date}, 304) for date in DATES),
        ({"if-modified-since": "Sun, 06 Nov 1994 08:49:36 GMT"}, None),
        ({"if-modified-since": "nonsense"}, None),
        ({"if-match": '"A1"'}, None),
        ({"if-match": 'W/"A1"'}, 412),
        ({"if-match": "*"}, None),
        ({"if-match": '"B2"'}, 412),
        ({"if-unmodified-since": DATES[0]}, None),
        ({"if-unmodified-since": "Sun, 06 Nov 1994 08:49:36 GMT"}, 412),
        ({"if-match": '"A1"', "if-unmodified-since": "Sun, 06 Nov 1994 08:49:36 GMT"}, None),
    ],
)
def test_W02_conditions_are_evaluated_as_in_rfc_9110(headers: dict[str, str], status: int | None) -> None:
    assert precondition_status(headers, META) == status


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (None, True),
        ('"A1"', True),
        ('"B2"', False),
        ('W/"A1"', False),
        ('"A1", "B2"', False),
        *((date, True) for date in DATES),
        ("Sun, 06 Nov 1994 08:49:38 GMT", False),
        ("nonsense", False),
    ],
)
def test_W01_if_range_lets_only_ranges_of_the_same_object_pass(condition: str | None, holds: bool) -> None:
    headers = {} if condition is None else {"if-range": condition}
    assert range_holds(headers, META) == holds
    assert not range_holds({"if-range": 'W/"A1"'}, WEAK)


HOSTILE = ["a\r\nSet-Cookie: x=1", "a\nb", "a\0b", "ü", ""]


@pytest.mark.parametrize("text", HOSTILE)
def test_W04_header_of_the_object_that_could_begin_another_is_left_out(text: str) -> None:
    meta = ObjectMeta("key", 1, etag=text, content_type=text, content_encoding=text, http_headers={"expires": text})
    for name, value in object_headers(meta, text):
        assert value.isprintable()
        assert value.isascii()
        assert name.isascii()


def test_headers_stored_with_the_object_are_sent_on() -> None:
    stored = {"cache-control": "max-age=60", "content-disposition": "inline"}
    meta = ObjectMeta("key", 1, http_headers=stored)
    assert stored.items() <= dict(object_headers(meta, None)).items()
    named = object_headers(meta, "a.txt")
    assert [value for name, value in named if name == "content-disposition"] == ['attachment; filename="a.txt"']


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_W04_any_file_name_is_one_header(name: str) -> None:
    value = content_disposition(name)
    assert value.isascii()
    assert value.isprintable()
    assert value.count('"') in (0, 2)
    assert ";" not in value.removeprefix("attachment;")


def test_W04_file_names_are_quoted_as_browsers_want_them() -> None:
    assert content_disposition("plain.txt") == 'attachment; filename="plain.txt"'
    assert content_disposition("Zürich.txt") == "attachment; filename*=utf-8''Z%C3%BCrich.txt"
    assert content_disposition('a"b/c') == "attachment; filename*=utf-8''a%22b%2Fc"


def told(status: int, code: str, retry_after: float | None = None) -> Any:
    return service_error(status, {"Code": code}, name=NAME, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (told(404, "NoSuchKey"), 404),
        (told(404, "NoSuchBucket"), 404),
        (told(403, "AccessDenied"), 403),
        (told(403, "InvalidObjectState"), 403),
        (told(503, "SlowDown"), 503),
        (told(500, "InternalError"), 502),
        (RequestError("x"), 502),
        (IntegrityError("x"), 502),
    ],
)
def test_W03_each_error_has_its_status(error: Any, status: int) -> None:
    assert error_status(error)[0] == status


def test_W03_throttled_response_has_retry_after() -> None:
    assert error_status(told(503, "SlowDown", 7.2)) == (503, [("retry-after", "7")])
    assert error_status(told(429, "SlowDown")) == (503, [("retry-after", "1")])
