"""B: many objects, prefixes and their manifest; S01 to S06, S10 and S11: hostile listings; R03: very many."""
# ruff: noqa: N802

import asyncio
import itertools
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batch.outcomes_of import FAST, actions, gets, mirror, outcomes_of, tree
from flow.ranged import whole

from aioss_resume import ConfigError, Downloader, LocalFileError, NoSuchKeyError, ProtocolError
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS, MiB

pytestmark = pytest.mark.anyio


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that is downloaded into, with others beside it that nothing may touch."""
    for name in ("outside", "outside/inner"):
        (tmp_path / "parent" / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "parent" / "outside" / "file").write_bytes(b"precious")
    return tmp_path / "parent" / "root"


def outside(root: Path) -> dict[str, Any]:
    """Everything beside the directory, and what it is."""
    return {name: what for name, what in tree(root.parent).items() if not name.startswith("root")}


def put(oss: LocalOSS, *keys: str) -> None:
    for key in keys:
        oss.put("examplebucket", key, key.encode())


async def test_B01_iterable_that_raises_ends_the_batch(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "a", "b")
    closed = []

    def items() -> Iterator[Any]:
        try:
            yield "a", root / "a"
            yield "b", root / "b"
            raise LookupError("from the iterable")
        finally:
            closed.append(True)

    seen = []
    async with Downloader(bucket) as downloader, downloader.download_many(items(), **FAST) as outcomes:
        with pytest.raises(LookupError, match="from the iterable"):
            async for outcome in outcomes:
                seen.append(outcome)  # noqa: PERF401  # what came before the error counts
        with pytest.raises(LookupError):
            await anext(outcomes)
    assert closed == [True]


async def test_B01_endless_generator_is_closed_when_the_block_is_left(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "a")
    closed = []

    async def items() -> AsyncIterator[Any]:
        try:
            for number in itertools.count():
                yield "a", root / str(number)
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async with Downloader(bucket) as downloader:
        async with downloader.download_many(items(), **FAST) as outcomes:
            for _ in range(100):
                assert (await anext(outcomes)).error is None
        assert closed == [True]


async def test_B01_invalid_item_is_a_failed_outcome(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "a")
    items: list[Any] = [
        None,
        5,
        "ab",
        b"ab",
        ("a",),
        ("a", "b", "c"),
        object(),
        {},
        [],
        ("a", 5),
        (5, "a"),
        (None, None),
    ]
    async with Downloader(bucket) as downloader:
        outcomes = await outcomes_of(downloader.download_many([*items, ["a", str(root / "a")]], **FAST))
    errors = [outcome.error for outcome in outcomes if outcome.error]
    assert len(errors) == len(items)
    assert {type(error) for error in errors} == {ConfigError}
    assert (root / "a").read_bytes() == b"a"


async def test_B01_slow_iterable_does_not_hold_back_outcomes(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "a")
    go_on = asyncio.Event()

    async def items() -> AsyncIterator[Any]:
        yield "a", root / "1"
        await go_on.wait()
        yield "a", root / "2"

    async with Downloader(bucket) as downloader, downloader.download_many(items(), **FAST) as outcomes:
        assert (await anext(outcomes)).item[1] == root / "1"
        go_on.set()
        assert (await anext(outcomes)).item[1] == root / "2"
        assert [outcome async for outcome in outcomes] == []


async def test_B01_iterable_may_use_the_downloader_itself(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "list", "a", "b")
    oss.put("examplebucket", "list", b"a b")
    async with Downloader(bucket, concurrency=1) as downloader:

        async def items() -> AsyncIterator[Any]:
            for key in (await downloader.read("list")).decode().split():
                await downloader.download(key, root / f"{key}1", fsync=False)
                yield key, root / f"{key}2"

        outcomes = await outcomes_of(downloader.download_many(items(), **FAST))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert sorted(tree(root)) == ["a1", "a2", "b1", "b2"]


async def test_B02_two_items_with_one_path_never_mix(oss: LocalOSS, bucket: Any, root: Path) -> None:
    sizes = {"a": 600 * KiB, "b": 500 * KiB}
    for seed, (key, size) in enumerate(sizes.items()):
        oss.put("examplebucket", key, size=size, seed=seed)
    items = [(key, root / "file") for key in ("a", "b", "a", "b", "a")]
    options = {**FAST, "part_size": 100 * KiB, "multiget_threshold": 100 * KiB}
    async with Downloader(bucket) as downloader:
        outcomes = await outcomes_of(downloader.download_many(items, **options))
    assert [outcome.error for outcome in outcomes] == [None] * 5
    assert (root / "file").read_bytes() in [whole(size, seed) for seed, size in enumerate(sizes.values())]
    assert list(tree(root)) == ["file"]


async def test_B02_one_key_goes_to_many_paths(oss: LocalOSS, bucket: Any, root: Path) -> None:
    oss.put("examplebucket", "key", size=300 * KiB, seed=1)
    items = [("key", root / str(number)) for number in range(20)]
    async with Downloader(bucket) as downloader:
        await outcomes_of(downloader.download_many(items, **FAST))
    assert set(tree(root).values()) == {whole(300 * KiB, 1)}


async def test_B02_path_below_another_ones_file_is_an_error(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "a", "b")
    (root).mkdir()
    (root / "file").write_bytes(b"there")
    async with Downloader(bucket) as downloader:
        outcomes = await outcomes_of(
            downloader.download_many([("a", root / "file" / "below"), ("b", root / "file")], **FAST)
        )
    errors = {outcome.item[0]: outcome.error for outcome in outcomes}
    assert isinstance(errors["a"], LocalFileError)
    assert errors["b"] is None


async def test_B02_failure_does_not_take_the_directory_from_the_others(oss: LocalOSS, bucket: Any, root: Path) -> None:
    """The first download has made the directory, and fails while the others are about to write there."""
    keys = [f"p/new/{number:02}" for number in range(20)]
    put(oss, *keys)
    oss.faults.status(403, key=keys[0], times=None)
    for number in range(5):
        outcomes = await mirror(bucket, "p/", root / str(number))
        assert [key for key, action in actions(outcomes).items() if action != "downloaded"] == keys[:1]


@pytest.mark.parametrize("what", ["torn", "noise", "newer", "deleted", "other prefix", "directory", "empty"])
async def test_B03_manifest_never_makes_a_wrong_file_count_as_right(
    oss: LocalOSS, bucket: Any, root: Path, what: str
) -> None:
    keys = [f"p/{number:03}" for number in range(200)]
    put(oss, *keys)
    await mirror(bucket, "p/", root)
    (root / "007").write_bytes(b"edited")
    manifest = root / ".aioss-resume.sqlite"
    data = manifest.read_bytes()
    if what == "torn":
        manifest.write_bytes(data[:-4096] + random.Random(1).randbytes(4096))
    elif what == "noise":
        manifest.write_bytes(random.Random(1).randbytes(10_000))
    elif what == "newer":
        with sqlite3.connect(manifest) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    elif what == "other prefix":
        with sqlite3.connect(manifest) as connection:
            connection.execute("UPDATE files SET key = CAST('other/' || key AS BLOB)")
        connection.close()
    elif what == "empty":
        manifest.write_bytes(b"")
    else:
        manifest.unlink()
    if what == "directory":
        manifest.mkdir()
    for _ in range(2):
        outcomes = await mirror(bucket, "p/", root)
        assert {outcome.error for outcome in outcomes.values()} == {None}
        assert {name: content for name, content in tree(root).items() if content is not None} == {
            key.removeprefix("p/"): key.encode() for key in keys
        }
    oss.clear_requests()
    await mirror(bucket, "p/", root)
    # In all other cases the first run has made a new manifest.
    assert bool(gets(oss)) == (what in ("newer", "directory"))


async def test_B03_two_runs_at_once_do_no_harm(oss: LocalOSS, bucket: Any, root: Path) -> None:
    keys = [f"p/{number:03}" for number in range(300)]
    put(oss, *keys)
    runs = await asyncio.gather(*(mirror(bucket, "p/", root) for _ in range(3)))
    for outcomes in runs:
        assert {outcome.error for outcome in outcomes.values()} == {None}
    assert tree(root) == {key.removeprefix("p/"): key.encode() for key in keys}
    assert set(actions(await mirror(bucket, "p/", root)).values()) == {"unchanged"}


_RUN = """
import asyncio, sys
import oss2
from aioss_resume import Downloader

