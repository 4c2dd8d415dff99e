"""Reporter: reports one download to the log and to the event hooks."""

import logging
from collections.abc import Callable, Sequence

from aioss_resume._io.deliver import Deliveries
from aioss_resume._io.fetch import RequestCounts
from aioss_resume.errors import AiossError, ObjectName
from aioss_resume.events import AttemptFailed, Event

logger = logging.getLogger("aioss_resume")
logger.addHandler(logging.NullHandler())  # without it, a script that sets up no logging prints our warnings


class Reporter:
    """Reports on one download, stream or read.

    Attributes:
        download_id: Identifies the download in events and log records.
        counts: Counts its requests.
    """

    def __init__(self, download_id: str, name: ObjectName, deliveries: Sequence[Deliveries]) -> None:
        self.download_id = download_id
        self.counts = RequestCounts()
        self._name = name
        self._deliveries = deliveries

    @property
    def has_hook(self) -> bool:
        return bool(self._deliveries)

    def send(self, make: Callable[..., Event], **fields: object) -> None:
        """Send an event of that class to the event hooks."""
        if self._deliveries:
            bucket, key = self._name
            event = make(download_id=self.download_id, bucket=bucket, key=key, **fields)
            for deliveries in self._deliveries:
                deliveries.send(event)

    def attempt_failed(self, error: AiossError, attempt: int, wait: float) -> None:
        """Report that an attempt failed, and that another one follows after `wait` seconds."""
        self.counts.failed += 1
        self._log(logging.WARNING, "%s; trying again in %.1f s", error, wait, attempt=attempt, error=error)
        self.send(AttemptFailed, error=error, attempt=attempt, wait=wait)

    def warning(self, text: str, *args: object) -> None:
        self._log(logging.WARNING, text, *args)

    def info(self, text: str, *args: object) -> None:
        self._log(logging.INFO, text, *args)

    def _log(
        self, level: int, text: str, *args: object, attempt: int | None = None, error: AiossError | None = None
    ) -> None:
        if not logger.isEnabledFor(level):
            return
        bucket, key = self._name
        extra = {
            "bucket": bucket,
            "key": key,
            "download_id": self.download_id,
            "attempt": attempt,
            "request_id": getattr(error, "request_id", None) or None,
        }
        logger.log(level, text, *args, extra=extra)
