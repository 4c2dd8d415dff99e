"""Keys below a prefix as relative paths."""
# ruff: noqa: N802

import posixpath
import re
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from core.unescaping import key_of_path
from hypothesis import assume, example, given
from hypothesis import strategies as st

from aioss_resume._core.keys import KeyOrder, UnusableKeyError, folded, path_of_key

keys = st.lists(st.sampled_from(["a", "b", "/", ".", "%", "2", "5", "E", "\\", ":", "é", " "]), min_size=1).map("".join)


@pytest.mark.parametrize(
    "below",
    ["../x", "a/../../b", "a/..", "..", "/abs", "//x", "..\\x", "a\\..\\b", "\\\\srv\\x", "\\x", "C:x", "c:/x", "a\0b"],
)
def test_key_that_leads_elsewhere_is_refused(below):
    with pytest.raises(UnusableKeyError):
        path_of_key(below)


@pytest.mark.parametrize(
    ("below", "path"),
    [
        ("a/b.txt", "a/b.txt"),
        ("a//b", "a/%/b"),
        ("a//", "a/%"),
        ("./a", "%2E/a"),
        ("a/./b", "a/%2E/b"),
        ("...", "..."),
        ("100%", "100%"),
        ("%", "%25"),
        ("a%20b", "a%20b"),
        ("a%25b", "a%2525b"),
        ("%2E", "%252E"),
        ("a/", "a"),
        ("", ""),
        ("ab:c", "ab:c"),
    ],
)
def test_key_maps_to_the_expected_path(below, path):
    assert path_of_key(below) == path


@given(keys)
@example("%2E/%/%25")
def test_key_can_be_recovered_from_its_path(below):
    try:
        path = path_of_key(below)
    except UnusableKeyError:
        assume(False)
    assert key_of_path(path) == below.removesuffix("/")


@given(keys, keys)
def test_different_keys_have_different_paths(one, other):
    assume(one.removesuffix("/") != other.removesuffix("/"))
    try:
        assert path_of_key(one) != path_of_key(other)
    except UnusableKeyError:
        assume(False)


@given(st.text(max_size=40) | keys)
def test_path_stays_below_its_directory(below):
    try:
        path = path_of_key(below)
    except UnusableKeyError:
        return
    assert posixpath.normpath(posixpath.join("/root", path)) == ("/root/" + path if path else "/root")
    assert not PurePosixPath(path).is_absolute()
    assert not re.match("[A-Za-z]:", path)  # from Python 3.12 on, PureWindowsPath takes any character for a drive
    assert not path.startswith(("/", "\\"))
    assert ".." not in PureWindowsPath(path).parts


def in_the_way(*names):
    order = KeyOrder()
    return [(name, earlier) for name in names if (earlier := order.file_in_the_way(name)) is not None]


def test_file_in_the_way_is_found_with_other_keys_between():
    names = ["a", "a-b", "a-b/c", "a/", "a/b", "a/b/c", "ab", "b/c", "b0"]
    assert in_the_way(*names) == [("a-b/c", "a-b"), ("a/", "a"), ("a/b", "a"), ("a/b/c", "a")]


@given(st.sets(keys, max_size=12))
def test_file_in_the_way_agrees_with_an_exhaustive_search(names):
    ordered = sorted(names, key=str.encode)
    taken = dict(in_the_way(*ordered))
    files = set()
    for name in ordered:
        clashes = [earlier for earlier in files if name.startswith(earlier + "/")]
        assert bool(clashes) == (name in taken)
        if not clashes and not name.endswith("/"):
            files.add(name)


def test_P03_folded_names_are_equal_if_the_file_system_cannot_distinguish_them():
    assert folded("A/É", case=True, form=False) == folded("a/é", case=True, form=False)
    assert folded("e\u0301", case=False, form=True) == folded("é", case=False, form=True)
    assert folded("A", case=False, form=True) != folded("a", case=False, form=True)
