"""One object into one file: locked, resumed, fetched, verified, committed."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from aioss_resume._core.checkpoint import Checkpoint, Unusable
from aioss_resume._core.crc64 import crc64
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.paths import part_name
from aioss_resume._core.ranges import Range
from aioss_resume._core.slots import Slot
from aioss_resume._core.transfer import Done, Flight, Transfer, choose_part_size
from aioss_resume._core.window import Window
from aioss_resume._file.destination import Destination, Existing, TakenByAnotherProcess
from aioss_resume._file.processed import ProcessedStream
from aioss_resume._file.small import fetch_small
from aioss_resume._io.fetch import AcceptedResponse, RequestCounts, Source
from aioss_resume._io.write import PartFile
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.retrying import with_retries
from aioss_resume._transfer.scheduler import SpanScheduler
from aioss_resume.errors import (
    IntegrityError,
    LocalFileError,
    ObjectChangedError,
    ObjectName,
    ProtocolError,
    ServiceError,
    local_file_error,
)
from aioss_resume.events import DownloadResult
from aioss_resume.options import (
    AUTO_PART_SLOTS,
    RESTARTS_MOST,
    WRITE_SIZE,
    DownloadOptions,
    MiB,
    Timeouts,
)

logger = logging.getLogger("aioss_resume")

T = TypeVar("T")

_FIRST_BYTE = Range(0, 1)


class _Mismatch(Exception):
    """The CRC-64 of what was written is not the object's; None: it was not looked at."""

    def __init__(self, pinned: ObjectMeta, crc64: int | None = None) -> None:
        super().__init__()
        self.pinned, self.crc64 = pinned, crc64


@dataclass(frozen=True, slots=True)
class _Start:
    """What one run has when it knows its object: `flight` is the one that `response` is for, if anything is missing."""

    pinned: ObjectMeta
    part_file: PartFile
    transfer: Transfer
    flight: Flight | None
    response: AcceptedResponse | None


