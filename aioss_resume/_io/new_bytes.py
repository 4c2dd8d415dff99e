"""Memory that becomes a bytes object without a copy, in huge pages where the kernel has them."""

import ctypes
import io
import mmap
import sys
from typing import Final

_VIEWS_CRASH: Final = (3, 12) <= sys.version_info < (3, 12, 2)
"""Whether the garbage collector crashes on a view of a BytesIO in a cycle, such as that of an exception.

Source: https://github.com/python/cpython/issues/111049
"""

_HUGE_PAGES: Final[int | None] = getattr(mmap, "MADV_HUGEPAGE", None)
"""What to advise for huge pages. Only Linux has it."""

_HUGE_LEAST: Final = 4 << 20
"""Least length in bytes for which huge pages are asked for: one of 2 MiB fits in, wherever the memory begins."""


class _Memory(io.BytesIO):
    """A BytesIO that is not closed by the garbage collector.

    It may be in a reference cycle, such as that of an exception, together with views of it. Closing it would fail then,
    and Python 3.13 prints that error.
    """

    def __del__(self) -> None:
        pass


class NewBytes:
    """Memory that becomes a bytes object, without a copy if possible.

    BytesIO stores its content as a bytes object, and returns that very object if no view of it is left.

    Args:
        copies: Whether to copy the bytes once instead.

    Attributes:
        buffer: The memory.
    """

    def __init__(self, length: int, *, copies: bool = _VIEWS_CRASH) -> None:
        self._file = None if copies else _Memory(bytes(length))
        self.buffer = memoryview(bytearray(length)) if self._file is None else self._file.getbuffer()
        if length >= _HUGE_LEAST:
            _advise_huge_pages(self.buffer)

    def finish(self) -> bytes:
        """Return the bytes, and release the buffer, so that nothing can be written to it any more."""
        data = bytes(self.buffer) if self._file is None else b""
        self.buffer.release()
        return data if self._file is None else self._file.getvalue()


def _advise_huge_pages(buffer: memoryview) -> None:
    """Ask for huge pages for new memory: each of 2 MiB saves 511 page faults. The kernel is free to ignore it.

    It takes no more memory, as only whole pages of the buffer are concerned. NumPy does the same for its arrays.
    """
    if _HUGE_PAGES is None:
        return
    start = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (start + len(buffer) - first) // mmap.PAGESIZE * mmap.PAGESIZE
    ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), ctypes.c_int(_HUGE_PAGES))
