"""The bytes of an object: in memory, in a file, or generated on demand."""

import hashlib
import mmap
import random
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from aioss_resume._core import crc64

_BLOCK = 1 << 20
_STAMP = 8


class Content(Protocol):
    """Immutable bytes of known size and CRC-64 with random access."""

    @property
    def size(self) -> int: ...

    @property
    def crc64(self) -> int: ...

    @property
    def etag(self) -> str: ...

    @property
    def md5(self) -> bytes | None: ...

    def read(self, start: int, stop: int) -> bytes | memoryview: ...


class BytesContent:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)

    @property
    def size(self) -> int:
        return len(self._view)

    @cached_property
    def crc64(self) -> int:
        return crc64.crc64(self._view)

    @cached_property
    def md5(self) -> bytes | None:
        return hashlib.md5(self._view, usedforsecurity=False).digest()

    @property
    def etag(self) -> str:
        return (self.md5 or b"").hex().upper()

    def read(self, start: int, stop: int) -> memoryview:
        return self._view[start:stop]


class FileContent:
    """The bytes of a local file, which must not change while it is served."""

    def __init__(self, path: Path) -> None:
        status = path.stat()
        self.size = status.st_size
        self.etag = _opaque_etag(f"{path.absolute()}:{status.st_size}:{status.st_mtime_ns}")
        self.md5: bytes | None = None
        self._view = memoryview(b"")
        if self.size:
            # Mapped into memory, so that the server's event loop makes no file calls.
            with path.open("rb") as file:
                self._view = memoryview(mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ))

    @cached_property
    def crc64(self) -> int:
        return crc64.crc64(self._view)

    def read(self, start: int, stop: int) -> memoryview:
        return self._view[start:stop]


class JoinedContent:
    """Concatenated contents, as made by a multipart upload or an append."""

    md5: bytes | None = None

    def __init__(self, parts: Sequence[Content], etag: str) -> None:
        self._parts: list[Content] = []
        for part in parts:  # flat: otherwise a thousand appends would need a recursion of a thousand calls
            self._parts.extend(part._parts if isinstance(part, JoinedContent) else [part])
        self._stops = [*accumulate(part.size for part in self._parts)]
        self.etag = etag

    @property
    def size(self) -> int:
        return self._stops[-1] if self._stops else 0

    @cached_property
    def crc64(self) -> int:
        value = crc64.EMPTY
        for part in self._parts:
            value = crc64.join(value, part.crc64, part.size)
        return value

    def read(self, start: int, stop: int) -> bytes:
        pieces: list[bytes | memoryview] = []
        for index in range(bisect_right(self._stops, start), len(self._parts)):
            part, end = self._parts[index], self._stops[index]
            begin = end - part.size
            if begin >= stop:
                break
            pieces.append(part.read(max(start - begin, 0), min(stop, end) - begin))
        return b"".join(pieces)


class GeneratedContent:
    """Repeatable bytes of any size that need no memory.

    The same seed gives the same bytes, and a larger size gives more of them: one block of 1 MiB of
    pseudo-random bytes over and over, with the block's index XORed over the first eight bytes, so that no two
    blocks are equal.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        """Describe `size` bytes (0 to 2**80). They are only generated when read."""
        self.size = size
        self.seed = seed
        self.etag = _opaque_etag(f"generated:{size}:{seed}")
        self.md5: bytes | None = None

    def read(self, start: int, stop: int) -> bytes:
        """The bytes of `[start, stop)`, as far as they exist."""
        stop = min(stop, self.size)
        pieces: list[bytes | memoryview] = []
        base = memoryview(_base_block(self.seed, _base_length(self.size)))
        while start < stop:
            index, inside = divmod(start, _BLOCK)
            end = min(_BLOCK, inside + stop - start)
            if inside < _STAMP:
                pieces.append(_stamp(base, index)[inside:end])
            if end > _STAMP:
                pieces.append(base[max(inside, _STAMP) : end])
            start += end - inside
        return b"".join(pieces)

    @cached_property
    def crc64(self) -> int:
        """The CRC-64 of all bytes. Computed in milliseconds, even for many TiB."""
        blocks, tail = divmod(self.size, _BLOCK)
        value = crc64.EMPTY
        first = 0
        for level in reversed(range(blocks.bit_length())):
            if blocks >> level & 1:
                value = crc64.join(value, _run_crc(self.seed, level, first), _BLOCK << level)
                first += 1 << level
        rest = self.read(self.size - tail, self.size)
        return crc64.join(value, crc64.crc64(rest), tail)


def _opaque_etag(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest().upper() + "-1"


def _base_length(size: int) -> int:
    """The length of the first block of an object of that size: a multiple of 4, with space for the block's index."""
    return max(_STAMP, min(_BLOCK, -(-size // 4) * 4))


@lru_cache(maxsize=16)
def _base_block(seed: int, length: int = _BLOCK) -> bytes:
    """The pseudo-random block from which all blocks are made, or its beginning."""
    return random.Random(seed).randbytes(length)  # noqa: S311 - repeatable, not secret


def _stamp(base: memoryview, index: int) -> bytes:
    mixed = int.from_bytes(base[:_STAMP], "little") ^ (index & 0xFFFF_FFFF_FFFF_FFFF)
    return mixed.to_bytes(_STAMP, "little")


def _run_crc(seed: int, level: int, first: int) -> int:
    """CRC-64 of the 2**level blocks from block `first`, which is a multiple of 2**level.

    A CRC is affine in the bits it covers, and a block's stamp is linear in the bits of its index. So the CRC
    of a run is affine in the bits of its first index: each adds (XORs) its own, whatever the others are.
    """
    value = _first_run_crc(seed, level)
    for bit in range(level, first.bit_length()):
        if first >> bit & 1:
            value ^= _bit_crc(seed, level, bit)
    return value


@lru_cache(maxsize=4096)
def _first_run_crc(seed: int, level: int) -> int:
    """CRC-64 of the blocks 0 to 2**level."""
    if level == 0:
        return crc64.crc64(_base_block(seed))
    half = _first_run_crc(seed, level - 1)
    return crc64.join(half, half ^ _bit_crc(seed, level - 1, level - 1), _BLOCK << (level - 1))


@lru_cache(maxsize=65536)
def _bit_crc(seed: int, level: int, bit: int) -> int:
    """The change of the CRC-64 of a run of 2**level blocks if bit `bit` of the first block's index is set."""
    if level == 0:
        base = _base_block(seed)
        return crc64.crc64(_stamp(memoryview(base), 1 << bit) + base[_STAMP:]) ^ crc64.crc64(base)
    half = _bit_crc(seed, level - 1, bit)
    return crc64.join(half, half, _BLOCK << (level - 1))
