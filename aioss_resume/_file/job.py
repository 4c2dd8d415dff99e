"""Job: what one download was asked for, and what its steps work with."""

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
    """How far a download is.

    Attributes:
        total: The object's size, or None while it is unknown, or because it cannot be known.
        known: Done when `consumed` and `total` mean something.
        begun_at: What was there when the fetching began, in bytes.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self.begun_at = 0
        self.known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transfer: Transfer | None = None
        self._most_consumed = 0

    @property
    def consumed(self) -> int:
        """Bytes written, those of an earlier run included; never goes back."""
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
    """One download: what was asked for, and what its steps work with.

    Attributes:
        window: How many requests may be in flight. It is kept when a run starts from zero.
        can_verify: Whether the bucket lets the CRC-64 be compared (its `enable_crc`).
        began: When it began, by the client's clock.
        share: What it has of the slots.
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
        """Report that the fetching begins; of the bytes, `resumed` are to be proven."""
        if self.report.has_hook:
            self.report.send(DownloadStarted, path=self.destination.path, size=size, resumed_bytes=resumed)

    def committed(self) -> None:
        """Report that the file is at its destination."""
        if self.report.has_hook:
            self.report.send(DownloadCommitted, path=self.destination.path)

    def keeps_checkpoint(self, size: int) -> bool:
        return size >= self.options.multiget_threshold and size > 0

    def require_crc64(self, meta: ObjectMeta | None) -> None:
        """IntegrityError if the caller insists on a CRC-64 and OSS sends none."""
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
