"""Human-readable sizes."""

import re
from typing import Final

_UNITS: Final = "kmgt"
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(ib|b)?|b)?", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Parse a size such as "256MiB", "64m", "1.5g" or "1048576" as bytes.

    Raises:
        ValueError: The text is not a size.

    Source: GNU coreutils: K and KiB are 1024, KB is 1000.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size: write bytes, or a unit as in 256MiB, 64m or 1.5g")
    number, unit, tail = found.groups()
    base = 1000 if (tail or "").lower() == "b" else 1024
    power = _UNITS.index(unit.lower()) + 1 if unit else 0
    return int(float(number) * base**power) if "." in number else int(number) * base**power


def in_words(count: int) -> str:
    """Format a number of bytes."""
    power = max(0, (abs(count).bit_length() - 1) // 10)
    return f"{count} B" if not power else f"{count / 1024**power:,.1f} {_UNITS[power - 1].upper()}iB"
