"""Spans and metrics of OpenTelemetry. Extra: `otel`."""

from time import time_ns
from typing import TYPE_CHECKING, Any

from aioss_resume.contrib._extras import extra
from aioss_resume.downloader import Downloader
from aioss_resume.events import (
    AttemptFailed,
    DownloadFailed,
    DownloadFinished,
    DownloadStarted,
    Event,
    ObjectChanged,
    SpanFetched,
    StreamFinished,
    StreamStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = "aioss_resume"
_SECOND = 1_000_000_000  # nanoseconds


def instrument(downloader: Downloader, *, tracer_provider: Any = None, meter_provider: Any = None) -> None:
    """Report everything that runs through a Downloader to OpenTelemetry, in addition to its own `on_event`.

    Each download, stream and read gets a span, a child of the caller's current span, with a child span for each fetched
    range and an event for each failed attempt. Metrics: `aioss_resume.bytes` and `aioss_resume.attempts.failed`
    (counters), and `aioss_resume.duration` in seconds (a histogram). Spans and metrics contain no secrets; object keys
    are attributes of spans only.

    Must be called before the Downloader is entered.

    Args:
        tracer_provider: None for the global one. Any: the package is an extra.
        meter_provider: None for the global one.

    Raises:
        ConfigError: opentelemetry-api is not installed, or the Downloader is open already.
    """
    downloader.add_event_hook(_Telemetry(tracer_provider, meter_provider).on_event)


class _Telemetry:
    """Converts events into spans and metrics. Keeps the spans of running downloads. Any: the package is an extra."""

    def __init__(self, tracer_provider: Any, meter_provider: Any) -> None:
        self._trace = extra("opentelemetry.trace", "otel")
        metrics = extra("opentelemetry.metrics", "otel")
        self._tracer = self._trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._bytes = meter.create_counter("aioss_resume.bytes", unit="By", description="Bytes received")
        self._failed = meter.create_counter("aioss_resume.attempts.failed", description="Attempts that failed")
        self._seconds = meter.create_histogram("aioss_resume.duration", unit="s", description="Time to the end")
        self._spans: dict[str, tuple[Any, int]] = {}  # with their beginning, in nanoseconds since the epoch
        self._actions: dict[type[Event], Callable[[Any], None]] = {
            DownloadStarted: self._started,
            StreamStarted: self._started,
            SpanFetched: self._fetched,
            AttemptFailed: self._attempt_failed,
            DownloadFinished: self._finished,
            ObjectChanged: self._changed,
            DownloadFailed: self._ended_by_error,
            StreamFinished: self._stream_finished,
        }

    def on_event(self, event: Event) -> None:
        action = self._actions.get(type(event))
        if action is not None:
            action(event)

    def _span_of(self, event: Event) -> Any:
        """The span of the download that an event belongs to. The first event creates it."""
        if event.download_id not in self._spans:
            kind = "read" if isinstance(event, StreamStarted | StreamFinished) else "download"
            attributes = {"oss.bucket": event.bucket, "oss.key": event.key, "aioss_resume.id": event.download_id}
            began = time_ns()
            span = self._tracer.start_span(f"aioss_resume.{kind}", start_time=began, attributes=attributes)
            self._spans[event.download_id] = span, began
        return self._spans[event.download_id][0]

    def _started(self, event: DownloadStarted | StreamStarted) -> None:
        if event.size is not None:
            self._span_of(event).set_attribute("aioss_resume.size", event.size)

    def _fetched(self, event: SpanFetched) -> None:
        parent = self._trace.set_span_in_context(self._span_of(event))
        stop = time_ns()
        child = self._tracer.start_span(
            "aioss_resume.range",
            context=parent,
            start_time=stop - int(event.elapsed * _SECOND),
            attributes={"aioss_resume.start": event.start, "aioss_resume.stop": event.stop},
        )
        child.end(end_time=stop)
        self._bytes.add(event.stop - event.start, {"oss.bucket": event.bucket})

    def _attempt_failed(self, event: AttemptFailed) -> None:
        kind = type(event.error).__name__
        attributes = {"error.type": kind, "aioss_resume.attempt": event.attempt, "aioss_resume.wait": event.wait}
        self._span_of(event).add_event("attempt failed", attributes)
        self._failed.add(1, {"oss.bucket": event.bucket, "error.type": kind})

    def _changed(self, event: ObjectChanged) -> None:
        self._span_of(event).add_event("object changed")

    def _finished(self, event: DownloadFinished) -> None:
        result = event.result
        span = self._span_of(event)
        span.set_attribute("aioss_resume.verified", result.verified)
        span.set_attribute("aioss_resume.resumed_bytes", result.resumed_bytes)
        self._end(event, result.elapsed, None)

    def _ended_by_error(self, event: DownloadFailed) -> None:
        self._end(event, None, event.error)

    def _stream_finished(self, event: StreamFinished) -> None:
        self._end(event, event.elapsed, event.error)

    def _end(self, event: Event, elapsed: float | None, error: BaseException | None) -> None:
        self._span_of(event)  # creates the span of a download that ended before it began
        span, began = self._spans.pop(event.download_id)
        if elapsed is None:
            elapsed = (time_ns() - began) / _SECOND
        if error is not None:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(self._trace.StatusCode.ERROR, type(error).__name__)
        self._seconds.record(elapsed, {"oss.bucket": event.bucket, "aioss_resume.failed": error is not None})
        span.end()
