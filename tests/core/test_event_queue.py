"""The queue of events is bounded, keeps their order, and counts what it drops."""

from contextvars import Context
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.event_queue import EventQueue
from aioss_resume.events import CheckpointFlushed, DownloadCommitted, Event, SpanFetched


def event(kind: str, number: int) -> Event:
    common: dict[str, Any] = {"download_id": str(number), "bucket": "b", "key": "k"}
    if kind == "span":
        return SpanFetched(start=0, stop=1, elapsed=0.0, **common)
    if kind == "flush":
        return CheckpointFlushed(bytes_done=1, **common)
    return DownloadCommitted(path=None, **common)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["span", "flush", "commit", "take"])), st.integers(1, 5))
def test_events_keep_their_order_and_each_one_is_delivered_or_counted(steps: list[str], most: int) -> None:
    queue, added, delivered, dropped = EventQueue(most), 0, [], 0
    for step in steps:
        if step == "take":
            if len(queue):
                found, _, lost = queue.take()
                delivered.append(int(found.download_id))
                dropped += lost
            continue
        queue.add(event(step, added), Context())
        added += 1
        assert len(queue) <= most
    while len(queue):
        found, _, lost = queue.take()
        delivered.append(int(found.download_id))
        dropped += lost
    assert delivered == sorted(delivered)
    if delivered:  # what was dropped before the last one that was delivered is counted
        assert len(delivered) + dropped >= delivered[-1] + 1
    assert len(delivered) + dropped <= added


def test_dispensable_events_are_dropped_first() -> None:
    queue = EventQueue(3)
    for number, kind in enumerate(["commit", "span", "commit", "commit", "commit"]):
        queue.add(event(kind, number), Context())
    first, _, dropped = queue.take()
    assert (first.download_id, dropped) == ("2", 2)  # the span first, then the oldest


def test_dispensable_event_is_dropped_itself_if_only_others_wait() -> None:
    queue = EventQueue(2)
    for number, kind in enumerate(["commit", "commit", "span"]):
        queue.add(event(kind, number), Context())
    assert queue.take()[0].download_id == "0"
    assert queue.take()[0].download_id == "1"
    assert len(queue) == 0
