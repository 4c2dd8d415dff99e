"""The first response of a run. It says what the object is, so that no HEAD is needed."""

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import Range
from aioss_resume._file.job import Job
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._transfer.retrying import with_retries
from aioss_resume.errors import ProtocolError, ServiceError
from aioss_resume.options import MiB

FIRST_BYTE = Range(0, 1)


async def open_first(job: Job, wanted: Range, pinned: ObjectMeta | None = None) -> tuple[AcceptedResponse, Range]:
    """The first response of a run, and which of the object's bytes it brings. Tried again like any span.

    Args:
        pinned: The version of the object that it must be of; None: any.
    """

    async def attempt() -> tuple[AcceptedResponse, Range]:
        try:
            response = await job.source.open_range(wanted, pinned)
        except ServiceError as error:
            if error.status != 416 or pinned is not None or wanted.start > 0:
                raise
        else:
            assert response.range is not None
            return response, response.range
        response = await job.source.open_whole()  # it is empty, so every range is out of bounds
        if response.length != 0:
            response.close()
            raise ProtocolError(f"{job.name}: no range fits it, yet it is not empty", name=job.name)
        return response, Range(0, 0)

    return await with_retries(attempt, job.options.retry, job.client.clock, job.counts)


async def open_from_zero(job: Job, pinned: ObjectMeta | None) -> tuple[AcceptedResponse, Range]:
    """The response to a request for the first bytes: all of a small object, the first part of a large one."""
    first = max(job.options.part_size or MiB, job.options.multiget_threshold)
    # An empty object is not pinned: for a pinned object, 416 would mean that it got shorter.
    response, given = await open_first(job, Range(0, first), pinned if pinned is not None and pinned.size else None)
    try:
        job.require_crc64(response.meta)
    except BaseException:
        response.close()
        raise
    return response, given


async def fetch_meta(job: Job) -> ObjectMeta:
    """What the object is now, for the price of one byte."""
    with await job.client.slot():
        response, _ = await open_first(job, FIRST_BYTE)
        try:
            await response.discard()
            return response.meta
        finally:
            response.close()
