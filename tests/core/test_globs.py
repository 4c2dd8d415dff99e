"""Patterns for keys below a prefix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.globs import Selection


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("*.csv", ["a.csv", ".csv"], ["a/b.csv", "a.csv/", "acsv"]),
        ("**/*.csv", ["a.csv", "a/b.csv", "a/b/c.csv"], ["a.tsv"]),
        ("a/**", ["a/b", "a/b/c", "a/"], ["a", "b/a/c"]),
        ("**", ["a", "a/b", ""], []),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "a/bz"]),
        ("a**/z", ["ab/z", "a/b/z"], ["z"]),
        ("?", ["a", "é"], ["", "ab", "/"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "-x", "/x"]),
        ("[!a]x", ["bx"], ["ax", "/x"]),
        ("[]]", ["]"], ["["]),
        ("[z-a]", [], ["z", "a", "m"]),
        ("a[b", ["a[b"], ["ab"]),
        ("a.b+c", ["a.b+c"], ["axb+c", "a.bbc"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[a--b]", ["a", "b", "-"], ["c"]),
        ("a\nb*", ["a\nb", "a\nb\n"], []),
    ],
)
def test_pattern_matches_the_expected_keys(pattern, matches, others):
    selection = Selection([pattern], [])
    assert [name for name in [*matches, *others] if selection.has(name)] == matches


def test_key_must_match_any_include_and_no_exclude():
    selection = Selection(["*.csv", "x/**"], ["**/tmp*"])
    names = ["a.csv", "x/a", "tmp.csv", "x/tmp/a", "x/tmp1", "y"]
    assert [name for name in names if selection.has(name)] == ["a.csv", "x/a", "x/tmp/a"]
    assert Selection([], []).has("anything")


@given(st.text(max_size=12), st.text(max_size=12))
def test_no_pattern_raises(pattern, name):
    Selection([pattern] if pattern else [], []).has(name)


@given(st.text(st.characters(exclude_characters="*?["), min_size=1, max_size=12), st.text(max_size=12))
def test_pattern_without_wildcards_matches_only_itself(pattern, name):
    selection = Selection([pattern], [])
    assert selection.has(pattern)
    assert selection.has(name) == (name == pattern)
