"""Resuming: whether the checkpoint of an earlier run can be used, and proving its bytes on the disk."""

from aioss_resume._core.checkpoint import Checkpoint, Unusable
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.paths import part_name
from aioss_resume._core.spans import Done
from aioss_resume._core.transfer import Transfer
from aioss_resume._file.job import Job
from aioss_resume._file.locking import Existing
from aioss_resume._io.verify import span_matches_disk
from aioss_resume._io.write import PartFile
from aioss_resume._transfer.scheduler import SpanScheduler
from aioss_resume.errors import LocalFileError


def usable_checkpoint(job: Job, existing: Existing) -> Checkpoint | None:
    """The checkpoint that an earlier run left, if this run can continue from it."""
    job.destination.has_checkpoint = existing.checkpoint is not None or existing.reason is not None
    reason = existing.reason
    if existing.checkpoint is not None:
        try:
            _check_fit(job, existing.checkpoint)
        except Unusable as error:
            reason = str(error)
        else:
            return existing.checkpoint
    if reason:
        path = job.destination.checkpoint_file.path
        job.report.warning("%s: the checkpoint %s is ignored: %s", job.name, path, reason)
    return None


async def discard_leftovers(job: Job, existing: Existing, meta: ObjectMeta) -> None:
    """Remove what an earlier run left, if the destination is already up to date."""
    if existing.checkpoint is not None or existing.reason is not None:
        job.destination.part_file(existing.checkpoint.meta if existing.checkpoint is not None else meta)
        await job.destination.discard()


def _check_fit(job: Job, checkpoint: Checkpoint) -> None:
    meta = checkpoint.meta
    if (checkpoint.name, checkpoint.version_id) != (job.name, job.options.version_id):
        raise Unusable("it is of another object")
    if checkpoint.part_file != part_name(job.destination.path.name, job.name, meta):
        raise Unusable("it names a part file that is not this object's")
    if meta.if_match is None and meta.crc64 is None:
        raise Unusable("the object has neither ETag nor CRC-64 to know it by")
    if job.options.integrity == "require" and meta.crc64 is None:
        raise Unusable('it has no CRC-64 to compare with, as integrity="require" asks for')


class Prover:
    """Reads the kept spans back from the disk while others are fetched. A span that differs is fetched again.

    Attributes:
        proven_bytes: Number of bytes that were proven.
    """

    def __init__(self, job: Job, transfer: Transfer, part_file: PartFile) -> None:
        self.proven_bytes = 0
        self._job = job
        self._transfer = transfer
        self._part_file = part_file

    async def run(self, scheduler: SpanScheduler) -> None:
        """Prove all unproven spans. Run as a background task of the scheduler."""
        for span in self._transfer.unproven:
            matches = await self._matches_disk(span, scheduler)
            if matches:
                self.proven_bytes += span.stop - span.start
            else:
                self._job.report.warning(
                    "%s: bytes [%d, %d) on the disk are not what was written: they are fetched again",
                    self._job.name,
                    span.start,
                    span.stop,
                )
            self._transfer.prove(span, matches=matches)
            scheduler.notify()

    async def _matches_disk(self, span: Done, scheduler: SpanScheduler) -> bool:
        client = self._job.client
        while True:
            try:
                return await span_matches_disk(
                    self._part_file.path, span, client.threads, self._job.destination.storage, name=self._job.name
                )
            except LocalFileError as error:
                if not scheduler.reduce_concurrency(error):
                    raise
            await scheduler.wait_for_change()
