"""The key that a path was made from: the inverse of path_of_key(), for its laws."""

import re


def key_of_path(path: str, *, windows: bool = False) -> str:
    """The key below its prefix, without a slash at its end, of a path that path_of_key() made."""
    segment_of = segment_of_windows_name if windows else segment_of_name
    return "/".join(map(segment_of, path.split("/"))) if path else ""


def segment_of_name(name: str) -> str:
    return {"%": "", "%2E": "."}.get(name, name.replace("%25", "%"))


def segment_of_windows_name(name: str) -> str:
    return "" if name == "%" else re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), name)
