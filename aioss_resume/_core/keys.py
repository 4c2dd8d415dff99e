"""Mapping of keys below a prefix to relative paths.

Each segment of a key becomes a name in a directory. What a file system cannot represent is escaped, so that different
keys have different paths, and the key can be derived from the path:

- An empty segment ("a//b") becomes "%", and a segment "." becomes "%2E".
- A "%" that could be mistaken for an escape becomes "%25".

On Windows more characters are escaped: see windows_names.
"""

import re
import unicodedata
from typing import Final

from aioss_resume._core import windows_names

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_EMPTY: Final = "%"
_DOT: Final = "%2E"
_READ_AS_ESCAPE: Final = re.compile(r"%(?=25)")


class UnusableKeyError(ValueError):
    """The key cannot be mapped to a path below the directory. The text says why."""


def path_of_key(below: str, *, windows: bool = False) -> str:
    """The relative path for a key below its prefix, without a slash at its end; "" for the directory itself.

    Args:
        windows: Whether to escape names that Windows does not accept.

    Raises:
        UnusableKeyError: The path would lie outside the directory, on this or another operating system.
    """
    if "\0" in below:
        raise UnusableKeyError("it contains a NUL character")
    if below.startswith(("/", "\\")):
        raise UnusableKeyError("it is an absolute path")
    if _DRIVE.match(below):
        raise UnusableKeyError("it begins with a drive letter")
    segments = below.removesuffix("/").split("/") if below else []
    if ".." in segments or ("\\" in below and ".." in below.replace("\\", "/").split("/")):
        raise UnusableKeyError('it contains ".."')
    if not windows:
        return "/".join(map(_escaped, segments))
    names = list(map(windows_names.escaped, segments))
    for name in names:
        if (problem := windows_names.problem_of_name(name)) is not None:
            raise UnusableKeyError(f"the name {name!a:.100} {problem}")
    return "/".join(names)


def folded(path: str, *, case: bool, form: bool) -> str:
    """Fold a path, so that paths which the file system cannot tell apart become equal.

    Args:
        case: Whether the file system ignores case.
        form: Whether the file system ignores Unicode normalisation.
    """
    if form:
        path = unicodedata.normalize("NFC", path)
    return path.casefold() if case else path


class KeyOrder:
    """Finds keys that need the same name for a file and for a directory. Keys are passed in OSS's order.

    Keys that begin with another key follow it directly, so only the keys that are prefixes of the last one are kept.
    """

    def __init__(self) -> None:
        self._begun: list[str] = []

    def file_in_the_way(self, below: str) -> str | None:
        """The earlier key whose file is in the place of a directory that this key needs, or None."""
        begun = self._begun
        while begun and not below.startswith(begun[-1]):
            begun.pop()
        for earlier in begun:
            if below.startswith(f"{earlier}/"):
                return earlier
        if below and not below.endswith("/"):
            begun.append(below)
        return None


def _escaped(segment: str) -> str:
    if not segment:
        return _EMPTY
    if segment == ".":
        return _DOT
    if "%" not in segment:
        return segment
    if segment in (_EMPTY, _DOT):
        return "%25" + segment[1:]
    return _READ_AS_ESCAPE.sub("%25", segment)
