"""Where the files of a prefix lie: keys below it as relative paths, and back.

Each segment of a key is a name in a directory. What a file system cannot hold is escaped, so that different keys have
different paths, and a path tells its key:

- An empty segment ("a//b") becomes "%", and a segment "." becomes "%2E".
- A "%" that would then be read as an escape becomes "%25".

By the rules of Windows more is escaped: see windows_names.
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
    """A key that can be no path below a directory. The text says why."""


def path_of_key(below: str, *, windows: bool = False) -> str:
    """The relative path for a key below its prefix, without a slash at its end; "" for the directory itself.

    Args:
        windows: Each segment must be a name that Windows takes as it is.

    Raises:
        UnusableKeyError: It would lie elsewhere, here or on another system.
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


def key_of_path(path: str, *, windows: bool = False) -> str:
    """The key below its prefix, without a slash at its end, of a path that path_of_key() made."""
    unescaped = windows_names.unescaped if windows else _unescaped
    return "/".join(map(unescaped, path.split("/"))) if path else ""


def folded(path: str, *, case: bool, form: bool) -> str:
    """What paths have in common that one file system cannot tell apart.

    Args:
        case: It ignores upper and lower case.
        form: It ignores the form in which accents are encoded (Unicode's normalisation).
    """
    if form:
        path = unicodedata.normalize("NFC", path)
    return path.casefold() if case else path


class KeyOrder:
    """Finds keys that need a name both as a file and as a directory, going through them in OSS's order.

    All keys that begin with another key come right after it, so only those are remembered that the last one began with.
    """

    def __init__(self) -> None:
        self._begun: list[str] = []

    def file_in_the_way(self, below: str) -> str | None:
        """The earlier key whose file is where this one needs a directory; None if there is none."""
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


def _unescaped(name: str) -> str:
    if name == _EMPTY:
        return ""
    if name == _DOT:
        return "."
    return name.replace("%25", "%")