class Download:
    """One object on its way into one file.

    Attributes:
        consumed: Bytes written, those of an earlier run included; never goes back.
        total: The object's size, or None while or because it is unknown.
        begun: Done when `consumed` and `total` mean something.
    """

    def __init__(
        self, client: Client, name: ObjectName, destination: str, options: DownloadOptions, timeouts: Timeouts
    ) -> None:
        self.total: int | None = None
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = client
        self._name = name
        self._destination = destination
        self._options = options
        self._counts = RequestCounts()
        self._most_consumed = 0
        self._newest_part: PartFile | None = None
        self._at = Destination(client, name, destination, options)
        self._transfer: Transfer | None = None
        self._started = client.clock.now()
        assert options.params is not None
        assert options.headers is not None
        is_sought = options.concurrency == "auto"
        self._most = client.slots.limit if options.concurrency == "auto" else options.concurrency
        self._window = Window(self._most, is_sought=is_sought)
        self._is_processed = "x-oss-process" in options.params
        self._source = Source(
            client.session,
            client.signer,
            client.bucket,
            name,
            version_id=options.version_id,
            headers=options.headers,
            params=options.params,
            timeouts=timeouts,
            clock=client.clock,
            counts=self._counts,
        )

    @property
    def consumed(self) -> int:
        if self._transfer is not None:
            self._most_consumed = max(self._most_consumed, self._transfer.consumed)
        return self._most_consumed

    async def run(self) -> DownloadResult:
        """Bring the object to its destination.

        Raises:
            AiossError: As design and docstrings of `download()` say; what was written is kept for the next run.
        """
        logger.info("downloading %s to %s", self._name, self._destination)
        try:
            result = await self._locked_if_need_be()
        finally:
            await self._at.release()
        logger.info("%s", result)
        return result

    async def _locked_if_need_be(self) -> DownloadResult:
        """The lock is taken before anything else; or when the object is not small, where it may turn out to be."""
        options = self._options
        waits = options.on_busy == "wait"
        may_be_small = waits and options.overwrite != "never" and not self._is_processed
        found = await self._at.reserve() if may_be_small else None
        if found is None:
            found = await self._at.lock_or_wait(waits=waits)
        try:
            return await self._download(found)
        except TakenByAnotherProcess as taken:
            found = taken.found
        if found is None:
            found = await self._at.lock_or_wait(waits=waits)
        return await self._download(replace(found, after_another=True))

    async def _download(self, found: Existing) -> DownloadResult:
        overwrite = self._options.overwrite
        if found.exists and (found.after_another or overwrite == "if_changed") and not self._is_processed:
            same = await self._same_as_destination()
            if same is not None:
                await self._discard_leftovers(found, same)
                return self._result(same, resumed=same.size, verified=True, skipped=True)
        if found.exists and overwrite == "never":
            raise local_file_error(
                "download to",
                errno.EEXIST,
                self._destination,
                name=self._name,
                hint='overwrite is "never": remove the file, or choose another path',
            )
        if self._is_processed:
            return await self._download_processed()
        return await self._download_object(self._usable(found))

    async def _same_as_destination(self) -> ObjectMeta | None:
        """The object, if the destination has its size and CRC-64 already."""
        meta = await self._with_slot(self._fetch_meta)
        return meta if await self._at.has(meta) else None

    async def _fetch_meta(self) -> ObjectMeta:
        """The object's facts, for the price of one byte."""
        response, _ = await self._open_first(_FIRST_BYTE)
        try:
            await response.discard()
            return response.meta
        finally:
            response.close()

    async def _download_object(self, checkpoint: Checkpoint | None) -> DownloadResult:
        """Try until one run goes through: anew if the object changes, once more if its CRC-64 differs."""
        restarts, mismatched = 0, None
        while True:
            try:
                return await self._download_once(checkpoint, mismatched)
            except ObjectChangedError as error:
                if error.is_deleted:
                    raise
                await self._discard()
                if self._options.on_change == "fail" or restarts == RESTARTS_MOST:
                    raise
                logger.warning("%s; beginning anew", error)
                restarts, mismatched = restarts + 1, None
            except LocalFileError as error:
                # Where locks do nothing, another process may have taken the part file and brought the same object.
                same = await self._same_as_destination() if error.errno == errno.ENOENT else None
                if same is None:
                    raise
                return self._result(same, resumed=same.size, verified=True, skipped=True)
            except _Mismatch as found:
                await self._discard()
                if mismatched is not None:
                    raise IntegrityError(
                        f"{self._name}: fetched twice, and its CRC-64 is {found.crc64}, not {found.pinned.crc64}",
                        name=self._name,
                        hint="the network or the disk changes bytes, or the object's CRC-64 is wrong",
                    ) from None
                why = "its part file was published too early" if found.crc64 is None else "the CRC-64 differs"
                logger.warning("%s: %s; fetching all of it once more", self._name, why)
                mismatched = found.pinned
            checkpoint = None

    def _usable(self, found: Existing) -> Checkpoint | None:
        """What an earlier run left, if this one can go on from it."""
        self._at.has_checkpoint = found.checkpoint is not None or found.reason is not None
        reason = found.reason
        if found.checkpoint is not None:
            try:
                self._check_fit(found.checkpoint)
            except Unusable as error:
                reason = str(error)
            else:
                return found.checkpoint
        if reason:
            logger.warning("%s: the checkpoint %s is ignored: %s", self._name, self._at.checkpoint_file.path, reason)
        return None

    def _check_fit(self, checkpoint: Checkpoint) -> None:
        meta = checkpoint.meta
        if (checkpoint.name, checkpoint.version_id) != (self._name, self._options.version_id):
            raise Unusable("it is of another object")
        if checkpoint.part_file != part_name(self._at.path.name, self._name, meta):
            raise Unusable("it names a part file that is not this object's")
        if meta.if_match is None and meta.crc64 is None:
            raise Unusable("the object has neither ETag nor CRC-64 to know it by")
        if self._options.integrity == "require" and meta.crc64 is None:
            raise Unusable('it has no CRC-64 to compare with, as integrity="require" asks for')

    async def _download_once(self, checkpoint: Checkpoint | None, mismatched: ObjectMeta | None) -> DownloadResult:
        """One run over one version of the object.

        Args:
            checkpoint: What to go on from.
            mismatched: The object whose CRC-64 differed: it is fetched from zero, and must be the same still.
        """
        slot = await self._client.slot()
        try:
            if checkpoint is not None:
                start = await self._resume(checkpoint)
            else:
                response, given = await self._discover(mismatched)
                if self._fits_in_memory(response.meta, given):
                    return await self._download_small(response, slot)
                start = await self._begin_spans(response, given)
        except BaseException:
            slot.release()
            raise
        if start.flight is None:
            slot.release()
        fill = self._fill(start)
        self._at.has_checkpoint = self._at.has_checkpoint or fill.flush is not None
        try:
            await fill.run(start.flight, start.response, slot)
            verified = self._verify(start.transfer.crc64, start.pinned)
            await self._at.commit(start.part_file, start.pinned.size)
        except _Mismatch:
            raise
        except BaseException as error:
            await self._save_checkpoint(start)
            # Where locks do nothing, another process may have published our part file while we were writing to it.
            is_gone = isinstance(error, LocalFileError) and error.errno == errno.ENOENT
            if is_gone and mismatched is None and await self._at.was_published(start.part_file, start.pinned):
                raise _Mismatch(start.pinned) from None
            raise
        return self._result(start.pinned, resumed=fill.proven_bytes, verified=verified)

    async def _download_small(self, response: AcceptedResponse, slot: Slot) -> DownloadResult:
        """An object that came with one response: kept in memory, then written and published in one hop."""
        pinned = response.meta
        self._set_total(pinned.size)
        try:
            body = await fetch_small(response, self._source, self._options.retry, self._client, self._counts)
        finally:
            slot.release()
        verified = self._verify(crc64(body), pinned)
        self._note_consumed(pinned.size)
        await self._at.publish(body)
        return self._result(pinned, resumed=0, verified=verified)

    def _fits_in_memory(self, meta: ObjectMeta, given: Range) -> bool:
        return given.length == meta.size <= WRITE_SIZE and not self._keeps_checkpoint(meta.size)

    async def _resume(self, checkpoint: Checkpoint) -> _Start:
        """Go on from a checkpoint: the first missing bytes are asked for, of the very object that it is of."""
        pinned = checkpoint.meta
        part_file = self._part_file(pinned)
        was_there = await part_file.create(pinned.size)
        if not was_there:
            logger.warning("%s: the part file is gone; beginning anew", self._name)
        transfer = self._new_transfer(pinned.size, checkpoint.spans if was_there else ())
        self._begin(transfer)
        flight = transfer.claim()
        response, _ = await self._open_first(Range(flight.start, flight.stop) if flight else _FIRST_BYTE, pinned)
        if flight is not None:
            return _Start(pinned, part_file, transfer, flight, response)
        try:  # nothing is missing: that the object is the same is all we wanted to know
            await response.discard()
        finally:
            response.close()
        return _Start(pinned, part_file, transfer, None, None)

    async def _discover(self, mismatched: ObjectMeta | None) -> tuple[AcceptedResponse, Range]:
        """Begin from zero: the first response tells what the object is, and which of its bytes come along."""
        first = max(self._options.part_size or MiB, self._options.multiget_threshold)
        # An empty object is not pinned: no range fits it, and a pinned one that answers 416 got shorter.
        pinned = mismatched if mismatched is not None and mismatched.size else None
        response, given = await self._open_first(Range(0, first), pinned)
        try:
            self._require_crc64(response.meta)
        except BaseException:
            response.close()
            raise
        return response, given

    async def _begin_spans(self, response: AcceptedResponse, given: Range) -> _Start:
        """A part file for the object of that response."""
        pinned = response.meta
        part_file = self._part_file(pinned)
        try:
            await self._at.lock()
            await part_file.create(pinned.size)
        except BaseException:
            response.close()
            raise
        transfer = self._new_transfer(pinned.size)
        self._begin(transfer)
        return _Start(pinned, part_file, transfer, transfer.claim(given.length), response)

    def _new_transfer(self, size: int, kept: Sequence[Done] = ()) -> Transfer:
        slots = AUTO_PART_SLOTS if self._options.concurrency == "auto" else self._most
        part_size = self._options.part_size or choose_part_size(size, slots)
        return Transfer(size, part_size=part_size, kept=kept, tail_is_shared=self._keeps_checkpoint(size))

    def _keeps_checkpoint(self, size: int) -> bool:
        return size >= self._options.multiget_threshold and size > 0

    def _part_file(self, meta: ObjectMeta) -> PartFile:
        self._newest_part = self._at.part_file(meta)
        return self._newest_part

    def _fill(self, start: _Start) -> SpanScheduler:
        keeps_checkpoint = self._keeps_checkpoint(start.pinned.size)
        return SpanScheduler(
            client=self._client,
            transfer=start.transfer,
            source=self._source,
            pinned=start.pinned,
            part_file=start.part_file,
            window=self._window,
            policy=self._options.retry,
            counts=self._counts,
            flush=partial(self._flush, start) if keeps_checkpoint else None,
        )

    async def _flush(self, start: _Start) -> None:
        await self._at.checkpoint_file.flush(
            Checkpoint(
                name=self._name,
                version_id=self._options.version_id,
                meta=start.pinned,
                part_file=start.part_file.path.name,
                spans=start.transfer.spans(),
            )
        )

    def _begin(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._set_total(transfer.size)

    def _set_total(self, total: int | None) -> None:
        self.total = total
        if not self.begun.done():
            self.begun.set_result(None)

    def _require_crc64(self, meta: ObjectMeta | None) -> None:
        if self._options.integrity == "require" and (meta is None or meta.crc64 is None):
            raise IntegrityError(
                f"{self._name}: OSS sends no CRC-64 to compare with",
                name=self._name,
                hint='integrity="auto" downloads it all the same, and says verified=False',
            )

    async def _open_first(self, asked: Range, pinned: ObjectMeta | None = None) -> tuple[AcceptedResponse, Range]:
        """The first response of a run, and the object's bytes that its body is; tried again like any span."""

        async def open_it() -> tuple[AcceptedResponse, Range]:
            began = self._client.clock.now()
            try:
                response = await self._source.open_range(asked, pinned)
            except ServiceError as error:
                if error.status != 416 or pinned is not None or asked.start > 0:
                    raise
            else:
                self._note_latency(self._client.clock.now() - began)
                assert response.range is not None
                return response, response.range
            response = await self._source.open_whole()  # it is empty: no range fits
            if response.length != 0:
                response.close()
                raise ProtocolError(f"{self._name}: no range fits it, yet it is not empty", name=self._name)
            return response, Range(0, 0)

        return await with_retries(open_it, self._options.retry, self._client.clock, self._counts)

    def _note_latency(self, seconds: float) -> None:
        if self._transfer is not None:
            self._transfer.note_latency(seconds)

    async def _with_slot(self, call: Callable[[], Awaitable[T]]) -> T:
        slot = await self._client.slot()
        try:
            return await call()
        finally:
            slot.release()

    def _verify(self, found: int, pinned: ObjectMeta) -> bool:
        """Whether what was written is proven to be the object; _Mismatch when it is proven not to be."""
        if pinned.crc64 is None or not self._client.bucket.enable_crc:
            return False
        if found != pinned.crc64:
            raise _Mismatch(pinned, found)
        return True

    async def _save_checkpoint(self, start: _Start) -> None:
        """Leave what was written to the next run; nothing, where there is nothing or it could not be resumed."""
        try:
            if (
                await self._at.is_there(start.part_file)
                and start.transfer.spans()
                and self._keeps_checkpoint(start.pinned.size)
            ):
                await self._flush(start)
            else:
                await self._discard()
        except OSError as error:  # what ended the download counts, not this
            logger.warning("%s: the last checkpoint could not be flushed: %s", self._name, error)

    async def _discard(self) -> None:
        """Remove what was written of an object that we do not want any more."""
        await self._at.checkpoint_file.remove(self._newest_part.path if self._newest_part else None)

    async def _discard_leftovers(self, found: Existing, there: ObjectMeta) -> None:
        """Remove what an earlier run left, since the object is there by now."""
        if found.checkpoint is not None or found.reason is not None:
            self._part_file(found.checkpoint.meta if found.checkpoint is not None else there)
            await self._discard()

    async def _download_processed(self) -> DownloadResult:
        """What OSS makes of the object on the way: from zero at each attempt."""
        self._require_crc64(None)
        stream = ProcessedStream(self._source, self._at, self._client, self._set_total, self._note_consumed)
        meta = await self._with_slot(
            lambda: with_retries(stream.download, self._options.retry, self._client.clock, self._counts)
        )
        return self._result(meta, resumed=0, verified=False)

    def _note_consumed(self, consumed: int) -> None:
        self._most_consumed = max(self._most_consumed, consumed)

    def _result(self, meta: ObjectMeta, *, resumed: int, verified: bool, skipped: bool = False) -> DownloadResult:
        return DownloadResult(
            path=self._at.path,
            key=self._name.key,
            version_id=meta.version_id,
            size=meta.size,
            etag=meta.etag,
            crc64=meta.crc64,
            verified=verified,
            resumed_bytes=resumed,
            fetched_bytes=meta.size - resumed,
            requests=self._counts.sent - self._counts.failed,
            attempts=self._counts.sent,
            elapsed=self._client.clock.now() - self._started,
            skipped=skipped,
        )
