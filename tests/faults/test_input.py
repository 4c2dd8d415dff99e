"""Rows S of the catalogue: hostile input, planted files, secrets."""
# ruff: noqa: N802

import copy
import json
import os
import pickle
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import oss2
import pytest
from bad_disk import BadDisk, onto
from flow.canary import TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, Watch, assert_pickles, sent_secrets
from flow.ranged import PART, RANGED, SIZE, begins_at, interrupt, leftover, names, whole
from over_old import OLD, Pins, brings, fails, is_there, put

import aioss_resume
from aioss_resume import (
    AccessDeniedError,
    AiossError,
    ConfigError,
    Downloader,
    NoSuchKeyError,
    ServerFaultError,
)
from aioss_resume.__main__ import main
from aioss_resume._core.crc64 import crc64
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio

ESCAPING = ["../../x", "a//abs", "a/../../b", "..\\x", "C:x", "C:\\x", "..", ".", "a/..", "~/x"]
ODD = [*ESCAPING, "a/../b", "%2F", "a%2Fb", "a+b", "a b", "?", "a?b=c", "#", "a#b", "a&b=c", "a\nb", "a\x1bb", "é",
       "e\u0301", "\u202eb", "a//b", "./a", "a/.", "'\"<>", "%00", "k" * 1023]  # fmt: skip


def temporary(oss: LocalOSS) -> Any:
    oss.add_credentials(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN)
    return oss.bucket(
        "examplebucket", auth=oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version=oss2.AUTH_VERSION_4)
    )


@pytest.mark.parametrize("key", ESCAPING)
async def test_S01_key_never_decides_where_a_file_goes(oss: LocalOSS, bucket: Any, tmp_path: Path, key: str) -> None:
    oss.put("examplebucket", key, size=SIZE, seed=1)
    directory = tmp_path / "a" / "b"
    directory.mkdir(parents=True)
    await aioss_resume.download(bucket, key, directory / "file", **RANGED)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "file"]
    is_there(directory / "file")


KINDS = ["symlink", "dangling symlink", "FIFO", "hard link"]


