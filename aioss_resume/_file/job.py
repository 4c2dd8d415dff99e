"""Job: the parameters of one download and the objects that its steps share."""

import asyncio
from dataclasses import dataclass, field

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.slots import Share
from aioss_resume._core.transfer import Transfer
from aioss_resume._core.window import Window
from aioss_resume._file.destination import Destination
from aioss_resume._io.fetch import Source
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.opening import Opener
from aioss_resume._transfer.reporting import Reporter
from aioss_resume.errors import IntegrityError, ObjectName
from aioss_resume.events import DownloadCommitted, DownloadResult, DownloadStarted
from aioss_resume.options import DownloadOptions


class Progress:
    """The progress of a download.

    Attributes:
        total: The object's size; None if unknown.
        known: A future that is done when `consumed` and `total` are valid.
        begun_at: The number of bytes that existed when fetching began.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self.begun_at = 0
        self.known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transfer: Transfer | None = None
        self._most_consumed = 0

    @property
    def consumed(self) -> int:
        """Bytes written, including those of an earlier run. Never decreases."""
        if self._transfer is not None:
            self._most_consumed = max(self._most_consumed, self._transfer.consumed)
        return self._most_consumed

    def set_total(self, total: int | None) -> None:
        self.total = total
        if not self.known.done():
            self.known.set_result(None)

    def follow(self, transfer: Transfer) -> None:
        """Report the bytes of that transfer from now on."""
        if self._transfer is None:
            self.begun_at = transfer.consumed
        self._transfer = transfer
        self.set_total(transfer.size)

    def note_consumed(self, consumed: int) -> None:
        self._most_consumed = max(self._most_consumed, consumed)


@dataclass(frozen=True, slots=True)
class Job:
    """The parameters of one download and the objects that its steps share.

    Attributes:
        window: The number of requests that may be in flight. It is kept when a run starts from zero.
        can_verify: Whether the CRC-64 may be compared (the bucket's `enable_crc`).
        began: The start time by the client's clock.
        share: The download's share of the slots.
    """

    client: Client
    source: Source
    name: ObjectName
    options: DownloadOptions
    destination: Destination
    window: Window
    can_verify: bool
    began: float
    report: Reporter
    share: Share
    progress: Progress = field(default_factory=Progress)

    @property
    def opener(self) -> Opener:
        return Opener(self.source, self.options.retry, self.client.clock, self.report)

    def started(self, size: int | None, *, resumed: int) -> None:
        """Report that fetching begins, and that `resumed` bytes will be proven."""
        if self.report.has_hook:
            self.report.send(DownloadStarted, path=self.destination.path, size=size, resumed_bytes=resumed)

    def committed(self) -> None:
        """Report that the file was published."""
        if self.report.has_hook:
            self.report.send(DownloadCommitted, path=self.destination.path)

    def keeps_checkpoint(self, size: int) -> bool:
        return size >= self.options.multiget_threshold and size > 0

    def require_crc64(self, meta: ObjectMeta | None) -> None:
        """Raise IntegrityError if the caller requires a CRC-64 and OSS sends none."""
        if self.options.integrity == "require" and (meta is None or meta.crc64 is None):
            raise IntegrityError(
                f"{self.name}: OSS sends no CRC-64 to compare with",
                name=self.name,
                hint='integrity="auto" downloads it all the same, and says verified=False',
            )

    def result(self, meta: ObjectMeta, *, resumed: int, verified: bool, skipped: bool = False) -> DownloadResult:
        counts = self.report.counts
        return DownloadResult(
            path=self.destination.path,
            key=self.name.key,
            version_id=meta.version_id,
            size=meta.size,
            etag=meta.etag,
            crc64=meta.crc64,
            verified=verified,
            resumed_bytes=resumed,
            fetched_bytes=meta.size - resumed,
            requests=counts.sent - counts.failed,
            attempts=counts.sent,
            elapsed=self.client.clock.now() - self.began,
            skipped=skipped,
        )