endpoint, key_id, secret, region, directory = sys.argv[1:]

async def main():
    bucket = oss2.Bucket(oss2.AuthV4(key_id, secret), endpoint, "examplebucket", region=region)
    async with Downloader(bucket) as downloader:
        async with downloader.download_prefix("p/", directory, fsync=False) as outcomes:
            async for outcome in outcomes:
                assert outcome.error is None, outcome.error

asyncio.run(main())
"""


def run_of(oss: LocalOSS, root: Path) -> "subprocess.Popen[bytes]":
    arguments = [oss.endpoint, oss.access_key_id, oss.access_key_secret, oss.region, str(root)]
    return subprocess.Popen([sys.executable, "-c", _RUN, *arguments])


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_B03_killed_again_and_again_only_what_is_missing_is_fetched(
    oss: LocalOSS, bucket: Any, root: Path
) -> None:
    count = int(os.environ.get("PREFIX_OBJECTS", "5000"))
    sizes = random.Random(1)
    keys = {f"p/{number % 50}/{number:06}": 4 * KiB + sizes.randrange(28 * KiB) for number in range(count)}
    for seed, (key, size) in enumerate(keys.items()):
        oss.put("examplebucket", key, size=size, seed=seed)
    fault = oss.faults.status(503, times=None, probability=0.02)
    received = 0
    for number in range(4):
        oss.clear_requests()
        process = run_of(oss, root)
        if number < 3:
            await asyncio.to_thread(oss.wait_for_requests, count // 4, timeout=100)
            process.kill()
        assert await asyncio.to_thread(process.wait) == (-9 if number < 3 else 0)
        received += sum(request.bytes_sent for request in oss.requests if request.key and request.status in (200, 206))
    fault.cancel()
    for seed, (key, size) in enumerate(keys.items()):
        assert (root / key.removeprefix("p/")).read_bytes() == GeneratedContent(size, seed).read(0, size)
    total = sum(keys.values())
    assert total <= received < total + 3 * 32 * 32 * KiB + 10 * count  # what was in flight at a kill, and single bytes
    names = {path.name for path in root.rglob("*") if path.is_file()}
    assert names - {".aioss-resume.sqlite"} <= {key.rpartition("/")[2] for key in keys} | {
        name for name in names if name.startswith(".") and name.endswith(".part")
    }


async def test_B04_changed_files_are_noticed(oss: LocalOSS, bucket: Any, root: Path) -> None:
    names = ["edited", "touched", "deleted", "replaced", "linked", "directory", "read-only", "untouched"]
    put(oss, *(f"p/{name}" for name in names))
    await mirror(bucket, "p/", root)
    (root / "edited").write_bytes(b"x" * len(b"p/edited"))
    os.utime(root / "touched", ns=(1, 1))
    (root / "deleted").unlink()
    (root / "other").write_bytes(b"p/replaced")
    os.utime(root / "other", ns=(1, (root / "replaced").stat().st_mtime_ns))
    (root / "other").replace(root / "replaced")
    for name in ("linked", "directory"):
        (root / name).unlink()
    (root / "linked").symlink_to(root.parent / "outside" / "file")
    (root / "directory").mkdir()
    (root / "read-only").chmod(0o400)
    oss.clear_requests()
    outcomes = await mirror(bucket, "p/", root)
    assert {name: outcomes[f"p/{name}"].action for name in names} == {
        "edited": "downloaded",
        "touched": "unchanged",
        "deleted": "downloaded",
        "replaced": "unchanged",
        "linked": "failed",
        "directory": "failed",
        "read-only": "unchanged",
        "untouched": "unchanged",
    }
    asked = [key.removeprefix("p/") for key in gets(oss)]
    assert sorted(set(asked)) == ["deleted", "edited", "replaced", "touched"]
    assert (root / "edited").read_bytes() == b"p/edited"
    assert isinstance(outcomes["p/directory"].error, IsADirectoryError)
    assert isinstance(outcomes["p/linked"].error, LocalFileError)
    assert outside(root)["outside/file"] == b"precious"


async def test_B05_only_what_was_downloaded_and_is_not_listed_is_deleted(
    oss: LocalOSS, bucket: Any, root: Path
) -> None:
    put(oss, *(f"p/{name}" for name in ("a", "b", "edited", "linked", "in/x", *"cdefghijk")))
    await mirror(bucket, "p/", root)
    (root / "mine").write_bytes(b"mine")
    (root / "edited").write_bytes(b"edited")
    (root / "linked").unlink()
    (root / "linked").symlink_to(root.parent / "outside" / "file")
    (root / "in").rename(root / "moved")
    (root / "in").symlink_to(root.parent / "outside")
    (root.parent / "outside" / "x").write_bytes(b"precious, too")
    before = outside(root)
    for name in ("a", "edited", "linked", "in/x"):
        oss.delete("examplebucket", f"p/{name}")
    outcomes = await mirror(bucket, "p/", root, delete_extra=True)
    left = {key: action for key, action in actions(outcomes).items() if action != "unchanged"}
    assert left == {"p/a": "deleted", "p/edited": "failed", "p/linked": "failed", "p/in/x": "failed"}
    assert "was changed since it was downloaded" in str(outcomes["p/edited"].error)
    assert outside(root) == before
    assert tree(root)["mine"] == b"mine"
    assert tree(root)["edited"] == b"edited"


async def test_B05_broken_listing_deletes_nothing(oss: LocalOSS, bucket: Any, root: Path) -> None:
    keys = [f"p/{number:04}" for number in range(1100)]
    put(oss, *keys)
    await mirror(bucket, "p/", root)
    before = tree(root)
    oss.delete("examplebucket", "p/0000")
    oss.faults.status(403, key="", after_requests=1)
    with pytest.raises(Exception, match="AccessDenied"):
        await mirror(bucket, "p/", root, delete_extra=True)
    assert tree(root) == before


async def test_B05_more_than_half_is_refused_unless_forced(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, *(f"p/{number}" for number in range(9)), "q/x")
    await mirror(bucket, "p/", root)
    for number in range(5):
        oss.delete("examplebucket", f"p/{number}")
    before = tree(root)
    with pytest.raises(ConfigError, match="5 of 9 files would be deleted"):
        await mirror(bucket, "p/", root, delete_extra=True)
    assert tree(root) == before
    outcomes = await mirror(bucket, "p/", root, delete_extra="force")
    assert sorted(actions(outcomes).values()) == ["deleted"] * 5 + ["unchanged"] * 4
    for number in range(5, 9):
        oss.delete("examplebucket", f"p/{number}")
    with pytest.raises(ConfigError, match="4 of 4"):
        await mirror(bucket, "p/", root, delete_extra=True)  # the listing is empty now
    await mirror(bucket, "wrong/", root, delete_extra=True)  # no file in the manifest has that prefix
    assert len(tree(root)) == 4


async def test_B06_changes_during_the_listing_give_correct_files_and_outcomes(
    oss: LocalOSS, bucket: Any, root: Path
) -> None:
    keys = [f"p/{number:04}" for number in range(1500)]
    put(oss, *keys)
    async with (
        Downloader(bucket, concurrency=2) as downloader,
        downloader.download_prefix("p/", root, **FAST) as batch,
    ):
        first = await anext(batch)
        oss.delete("examplebucket", "p/0900")  # it is listed already
        oss.put("examplebucket", "p/0901", b"replaced")
        oss.delete("examplebucket", "p/1400")  # perhaps listed already, too
        outcomes = {outcome.key: outcome async for outcome in batch} | {first.key: first}
    assert isinstance(outcomes["p/0900"].error, NoSuchKeyError)
    assert outcomes["p/0901"].result.etag == oss.find("examplebucket", "p/0901").etag
    assert (root / "0901").read_bytes() == b"replaced"
    assert "p/1400" not in outcomes or isinstance(outcomes["p/1400"].error, NoSuchKeyError)
    oss.clear_requests()
    again = await mirror(bucket, "p/", root)
    assert set(actions(again).values()) == {"unchanged"}
    assert gets(oss) == []


HOSTILE = sorted(
    {
        *("../x", "..", "a/../../b", "a/..", "/abs", "//x", "/", "..\\x", "a\\..\\..\\x", "C:x", "c:\\x", "\\\\srv\\x"),
        *("../../../../../../../../tmp/x", "./../x", ".//../x", "link/x", "link/../x", "inner/link/x", "a\nb"),
        *("a\x1b[2Jb", "\u202ereversed", "ok", "sub/ok", "...", "a/./b", "~/x", "$HOME", "-rf", "*", "CON", "a b"),
        *("%2e%2e/x", "..%2fx"),
    },
    key=str.encode,
)  # fmt: skip


async def test_S01_no_key_leads_out_of_the_directory(oss: LocalOSS, bucket: Any, root: Path) -> None:
    root.mkdir()
    (root / "inner").mkdir()
    (root / "link").symlink_to(root.parent / "outside")
    (root / "inner" / "link").symlink_to("../../outside")
    before = outside(root)
    put(oss, *(f"p/{key}" for key in HOSTILE))
    outcomes = await mirror(bucket, "p/", root)
    assert outside(root) == before
    refused = {key.removeprefix("p/") for key, outcome in outcomes.items() if isinstance(outcome.error, ConfigError)}
    assert refused >= {"../x", "..", "a/../../b", "/abs", "//x", "..\\x", "C:x", "\\\\srv\\x", "./../x"}
    kept = {name for name, content in tree(root).items() if isinstance(content, bytes)}
    assert kept >= {"ok", "sub/ok", "...", "~/x", "CON", "%2e%2e/x", "..%2fx", "a/%2E/b"}
    for key, outcome in outcomes.items():
        if outcome.error is None:
            assert outcome.path.read_bytes() == key.encode()


def test_S01_ten_thousand_hostile_keys_on_many_layouts(oss: LocalOSS, bucket: Any, root: Path) -> None:
    pieces = ["..", ".", "", "a", "b", "link", "dir", "C:", "\\", "..\\..", "%2E%2E", "x" * 300, "\u202e", "file", "é"]
    choose = random.Random(7)
    rounds, each = (20, 500) if os.environ.get("HOSTILE_KEYS") else (4, 250)
    for number in range(rounds):
        layout = root / str(number)
        (layout / "dir").mkdir(parents=True)
        for name in choose.sample(["link", "a", "b", "dir/link", "dir/a", "file", "é"], 4):
            targets = [root.parent / "outside", "../../outside", "/", ".", "..", root.parent / "outside" / "file", "x"]
            (layout / name).symlink_to(choose.choice(targets))
        before = outside(root)
        keys = {"/".join(choose.choices(pieces, k=choose.randrange(1, 6))) for _ in range(each)} - {""}
        for key in keys:
            if len(f"{number}/{key}".encode()) <= 1023 and "\0" not in key:
                oss.put("examplebucket", f"{number}/{key}", b"hostile")
        before_links = {path: os.readlink(path) for path in layout.rglob("*") if path.is_symlink()}
        outcomes = asyncio.run(mirror(bucket, f"{number}/", layout))
        assert len(outcomes) > each / 2
        assert outside(root) == before
        assert {path: os.readlink(path) for path in layout.rglob("*") if path.is_symlink()} == before_links
        assert not any(
            b"hostile" in path.read_bytes() for path in (root.parent / "outside").rglob("*") if path.is_file()
        )


@pytest.mark.parametrize("layout", ["leaf", "directory", "deep", "chain", "dangling"])
async def test_S02_link_inside_the_directory_is_not_followed(
    oss: LocalOSS, bucket: Any, root: Path, layout: str
) -> None:
    (root / "a").mkdir(parents=True)
    target = root.parent / "outside"
    if layout == "leaf":
        (root / "a" / "b").symlink_to(target / "file")
    elif layout == "directory":
        (root / "a").rmdir()
        (root / "a").symlink_to(target)
    elif layout == "deep":
        (root / "a" / "b").symlink_to(target / "inner")
    elif layout == "chain":
        (root / "x").symlink_to(target)
        (root / "a" / "b").symlink_to(root / "x")
    else:
        (root / "a" / "b").symlink_to(target / "missing")
    before = outside(root)
    key = "p/a/b" if layout in ("leaf", "dangling") else "p/a/b/c"
    put(oss, key, "p/ok")
    for overwrite in ("if_changed", "always", "never"):
        outcomes = await mirror(bucket, "p/", root, overwrite=overwrite)
        assert isinstance(outcomes[key].error, LocalFileError)
        assert outside(root) == before
    assert (root / "ok").exists()


async def test_S03_directory_that_is_swapped_for_a_link_meanwhile(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, *(f"p/d/{number:03}" for number in range(150)))
    (root / "d").mkdir(parents=True)
    before, done = outside(root), threading.Event()

    def swap() -> None:
        for number in itertools.count():
            with suppress(OSError):  # a download may have created the directory again
                (root / "d").rename(root / f"was{number}")
                (root / "d").symlink_to(root.parent / "outside")
            with suppress(OSError):
                (root / "d").unlink()
                (root / f"was{number}").rename(root / "d")
            if done.is_set():
                return

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(4):
            await mirror(bucket, "p/", root, overwrite="always")
    finally:
        done.set()
        await asyncio.to_thread(thread.join)
    assert outside(root) == before


async def test_S05_control_characters_reach_no_message(
    oss: LocalOSS, bucket: Any, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1, "aioss_resume")
    keys = ["p/a\nb/../x", "p/\x1b[2J/..", "p/\u202egnp", "p/line\nbreak"]
    put(oss, *keys)
    outcomes = await mirror(bucket, "p/", root)
    assert {key for key, outcome in outcomes.items() if outcome.error} == set(keys[:2])
    shown = " ".join(str(outcome.error) for outcome in outcomes.values()) + caplog.text.replace("\n", "")
    assert not any(character in shown for character in "\n\x1b\u202e")
    body = page("<EncodingType>url</EncodingType><Contents><Key>p/nul%00x</Key><Size>1</Size></Contents>")
    oss.faults.status(200, key="", body=body)
    (outcome,) = (await mirror(bucket, "p/", root)).values()
    assert isinstance(outcome.error, ConfigError)
    assert "NUL" in str(outcome.error)


async def test_S06_keys_that_are_unusual_paths_are_escaped_or_refused(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "p/a", "p/a//b", "p/b//c", "p/b/./d", "p/c/%", "p/d%2E", "p/e/%2E")
    oss.put("examplebucket", "p/f/", b"")
    outcomes = await mirror(bucket, "p/", root)
    assert {key for key, outcome in outcomes.items() if outcome.error} == {"p/a//b"}
    files = [name for name, content in tree(root).items() if content is not None]
    assert files == ["a", "b/%/c", "b/%2E/d", "c/%25", "d%2E", "e/%252E"]
    assert (root / "f").is_dir()


def page(inner: str) -> bytes:
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{inner}</ListBucketResult>".encode()


@pytest.mark.parametrize("what", ["keys", "bytes", "deep", "dtd", "key"])
async def test_S10_page_without_bounds_is_refused(oss: LocalOSS, bucket: Any, root: Path, what: str) -> None:
    if what == "keys":
        oss.faults.list_keys((f"k{number:07}" for number in range(20_000)), times=None)
    else:
        key = "<Contents><Key>{}</Key><Size>1</Size></Contents>"
        body = {
            "bytes": page(" " * (9 * MiB)),
            "deep": page("<a>" * 10**6 + "</a>" * 10**6),
            "dtd": b'<!DOCTYPE l [<!ENTITY a "aaaa">]>' + page(key.format("&a;")),
            "key": page(key.format("k" * 8_000_000)),
        }[what]
        oss.faults.status(200, key="", body=body, times=None)
    async with Downloader(bucket) as downloader, downloader.list() as objects:
        if what == "key":  # a listing may contain such a key, but no request is sent for it
            assert len((await anext(objects)).key) == 8_000_000
        else:
            with pytest.raises(ProtocolError):
                await anext(objects)
    assert len(oss.requests) <= 4
    oss.faults.clear()


async def test_S11_listing_that_never_ends_is_noticed(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "a", "b")
    oss.faults.list_loop()
    async with Downloader(bucket) as downloader, downloader.list() as objects:
        with pytest.raises(ProtocolError):
            async for _ in objects:
                pass
    assert len(oss.requests) <= 4
    oss.faults.clear()
    oss.faults.list_keys(["b", "a"])
    async with Downloader(bucket) as downloader, downloader.list() as objects:
        with pytest.raises(ProtocolError, match="come after"):
            await anext(objects)


@pytest.mark.slow
async def test_R03_many_objects_do_not_become_many_tasks(oss: LocalOSS, bucket: Any, root: Path) -> None:
    put(oss, "a")
    count, most_tasks, most_descriptors = 0, 0, 0
    items = (("a", root / str(number)) for number in range(20_000))
    before = len(os.listdir("/proc/self/fd"))
    async with Downloader(bucket, concurrency=8) as downloader, downloader.download_many(items, **FAST) as outcomes:
        async for outcome in outcomes:
            assert outcome.error is None
            count += 1
            if count % 100 == 0:
                most_tasks = max(most_tasks, len(asyncio.all_tasks()))
                most_descriptors = max(most_descriptors, len(os.listdir("/proc/self/fd")) - before)
            if count == 3000:
                break
    assert most_tasks < 8 * 4
    assert most_descriptors < 8 * 5
