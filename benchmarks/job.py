"""Job: what a client is asked to fetch, and where to put it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

BUCKET = "bench"
REGION = "cn-hangzhou"
ACCESS_KEY = "bench-id"
ACCESS_SECRET = "bench-key"


@dataclass(frozen=True, slots=True)
class Job:
    """One transfer, the same for each client; travels to the child process as JSON."""

    endpoint: str
    """Scheme, host and port; an address without a name, so that each SDK picks path style."""
    directory: str
    """An existing folder for the files."""
    prefix: str
    """The key; with count > 1 what the keys begin with."""
    size: int
    """Of one object, in bytes."""
    count: int = 1
    concurrency: int = 4
    part_size: int = 16 * MiB
    authority: str = ""
    """A PEM file with the certificate to trust; empty without TLS."""
    keeps_checkpoint: bool = False
    """Clients that can resume must be able to resume this one."""
    at_once: bool = False
    """Start all objects at once, without a limit of the caller's own."""
    ticker: bool = False
    """Measure how late a ticker on the event loop is meanwhile."""

    def every_key(self) -> list[str]:
        if self.count == 1:
            return [self.prefix]
        return [f"{self.prefix}/{number:06d}" for number in range(self.count)]

    def path(self, key: str) -> str:
        return str(Path(self.directory, key))

    def url(self, key: str) -> str:
        return f"{self.endpoint}/{BUCKET}/{key}"

    def total(self) -> int:
        return self.size * self.count

    def parts(self) -> list[tuple[int, int]]:
        """The object cut into half-open ranges of part_size, for clients that do not cut themselves."""
        return [(start, min(start + self.part_size, self.size)) for start in range(0, self.size, self.part_size)]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        return cls(**json.loads(text))
