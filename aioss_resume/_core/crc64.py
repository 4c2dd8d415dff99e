"""CRC-64/XZ of bytes, and of two adjacent pieces from their CRCs.

OSS sends the CRC-64/XZ of the whole object as `x-oss-hash-crc64ecma`. fastcrc computes it in native code and releases
the GIL. It cannot join two CRCs, so that is implemented here.

Source: CRC RevEng catalogue, CRC-64/XZ (polynomial 0x42F0E1EBA9EA3693, reflected, init and xorout all ones, check
value of b"123456789" 0x995DC9BBDF1939FA). Joining is the arithmetic of zlib's crc32_combine(): the first CRC times
x^(8 * length of the second), modulo the polynomial.
"""

from functools import lru_cache

from fastcrc import crc64 as _native

EMPTY = 0
"""The CRC-64 of no bytes."""

_POLYNOMIAL = 0xC96C5795D7870F42  # 0x42F0E1EBA9EA3693 with its bits reversed: bit 63 is x^0 here
_ONE = 1 << 63


def crc64(chunk: bytes | bytearray | memoryview, before: int = EMPTY) -> int:
    """CRC-64/XZ of `before`'s bytes followed by `chunk`; 0 <= crc64 < 2**64."""
    return int(_native.xz(chunk, before))


def join(first: int, second: int, second_length: int) -> int:
    """CRC-64 of two adjacent pieces, from the CRC-64 of each and the length of the second in bytes."""
    return _multiply(_power_of_x(second_length), first) ^ second


def _multiply(a: int, b: int) -> int:
    """a times b modulo the polynomial, both reflected (bit 63 is the coefficient of x^0)."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFF_FFFF_FFFF_FFFF
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=256)  # parts have few different lengths, so most joins cost one multiplication
def _power_of_x(length: int) -> int:
    """x^(8 * length) modulo the polynomial."""
    power = _ONE
    for doubling in range(length.bit_length()):
        if length >> doubling & 1:
            power = _multiply(_doubled(doubling), power)
    return power


@lru_cache(maxsize=64)
def _doubled(doubling: int) -> int:
    """x^(8 * 2**doubling) modulo the polynomial."""
    if doubling == 0:
        return _ONE >> 8
    half = _doubled(doubling - 1)
    return _multiply(half, half)