def plant(kind: str, at: Path, victim: Path) -> None:
    at.unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(at)
    elif kind == "hard link":
        os.link(victim, at)
    else:
        at.symlink_to(victim if kind == "symlink" else victim.with_name("made by the library"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["part", "checkpoint", "checkpoint.new", "part.mode", "lock"])
async def test_S04_planted_files_at_hidden_names_are_not_followed(
    oss: LocalOSS, bucket: Any, path: Path, tmp_path: Path, kind: str, name: str
) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"somebody else's")
    victim.chmod(0o640)
    if name == "lock":
        oss.put("examplebucket", "key", size=SIZE, seed=1)
        told = BadDisk()
        await onto(told, bucket, path)
        [lock] = {of for call, of in told.done if call == "open" and of.endswith(".lock")}
        path.write_bytes(OLD)
        at = Path(lock)
    else:
        kept, _, suffix = name.partition(".")
        at = leftover(path.parent, kept)
        at = at.with_name(f"{at.name}.{suffix}") if suffix else at
    plant(kind, at, victim)
    with anyio.fail_after(30), suppress(AiossError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert victim.read_bytes() == b"somebody else's"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o640
    assert not (tmp_path / "made by the library").exists()
    assert path.read_bytes() in (OLD, whole())
    assert path.read_bytes() == whole() or name == "lock"
    assert not path.is_symlink()


@pytest.mark.parametrize("key", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\rb", "a\x7fb", "\x01"])
async def test_S05_control_characters_of_a_key_reach_no_terminal(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, key: str
) -> None:
    oss.put("examplebucket", key, size=SIZE, seed=1)
    oss.faults.status(500, range=begins_at(PART))
    result = await aioss_resume.download(bucket, key, path, **RANGED)
    said = [line for line in watch.logged if "oss://" in line] + [str(result)]
    assert any("trying again" in line for line in said)
    oss.delete("examplebucket", key)
    path.write_bytes(OLD)
    with watch.raises(NoSuchKeyError) as caught:
        await aioss_resume.download(bucket, key, path, **RANGED)
    for text in [*said, str(caught.error), repr(caught.error)]:
        assert text.isprintable()


async def test_S05_path_with_a_nul_is_refused(oss: LocalOSS, bucket: Any, tmp_path: Path, watch: Watch) -> None:
    with watch.raises(ConfigError):
        await aioss_resume.download(bucket, "key", str(tmp_path / "a\0b"))
    assert oss.requests == []


@pytest.mark.parametrize("key", ODD)
async def test_S07_key_on_the_wire_is_the_key_that_was_signed(oss: LocalOSS, bucket: Any, path: Path, key: str) -> None:
    oss.put("examplebucket", key, size=SIZE, seed=1)
    await aioss_resume.download(bucket, key, path, **RANGED)
    is_there(path)
    assert {record.key for record in oss.requests} == {key}


@pytest.mark.parametrize("text", ["a\r\nb", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize("where", ["name", "value"])
async def test_S08_header_with_a_line_break_is_refused_before_any_request(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, text: str, where: str
) -> None:
    headers = {"x-oss-" + text: "a"} if where == "name" else {"x-oss-meta": text}
    await fails(watch, ConfigError, bucket, path, headers=headers)
    assert oss.requests == []


@pytest.mark.parametrize("etag", [b'"a\rb"', b'"a\0b"', b'"a"\r\nX-Evil: 1', b'"a" , "b"', b"\xff\xfe", b'"a\tb"'])
async def test_S08_strange_etag_is_echoed_as_one_header_or_not_at_all(
    oss: LocalOSS, bucket: Any, path: Path, pins: Pins, etag: bytes
) -> None:
    pins.may_be_missing = True  # OSS refuses the ETag, and the CRC-64 shows that the object is the same
    put(oss)
    oss.faults.drop_header("ETag", range=(0, PART))
    oss.faults.raw_header(b"ETag: " + etag, range=(0, PART))
    with suppress(AiossError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() in (OLD, whole())
    assert all("X-Evil" not in record.headers for record in oss.requests)


@pytest.mark.parametrize("kind", ["dtd", "external_entity", "parameter_entity", "billion_laughs", "quadratic"])
async def test_S09_dtd_is_not_read(oss: LocalOSS, bucket: Any, path: Path, watch: Watch, kind: Any) -> None:
    put(oss)
    oss.faults.hostile_body(kind, code=500, times=None)
    error = await fails(watch, ServerFaultError, bucket, path)
    assert (error.code, error.message) == ("", "")
    assert len(str(error)) < 1000


def signed(content: Any) -> bytes:
    """A checkpoint whose own CRC-64 holds."""
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    return f'{{"check":"{crc64(text.encode()):016x}","checkpoint":{text}}}'.encode()


SPANS: dict[str, Any] = {
    "negative": [[-1, 5, "0" * 16]],
    "fractions": [[0.0, 5.5, "0" * 16]],
    "NaN": [[float("nan"), 5, "0" * 16]],
    "huge": [[0, 10**400, "0" * 16]],
    "past the end": [[0, SIZE + 1, "0" * 16]],
    "overlapping": [[0, 10, "0" * 16], [5, 20, "0" * 16]],
    "empty": [[5, 5, "0" * 16]],
    "too many": [[2 * n, 2 * n + 1, "0" * 16] for n in range(30_000)],
    "a lie": [[0, SIZE, "0" * 16]],
    "none": None,
    "text": "spans",
}


@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS.keys())
async def test_S12_impossible_or_wrong_spans_are_detected(oss: LocalOSS, bucket: Any, path: Path, spans: Any) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    checkpoint = leftover(path.parent, "checkpoint")
    content = json.loads(checkpoint.read_bytes())["checkpoint"]
    checkpoint.write_bytes(signed({**content, "spans": spans}))
    assert (await brings(bucket, path)).resumed_bytes == 0


@pytest.mark.parametrize("part_file", ["../victim", "/tmp/victim", "victim", "", ".", "a\0b", "..\\victim"])
async def test_S12_no_path_is_taken_from_a_checkpoint(
    oss: LocalOSS, bucket: Any, path: Path, tmp_path: Path, part_file: str
) -> None:
    put(oss)
    victim = tmp_path / "victim"
    victim.write_bytes(b"somebody else's")
    await interrupt(bucket, oss, path)
    checkpoint = leftover(path.parent, "checkpoint")
    content = json.loads(checkpoint.read_bytes())["checkpoint"]
    checkpoint.write_bytes(signed({**content, "part_file": part_file}))
    assert (await brings(bucket, path)).resumed_bytes == 0
    assert victim.read_bytes() == b"somebody else's"


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"check":NaN}', b"9" * 5000, b'{"a":1,"a":2}', b"\x80\x04."])
async def test_S12_malformed_checkpoint_breaks_nothing(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, content: bytes
) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    leftover(path.parent, "checkpoint").write_bytes(content)
    assert (await brings(bucket, path)).resumed_bytes == 0
    assert any("is ignored" in line for line in watch.logged)


@pytest.mark.parametrize("kind", ["checkpoint", "part"])
async def test_S13_file_planted_by_another_user_is_not_used(oss: LocalOSS, bucket: Any, path: Path, kind: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    put(oss)
    await interrupt(bucket, oss, path)
    planted = leftover(path.parent, kind)
    os.chown(planted, 65534, 65534)
    with planted.open("rb") as theirs:
        before = os.pread(theirs.fileno(), SIZE, 0)
        assert (await brings(bucket, path)).resumed_bytes == 0
        assert os.pread(theirs.fileno(), SIZE, 0) == before
    assert path.stat().st_uid == 0


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_S14_unfinished_files_are_for_their_owner_only_and_the_result_follows_the_umask(
    oss: LocalOSS, bucket: Any, path: Path, umask: int
) -> None:
    put(oss)
    path.unlink()
    before = os.umask(umask)
    try:
        await interrupt(bucket, oss, path)
        modes = {stat.S_IMODE(found.lstat().st_mode) for found in path.parent.glob(".*")}
        await brings(bucket, path)
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


async def test_S15_no_secret_is_in_any_file(oss: LocalOSS, path: Path, watch: Watch) -> None:
    put(oss)
    bucket = temporary(oss)
    await interrupt(bucket, oss, path, params={"x-canary": TOKEN[:20]})
    kept = [found.read_bytes() for found in path.parent.glob(".*")]
    assert len(kept) == 2
    secrets = {TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, TOKEN[:20], "Signature", "x-oss-"}
    assert not [secret for secret in secrets for data in kept if secret.encode() in data]
    await brings(bucket, path)


async def test_S16_no_secret_is_in_any_log_of_any_level(oss: LocalOSS, path: Path, watch: Watch) -> None:
    put(oss)
    oss.faults.status(500, range=begins_at(PART))
    oss.faults.reset_after(1000, range=begins_at(PART))
    await brings(temporary(oss), path)
    said = "\n".join(watch.logged)
    assert said.count("trying again") >= 2
    shown = {TEMPORARY_ID, TEMPORARY_SECRET, TOKEN}.union(*(sent_secrets(record.headers) for record in oss.requests))
    assert not [secret for secret in shown if secret in said]


RAISED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "denied": ("status", (403,)),
    "fault": ("status", (500,)),
    "reset": ("reset_before", ()),
    "cut": ("truncate", (10,)),
    "redirect": ("redirect", ("http://127.0.0.1:1/?a=b",)),
    "garbage": ("garbage", ()),
    "range": ("shift_range", (1,)),
    "deleted": ("delete_object", ()),
    "expired": ("expire_credentials", ()),
    "proxy": ("proxy_auth", ()),
}


@pytest.mark.parametrize("fault", RAISED.values(), ids=RAISED.keys())
async def test_S17_no_secret_is_in_any_error_its_chain_or_its_pickle(
    oss: LocalOSS, path: Path, watch: Watch, fault: tuple[str, tuple[Any, ...]]
) -> None:
    put(oss)
    name, arguments = fault
    getattr(oss.faults, name)(*arguments, range=begins_at(PART), times=None)
    error = await fails(watch, AiossError, temporary(oss), path)
    watch.logged.append(pickle.dumps(error).decode("latin-1"))  # watch searches the pickled error, too
    assert error.__cause__ is error.__context__ is None


async def test_S18_progress_and_results_carry_no_secret(oss: LocalOSS, path: Path, watch: Watch) -> None:
    put(oss)
    told: list[Any] = []
    bucket = temporary(oss)
    result = await brings(bucket, path, progress_callback=lambda *numbers: told.append(numbers))
    async with Downloader(bucket) as downloader:
        meta = await downloader.head("key")
        watch.logged += [repr(result), str(result), repr(meta), repr(downloader), repr(told)]
    assert told


@pytest.mark.parametrize("option", ["--secret", "--access-key-secret", "--token", "--access-key-id"])
def test_S19_command_takes_no_secret_as_an_argument(
    option: str, capsys: pytest.CaptureFixture[str], watch: Watch
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", option, "canary"])
    assert ended.value.code == 2
    assert "No such option" in capsys.readouterr().err


async def test_S20_pickled_error_holds_no_secret(oss: LocalOSS, path: Path, watch: Watch) -> None:
    put(oss)
    oss.faults.status(403, times=None)
    error = await fails(watch, AccessDeniedError, temporary(oss), path)
    assert_pickles(error)
    for secret in (TEMPORARY_ID, TEMPORARY_SECRET, TOKEN):
        assert secret.encode() not in pickle.dumps(error)
        assert secret not in repr(vars(copy.copy(error)))


@pytest.mark.parametrize("name", ["evil.com#", "evil.com/", "a b", "..", "a@b", "a?b", "A", "", "a\r\nb", "x" * 64])
async def test_S21_invalid_bucket_is_refused(path: Path, name: str) -> None:
    auth = oss2.AuthV4("an-access-key-id", "an-access-key-secret")
    with pytest.raises((oss2.exceptions.ClientError, ConfigError)):
        await aioss_resume.download(oss2.Bucket(auth, "http://127.0.0.1:1", name, region="r"), "key", path)
    assert path.read_bytes() == OLD


async def test_S23_file_name_sent_by_the_server_is_not_used(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, headers={"Content-Disposition": 'attachment; filename="../evil"'})
    await brings(bucket, path)
    assert names(path.parent) == ["file"]
    assert not (path.parent.parent / "evil").exists()


@pytest.mark.parametrize("umask", [0o000, 0o022])
async def test_S24_new_file_may_not_be_executed(oss: LocalOSS, bucket: Any, path: Path, umask: int) -> None:
    path.unlink()
    put(oss)
    before = os.umask(umask)
    try:
        await brings(bucket, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) & 0o7111 == 0


async def test_S24_setuid_setgid_and_sticky_bits_of_the_replaced_file_are_not_kept(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    path.chmod(0o7755)
    put(oss)
    await brings(bucket, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
