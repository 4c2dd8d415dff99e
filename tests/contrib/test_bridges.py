"""Progress bars and OpenTelemetry, with the real packages; and what is said when one is missing."""

import asyncio
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flow.ranged import QUICK, RANGED, SIZE
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.progress import Progress
from tqdm import tqdm

from aioss_resume import ConfigError, Downloader, NoSuchKeyError, ThrottledError
from aioss_resume.contrib.opentelemetry import instrument
from aioss_resume.contrib.progress import rich_progress, tqdm_progress
from aioss_resume.events import Event
from aioss_resume.testing import LocalOSS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("content")]


async def test_rich_shows_each_download_to_its_end(bucket: Any, tmp_path: Path) -> None:
    async with Downloader(bucket) as downloader:
        with Progress(disable=True) as progress:
            for name in ("a", "b"):
                callback = rich_progress(progress, name)
                await downloader.download("key", tmp_path / name, progress_callback=callback, **RANGED)
            assert [(task.description, task.completed, task.total) for task in progress.tasks] == [
                ("a", SIZE, SIZE),
                ("b", SIZE, SIZE),
            ]


async def test_tqdm_shows_one_download_or_the_sum_of_several(bucket: Any, tmp_path: Path) -> None:
    async with Downloader(bucket) as downloader:
        text = io.StringIO()
        callback = tqdm_progress(file=text, desc="one")
        await downloader.download("key", tmp_path / "one", progress_callback=callback, **RANGED)
        assert "one: 100%" in text.getvalue()
        with tqdm(file=io.StringIO()) as bar:
            for name in ("a", "b"):
                callback = tqdm_progress(bar)
                await downloader.download("key", tmp_path / name, progress_callback=callback, **RANGED)
            assert (bar.n, bar.total) == (2 * SIZE, 2 * SIZE)


def data_points(reader: InMemoryMetricReader) -> dict[str, Any]:
    """The data points of each metric, by its name."""
    return {
        metric.name: metric.data.data_points
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


async def test_opentelemetry_gets_a_span_for_each_download_and_request(
    oss: LocalOSS, bucket: Any, tmp_path: Path
) -> None:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    seen: list[Any] = []
    downloader = Downloader(bucket, on_event=seen.append)
    instrument(downloader, tracer_provider=tracers, meter_provider=MeterProvider([reader]))
    oss.faults.status(503, times=1, after_requests=2)
    async with downloader:
        await downloader.download("key", tmp_path / "file", **RANGED)
        await downloader.read("key", stop=1000)
        with pytest.raises(NoSuchKeyError):
            await downloader.read("missing", retry=QUICK)
        with pytest.raises(ConfigError, match="open already"):
            instrument(downloader)
    spans = exporter.get_finished_spans()
    assert seen  # the caller's own hook is called as well
    parents = {span.context.span_id: span for span in spans}
    (download,) = [span for span in spans if span.name == "aioss_resume.download"]
    reads = [span for span in spans if span.name == "aioss_resume.read"]
    ranges = [span for span in spans if span.name == "aioss_resume.range"]
    assert len(reads) == 2
    assert download.attributes["aioss_resume.size"] == SIZE
    assert download.attributes["aioss_resume.verified"]
    assert [event.name for event in download.events] == ["attempt failed"]
    assert reads[1].attributes["error.type"] == "NoSuchKeyError"
    of_download = [span for span in ranges if parents[span.parent.span_id] is download]
    assert sum(s.attributes["aioss_resume.stop"] - s.attributes["aioss_resume.start"] for s in of_download) == SIZE
    metrics = data_points(reader)
    assert sum(point.value for point in metrics["aioss_resume.bytes"]) == SIZE + 1000
    assert sum(point.value for point in metrics["aioss_resume.attempts.failed"]) == 1
    assert sum(point.count for point in metrics["aioss_resume.duration"]) == 3


async def test_spans_are_children_of_the_span_of_their_own_caller(bucket: Any, tmp_path: Path) -> None:
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = tracers.get_tracer("service")
    slow = asyncio.Event()

    async def on_event(_event: Event) -> None:
        await slow.wait()

    downloader = Downloader(bucket, on_event=on_event)
    instrument(downloader, tracer_provider=tracers, meter_provider=MeterProvider())

    async def handle(number: int) -> None:
        with tracer.start_as_current_span(f"request {number}"):
            await downloader.download("key", tmp_path / f"{number}", **RANGED)
            await downloader.read("key", stop=number + 1)
            async with downloader.stream("key", stop=number + 1) as stream:
                await stream.read()

    async with downloader:
        await asyncio.gather(*(handle(number) for number in range(5)))
        slow.set()
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    parents = sorted(names[span.parent.span_id] for span in spans if span.name.startswith("aioss_resume.d"))
    assert parents == [f"request {number}" for number in range(5)]
    for span in spans:
        if span.name == "aioss_resume.read":
            assert names[span.parent.span_id] == f"request {span.attributes['aioss_resume.size'] - 1}"


async def test_duration_of_a_failed_download_is_recorded(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    reader = InMemoryMetricReader()
    downloader = Downloader(bucket)
    instrument(downloader, tracer_provider=TracerProvider(), meter_provider=MeterProvider([reader]))
    oss.faults.status(503, times=100, after_requests=1)
    async with downloader:
        with pytest.raises(ThrottledError):
            await downloader.download("key", tmp_path / "file", **RANGED)
    oss.faults.clear()
    points = data_points(reader)["aioss_resume.duration"]
    assert [(point.count, point.attributes["aioss_resume.failed"]) for point in points] == [(1, True)]
    assert points[0].sum > 0


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("aioss_resume.contrib.starlette", "starlette", "starlette"),
        ("aioss_resume.contrib.opentelemetry", "opentelemetry", "otel"),
        ("aioss_resume.contrib.progress", "tqdm", "tqdm"),
        ("aioss_resume.contrib.progress", "rich", "rich"),
    ],
)
def test_missing_package_is_a_config_error_that_names_the_extra(module: str, package: str, extra: str) -> None:
    program = f"""
import sys
sys.modules["{package}"] = None  # as if it were not installed
try:
    import {module} as bridge
    if "{package}" == "rich":
        bridge.rich_progress(None)
    elif "{package}" == "tqdm":
        bridge.tqdm_progress()
    else:
        bridge._Telemetry(None, None)
except Exception as error:
    print(type(error).__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.startswith("ConfigError")
    assert f"aioss-resume[{extra}]" in said


def test_library_imports_no_bridge() -> None:
    program = "import sys, aioss_resume; print([m for m in sys.modules if 'contrib' in m and 'aioss' in m])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
