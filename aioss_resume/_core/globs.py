"""Selection of keys below a prefix, by shell-style patterns in which only `**` matches a slash."""

import re
from collections.abc import Iterable
from typing import Final

_SPECIAL: Final = re.compile(r"\*\*/|\*+|\?|\[!?\]?[^]/]*\]")


def _regex(pattern: str) -> str:
    found, at = "", 0
    for special in _SPECIAL.finditer(pattern):
        found += re.escape(pattern[at : special.start()])
        at = special.end()
        text = special.group()
        # `**/` is a directory at any depth, and none at all; but `a**/` is one whose name begins with an a.
        if text == "**/" and (special.start() == 0 or pattern[special.start() - 1] == "/"):
            found += "(?:.*/)?"
        elif text == "**/":
            found += ".*/"
        elif text.startswith("**"):
            found += ".*"
        elif text == "*":
            found += "[^/]*"
        elif text == "?":
            found += "[^/]"
        else:
            found += _class(text[1:-1])
    return found + re.escape(pattern[at:])


def _class(inner: str) -> str:
    """The regular expression for a character set, which never matches a slash."""
    is_negated = inner.startswith("!")
    members = inner.removeprefix("!").replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
    for doubled in ("--", "&&", "~~", "||"):  # reserved for sets in sets
        members = members.replace(doubled, "\\" + doubled[0] + "\\" + doubled[0])
    try:
        re.compile(f"[{members}]")
    except re.error:
        return r"(?!)"  # a reversed range has no member, as in a shell
    return f"(?!/)[{'^' if is_negated else ''}{members}]"


class Selection:
    """Selects keys that match any pattern in `include` (if there are any) and no pattern in `exclude`.

    Patterns: `*` and `?` match characters other than a slash, `[a-z]` and `[!a-z]` one of a set, `**` any characters.
    `**/x` also matches x itself.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        self._include, self._exclude = _any_of(include), _any_of(exclude)

    def has(self, below: str) -> bool:
        """Whether a key is selected. It is given without the prefix."""
        if self._include is not None and not self._include.fullmatch(below):
            return False
        return self._exclude is None or not self._exclude.fullmatch(below)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    found = "|".join(f"(?:{_regex(pattern)})" for pattern in patterns)
    return re.compile(found, re.DOTALL) if found else None
