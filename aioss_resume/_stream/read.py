"""read() and read_into(): an object's bytes in a new bytes object, or in the caller's buffer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aioss_resume._core.slices import Slice
from aioss_resume._core.slots import Slot
from aioss_resume._core.transfer import Transfer, choose_part_size
from aioss_resume._io.new_bytes import NewBytes
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._stream.reading import Opened, Reading
from aioss_resume._transfer.sink import memory_sinks
from aioss_resume.errors import ConfigError
from aioss_resume.options import MULTIGET_THRESHOLD

if TYPE_CHECKING:
    from aioss_resume._core.objects import ObjectMeta

FIRST: Final = MULTIGET_THRESHOLD
"""Most bytes of the first request. What is no longer costs one request."""


async def read(reading: Reading, wanted: Slice) -> bytes:
    """Read the bytes of a slice.

    Raises:
        AiossError: As for `Downloader.read()`.
    """
    made: list[NewBytes] = []  # at most one; if everything is read anew, a new one replaces it

    def allocate(length: int) -> memoryview:
        made[:] = [NewBytes(length)]
        return made[0].buffer

    length = await _read(reading, wanted, allocate)
    return made[0].finish() if length else b""


async def read_into(reading: Reading, wanted: Slice, buffer: memoryview) -> int:
    """Fill a buffer with the bytes of a slice, which is not longer. Returns the number of bytes.

    Raises:
        AiossError: As for `Downloader.read_into()`. Nothing writes to the buffer any more.
    """
    return await _read(reading, wanted, lambda _length: buffer)


def writable_bytes(buffer: object) -> memoryview:
    """A view of the caller's buffer as bytes. The buffer cannot be resized until the view is released.

    Raises:
        ConfigError: The buffer is not writable and contiguous.
    """
    try:
        view = memoryview(buffer)  # type: ignore[arg-type]  # TypeError if it is no buffer
    except TypeError:
        view = None
    if view is None or view.readonly or not view.c_contiguous:
        raise ConfigError(
            f"buffer must be a writable and contiguous buffer, such as a bytearray, not {type(buffer).__name__}"
            + ("" if view is None else " that is read-only" if view.readonly else " that is not contiguous")
        )
    return view.cast("B") if view.nbytes else memoryview(bytearray())


async def _read(reading: Reading, wanted: Slice, allocate: Callable[[int], memoryview]) -> int:
    """Read the bytes of a slice into memory that is allocated when their number is known. Returns that number."""
    if wanted.is_empty:
        return 0
    return await reading.run(lambda: _read_until_verified(reading, wanted, allocate), received=int)


async def _read_until_verified(reading: Reading, wanted: Slice, allocate: Callable[[int], memoryview]) -> int:
    """Read the slice. If it is the whole object and the CRC-64 differs, read it once more."""
    mismatched: ObjectMeta | None = None
    while True:
        slot = await reading.client.slot(reading.share)
        try:
            opened = await reading.open(wanted, reading.options.part_size or FIRST, mismatched)
            if opened is None or opened.response is None:
                return 0
            found = await _fetch(reading, opened, opened.response, slot, allocate)
        finally:
            slot.release()
        if not reading.is_verifiable(opened) or found == opened.pinned.crc64:
            return opened.range.length
        if mismatched is not None:
            raise reading.mismatch_error(opened.pinned, found)
        reading.report.warning("%s: the CRC-64 differs; fetching all of it once more", reading.name)
        mismatched = opened.pinned


async def _fetch(
    reading: Reading,
    opened: Opened,
    response: AcceptedResponse,
    slot: Slot,
    allocate: Callable[[int], memoryview],
) -> int:
    """Fetch the opened range into new memory. Returns its CRC-64 if there is one to compare with."""
    try:
        options, range_ = reading.options, opened.range
        reading.started(range_)
        transfer = Transfer(
            opened.pinned.size,
            part_size=options.part_size or choose_part_size(range_.length, options.part_slots, parts_per_slot=1),
            wanted=[range_],
            tail_is_shared=range_.length > FIRST,
        )
        sinks = memory_sinks(allocate(range_.length), range_.start, sums=reading.is_verifiable(opened))
        first = reading.first_flight(response, transfer, slot, options.part_size or FIRST)
        await reading.scheduler(opened.pinned, transfer, sinks).run(first)
        return transfer.crc64
    finally:
        response.close()
