"""Records of what happened."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """The result of a successful download.

    Attributes:
        path: The file.
        key, version_id, size, etag, crc64: The object, as OSS described it; size in bytes, the ETag without quotes.
        verified: The CRC-64 of what was written equals the one that OSS sent.
        resumed_bytes: Kept from an earlier run and proven on the disk.
        fetched_bytes: Body bytes received in this run, each counted once; with the resumed ones they are the size.
        requests: Requests that brought what they were sent for.
        attempts: All requests that were sent: those that failed and were tried again count.
        elapsed: Seconds.
        skipped: The file was there already, the same; nothing was fetched.
    """

    path: Path
    key: str
    version_id: str | None
    size: int
    etag: str
    crc64: int | None
    verified: bool
    resumed_bytes: int
    fetched_bytes: int
    requests: int
    attempts: int
    elapsed: float
    skipped: bool

    def __str__(self) -> str:
        how = "verified" if self.verified else "not verified"
        if self.skipped:
            return f"{self.path}: {self.size:,} bytes were there already, {how}"
        speed = self.fetched_bytes / self.elapsed / 2**20 if self.elapsed else 0.0
        return (
            f"{self.path}: {self.size:,} bytes, {self.resumed_bytes:,} kept, {self.fetched_bytes:,} fetched"
            f" in {self.elapsed:.2f} s ({speed:.1f} MiB/s), {self.attempts} requests, {how}"
        )
