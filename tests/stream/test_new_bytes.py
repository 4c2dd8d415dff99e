"""Memory that becomes a bytes object."""

import gc
import weakref

import pytest

from aioss_resume._stream.read import NewBytes


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("length", [0, 1, 100_000])
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
