"""Names of part files, checkpoints and locks, for any destination."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.paths import checkpoint_name, lock_name, may_be_lock_of, part_name, temporary_name
from aioss_resume.errors import ObjectName

LINUX_NAME_MAX = 255
NAME = ObjectName("b", "k")
META = ObjectMeta("k", 1000, "A1", 7, "v1", datetime(2026, 1, 2, tzinfo=UTC))

characters = st.characters(exclude_characters="/\0\ufffd", exclude_categories=["Cs"]) | st.sampled_from(
    "文é😀\udc80\udcff."
)
names = st.text(characters, min_size=1, max_size=300)


def all_names(destination_name):
    return [
        part_name(destination_name, NAME, META),
        checkpoint_name(f"/data/{destination_name}", NAME, None),
        lock_name(destination_name),
    ]


@example("caf\udce9")  # Latin-1, as Python reads it from a disk
@example("\udcff" * 300)
@given(names | st.integers(1, 255).map(lambda n: "文" * n) | st.integers(1, 255).map(lambda n: "a" * n + "😀" * 60))
def test_names_are_hidden_short_and_utf8_for_any_destination(destination_name):
    for name in (*all_names(destination_name), temporary_name(destination_name, "token")):
        # Files that are written beside it have a longer name.
        assert len(name.encode("utf-8")) + len(".mode") <= LINUX_NAME_MAX
        assert "\ufffd" not in name
        assert name.startswith(".")
        assert "/" not in name
        assert "\0" not in name
        assert PurePosixPath(name).name == name


@given(names, names)
def test_destinations_never_share_a_name(one, two):
    assert (set(all_names(one)) & set(all_names(two)) == set()) == (one != two)
    assert len(set(all_names(one))) == 3


def test_long_name_is_cut_to_the_allowed_length():
    assert {len(name) + len(".mode") for name in all_names("a" * 300)} == {LINUX_NAME_MAX}


def test_long_destinations_that_differ_at_the_end_never_share_a_name():
    assert not set(all_names("a" * 254 + "b")) & set(all_names("a" * 254 + "c"))


def test_hidden_name_contains_the_name_of_the_destination():
    assert [name.split(".")[1] for name in all_names("report")] == ["report"] * 3
    assert [name.rpartition(".")[2] for name in all_names("report")] == ["part", "checkpoint", "lock"]


def test_names_are_those_of_earlier_releases():
    """Under others, what an earlier release left would never be found again."""
    assert all_names("report") == [
        ".report.18e5da8c0f29940cfd265d99.part",
        ".report.d0daa9eb360db57a75c793ee.checkpoint",
        ".report.3521b1e9c16a8fcdd6e080f2.lock",
    ]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (ObjectName("c", "k"), {}),
        (ObjectName("b", "l"), {}),
        (ObjectName("bk", ""), {}),
        (NAME, {"size": 1001}),
        (NAME, {"etag": "B2"}),
        (NAME, {"crc64": 8}),
        (NAME, {"crc64": None}),
        (NAME, {"version_id": "v2"}),
        (NAME, {"version_id": None}),
        (NAME, {"last_modified": datetime(2026, 1, 3, tzinfo=UTC)}),
    ],
)
def test_part_file_name_depends_on_the_content(name, change):
    assert part_name("f", name, replace(META, **change)) != part_name("f", NAME, META)


def test_part_file_is_the_same_for_the_same_content():
    assert part_name("f", NAME, replace(META, content_type="x", user_metadata={"a": "b"})) == part_name("f", NAME, META)


def test_checkpoint_name_depends_on_object_version_and_destination():
    found = {
        checkpoint_name(destination, name, version_id)
        for destination in ("/a/f", "/b/f", "/a/g")
        for name in (NAME, ObjectName("b", "l"), ObjectName("c", "k"))
        for version_id in (None, "", "v1")
    }
    assert len(found) == 27


def test_destination_has_one_lock_name_for_all_objects():
    assert lock_name("f") == lock_name("f")


def test_temporary_name_ends_like_a_part_file_and_depends_on_the_token():
    assert temporary_name("report", "one") == ".report.one.part"
    assert temporary_name("report", "two") == ".report.two.part"


@example("n" * 214)
@example("n" * 250)
@example("caf\udce9")
@example("\\")
@example("a\\b")
@given(names | st.integers(1, 85).map(lambda n: "文" * n))
def test_lock_of_the_destination_of_a_checkpoint_is_recognised(name):
    checkpoint = checkpoint_name(f"/data/{name}", NAME, None)
    assert may_be_lock_of(lock_name(name), checkpoint)
    assert not may_be_lock_of(part_name(name, NAME, META), checkpoint)


@pytest.mark.parametrize("other", ["ab", "a.b", "b", "a.", "n" * 250])
def test_lock_of_another_destination_is_not_that_of_a_checkpoint(other):
    assert not may_be_lock_of(lock_name(other), checkpoint_name("/data/a", NAME, None))
