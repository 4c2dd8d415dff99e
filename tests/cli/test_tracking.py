"""The states of many transfers, and the speed that a bar shows."""

from pathlib import Path

from rich.progress import Progress

from aioss_resume import Downloader
from aioss_resume.cli.showing import State, _Bar
from aioss_resume.cli.tracking import ManyTransfers
from aioss_resume.events import DownloadFinished, DownloadResult, DownloadStarted, SpanFetched
from aioss_resume.options import MiB

NAME = {"download_id": "1", "bucket": "examplebucket", "key": "large"}
STARTED = DownloadStarted(**NAME, path=Path("large"), size=20 * MiB, resumed_bytes=5 * MiB)
FETCHED = SpanFetched(**NAME, start=5 * MiB, stop=6 * MiB, elapsed=1.0)
RESULT = DownloadResult(
    Path("large"), "large", None, 20 * MiB, "", None, True, 5 * MiB, 15 * MiB, 2, 2, 1.0, skipped=False
)
FINISHED = DownloadFinished(**NAME, result=RESULT)


class Recorder:
    """Displays nothing, and knows which large transfers would be displayed."""

    has_bar = has_progress = True

    def __init__(self) -> None:
        self.rows: set[str] = set()

    def show(self, state: State) -> None:
        if state.title == "large":
            (self.rows.discard if state.has_ended else self.rows.add)(state.title)

    def event(self, kind: str, **fields: object) -> None:
        pass

    def line(self, text: str) -> None:
        pass

    def error(self, text: str) -> None:
        pass


def many() -> tuple[ManyTransfers, Recorder, Downloader]:
    shown = Recorder()
    return ManyTransfers("all", shown), shown, Downloader(None)


def test_large_transfer_counts_while_it_runs_and_once_at_its_end() -> None:
    transfers, shown, downloader = many()
    seen = []
    for step in (STARTED, FETCHED, FINISHED):
        transfers(step)
        seen.append((transfers.state.consumed // MiB, transfers.state.kept // MiB, sorted(shown.rows)))
    assert seen == [(5, 5, ["large"]), (6, 5, ["large"]), (6, 5, [])]
    transfers.ended("large", 20 * MiB, 5 * MiB, downloader)
    transfers.ended("small", MiB, MiB, downloader)
    assert (transfers.state.consumed, transfers.state.kept) == (21 * MiB, 6 * MiB)


def test_events_that_come_after_the_outcome_change_nothing() -> None:
    transfers, shown, downloader = many()
    transfers.ended("large", 20 * MiB, 5 * MiB, downloader)
    for late in (STARTED, FETCHED, FINISHED):
        transfers(late)
    assert (transfers.state.consumed, transfers.state.kept, shown.rows) == (20 * MiB, 5 * MiB, set())


def test_transfer_that_starts_again_is_counted_from_its_new_start() -> None:
    transfers, _, _ = many()
    for step in (STARTED, FETCHED, STARTED):
        transfers(step)
    assert transfers.state.consumed == 5 * MiB


def test_kept_bytes_do_not_count_for_the_speed() -> None:
    now = [0.0]
    with Progress(get_time=lambda: now[0], disable=True) as progress:
        bar, state = _Bar(progress), State("all", total=200 * MiB)
        bar.show(state)
        for received, kept in ((1, 0), (1, 100), (1, 0), (1, 0)):
            now[0] += 1
            state.kept += kept * MiB
            state.consumed += (received + kept) * MiB
            bar.show(state)
        (task,) = progress.tasks
        assert task.completed == 104 * MiB
        assert task.speed is not None
        assert abs(task.speed - MiB) < 0.01 * MiB
