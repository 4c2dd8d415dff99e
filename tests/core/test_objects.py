"""What headers say of an object, and whether two answers speak of the same one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aioss_resume._core.objects import (
    ObjectMeta,
    difference,
    http_date,
    read_crc64,
    read_http_date,
    read_meta,
    unquoted,
)

MODIFIED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
META = ObjectMeta("k", 10, "A1", 7, "v1", MODIFIED, "text/plain", None, "Standard", "Normal", {"a": "b"})


def test_headers_become_a_meta():
    headers = CIMultiDict(
        {
            "etag": '"A1"', "X-Oss-Hash-Crc64ecma": "7", "x-oss-version-id": "v1", "content-type": "text/plain",
            "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT", "x-oss-storage-class": "Standard",
            "x-oss-object-type": "Normal", "X-Oss-Meta-A": "b",
        }
    )  # fmt: skip
    assert read_meta("k", 10, headers) == META


def test_headers_may_all_be_missing():
    assert read_meta("k", 0, {}) == ObjectMeta("k", 0)


@pytest.mark.parametrize(
    ("header", "etag"),
    [('"A1"', "A1"), ("A1", "A1"), (' "A1" ', "A1"), ('""', ""), ("", ""), ('"', '"'), ('"A1', '"A1'),
     ('W/"A1"', "W/A1"), ("W/A1", "W/A1"), ('"A"1"', 'A"1')],
)  # fmt: skip
def test_etag_loses_its_quotes_and_stays_weak(header, etag):
    assert unquoted(header) == etag


@given(st.text(alphabet=st.characters(min_codepoint=0x23, max_codepoint=0x7E), min_size=1))
def test_strong_etag_is_sent_in_if_match_as_it_came(etag):
    meta = read_meta("k", 1, {"ETag": f'"{etag}"'})
    assert meta.if_match == (None if etag.startswith("W/") else f'"{etag}"')


@pytest.mark.parametrize("header", ['W/"A1"', "", '""'])
def test_weak_or_absent_etag_is_not_sent_in_if_match(header):
    assert read_meta("k", 1, {"ETag": header}).if_match is None


@given(st.integers(0, (1 << 64) - 1))
def test_crc64_header_is_an_unsigned_64_bit_number(crc64):
    assert read_crc64(str(crc64)) == crc64


@pytest.mark.parametrize(
    "header",
    ["", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "1_0", "²", "١", str(1 << 64), "9" * 21, "0" * 21, "9" * 5000],
)
def test_malformed_crc64_is_refused(header):
    with pytest.raises(ValueError, match=r"is no CRC-64$"):
        read_crc64(header)


def test_same_object_has_no_difference():
    assert difference(META, replace(META)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"etag": "B2", "crc64": None}, 'ETag "A1" is now "B2"'),
        ({"etag": "B2", "crc64": 8}, 'ETag "A1" is now "B2"'),
        ({"size": 11}, "10 bytes are now 11"),
        ({"size": 11, "etag": "", "crc64": None}, "10 bytes are now 11"),
        ({"crc64": 8}, "under the same ETag"),
    ],
)
def test_difference_is_put_in_words(change, words):
    assert words in (difference(META, replace(META, **change)) or "")


@pytest.mark.parametrize("etag", ["B2", "", "W/A1", "W/B2"])
def test_equal_crc64_and_size_decide_whatever_the_etag_is(etag):
    assert difference(META, replace(META, etag=etag)) is None


@pytest.mark.parametrize("etag", ["", "W/A1"])
def test_dropped_or_weakened_etag_shows_nothing_if_the_crc64_can_decide_at_the_end(etag):
    assert difference(META, replace(META, etag=etag, crc64=None)) is None


def test_dropped_etag_is_a_difference_if_no_crc64_can_decide():
    unknown = replace(META, crc64=None)
    assert "ETag" in (difference(unknown, replace(unknown, etag="")) or "")


@pytest.mark.parametrize(
    "change",
    [{"crc64": None}, {"last_modified": None}, {"content_type": "x/y"}, {"user_metadata": {}}, {"storage_class": "IA"}],
)
def test_metadata_that_does_not_identify_the_content_is_no_difference(change):
    assert difference(META, replace(META, **change)) is None
    assert difference(replace(META, **change), META) is None


def test_last_modified_counts_where_there_is_no_etag():
    bare = replace(META, etag="", crc64=None)
    assert difference(bare, replace(bare, last_modified=MODIFIED + timedelta(seconds=1))) is not None
    assert difference(bare, replace(bare)) is None


@given(st.integers(0, 250_000_000_000), st.integers(-14, 14))
def test_date_is_parsed_as_it_was_written_in_any_zone(seconds, hours):
    moment = datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours)))
    assert read_http_date(http_date(moment)) == moment


@pytest.mark.parametrize(
    "header",
    [
        None, "", "soon", "0", "Fri", "Fri, 99 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026 99:04:05 GMT",
        "Fri, 02 Jan 99999999999999999999 03:04:05 GMT", "Fri, 02 Jan 2026 03:04:05 +99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 -1200",  # beyond the last moment that UTC can say
    ],
)  # fmt: skip
def test_malformed_date_is_none(header):
    assert read_http_date(header) is None


def test_date_without_zone_is_utc():
    assert read_http_date("Fri, 02 Jan 2026 03:04:05 -0000") == MODIFIED


@given(st.text(max_size=60))
def test_arbitrary_date_header_raises_nothing(header):
    moment = read_http_date(header)
    assert moment is None or read_http_date(http_date(moment)) == moment
