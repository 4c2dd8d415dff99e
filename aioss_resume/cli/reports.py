"""Reports from a downloading process to its parent, as one JSON object on each line."""

import json
from dataclasses import asdict, dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Progressed:
    """Written bytes, resumed ones included. The first report of a run says what it resumes from."""

    consumed: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning that the library logged."""

    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The download is committed; the fields are those of DownloadResult."""

    size: int
    crc64: int | None
    verified: bool
    resumed_bytes: int
    fetched_bytes: int
    requests: int
    attempts: int
    elapsed: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The download raised."""

    message: str


Report: TypeAlias = Progressed | Warned | Ended | Failed

_KINDS: Final = {kind.__name__: kind for kind in (Progressed, Warned, Ended, Failed)}


def encode(report: Report) -> str:
    """Encode a report as one line, without a newline. Shorter than PIPE_BUF (4096 on Linux): its write is atomic."""
    return json.dumps({"kind": type(report).__name__, **asdict(report)})


def decode(line: str) -> Report:
    """Decode a report.

    Raises:
        ValueError: The line is not a report.
    """
    fields = json.loads(line)
    kind = _KINDS.get(fields.pop("kind", None)) if isinstance(fields, dict) else None
    if kind is None:
        raise ValueError(f"{line!r} is no report")
    report: Report = kind(**fields)
    return report
