"""Names by the rules of Windows: what is refused, what is escaped, and that nothing leaves the directory."""
# ruff: noqa: N802

import ntpath
import re
import sys
from pathlib import PureWindowsPath

import pytest
from core.unescaping import key_of_path, segment_of_windows_name
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aioss_resume._core.keys import UnusableKeyError, path_of_key
from aioss_resume._core.paths import checkpoint_name
from aioss_resume._core.windows_names import escaped, problem_of_name, problem_of_path
from aioss_resume.errors import ObjectName

DEVICES = ["CON", "con", "Prn", "AUX", "NUL", "COM1", "lpt9", "COM\u00b9", "CONIN$", "conout$", "CLOCK$", "COM0"]
PIECES = [
    *DEVICES,
    ".txt",
    ".",
    "..",
    " ",
    ":",
    "\\",
    "%",
    "25",
    "2E",
    "43",
    "a",
    "E",
    "\n",
    "*",
    "?",
    "\u00e9",
    "\U0001f600",
]
segments = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
hostile = st.lists(segments | st.text(max_size=12), min_size=1, max_size=5).map("/".join)
HOSTILE_NAMES = 5000


def is_reserved(name: str) -> bool:
    """What Python says of it, each release in its own way."""
    if sys.version_info >= (3, 13):
        return ntpath.isreserved(name)
    return PureWindowsPath(name).is_reserved()


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("C:\\data\\NUL", "'NUL' is the name of a device"),
        ("C:/data/nul.txt", "'nul.txt' is the name of a device"),
        ("COM1 .log", "'COM1 .log' is the name of a device"),
        ("con\\file", "'con' is the name of a device"),
        ("C:\\data\\file:stream", "'file:stream' contains ':'"),
        ("D:\\what?", "'what?' contains '?'"),
        ("D:\\a\\file.", "'file.' ends in a dot or a space, which Windows drops"),
        ("D:\\a \\file", "'a ' ends in a dot or a space, which Windows drops"),
        ("\\\\.\\PhysicalDrive0", "it is the path of a device"),
        ("//./COM1", "it is the path of a device"),
        ("\\\\?\\C:\\data\\AUX", "'AUX' is the name of a device"),
        ("\\\\server\\share\\PRN.tar.gz", "'PRN.tar.gz' is the name of a device"),
    ],
)
def test_P02_path_that_windows_interprets_differently_is_refused(path, problem):
    assert problem_of_path(path) == problem


@pytest.mark.parametrize(
    "path",
    [
        "D:\\localpath\\examplefile.txt",
        "D:/localpath/examplefile.txt",
        "C:relative",
        "..\\beside\\file",
        "\\\\server\\share\\dir\\file",
        "\\\\?\\C:\\very\\long",
        "\\\\?\\UNC\\server\\share\\file",
        "console.txt",
        "COM10",
        "xNUL",
        ".hidden",
        "a" * 255,
        "\u4e2d\u6587.txt",
    ],
)
def test_usual_path_has_no_problem(path):
    assert problem_of_path(path) is None


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("plain.txt", "plain.txt"),
        ("", "%"),
        ("%", "%25"),
        (".", "%2E"),
        ("NUL.txt", "%4EUL.txt"),
        ("con", "%63on"),
        ("a:b", "a%3Ab"),
        ("a\\b", "a%5Cb"),
        ("end. ", "end.%20"),
        ("100%", "100%"),
        ("a%20b", "a%2520b"),
        ("a%zzb", "a%zzb"),
        ("tab\t", "tab%09"),
    ],
)
def test_segment_maps_to_the_expected_name(segment, name):
    assert escaped(segment) == name
    assert segment_of_windows_name(name) == segment


@settings(max_examples=HOSTILE_NAMES, deadline=None)
@given(hostile)
@example("CON/NUL.txt/a:b/x. /%43ON")
@example("%/%25/%2525//")
def test_P02_hostile_key_maps_to_a_reversible_path_without_devices(below):
    try:
        path = path_of_key(below, windows=True)
    except UnusableKeyError:
        assume(False)
    parts = PureWindowsPath(path).parts
    assert parts == tuple(path.split("/") if path else ())
    assert not PureWindowsPath(path).drive
    assert not PureWindowsPath(path).root
    assert not any(re.fullmatch(r"\.*", part) for part in parts)
    assert not any(map(is_reserved, parts))
    assert problem_of_path(f"C:\\root\\{path}") is None
    assert key_of_path(path, windows=True) == below.removesuffix("/")


@settings(max_examples=1000, deadline=None)
@given(segments, segments)
def test_P02_different_segments_have_different_names(one, other):
    assume(one != other)
    assert escaped(one) != escaped(other)


def test_name_that_is_too_long_is_refused():
    assert problem_of_name("\U0001f600" * 127) is None
    assert problem_of_name("\U0001f600" * 128) == "is longer than 255 UTF-16 units"
    with pytest.raises(UnusableKeyError, match="longer than 255"):
        path_of_key("d/" + "a" * 256, windows=True)
    with pytest.raises(UnusableKeyError, match="longer than 255"):
        path_of_key(":" * 100, windows=True)  # each colon is escaped by three characters


@given(segments)
def test_hidden_files_have_names_that_windows_takes(segment):
    name = escaped(segment)
    assume(problem_of_name(name) is None)
    hidden = checkpoint_name(f"C:\\data\\{name}", ObjectName("examplebucket", "key"), None)
    assert hidden.startswith(f".{name}."[:200])
    assert problem_of_name(hidden) is None
