"""One run over one version of the object, from its first response to the published file."""

from collections.abc import Sequence

from aioss_resume._core.checkpoint import Checkpoint
from aioss_resume._core.crc64 import crc64
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import Range
from aioss_resume._core.slots import Slot
from aioss_resume._core.spans import Done
from aioss_resume._core.transfer import Transfer, choose_part_size
from aioss_resume._file.flushing import Flusher
from aioss_resume._file.job import Job
from aioss_resume._file.resuming import Prover
from aioss_resume._file.small import fetch_small
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._io.write import PartFile
from aioss_resume._transfer.opening import FIRST_BYTE
from aioss_resume._transfer.scheduler import OpenFlight, SpanScheduler
from aioss_resume._transfer.span import SpanContext
from aioss_resume.events import CheckpointFlushed, DownloadResult, DownloadVerified, ObjectChanged
from aioss_resume.options import WRITE_SIZE, MiB


class MismatchError(Exception):
    """The CRC-64 of what was written is not the object's.

    Attributes:
        pinned: The object.
        crc64: The CRC-64 of the written bytes.
    """

    def __init__(self, pinned: ObjectMeta, found: int) -> None:
        super().__init__()
        self.pinned, self.crc64 = pinned, found


class Run:
    """One run. If it fails, what it wrote is kept for the next run, if possible.

    Args:
        checkpoint: The checkpoint to resume from; None to start from zero.
        must_be: The version that must be fetched; None for the checkpoint's, or else the current one.
        replaced: The version that was downloaded before and was replaced, or None.

    Attributes:
        pinned: The version of the object, once it is known.
        part_file: The part file, unless the object is small.
    """

    def __init__(
        self,
        job: Job,
        checkpoint: Checkpoint | None,
        must_be: ObjectMeta | None,
        replaced: ObjectMeta | None = None,
    ) -> None:
        self.pinned = checkpoint.meta if checkpoint is not None else must_be
        self.part_file: PartFile | None = None
        self._job = job
        self._checkpoint = checkpoint
        self._must_be = must_be
        self._replaced = replaced
        self._transfer: Transfer | None = None

    async def run(self) -> DownloadResult:
        """Fetch what is missing, verify all of it and publish it.

        Raises:
            ObjectChangedError: The pinned version was replaced or deleted.
            MismatchError: The CRC-64 of the written bytes is not the object's.
            AiossError: Any other failure.
        """
        slot = await self._job.client.slot(self._job.share)
        try:
            if self._checkpoint is not None:
                return await self._resume(self._checkpoint, slot)
            response, given = await self._open_from_zero()
            self.pinned = response.meta
            if self._fits_in_memory(response.meta, given):
                return await self._download_small(response, slot)
            return await self._begin(response, given, slot)
        finally:
            slot.release()

    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint for the next run, or None if it cannot resume."""
        job, transfer, part_file, pinned = self._job, self._transfer, self.part_file, self.pinned
        if transfer is None or part_file is None or pinned is None:
            return self._checkpoint
        spans = transfer.spans()
        if not spans or not job.keeps_checkpoint(pinned.size):
            return None
        return Checkpoint(job.name, job.options.version_id, pinned, part_file.path.name, spans)

    async def _resume(self, checkpoint: Checkpoint, slot: Slot) -> DownloadResult:
        """Resume from a checkpoint with a request for the first missing bytes of its version of the object."""
        job, pinned = self._job, checkpoint.meta
        part_file = job.destination.part_file(pinned)
        was_there = await part_file.create(pinned.size)
        if not was_there:
            job.report.warning("%s: the part file is gone; starting from zero", job.name)
        transfer = self._start_transfer(pinned, part_file, checkpoint.spans if was_there else ())
        flight = transfer.claim()
        wanted = Range(flight.start, flight.stop) if flight is not None else FIRST_BYTE
        response, _ = await job.opener.open(wanted, pinned)
        transfer.note_latency(response.latency)
        if job.source.ignores_ranges:
            transfer.use_one_request()
        if flight is not None:
            return await self._fetch_and_commit(pinned, part_file, transfer, OpenFlight(flight, slot, response))
        try:  # nothing is missing; the request only checked that the object is still the same
            await response.discard()
        finally:
            response.close()
        slot.release()
        return await self._fetch_and_commit(pinned, part_file, transfer, None)

    async def _open_from_zero(self) -> tuple[AcceptedResponse, Range]:
        """Request the first bytes: all of a small object, or the first part of a large one."""
        options, must_be = self._job.options, self._must_be
        first = max(options.part_size or MiB, options.multiget_threshold)
        # An empty object is not pinned: for a pinned object, 416 would mean that it got shorter.
        pinned = must_be if must_be is not None and must_be.size else None
        response, given = await self._job.opener.open(Range(0, first), pinned)
        if self._replaced is not None:
            self._job.report.send(ObjectChanged, old_etag=self._replaced.etag, new_etag=response.meta.etag)
        try:
            self._job.require_crc64(response.meta)
        except BaseException:
            response.close()
            raise
        return response, given

    async def _begin(self, response: AcceptedResponse, given: Range, slot: Slot) -> DownloadResult:
        """Begin a part file with the bytes of the first response."""
        job, pinned = self._job, response.meta
        part_file = job.destination.part_file(pinned)
        try:
            await job.destination.lock.lock()
            await part_file.create(pinned.size)
        except BaseException:
            response.close()
            raise
        transfer = self._start_transfer(pinned, part_file)
        if job.source.ignores_ranges:
            transfer.use_one_request()
        flight = transfer.claim(given.length)
        assert flight is not None
        return await self._fetch_and_commit(pinned, part_file, transfer, OpenFlight(flight, slot, response))

    def _start_transfer(self, pinned: ObjectMeta, part_file: PartFile, kept: Sequence[Done] = ()) -> Transfer:
        options = self._job.options
        part_size = options.part_size or choose_part_size(pinned.size, options.part_slots)
        keeps_checkpoint = self._job.keeps_checkpoint(pinned.size)
        transfer = Transfer(pinned.size, part_size=part_size, kept=kept, tail_is_shared=keeps_checkpoint)
        self._transfer, self.part_file = transfer, part_file
        self._job.started(pinned.size, resumed=sum(span.stop - span.start for span in kept))
        self._job.progress.follow(transfer)
        return transfer

    async def _fetch_and_commit(
        self, pinned: ObjectMeta, part_file: PartFile, transfer: Transfer, first: OpenFlight | None
    ) -> DownloadResult:
        job = self._job
        context = SpanContext(
            job.client, job.source, pinned, part_file.open_at, job.options.retry, job.report, job.share
        )
        prover = Prover(job, transfer, part_file)
        background = [prover.run] if transfer.unproven else []
        on_written = None
        if job.keeps_checkpoint(pinned.size):
            flusher = Flusher(self._flush, job.client.clock)
            background.append(flusher.run)
            on_written = flusher.count
            job.destination.has_checkpoint = True
        scheduler = SpanScheduler(context, transfer, job.window, background=background, on_written=on_written)
        try:
            await scheduler.run(first)
            verified = self._verify(transfer.crc64, pinned)
            await job.destination.commit(part_file, pinned.size, transfer.crc64)
            job.committed()
        except MismatchError:
            raise
        except BaseException:
            await self._save()
            raise
        return job.result(pinned, resumed=prover.proven_bytes, verified=verified)

    async def _download_small(self, response: AcceptedResponse, slot: Slot) -> DownloadResult:
        """Download an object with one request: keep it in memory, then write and publish it in one call."""
        job, pinned = self._job, response.meta
        job.progress.set_total(pinned.size)
        job.started(pinned.size, resumed=0)
        body = await fetch_small(response, job.source, job.options.retry, job.client, job.report)
        slot.release()
        verified = self._verify(crc64(body), pinned)
        job.progress.note_consumed(pinned.size)
        await job.destination.publish(body)
        job.committed()
        return job.result(pinned, resumed=0, verified=verified)

    def _fits_in_memory(self, meta: ObjectMeta, given: Range) -> bool:
        return given.length == meta.size <= WRITE_SIZE and not self._job.keeps_checkpoint(meta.size)

    def _verify(self, found: int, pinned: ObjectMeta) -> bool:
        """Compare the CRC-64. Returns False if it cannot be compared, and raises MismatchError if it differs."""
        if pinned.crc64 is None or not self._job.can_verify:
            return False
        if found != pinned.crc64:
            raise MismatchError(pinned, found)
        self._job.report.send(DownloadVerified, crc64=found)
        return True

    async def _flush(self) -> None:
        checkpoint = self.checkpoint()
        if checkpoint is not None:
            await self._job.destination.checkpoint_file.flush(checkpoint)
            done = sum(span.stop - span.start for span in checkpoint.spans)
            self._job.report.send(CheckpointFlushed, bytes_done=done)

    async def _save(self) -> None:
        """Keep the written bytes for the next run, or remove them if it cannot resume."""
        destination, part_file = self._job.destination, self.part_file
        assert part_file is not None
        try:
            if await destination.has_part_file(part_file) and self.checkpoint() is not None:
                await self._flush()
            else:
                await destination.discard()
        except OSError as error:  # the error that ended the download counts, not this one
            self._job.report.warning("%s: the last checkpoint could not be flushed: %s", self._job.name, error)
