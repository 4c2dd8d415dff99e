"""Adopting a download that another tool began: its temporary file becomes our part file, its record our checkpoint."""

from dataclasses import replace
from functools import partial

from aioss_resume._core.checkpoint import Checkpoint
from aioss_resume._core.foreign import Prefix
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.spans import Done
from aioss_resume._file.disk import on_disk
from aioss_resume._file.job import Job
from aioss_resume._file.locking import Existing
from aioss_resume._io.foreign import ForeignRecords, Found, take_temporary_file
from aioss_resume._io.verify import crc64_of_start
from aioss_resume._io.write import PartFile
from aioss_resume.errors import LocalFileError


async def adopt(job: Job, existing: Existing, records: ForeignRecords) -> Existing:
    """Adopt what another tool left at the destination. Returns what exists there afterwards.

    The steps are: rename the temporary file, write our checkpoint, remove the record. After a crash between them, the
    bytes may have to be fetched again, but no other file was touched.

    Raises:
        AiossError: The object or the destination could not be examined.
    """
    if existing.checkpoint is not None or existing.reason is not None:
        return existing  # our own checkpoint is newer than any record of another tool
    path, options = str(job.destination.path), job.options
    found = await records.find(job.name, options.version_id, path)
    if not found:
        return existing
    with await job.client.slot(job.share):
        meta = await job.opener.fetch_meta()
    for each in found:
        if each.record.is_of(meta) and job.keeps_checkpoint(meta.size):
            checkpoint = await _take(job, each, meta)
            if checkpoint is not None:
                return replace(existing, checkpoint=checkpoint)
    job.report.info("%s: what another tool has left is of another version, or incomplete", job.name)
    return existing


async def _take(job: Job, found: Found, meta: ObjectMeta) -> Checkpoint | None:
    destination, client, record = job.destination, job.client, found.record
    part_file = destination.part_file(meta)
    await destination.lock.lock()
    temporary = f"{destination.path}{record.suffix}"
    call = partial(take_temporary_file, destination.storage, temporary, str(part_file.path), meta.size)
    if not await on_disk(client.threads, "take over the temporary file", call, temporary, job.name):
        return None
    spans = list(record.spans) if record.prefix is None else await _spans_of(job, record.prefix, part_file, meta)
    checkpoint = Checkpoint(job.name, job.options.version_id, meta, part_file.path.name, spans)
    destination.has_checkpoint = True
    await destination.checkpoint_file.flush(checkpoint)
    try:
        await found.remove()
    except LocalFileError:
        raise
    except Exception as error:  # noqa: BLE001  # a store of the caller's; what is left does no harm
        job.report.warning("%s: the record of another tool could not be removed: %s", job.name, type(error).__name__)
    kept = sum(span.stop - span.start for span in spans)
    job.report.info("%s: going on from %d bytes that another tool has fetched", job.name, kept)
    return checkpoint


async def _spans_of(job: Job, prefix: Prefix, part_file: PartFile, meta: ObjectMeta) -> list[Done]:
    """The usable spans of a prefix: all of it if its CRC-64 is right; otherwise the object's CRC-64 decides."""
    client, storage = job.client, job.destination.storage
    sum_up = partial(crc64_of_start, part_file.path, threads=client.threads, storage=storage, name=job.name)
    length = prefix.length
    found = await sum_up(length) if prefix.crc64 is not None else None
    if found is None or found != prefix.crc64:
        if meta.crc64 is None:
            return []
        size = await client.threads.run(storage.stat, part_file.path, follow_symlinks=False)
        length = prefix.without_last_parts(size.st_size)
        found = await sum_up(length)
    return [Done(0, length, found)] if length and found is not None else []
