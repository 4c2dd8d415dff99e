"""CRC-64/XZ, against a reference that is too slow to be wrong."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.crc64 import EMPTY, crc64, join


def bitwise(content: bytes) -> int:
    """CRC-64/XZ as the catalogue defines it, one bit at a time."""
    register = (1 << 64) - 1
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xC96C5795D7870F42 if register & 1 else 0)
    return register ^ (1 << 64) - 1


def of_zeros(length: int) -> int:
    """CRC-64 of so many zero bytes, by doubling: needs no memory for exabytes."""
    found, power, power_length = EMPTY, crc64(b"\0"), 1
    while length:
        if length & 1:
            found = join(found, power, power_length)
        power, power_length, length = join(power, power, power_length), power_length * 2, length >> 1
    return found


def test_crc64_has_the_check_value_of_the_crc_catalogue():
    assert crc64(b"123456789") == 0x995DC9BBDF1939FA
    assert crc64(b"") == EMPTY == 0


@given(st.binary(max_size=200))
def test_crc64_equals_the_bitwise_definition(content):
    assert crc64(content) == bitwise(content)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crc64_continues_from_a_previous_value(first, second):
    assert crc64(memoryview(second), crc64(bytearray(first))) == crc64(first + second)


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=40))
def test_joined_crc64_of_two_parts_is_that_of_the_whole(content, cuts):
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    joined = EMPTY
    for start, stop in pairwise(edges):
        joined = join(joined, crc64(content[start:stop]), stop - start)
    assert joined == crc64(content)


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50))
def test_joining_is_associative_and_ignores_empty_parts(a, b, c):
    ab, bc = join(crc64(a), crc64(b), len(b)), join(crc64(b), crc64(c), len(c))
    assert join(ab, crc64(c), len(c)) == join(crc64(a), bc, len(b) + len(c)) == crc64(a + b + c)
    assert join(crc64(a), EMPTY, 0) == join(EMPTY, crc64(a), len(a)) == crc64(a)


@pytest.mark.parametrize("length", [1, 7, 4096, 65537, 1 << 20, (1 << 20) + 1])
def test_crc64_of_zeros_by_doubling_is_that_of_the_bytes(length):
    assert of_zeros(length) == crc64(bytes(length))


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_joining_works_for_lengths_of_exabytes(first, second):
    assert join(of_zeros(first), of_zeros(second), second) == of_zeros(first + second)


@given(st.binary(min_size=1, max_size=64), st.data())
def test_one_flipped_bit_shows_after_joining(content, data):
    at = data.draw(st.integers(0, len(content) * 8 - 1))
    flipped = bytearray(content)
    flipped[at // 8] ^= 1 << at % 8
    tail = of_zeros(1 << 40)
    assert join(crc64(flipped), tail, 1 << 40) != join(crc64(content), tail, 1 << 40)
