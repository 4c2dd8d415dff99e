"""What may happen to a part file between two runs, the first of which was ended by interrupt()."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flow.ranged import PART, SIZE, whole


def zero_a_span(part: Path) -> None:
    with part.open("r+b") as file:
        file.seek(PART + 5)
        file.write(bytes(1000))


def _flip_the_last_kept_bit(part: Path) -> None:
    data = bytearray(part.read_bytes())
    data[5 * PART - 1] ^= 1
    part.write_bytes(data)


def _replace(part: Path) -> None:
    other = part.with_name("other")
    other.write_bytes(whole(SIZE, seed=2))
    other.replace(part)


DAMAGE: Final[dict[str, Callable[[Path], object]]] = {
    "zeroed": zero_a_span,
    "flipped": _flip_the_last_kept_bit,
    "replaced": _replace,
    "cut": lambda part: os.truncate(part, PART + 7),
    "emptied": lambda part: os.truncate(part, 0),
    "lengthened": lambda part: os.truncate(part, 2 * SIZE),
    "removed": lambda part: part.unlink(),
    "overwritten": lambda part: part.write_bytes(b"x" * SIZE),
}
