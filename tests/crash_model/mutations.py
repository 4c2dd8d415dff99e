"""The same run with one step taken out or moved: what somebody might do to the code some day.

They are made of a recorded journal: it is what the disk would have seen of the changed code.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .disk import Inode, Link, Step, Sync, Truncate, Write
from .promises import Recorded


@dataclass(frozen=True, slots=True)
class Mutation:
    """What was changed, in words, and the recording that comes of it."""

    what: str
    recorded: Recorded


def mutations(recorded: Recorded) -> Iterator[Mutation]:
    """All that can be done to a run."""
    journal, begins = list(recorded.journal), recorded.begins
    published = _publication(recorded)

    def changed(what: str, steps: Sequence[Step]) -> Mutation:
        return Mutation(what, replace(recorded, journal=(*journal[:begins], *steps)))

    steps = journal[begins:]
    at = published - begins
    rename = steps[at]
    assert isinstance(rename, Link)
    checkpoints = {step.to for step in steps if isinstance(step, Link) and step.name.endswith(".checkpoint")} - {None}
    is_flush = [isinstance(step, Sync) and step.of in checkpoints for step in steps]
    if sum(is_flush) > 1:  # an unsynced first checkpoint replaces none, so it does no harm
        yield changed(
            "checkpoints are not synced", [step for step, flush in zip(steps, is_flush, strict=True) if not flush]
        )
        yield changed("the checkpoint is written in place", list(_in_place(steps)))
    for index, step in enumerate(steps):
        if isinstance(step, Sync) and not is_flush[index]:
            what = "a directory" if step.of.is_directory else "the file"
            yield changed(f"{what} is not synced (step {index})", [*steps[:index], *steps[index + 1 :]])

    synced = max(i for i in range(at) if isinstance(steps[i], Sync) and steps[i].of is rename.to)
    directory_synced = min(i for i in range(at, len(steps)) if isinstance(steps[i], Sync) and steps[i].of is rename.of)
    written = max(i for i in range(at) if isinstance(steps[i], Write) and steps[i].of is rename.to)
    yield changed("the file is synced after its rename", _moved(steps, synced, at))
    yield changed("the directory is synced before the rename", _moved(steps, directory_synced, at))
    yield changed("the last bytes are written after the rename", _moved(steps, written, at))
    yield changed("the last bytes are written after the sync", _moved(steps, written, synced))
    if recorded.old is not None:
        removal = Link(rename.of, rename.name, None)
        yield changed("the old file is removed before the rename", [*steps[:at], removal, *steps[at:]])
        yield changed("the old file is written over in place", [*steps[:at], *_copied(recorded), *steps[at + 1 :]])
    removals = [
        i
        for i, step in enumerate(steps)
        if i > at and isinstance(step, Link) and step.to is None and step.name.endswith(".checkpoint")
    ]
    if recorded.keeps_progress:
        for index in removals:
            yield changed("the checkpoint goes before the rename", _moved(steps, index, at))
            # The checkpoint must be there not only before the rename, but also until the directory is synced.
            yield changed("the checkpoint goes before the directory is synced", _moved(steps, index, directory_synced))


def _publication(recorded: Recorded) -> int:
    """The step in which the destination gets its new file."""
    name = recorded.destination.name
    return max(
        i for i, step in enumerate(recorded.journal) if isinstance(step, Link) and step.was and step.name == name
    )


def _moved(steps: Sequence[Step], index: int, to: int) -> list[Step]:
    """The step at `index`, now where the step at `to` was; what was there comes before it when it moved back."""
    left = [*steps[:index], *steps[index + 1 :]]
    return [*left[:to], steps[index], *left[to:]]


def _copied(recorded: Recorded) -> list[Step]:
    """The new bytes into the old file, and a sync."""
    old = next(
        step.to
        for step in recorded.journal[: recorded.begins]
        if isinstance(step, Link) and step.name == recorded.destination.name
    )
    assert old is not None
    return [Truncate(old, 0), Write(old, 0, recorded.new), Sync(old)]


def _in_place(steps: Sequence[Step]) -> Iterator[Step]:
    """Checkpoints that are written into the first one, and synced."""
    first: Inode | None = None
    for index, step in enumerate(steps):
        renames = [s for s in steps[index:] if isinstance(s, Link) and s.was and s.name.endswith(".checkpoint")]
        coming = renames[0].to if renames else None
        if isinstance(step, Link) and step.was and step.name.endswith(".checkpoint") and first is None:
            first = step.to
            yield step
        elif first is None or coming is None:
            yield step
        elif isinstance(step, Link) and step.to is coming:
            yield step if not step.was else Sync(first)
        elif isinstance(step, Write) and step.of is coming:
            yield Truncate(first, 0)
            yield Write(first, step.offset, step.data)
        else:
            yield step
