"""Half-open ranges here, the last byte counted in on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.ranges import ContentRange, Range, parse_content_range

LARGEST = 10**19 - 1  # nineteen digits

offsets = st.integers(0, LARGEST - 1)


@given(offsets, st.integers(1, 1 << 60))
def test_range_header_includes_the_last_byte(start, length):
    first, last = Range(start, start + length).header().removeprefix("bytes=").split("-")
    assert (int(first), int(last) + 1 - int(first)) == (start, length)


@pytest.mark.parametrize("range_", [Range(0, 0), Range(5, 5), Range(6, 5), Range(-1, 5)])
def test_range_that_http_cannot_express_has_no_header(range_):
    with pytest.raises(AssertionError):
        range_.header()


@given(st.lists(offsets, min_size=3, max_size=3, unique=True).map(sorted))
def test_content_range_is_parsed_as_it_was_written(numbers):
    start, last, size = numbers
    expected = ContentRange(Range(start, last + 1), size)
    assert parse_content_range(f"bytes {start}-{last}/{size}") == expected
    assert parse_content_range(f" bytes {start}-{last}/{size}\t") == expected


@pytest.mark.parametrize(
    "header",
    [
        "", "bytes", "bytes ", "bytes 0-9", "bytes 0-9/*", "bytes */10", "bytes=0-9/10",
        "bytes 0-10/10",  # the last byte is not in the object
        "bytes 5-4/10", "bytes -1-4/10", "bytes 0--4/10", "bytes +0-4/10", "bytes 0-4/-10", "bytes 0-4/0",
        "bytes 0 - 4/10", "bytes  0-4/10", "bytes 0-4/10 ;", "bytes 0-4/10, 6-7/10", "bytes 0-4/10\r\nX: y",
        "bytes 0x0-0x4/10", "bytes 0-4/1e1", "bytes 0-4.0/10", "bytes 0_0-4/10",
        "bytes ٠-٤/١٠",  # Arabic digits, which int() takes
        "bytes 0-4/" + "9" * 20, "bytes 0-4/" + "9" * 5000, "bytes 0-4/10\0",
    ],
)  # fmt: skip
def test_malformed_content_range_is_none(header):
    assert parse_content_range(header) is None


@given(st.text(alphabet="bytes 0123456789-/*=", max_size=30))
def test_content_range_is_none_or_a_range_within_the_object(header):
    found = parse_content_range(header)
    assert found is None or 0 <= found.range.start < found.range.stop <= found.size
