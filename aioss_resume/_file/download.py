"""Download: one object into one file, from the lock to the result."""

import errno
import os
from dataclasses import replace

from aioss_resume._core.checkpoint import Checkpoint
from aioss_resume._core.objects import ObjectMeta, is_same_content
from aioss_resume._file.adopting import adopt
from aioss_resume._file.destination import Destination
from aioss_resume._file.job import Job, Progress
from aioss_resume._file.locking import Existing, TakenByAnotherProcess
from aioss_resume._file.processed import download_processed
from aioss_resume._file.resuming import discard_leftovers, usable_checkpoint
from aioss_resume._file.run import MismatchError, Run
from aioss_resume._io.foreign import ForeignRecords
from aioss_resume._io.origin import Origin
from aioss_resume._io.resolve import LeadsElsewhere
from aioss_resume._io.storage import Storage
from aioss_resume._transfer.client import Client
from aioss_resume.errors import (
    AiossError,
    DownloadInProgressError,
    IntegrityError,
    LocalFileError,
    ObjectChangedError,
    ObjectName,
    local_file_error,
    printable,
)
from aioss_resume.events import DownloadFailed, DownloadFinished, DownloadResult
from aioss_resume.options import RESTARTS_MOST, DownloadOptions, Timeouts


class Download:
    """The download of one object into one file.

    Args:
        storage: The file system, or the part of it that may be accessed.
        path: The absolute path of the destination.
        records: Finds records that other tools left of this download; None to ignore them.

    Attributes:
        progress: The progress of the download.
        found_file: Whether a file existed at the destination when the download began; None if unknown yet.
    """

    def __init__(
        self,
        client: Client,
        storage: Storage,
        origin: Origin,
        name: ObjectName,
        path: str,
        options: DownloadOptions,
        timeouts: Timeouts,
        records: ForeignRecords | None = None,
    ) -> None:
        assert options.params is not None
        self.progress = Progress()
        self.found_file: bool | None = None
        self._client = client
        self._storage = storage
        self._records = records
        self._is_processed = "x-oss-process" in options.params
        report = client.reporter(name)
        self._job = Job(
            client=client,
            source=client.source(origin, name, options, timeouts, report.counts),
            name=name,
            options=options,
            destination=Destination(client, storage, name, path, options),
            window=client.window(options),
            can_verify=origin.can_verify,
            began=client.clock.now(),
            report=report,
            share=client.share(),
            progress=self.progress,
        )

    @property
    def is_waiting_for_lock(self) -> bool:
        """Whether this download waits for another process that is downloading to the destination."""
        return self._job.destination.lock.is_waiting

    def taken_error(self) -> DownloadInProgressError:
        """The error for a caller that does not wait for the lock."""
        return self._job.destination.lock.taken_error()

    @property
    def is_publishing(self) -> bool:
        """Whether the file may already have been published."""
        return self._job.destination.is_publishing

    @property
    def committed(self) -> os.stat_result | None:
        """The stat result of the file that this download published; None if it has not."""
        return self._job.destination.committed

    async def run(self) -> DownloadResult:
        """Download the object to its destination.

        Raises:
            AiossError: As `aioss_resume.download()`. What was written is kept for the next run.
        """
        report, given = self._job.report, self._job.destination
        report.info("downloading %s to %s", self._job.name, printable(str(given.path)))
        try:
            result = await self._run()
        except BaseException as error:
            report.info("%s: %s", self._job.name, error if isinstance(error, AiossError) else type(error).__name__)
            report.send(DownloadFailed, error=error)
            raise
        report.info("%s", result)
        report.send(DownloadFinished, result=result)
        return result

    async def _run(self) -> DownloadResult:
        given = self._job.destination
        try:
            return await self._reserve_and_download()
        except LeadsElsewhere as link:  # nothing was locked or created yet
            if self._job.options.overwrite == "never":  # a dangling link exists, too, as it does for open(path, "x")
                raise file_exists_error(self._job.name, str(given.path)) from None
            target = Destination(self._client, self._storage, self._job.name, link.target, self._job.options)
            self._job = replace(self._job, destination=target)
            return replace(await self._reserve_and_download(), path=given.path)

    async def _reserve_and_download(self) -> DownloadResult:
        """Download while holding the destination.

        If the object may be small, the destination is only reserved at first. It is locked if the object is large.
        """
        lock, options = self._job.destination.lock, self._job.options
        may_be_small = options.on_busy == "wait" and options.overwrite != "never" and not self._is_processed
        try:
            with await self._client.transfer_slot():
                existing = await (lock.reserve() if may_be_small else lock.try_lock())
                if existing is not None:
                    try:
                        return await self._download(existing)
                    except TakenByAnotherProcess as taken:
                        existing = taken.existing
                    if existing is not None:
                        return await self._download(replace(existing, after_another=True))
            if options.on_busy == "fail":
                raise lock.taken_error()
            existing = await lock.wait_and_lock()
            with await self._client.transfer_slot():
                return await self._download(existing)
        finally:
            await lock.release()

    async def _download(self, existing: Existing) -> DownloadResult:
        """Skip the download if the file is up to date, refuse it if the file must stay, or fetch the object."""
        job, overwrite = self._job, self._job.options.overwrite
        self.found_file = existing.has_file
        may_skip = existing.after_another or overwrite == "if_changed"
        if existing.has_file and may_skip and not self._is_processed:
            same = await self._same_as_destination()
            if same is not None:
                await discard_leftovers(job, existing, same)
                job.started(same.size, resumed=same.size)
                return job.result(same, resumed=same.size, verified=True, skipped=True)
        if existing.has_file and overwrite == "never":
            raise file_exists_error(job.name, str(job.destination.path))
        if self._is_processed:
            return await download_processed(job)
        if self._records is not None:
            existing = await adopt(job, existing, self._records)
        return await self._run_until_published(usable_checkpoint(job, existing))

    async def _same_as_destination(self) -> ObjectMeta | None:
        """The object, if the destination already has its size and CRC-64."""
        meta = await self._fetch_meta()
        return meta if await self._job.destination.has(meta) else None

    async def _fetch_meta(self) -> ObjectMeta:
        with await self._client.slot(self._job.share):
            return await self._job.opener.fetch_meta()

    async def _run_until_published(self, checkpoint: Checkpoint | None) -> DownloadResult:
        """Repeat runs until one succeeds: from zero if the object was replaced, once more if the CRC-64 differs."""
        job, restarts, mismatched = self._job, 0, None
        replaced: ObjectMeta | None = None
        while True:
            run = Run(job, checkpoint, mismatched, replaced)
            try:
                return await run.run()
            except ObjectChangedError as error:
                if await self._has_other_etag_only(error, run):
                    checkpoint = run.checkpoint()
                    continue
                await self._discard_changed(error, restarts)
                restarts, mismatched, replaced = restarts + 1, None, run.pinned
            except LocalFileError as error:
                same = await self._same_as_destination() if error.errno == errno.ENOENT else None
                if same is not None:  # without working locks: another process has published the part file
                    return job.result(same, resumed=same.size, verified=True, skipped=True)
                if mismatched is not None or not await self._was_published_wrong(error, run):
                    raise
                job.report.warning("%s: its part file was published too early; fetching all of it once more", job.name)
                mismatched = run.pinned
                await job.destination.discard()
            except MismatchError as error:
                await job.destination.discard()
                if mismatched is not None:
                    raise self._mismatch_error(error) from None
                job.report.warning("%s: the CRC-64 differs; fetching all of it once more", job.name)
                mismatched = error.pinned
            checkpoint = None

    async def _has_other_etag_only(self, error: ObjectChangedError, run: Run) -> bool:
        """Whether OSS, or a CDN, refused our ETag for an object with the same content.

        Then this download sends no ETags any more, and the CRC-64 decides.
        """
        if not error.is_refused_etag or run.pinned is None or run.pinned.crc64 is None:
            return False
        now = await self._fetch_meta()
        if not is_same_content(run.pinned, now):
            return False
        self._job.report.warning(
            "%s: ETags change while the content stays; relying on its CRC-64 alone", self._job.name
        )
        return self._job.source.stop_using_if_match()

    async def _discard_changed(self, error: ObjectChangedError, restarts: int) -> None:
        """Remove what was written of a replaced object, or raise if the download must end."""
        if error.is_deleted:
            raise error
        await self._job.destination.discard()
        if self._job.options.on_change == "fail" or restarts == RESTARTS_MOST:
            raise error
        self._job.report.warning("%s; starting from zero", error)

    async def _was_published_wrong(self, error: LocalFileError, run: Run) -> bool:
        """Whether another process published our part file while we were still writing to it.

        That can happen where locks do not work. The published file is damaged then, and must be replaced.
        """
        if error.errno != errno.ENOENT or run.part_file is None or run.pinned is None:
            return False
        return await self._job.destination.was_published_wrong(run.part_file, run.pinned)

    def _mismatch_error(self, error: MismatchError) -> IntegrityError:
        return IntegrityError(
            f"{self._job.name}: fetched twice, and its CRC-64 is {error.crc64}, not {error.pinned.crc64}",
            name=self._job.name,
            hint="the network or the disk changes bytes, or the object's CRC-64 is wrong",
        )


def file_exists_error(name: ObjectName, path: str) -> LocalFileError:
    """The error for a destination that exists and must not be replaced."""
    return local_file_error(
        "download to",
        errno.EEXIST,
        path,
        name=name,
        hint='overwrite is "never": remove the file, or choose another path',
    )
