"""What OSS makes of an object on the way (`x-oss-process`): of unknown length, in one stream, published atomically."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from aioss_resume._core.crc64 import EMPTY
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._file.destination import Destination
from aioss_resume._io.fetch import AcceptedResponse, Source
from aioss_resume._io.write import PartFile
from aioss_resume._transfer.client import Client


@dataclass(frozen=True, slots=True)
class ProcessedStream:
    """One processed object on its way into one file; nothing of it can be resumed or verified.

    Attributes:
        on_length: Called with the body's length in bytes, or None when it is unknown.
        on_written: Called with the bytes written so far.
    """

    source: Source
    destination: Destination
    client: Client
    on_length: Callable[[int | None], None]
    on_written: Callable[[int], None]

    async def download(self) -> ObjectMeta:
        """One attempt, from zero; the object with the length that came, and no CRC-64: OSS's is the unprocessed one's.

        Raises:
            AiossError: What ended it. Nothing is left, and the old destination is as it was.
        """
        response = await self.source.open_whole()
        part_file = self.destination.temporary_part_file()
        try:
            await part_file.create(None)
            self.on_length(response.length)
            size = await self._pour(response, part_file)
            await self.destination.commit(part_file, size)
        except BaseException:
            await part_file.remove()
            raise
        finally:
            response.close()
        return replace(response.meta, size=size, crc64=None)

    async def _pour(self, response: AcceptedResponse, part_file: PartFile) -> int:
        """All of a body into the part file; its length in bytes."""
        sink = await part_file.open_at(0, EMPTY)
        buffer = memoryview(bytearray(self.client.write_size))
        received = 0

        def receive(length: int, _now: float) -> bool:
            nonlocal received
            received += length
            return True

        try:
            while await response.fill(buffer, receive):
                length = received - sink.offset
                await sink.write([buffer[:length]])
                self.on_written(sink.offset)
                await self.client.keep_pace(length)
        finally:
            await sink.close()
        return sink.offset
