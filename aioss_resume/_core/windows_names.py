"""File names that Windows interprets in a special way: devices, streams, trailing dots and spaces.

Source: "Naming Files, Paths, and Namespaces" of Microsoft's documentation, and `PureWindowsPath.is_reserved()`.
"""

import ntpath
import re
from typing import Final

NAME_MOST: Final = 255
"""UTF-16 units of one name, on NTFS and others."""

_FORBIDDEN: Final = re.compile(r'[\0-\x1f<>:"/\\|?*]')
_DROPPED_END: Final = re.compile(r"[. ]$")
_DEVICE: Final = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|(COM|LPT)[0-9¹²³]) *(\.|$)", re.IGNORECASE)
_READ_AS_ESCAPE: Final = re.compile(r"%(?=[0-9A-F]{2})")


def problem_of_path(path: str) -> str | None:
    """Why Windows would not take a path as a file of that name, or None.

    Args:
        path: With a drive or server before it, or without.
    """
    if path.startswith(("\\\\.\\", "//./")):
        return "it is the path of a device"
    below = ntpath.splitdrive(path)[1].replace("\\", "/")
    for name in below.split("/"):
        if name in ("", ".", ".."):
            continue
        if (problem := _other_meaning(name)) is not None:
            return f"{name!r} {problem}"
    return None


def problem_of_name(name: str) -> str | None:
    """Why a file or directory cannot have that name; None if it can."""
    if units(name) > NAME_MOST:
        return f"is longer than {NAME_MOST} UTF-16 units"
    return _other_meaning(name)


def units(name: str) -> int:
    """The length of a name as Windows counts it."""
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def _other_meaning(name: str) -> str | None:
    if _DEVICE.match(name):
        return "is the name of a device"
    if (found := _FORBIDDEN.search(name)) is not None:
        return f"contains {found[0]!r}"
    if _DROPPED_END.search(name):
        return "ends in a dot or a space, which Windows drops"
    return None


def escaped(segment: str) -> str:
    """Escape a segment of a key as a valid name on Windows. Different segments get different names.

    What it cannot take is written as "%" and two hexadecimal digits; an empty segment as "%". A name may still be too
    long.
    """
    if segment in ("", "%"):
        return "%25" if segment else "%"
    name = _READ_AS_ESCAPE.sub("%25", segment)
    name = _FORBIDDEN.sub(_hexadecimal, name)
    name = _DROPPED_END.sub(_hexadecimal, name)
    return f"%{ord(name[0]):02X}{name[1:]}" if _DEVICE.match(name) else name


def _hexadecimal(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"
