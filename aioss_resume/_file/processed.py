"""Objects that OSS processes (`x-oss-process`): one stream of unknown length, published atomically."""

from dataclasses import replace

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._file.job import Job
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._io.write import PartFile
from aioss_resume._transfer.retrying import with_retries
from aioss_resume.events import DownloadResult


async def download_processed(job: Job) -> DownloadResult:
    """Download a processed object, from zero at each attempt: nothing of it can be resumed or verified.

    Raises:
        AiossError: The error of the last attempt. Nothing is left, and the old destination is as it was.
    """
    job.require_crc64(None)

    async def attempt() -> ObjectMeta:
        return await _attempt(job)

    with await job.client.slot(job.share):
        meta = await with_retries(attempt, job.options.retry, job.client.clock, job.report)
    return job.result(meta, resumed=0, verified=False)


async def _attempt(job: Job) -> ObjectMeta:
    """Download once. Returns the object with the received length and without a CRC-64, which OSS only has for the
    unprocessed object."""
    response = await job.source.open_whole()
    part_file = job.destination.temporary_part_file()
    try:
        await part_file.create(None)
        job.progress.set_total(response.length)
        job.started(response.length, resumed=0)
        size = await _write_body(job, response, part_file)
        await job.destination.commit(part_file, size)
        job.committed()
    except BaseException:
        await part_file.remove()
        raise
    finally:
        response.close()
    return replace(response.meta, size=size, crc64=None)


async def _write_body(job: Job, response: AcceptedResponse, part_file: PartFile) -> int:
    """Write a whole body. Returns its length in bytes."""
    sink = await part_file.open_at(0)
    buffer = sink.room(job.client.write_size)
    received = 0

    def receive(length: int, _now: float) -> bool:
        nonlocal received
        received += length
        return True

    try:
        while await response.fill(buffer, receive):
            length = received - sink.offset
            await sink.write([buffer[:length]])
            job.progress.note_consumed(sink.offset)
            await job.client.keep_pace(length)
    finally:
        await sink.close()
    return sink.offset
