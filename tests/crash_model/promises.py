"""What is promised of any disk that a power cut leaves, looked up without a request.

1. The destination is the old file (or absent, when there was none) or the right file, whole.
2. Once download() has returned it is the right file.
3. What the next run would prove to be on the disk (the library's own reading of the checkpoint, its own rules, its own
   reading of the part file) is the object's.
4. Progress is kept: when the kernel had written all back at some moment, the next run finds a whole checkpoint that
   speaks of at least as many bytes as it did then, or the right file at its place. (Whether it also proves them is
   another question: a span that was joined with bytes that are lost is fetched again with them. See `proven`.)
"""

import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from aioss_resume._core.checkpoint import Unusable
from aioss_resume._core.crc64 import crc64
from aioss_resume._core.paths import checkpoint_name, part_name
from aioss_resume._core.spans import Done
from aioss_resume._io.flush import CheckpointFile
from aioss_resume._io.threads import Threads
from aioss_resume._io.verify import span_matches_disk
from aioss_resume._io.write import PartFile
from aioss_resume.errors import ObjectName

from .cuts import images
from .disk import Disk, Image, Inode, Link, Returned, Step

P = ParamSpec("P")
T = TypeVar("T")


class Inline(Threads):
    """Makes each call at once, where it is asked for: there is nothing to wait for in memory."""

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return call(*args, **kwargs)

    async def run_uncancelled(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return call(*args, **kwargs)

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        raise AssertionError("nothing is waited for here")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run, or several that followed each other, as the disk saw them.

    Attributes:
        begins: How many of the journal's steps made what was there first; that is on the disk.
        old, new: The destination's bytes before (None: absent) and after.
        objects: All versions of the object that were downloaded.
        keywords: The last run's. Any: of many types.
        names_in_order: The file system keeps no name without the earlier ones.
        keeps_progress: Not when the object was replaced in between: then what was kept is thrown away on purpose.
    """

    destination: Path
    name: ObjectName
    root: Inode
    journal: Sequence[Step]
    begins: int
    old: bytes | None
    new: bytes
    objects: Sequence[bytes]
    store: Path | None = None
    keeps_progress: bool = True
    names_in_order: bool = False
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """One image: what is wrong with it, whether the right file is there, and what the next run need not fetch."""

    problem: str = ""
    is_new: bool = False
    claimed: int = 0
    proven: int = 0


@dataclass(slots=True)
class Survey:
    """All that the cuts of one recording may leave, looked at.

    Attributes:
        violations: Broken promises, in words.
        distinct: How many images there are.
        sample: Some of them, by chance.
    """

    violations: list[str] = field(default_factory=list)
    distinct: int = 0
    sample: list[Image] = field(default_factory=list)


def survey(recorded: Recorded, *, most: int, seed: int = 1, sample: float = 0.0) -> Survey:
    """Cut the power after each step, with `most` images each.

    Args:
        sample: The share of images to keep.
    """
    dice = random.Random(seed)
    found = Survey()
    seen: dict[object, Look] = {}
    for cut, written_back, promised in _moments(recorded):
        least = _progress_at(recorded, written_back) if written_back > recorded.begins else 0
        for image in _images(recorded, cut, written_back, most=most, dice=dice):
            key = digest(image)
            if key not in seen:
                seen[key] = _looked_at(recorded, image)
                if dice.random() < sample:
                    found.sample.append(image)
            if problem := _broken(seen[key], promised, least):
                found.violations.append(f"cut after {cut}, written back at {written_back}: {problem}")
    found.distinct = len(seen)
    return found


def _images(recorded: Recorded, cut: int, written_back: int, *, most: int, dice: random.Random) -> Iterator[Image]:
    order = recorded.names_in_order
    return images(recorded.root, recorded.journal, cut, written_back, most=most, dice=dice, names_in_order=order)


def is_kept(recorded: Recorded, *, most: int, seed: int = 1) -> bool:
    """Whether no image breaks a promise. The latest cuts are looked at first: it is there that mutations show."""
    dice = random.Random(seed)
    for cut, written_back, promised in reversed(list(_moments(recorded))):
        least = _progress_at(recorded, written_back) if written_back > recorded.begins else 0
        for image in _images(recorded, cut, written_back, most=most, dice=dice):
            if _broken(_looked_at(recorded, image), promised, least):
                return False
    return True


def after_kills(recorded: Recorded) -> list[str]:
    """Broken promises when the process is killed after a step: the kernel keeps all that was done."""
    found, least = [], 0
    for cut in range(recorded.begins, len(recorded.journal) + 1):
        for image in images(recorded.root, recorded.journal, cut, cut, most=1, dice=random.Random(0)):
            look = _looked_at(recorded, image)
            if problem := _broken(look, False, least, by_proof=True):
                found.append(f"killed after {cut}: {problem}")
            least = max(least, look.proven) if recorded.keeps_progress else 0
    return found


def _broken(look: Look, promised: bool, least: int, *, by_proof: bool = False) -> str:
    """The broken promise, in words; "" when all are kept."""
    progress = look.proven if by_proof else look.claimed
    if look.problem:
        return look.problem
    if promised and not look.is_new:
        return "the download had returned, and the right file is not there"
    return f"{progress} bytes would be resumed, and {least} were on the disk before" if progress < least else ""


def _moments(recorded: Recorded) -> Iterator[tuple[int, int, bool]]:
    """Cuts, each with a moment when all was written back, and whether the result is promised by then."""
    journal, begins = recorded.journal, recorded.begins
    backs = [begins]
    if recorded.keeps_progress:
        backs += [at + 1 for at, step in enumerate(journal) if isinstance(step, Link) and step.was and at >= begins]
    returned = [at for at, step in enumerate(journal) if isinstance(step, Returned)]
    for cut in range(begins, len(journal) + 1):
        for back in backs:
            if back <= cut:
                # On file systems that keep names in order, directories are not synced, so the last name may be lost.
                yield cut, back, bool(returned) and cut > returned[-1] and not recorded.names_in_order


def _progress_at(recorded: Recorded, cut: int) -> int:
    """Bytes that a run would go on from if all steps so far were kept."""
    [image] = images(recorded.root, recorded.journal, cut, cut, most=1, dice=random.Random(0))
    return (_looked_at(recorded, image)).claimed


def _looked_at(recorded: Recorded, image: Image) -> Look:
    _, there = image.get(str(recorded.destination), (0, None))
    if there == recorded.new:
        look = Look(is_new=True, claimed=len(recorded.new), proven=len(recorded.new))
    elif there == recorded.old:
        look = Look()
    else:
        return Look(f"the destination is neither the old file nor the right one: {_described(there)}")
    disk, claimed, proven = Disk(image), 0, 0
    for span, data in _kept(recorded, disk):
        claimed += span.stop - span.start
        if data is None:
            continue
        if not any(data == whole[span.start : span.stop] for whole in recorded.objects):
            return Look(f"bytes [{span.start}, {span.stop}) would be taken for the object's")
        proven += span.stop - span.start
    if disk.open_descriptors:
        return Look("a descriptor was left open")
    return Look("", look.is_new, max(look.claimed, claimed), max(look.proven, proven))


def _kept(recorded: Recorded, disk: Disk) -> list[tuple[Done, bytes | None]]:
    """The spans that the next run would go on from, as Download does it: by the library's own steps, in its order.

    With the bytes of those that hold, and None for the others.
    """
    threads, destination, name = Inline(), recorded.destination, recorded.name
    directory = recorded.store or destination.parent
    path = directory / checkpoint_name(str(destination), name, None)
    try:
        checkpoint = CheckpointFile(path, name, threads, disk, fsync=True).load()
    except Unusable:
        return []
    if checkpoint is None or checkpoint.part_file != part_name(destination.name, name, checkpoint.meta):
        return []
    part = PartFile(destination.with_name(checkpoint.part_file), name, threads, disk)
    if not _driven(part.create(checkpoint.meta.size)):
        return []
    data = disk.read(part.path)
    assert data is not None
    return [
        (span, data[span.start : span.stop] if _driven(span_matches_disk(part.path, span, threads, disk)) else None)
        for span in checkpoint.spans
    ]


def _driven(never_waits: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for. (No loop: looking blocks, and is done in a thread.)"""
    try:
        never_waits.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


def digest(image: Image) -> object:
    """The same for images that no program could tell apart."""
    first: dict[int, str] = {}
    return tuple(
        (path, first.setdefault(number, path), None if data is None else (len(data), crc64(data)))
        for path, (number, data) in image.items()
    )


def _described(data: bytes | None) -> str:
    return "absent" if data is None else f"{len(data)} bytes, {data.count(0)} of them zeros"
