"""Memory that becomes a bytes object."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from aioss_resume._io.new_bytes import NewBytes


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("length", [0, 1, 100_000, 5 << 20])
def test_memory_is_filled_and_becomes_bytes(copies, length):
    made = NewBytes(length, copies=copies)
    content = bytes(range(256)) * (length // 256 + 1)
    made.buffer[:] = content[:length]
    assert made.finish() == content[:length]
    with pytest.raises(ValueError, match="released"):
        made.buffer[:0] = b""


def test_view_in_a_cycle_is_collected():
    """With a cycle of a view alone, as an exception's, Python 3.12.0 and 3.12.1 crash unless the bytes are copied."""
    made = NewBytes(10)
    cycle: list[object] = [made.buffer[3:]]
    cycle.append(cycle)
    gone = weakref.ref(made)
    del made, cycle
    gc.collect()
    assert gone() is None


ADVISED = """
import ctypes, re
from pathlib import Path

from aioss_resume._io.new_bytes import NewBytes

def is_advised(buffer):
    address, found = ctypes.addressof(ctypes.c_char.from_buffer(buffer, len(buffer) // 2)), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if mapping := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            found = int(mapping[1], 16) <= address < int(mapping[2], 16)
        elif found and line.startswith("VmFlags:"):
            return "hg" in line.split()

small = NewBytes(1 << 20)
print(is_advised(small.buffer), is_advised(NewBytes(8 << 20).buffer))
"""
"""In a process of its own, whose memory was not advised before. The kernel marks what is advised with "hg"."""


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="a kernel without huge pages")
def test_huge_pages_are_asked_for_large_memory_only():
    ended = subprocess.run([sys.executable, "-c", ADVISED], capture_output=True, text=True, check=True)
    assert ended.stdout == "False True\n"
