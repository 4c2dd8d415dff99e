"""What a power cut may leave: every combination of what was not yet known to be on the disk.

A step is on the disk when its file or directory was synced after it, or when the kernel wrote everything back, which
it may do at any time. Of all other steps up to the cut, in no order:

- a write is kept, dropped, or torn at sectors of 512 bytes; a file that it made longer may have got the length alone;
- a length is kept or dropped;
- a new name, a removed name and a rename are kept or dropped each for itself. A rename gives the new name and takes
  the old one as one step, or leaves both names; that it leaves neither is not assumed: no journalling file system does.

A file's name is not on the disk because the file was synced, as POSIX has it.

On a file system that keeps names in order (NTFS), a name, its removal and a rename are kept only if all earlier ones
are. Bytes and lengths are in no order there, either.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, product
from math import prod

from .disk import Image, Inode, Link, Returned, Step, Sync, Truncate, Write, put, resize

SECTOR = 512
_SECTORS_EACH = 6  # a write of at most so many sectors is torn in every possible way

Content = dict[Inode, bytearray]
Files = dict[Inode, bytes]
Names = dict[Inode, dict[str, Inode]]
Effect = Callable[[Content, Names], None]


def pending(journal: Sequence[Step], cut: int, written_back: int) -> tuple[list[Step], list[Step]]:
    """The first `cut` steps, as those that are on the disk and those that may be; all before `written_back` are."""
    durable: list[Step] = list(journal[:written_back])
    loose: list[Step] = []
    for step in journal[written_back:cut]:
        if isinstance(step, Sync):
            durable += [other for other in loose if other.of is step.of]
            loose = [other for other in loose if other.of is not step.of]
        elif not isinstance(step, Returned):
            loose.append(step)
    return durable, loose


def images(
    start: Inode,
    journal: Sequence[Step],
    cut: int,
    written_back: int,
    *,
    most: int,
    dice: random.Random,
    names_in_order: bool = False,
) -> Iterator[Image]:
    """What a cut after so many steps may leave: all of it, or `most` by chance when it is more.

    Args:
        start: The root directory. What was there before the run is in the journal too.
    """
    durable, loose = pending(journal, cut, written_back)
    content: Content = {}
    names: Names = {}
    for step in durable:
        for effect in _whole(step):
            effect(content, names)
    untouched = {inode: bytes(data) for inode, data in content.items()}
    touched = {step.of for step in loose if isinstance(step, Write | Truncate)}
    choices = [_outcomes(step, dice) for step in loose]
    ways = _in_order(loose, choices) if names_in_order else [choices]
    for effects in chain.from_iterable(_chosen(way, max(3, most // len(ways)), dice) for way in ways):
        after = {inode: bytearray(content.get(inode, b"")) for inode in touched}
        named = {inode: dict(each) for inode, each in names.items()}
        for effect in effects:
            effect(after, named)
        files = {**untouched, **{inode: bytes(data) for inode, data in after.items()}}
        yield dict(sorted(_walk(start, files, named)))


def _chosen(choices: Sequence[Sequence[Effect]], most: int, dice: random.Random) -> Iterator[Sequence[Effect]]:
    if prod(map(len, choices)) <= most:
        return iter(product(*choices))
    # The combinations in which everything is kept, or everything is dropped, are always among those chosen.
    kept_or_dropped = [[each[0] for each in choices], [each[min(1, len(each) - 1)] for each in choices]]
    by_chance = ([dice.choice(each) for each in choices] for _ in range(most - 2))
    return iter([*kept_or_dropped, *by_chance])


def _in_order(loose: Sequence[Step], choices: Sequence[Sequence[Effect]]) -> list[list[Sequence[Effect]]]:
    """The choices for each number of names that are kept, the first ones."""
    names = [at for at, step in enumerate(loose) if isinstance(step, Link)]
    ways = []
    for count in range(len(names) + 1):
        kept = set(names[:count])
        ways.append(
            [each if at not in names else each[:1] if at in kept else [_nothing] for at, each in enumerate(choices)]
        )
    return ways


def _walk(
    directory: Inode, files: Files, names: Names, above: str = ""
) -> Iterator[tuple[str, tuple[int, bytes | None]]]:
    for name, inode in names.get(directory, {}).items():
        path = f"{above}/{name}"
        yield path, (inode.number, None if inode.is_directory else files.get(inode, b""))
        if inode.is_directory:
            yield from _walk(inode, files, names, path)


def _whole(step: Step) -> list[Effect]:
    return [] if isinstance(step, Sync | Returned) else [_outcomes(step, None)[0]]


def _outcomes(step: Step, dice: random.Random | None) -> list[Effect]:
    """What may come of a step: first that it is kept, then that it is dropped, then the rest. dice None: kept alone."""
    match step:
        case Link():
            both = [partial(_link, step, keeps_old=True)] if step.was and dice else []
            return [partial(_link, step), _nothing, *both]
        case Truncate():
            return [partial(_truncate, step), _nothing]
        case Write():
            whole = range(_first(step), _last(step))
            return [partial(_write, step, frozenset(whole)), _nothing, *(_torn(step, dice) if dice else [])]
    raise AssertionError(step)


def _torn(step: Write, dice: random.Random) -> list[Effect]:
    first, last = _first(step), _last(step)
    if last - first <= _SECTORS_EACH:
        ways = product((True, False), repeat=last - first)
        return [partial(_write, step, frozenset(first + i for i, kept in enumerate(way) if kept)) for way in ways]
    middle = dice.randrange(first + 1, last)
    return [
        partial(_write, step, frozenset(sectors))
        for sectors in (
            (),  # the length alone
            range(first, middle),
            range(middle, last),
            range(first, last - 1),
            range(first + 1, last),
            dice.sample(range(first, last), (last - first) // 2),
        )
    ]


def _first(step: Write) -> int:
    return step.offset // SECTOR


def _last(step: Write) -> int:
    return -(-(step.offset + len(step.data)) // SECTOR)


def _nothing(_content: Content, _names: Names) -> None:
    pass


def _link(step: Link, _content: Content, names: Names, *, keeps_old: bool = False) -> None:
    there = names.setdefault(step.of, {})
    if step.was and not keeps_old:
        there.pop(step.was, None)
    if step.to is None:
        there.pop(step.name, None)
    else:
        there[step.name] = step.to
        if step.was and keeps_old:
            there[step.was] = step.to


def _truncate(step: Truncate, content: Content, _names: Names) -> None:
    resize(content.setdefault(step.of, bytearray()), step.size)


def _write(step: Write, sectors: frozenset[int], content: Content, _names: Names) -> None:
    data = content.setdefault(step.of, bytearray())
    stop = step.offset + len(step.data)
    if len(sectors) == _last(step) - _first(step):
        put(data, step.offset, step.data)
        return
    if len(data) < stop:
        resize(data, stop)
    for sector in sectors:
        start, end = max(sector * SECTOR, step.offset), min((sector + 1) * SECTOR, stop)
        data[start:end] = step.data[start - step.offset : end - step.offset]
