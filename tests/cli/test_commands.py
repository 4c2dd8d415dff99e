"""The commands against a local OSS: what they print, where, and their exit codes."""

import fcntl
import itertools
import json
import os
import pty
import re
import select
import signal
import ssl
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from flow.presigned import presigned
from flow.ranged import whole
from processes.caught import is_caught

from aioss_resume.testing import LocalOSS, MiB

COMMAND = [str(Path(sys.executable).with_name("aioss-resume"))]
SIZE = 300_000


@pytest.fixture
def oss() -> Iterator[LocalOSS]:
    with LocalOSS() as server:
        server.put("examplebucket", "d/key", size=SIZE, seed=1)
        for number in range(3):
            server.put("examplebucket", f"d/sub/{number}", f"content {number}".encode())
        yield server


@pytest.fixture
def environment(oss: LocalOSS, tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": str(tmp_path / "home"),
        "TERM": "xterm",
        "OSS_ENDPOINT": oss.endpoint,
        "OSS_REGION": oss.region,
        "OSS_ACCESS_KEY_ID": oss.access_key_id,
        "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
    }


class Run:
    """Runs the command in a directory of its own."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory, self.environment = directory, environment

    def __call__(
        self, *arguments: str, stdin: bytes = b"", stdout: int = subprocess.PIPE, **more: str
    ) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.directory,
            env={name: value for name, value in {**self.environment, **more}.items() if value},
            input=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )

    def code(self, *arguments: str, **more: str) -> int:
        return self(*arguments, **more).returncode


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Run:
    (tmp_path / "work").mkdir()
    return Run(tmp_path / "work", environment)


def test_help_is_quick_to_import_and_names_commands_and_exit_codes(run: Run) -> None:
    shown = run("--help").stdout.decode()
    for word in (
        "get",
        "mirror",
        "ls",
        "stat",
        "cat",
        "verify",
        "checkpoints",
        "doctor",
        "serve",
        "demo",
        "completion",
    ):
        assert re.search(rf"^  {word} ", shown, re.MULTILINE)
    for code in (*range(11), 130, 143):
        assert re.search(rf"^    {code} ", shown, re.MULTILINE)
    code = "import sys; sys.argv[0] = '/bin/aioss-resume'; from aioss_resume.__main__ import main\n"
    code += "try: main(['--help'])\nfinally: assert not {'oss2', 'aiohttp', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_get_writes_a_file_and_says_so_on_standard_error(run: Run) -> None:
    ended = run("get", "oss://examplebucket/d/key")
    assert (ended.returncode, ended.stdout) == (0, b"")
    assert b"300,000 bytes, 0 kept, 300,000 fetched" in ended.stderr
    assert b"verified" in ended.stderr
    assert (run.directory / "key").read_bytes() == whole(SIZE)
    (run.directory / "into").mkdir()
    assert run.code("get", "oss://examplebucket/d/key", "into") == 0
    assert run.code("get", "oss://examplebucket/d/key", "made/", "-q") == 0
    assert (run.directory / "into" / "key").read_bytes() == (run.directory / "made" / "key").read_bytes()


def test_get_to_standard_output_and_cat(run: Run, oss: LocalOSS) -> None:
    for arguments in (("get", "oss://examplebucket/d/key", "-"), ("cat", "oss://examplebucket/d/key")):
        ended = run(*arguments)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, whole(SIZE), b"")
    oss.put("examplebucket", "bad", size=SIZE, crc64=5)
    ended = run("cat", "oss://examplebucket/bad")
    assert ended.returncode == 6
    assert len(ended.stdout) < SIZE


def test_keys_are_printed_as_utf_8_into_a_pipe_whatever_the_locale_is(run: Run, oss: LocalOSS) -> None:
    oss.put("examplebucket", "n/\u4e2d\u6587", b"x")
    ended = run("ls", "oss://examplebucket/n/", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode("utf-8").endswith("n/\u4e2d\u6587\n")


def test_doctor_looks_at_the_disk_by_any_storage(run: Run) -> None:
    for storage in ("posix", "windows"):
        ended = run("doctor", ".", AIOSS_RESUME_STORAGE=storage)
        assert ended.returncode == 0, ended.stdout
        assert re.search(r"fsync takes [\d.]+ ms", ended.stdout.decode())
        assert list(run.directory.iterdir()) == []


def test_get_downloads_a_presigned_or_public_url(run: Run, oss: LocalOSS) -> None:
    url = presigned(oss.bucket("examplebucket"), "d/key")
    ended = run("get", url, OSS_ACCESS_KEY_ID="", OSS_ENDPOINT="", OSS_REGION="")
    assert ended.returncode == 0, ended.stderr
    assert (run.directory / "key").read_bytes() == whole(SIZE)
    assert b"ignature" not in ended.stderr
    oss.put("examplebucket", "other", b"x")
    assert run.code("get", oss.endpoint + "/examplebucket/other") == 4  # not public


def test_no_clobber_and_if_changed_skip_existing_files(run: Run, oss: LocalOSS) -> None:
    (run.directory / "key").write_bytes(b"mine")
    assert run.code("get", "oss://examplebucket/d/key", "--no-clobber") == 0
    assert (run.directory / "key").read_bytes() == b"mine"
    assert run.code("get", "oss://examplebucket/d/key", "--if-changed") == 0
    assert (run.directory / "key").read_bytes() == whole(SIZE)
    ended = run("get", "oss://examplebucket/d/key", "--if-changed")
    assert b"were there already" in ended.stderr


def test_json_is_one_event_a_line(run: Run) -> None:
    ended = run("get", "oss://examplebucket/d/key", "--json")
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.stderr == b""
    assert {event["v"] for event in events} == {1}
    assert events[-1]["event"] == "downloaded"
    assert (events[-1]["size"], events[-1]["verified"]) == (SIZE, True)
    lines = run("ls", "oss://examplebucket/d/", "--json").stdout.splitlines()
    assert [json.loads(line).get("key") or json.loads(line)["prefix"] for line in lines] == ["d/key", "d/sub/"]
    assert json.loads(run("stat", "oss://examplebucket/d/key", "--json").stdout)["size"] == SIZE


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["get", "oss://examplebucket/none", "--json"], 3),
        (["stat", "oss://examplebucket/none", "--json"], 3),
        (["mirror", "oss://no-such-bucket/", "into", "--json"], 3),
        (["get", "nonsense", "--json"], 2),
    ],
)
def test_json_has_the_error_that_ends_a_command(run: Run, arguments: list[str], code: int) -> None:
    ended = run(*arguments)
    last = json.loads(ended.stdout.splitlines()[-1])
    assert (ended.returncode, last["v"], last["event"], last["code"]) == (code, 1, "failed", code)
    assert last["error"].split(";")[0].encode() in ended.stderr
    assert last["key"] == ("none" if "/none" in arguments[1] else "" if code == 3 else None)


def test_json_of_verify_and_doctor(run: Run) -> None:
    assert run.code("get", "oss://examplebucket/d/key") == 0
    ended = run("verify", "key", "oss://examplebucket/d/key", "--json")
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["same"], found["file"]["crc64"]) == (0, True, found["object"]["crc64"])
    (run.directory / "key").write_bytes(b"x")
    ended = run("verify", "key", "oss://examplebucket/d/key", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["file"]) == (6, {"path": "key", "size": 1, "crc64": None})
    lines = [json.loads(line) for line in run("doctor", "--json").stdout.splitlines()]
    assert {line["ok"] for line in lines} == {None, True}
    assert any("locks work" in line["text"] for line in lines)


def test_get_downloads_the_objects_of_a_list(run: Run, oss: LocalOSS) -> None:
    oss.put("examplebucket", "d/two\u2028lines", b"x")
    lines = "# a comment\r\nd/key\r\n\noss://examplebucket/d/sub/1\nd/two\u2028lines\nd/missing\n"
    (run.directory / "list").write_text(lines)
    ended = run("get", "oss://examplebucket/", "into", "--from-file", "list")
    assert ended.returncode == 1
    assert sorted(path.name for path in (run.directory / "into").iterdir()) == ["1", "key", "two\u2028lines"]
    assert b"NoSuchKey" in ended.stderr


def test_list_may_name_addresses_and_come_from_standard_input(run: Run, oss: LocalOSS) -> None:
    url = presigned(oss.bucket("examplebucket"), "d/sub/2")
    lines = f"\ufeffoss://examplebucket/d/key\n{url}\n".encode()
    assert run.code("get", "--from-file", "-", "into", stdin=lines) == 0
    assert sorted(path.name for path in (run.directory / "into").iterdir()) == ["2", "key"]
    assert run.code("get", "--from-file", "-", stdin=url.encode(), OSS_ACCESS_KEY_ID="", OSS_ENDPOINT="") == 0
    assert (run.directory / "2").read_bytes() == b"content 2"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"d/key\n\nother/key\n", "line 3 of '-': it would be downloaded to 'into/key', as line 1"),
        (b"d/key\noss://other-bucket/x\n", "line 2 of '-': it is of the bucket 'other-bucket', and not of"),
        (b"d/..\n", "line 1 of '-': it has no name that a file could have"),
        (b"http://host/a b\n", "line 1 of '-': url of 'host' has characters"),
        (b"d/key\n\xff\n", "the list '-' is not UTF-8"),
    ],
)
def test_list_with_an_invalid_line_is_refused_before_any_request(
    run: Run, oss: LocalOSS, lines: bytes, message: str
) -> None:
    ended = run("get", "oss://examplebucket/", "into", "--from-file", "-", stdin=lines)
    assert ended.returncode == 2
    assert message in ended.stderr.decode()
    assert not oss.requests


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["into", "--from-file", "list"], 2, b"line 1 of 'list': it names no bucket"),
        (["oss://examplebucket/", "into", "--from-file", "none"], 8, b"could not read the list 'none'"),
        (["oss://examplebucket/d/key", "into", "--from-file", "list"], 2, b"write oss://BUCKET/"),
        (["oss://examplebucket/", "-", "--from-file", "list"], 2, b"needs a directory"),
        (["oss://examplebucket/", "into", "--from-file", "list", "--restart"], 2, b"are for one object"),
    ],
)
def test_options_that_contradict_from_file_are_refused(
    run: Run, oss: LocalOSS, arguments: list[str], code: int, message: bytes
) -> None:
    (run.directory / "list").write_text("d/key\n")
    ended = run("get", *arguments)
    assert (ended.returncode, message in ended.stderr) == (code, True), ended.stderr
    assert not oss.requests


def test_second_mirror_downloads_nothing_and_delete_removes_files(run: Run, oss: LocalOSS) -> None:
    ended = run("mirror", "oss://examplebucket/d/", "into", "--exclude", "key")
    assert ended.returncode == 0
    assert b"3 downloaded" in ended.stderr
    assert run("mirror", "oss://examplebucket/d/", "into", "--exclude", "key").stderr == b"3 unchanged\n"
    oss.delete("examplebucket", "d/sub/1")
    ended = run("mirror", "oss://examplebucket/d/", "into", "--exclude", "key", "--delete", "--dry-run")
    assert b"would delete: d/sub/1" in ended.stderr
    assert (run.directory / "into" / "sub" / "1").exists()
    assert run.code("mirror", "oss://examplebucket/d/", "into", "--exclude", "key", "--delete") == 0
    assert not (run.directory / "into" / "sub" / "1").exists()
    oss.delete("examplebucket", "d/sub/0")
    oss.delete("examplebucket", "d/sub/2")
    assert run.code("mirror", "oss://examplebucket/d/sub/", "into", "--delete") == 2
    oss.faults.status(403, key="d/key", times=None)
    ended = run("mirror", "oss://examplebucket/d/", "into", "--json")
    assert ended.returncode == 1
    failed = [event for event in map(json.loads, ended.stdout.splitlines()) if event["event"] == "failed"]
    assert [event["key"] for event in failed] == ["d/key"]


def test_no_clobber_leaves_files_of_lists_and_prefixes_as_they_are(run: Run) -> None:
    (run.directory / "into").mkdir()
    (run.directory / "into" / "key").write_bytes(b"mine")
    ended = run("mirror", "oss://examplebucket/d/", "into", "--no-clobber", "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout.splitlines()[-1])["counts"] == {"skipped": 1, "downloaded": 3}
    ended = run("mirror", "oss://examplebucket/d/", "into", "--no-clobber")
    assert (ended.returncode, ended.stderr) == (0, b"4 skipped\n")
    ended = run("get", "--from-file", "-", "into", "--no-clobber", stdin=b"oss://examplebucket/d/key\n")
    assert (ended.returncode, ended.stderr) == (0, b"into/key is there already\n")
    assert (run.directory / "into" / "key").read_bytes() == b"mine"
    (run.directory / "into" / "file").write_bytes(b"mine")
    # The path of the directory is a file.
    assert run.code("mirror", "oss://examplebucket/d/", "into/file", "--no-clobber") == 8


def test_ls_and_stat_print_keys_and_metadata(run: Run) -> None:
    shown = run("ls", "oss://examplebucket/d/").stdout.decode().splitlines()
    assert [line.split()[-1] for line in shown] == ["d/key", "d/sub/"]
    assert len(run("ls", "-r", "oss://examplebucket").stdout.splitlines()) == 4
    ended = run("ls", "oss://examplebucket/none")
    assert (ended.returncode, ended.stderr) == (3, b"nothing is at oss://examplebucket/none\n")
    shown = run("stat", "oss://examplebucket/d/key").stdout.decode()
    assert re.search(r"^size +300000$", shown, re.MULTILINE)


def test_verify_compares_a_file_with_an_object(run: Run) -> None:
    assert run.code("get", "oss://examplebucket/d/key") == 0
    assert run("verify", "key", "oss://examplebucket/d/key").stdout.startswith(b"same: key, 300000 bytes")
    (run.directory / "key").write_bytes(whole(SIZE, 2))
    ended = run("verify", "key", "oss://examplebucket/d/key")
    assert (ended.returncode, ended.stdout[:8]) == (6, b"differs:")
    assert run.code("verify", "none", "oss://examplebucket/d/key") == 8


@pytest.mark.parametrize(
    ("arguments", "fault", "code"),
    [
        (["get", "oss://examplebucket/none"], None, 3),
        (["get", "oss://examplebucket/d/key"], {"code": 403}, 4),
        (["get", "oss://examplebucket/d/key", "--retries", "0"], {"code": 503}, 5),
        (["get", "oss://examplebucket/d/key", "/proc/x"], None, 8),
        (["get", "oss://examplebucket/d/key", "--deadline", "0.3s"], {"stall": True}, 10),
        (["get", "oss://examplebucket/d/key", "-", "--deadline", "0.3s"], {"silent": True}, 10),
        (["get", "nonsense"], None, 2),
        (["get", "oss://examplebucket"], None, 2),
        (["get", "oss://examplebucket/d/key", "-", "--json"], None, 2),
        (["get", "oss://examplebucket/d/key", "--part-size", "5"], None, 2),
        (["get"], None, 2),
    ],
)
def test_each_failure_has_its_exit_code(
    run: Run, oss: LocalOSS, arguments: list[str], fault: dict[str, Any] | None, code: int
) -> None:
    if fault is not None and "stall" in fault:
        oss.faults.stall(0, times=None)
    elif fault is not None and "silent" in fault:
        oss.faults.delay(30, times=None)
    elif fault is not None:
        oss.faults.status(fault["code"], times=None)
    ended = run(*arguments)
    assert ended.returncode == code, ended.stderr
    lines = ended.stderr.decode().splitlines()
    assert lines
    assert not any("Traceback" in line for line in lines)


def test_changed_and_wrong_objects_have_codes_of_their_own(run: Run, oss: LocalOSS) -> None:
    oss.put("examplebucket", "bad", size=SIZE, crc64=5)
    assert run.code("get", "oss://examplebucket/bad") == 6
    oss.put("examplebucket", "large", size=12 * MiB, seed=1)
    oss.faults.status(412, oss_code="PreconditionFailed", times=None, range=lambda asked: bool(asked and asked[0]))
    options = ["--part-size", "1MiB", "--on-change", "fail", "-j", "1"]
    assert run.code("get", "oss://examplebucket/large", *options) == 7


def test_no_keys_and_no_region_say_what_to_do(run: Run) -> None:
    ended = run("get", "oss://examplebucket/d/key", OSS_ACCESS_KEY_ID="")
    assert ended.returncode == 4
    assert b"set OSS_ACCESS_KEY_ID" in ended.stderr
    ended = run("get", "oss://examplebucket/d/key", OSS_REGION="")
    assert ended.returncode == 2
    assert b"--region" in ended.stderr
    ended = run("get", "oss://examplebucket/d/key", OSS_ACCESS_KEY_SECRET="wrong-secret", DUMMY="")
    assert ended.returncode == 4
    assert b"wrong-secret" not in ended.stderr
    assert b"request id" in run("get", "oss://examplebucket/d/key", "-v", OSS_ACCESS_KEY_SECRET="wrong-secret").stderr
    assert b"Traceback" in run("get", "oss://examplebucket/none", "--debug").stderr


def test_mistyped_bucket_name_suggests_a_similar_bucket(run: Run, oss: LocalOSS) -> None:
    oss.create_bucket("another-bucket")
    for command in (["get", "oss://exampelbucket/d/key"], ["mirror", "oss://exampelbucket/", "into"]):
        ended = run(*command)
        assert ended.returncode == 3
        assert ended.stderr.endswith(b"did you mean oss://examplebucket, which is in cn-hangzhou?\n")
    assert b"check the bucket's name" in run("ls", "oss://nothing-like-it/").stderr
    denied = oss.faults.status(403, times=None, bucket="")  # these access keys have no permission to list buckets
    assert b"check the bucket's name" in run("ls", "oss://exampelbucket/").stderr
    assert denied.hits


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["get", "oss://examplebucket/d/sub/"], "aioss-resume mirror oss://examplebucket/d/sub/ DIRECTORY"),
        (["get", "oss://examplebucket/d/key", "/dev/null"], 'for standard output, write "-" as the path'),
    ],
)
def test_hints_are_in_terms_of_the_command(run: Run, arguments: list[str], hint: str) -> None:
    assert run(*arguments).stderr.decode().rstrip().endswith(hint)


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "oss://examplebucket/d/key", "-"],
        ["get", "oss://examplebucket/d/key", "--json"],
        ["cat", "oss://examplebucket/d/key"],
        ["ls", "oss://examplebucket/"],
        ["stat", "oss://examplebucket/d/key"],
        ["mirror", "oss://examplebucket/", "into", "--json"],
        ["doctor"],
        ["serve", "."],
        ["--help"],
    ],
)
def test_full_disk_behind_standard_output_is_an_error_of_one_line(run: Run, arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        ended = run(*arguments, stdout=full.fileno())
    assert ended.returncode == 8
    assert ended.stderr == b"aioss-resume: could not write the output: No space left on device\n"


def test_unexpected_error_shows_a_traceback_only_with_debug(run: Run) -> None:
    ended = run("ls", "oss://examplebucket/", AIOSS_RESUME_STORAGE="none such")
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"aioss-resume: ValueError: AIOSS_RESUME_STORAGE must be one of")
    assert b"Traceback" not in ended.stderr
    assert b"Traceback" in run("ls", "oss://examplebucket/", "--debug", AIOSS_RESUME_STORAGE="none such").stderr


INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys

module, sys.argv = sys.argv[1], ["/bin/aioss-resume"]

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
from aioss_resume.__main__ import main
main(["ls", "oss://examplebucket/"])
"""


@pytest.mark.parametrize("module", ["click", "aioss_resume.cli.app", "oss2", "aioss_resume.cli.looking"])
def test_ctrl_c_before_anything_runs_ends_with_130(run: Run, module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING, module],
        env=run.environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr.strip()) == (130, b"")


def test_files_of_other_tools_are_read(run: Run, oss: LocalOSS) -> None:
    nothing = {"OSS_ACCESS_KEY_ID": "", "OSS_ACCESS_KEY_SECRET": "", "OSS_ENDPOINT": "", "OSS_REGION": ""}
    home = run.directory.parent / "home"
    (home / ".aliyun").mkdir(parents=True)
    keys = f"accessKeyID={oss.access_key_id}\naccessKeySecret={oss.access_key_secret}\n"
    (home / ".ossutilconfig").write_text(
        f"[Credentials]\nendpoint={oss.endpoint}\nregion={oss.region}\n{keys}\n[profile other]\nregion=cn-x\n"
    )
    assert run.code("ls", "oss://examplebucket/", **nothing) == 0
    assert run.code("ls", "oss://examplebucket/", "--profile", "other", **nothing) == 4
    ended = run("ls", "oss://examplebucket/", "--profile", "missing", **nothing)
    assert ended.returncode == 2
    profile = {
        "name": "default",
        "mode": "AK",
        "access_key_id": oss.access_key_id,
        "access_key_secret": oss.access_key_secret,
        "region_id": oss.region,
    }
    file = home / ".aliyun" / "config.json"
    file.write_text(json.dumps({"current": "default", "profiles": [profile]}))
    assert run.code("ls", "oss://examplebucket/", "-e", oss.endpoint, "--config-file", str(file), **nothing) == 0
    file.write_text("{broken")
    assert run.code("ls", "oss://examplebucket/", "--config-file", str(file), **nothing) == 2
    assert run.code("ls", "oss://examplebucket/", "--config-file", "none", **nothing) == 2


@pytest.mark.parametrize(
    "text",
    [
        "[default]\naccess-key-id = {id}\naccess-key-secret = {secret}\n{where}",
        '[Default]\naccess_key_id = "{id}"\nAccess_Key_Secret = "{secret}"\n{where}',
        "[profile default]\naccesskeyid={id}\naccesskeysecret={secret}\nmode=AK\n{where}",
        "[Credentials]\naccessKeyID={id}\naccessKeySecret={secret}\n{where}[Bucket-Cname]\na-b=x\nab=y\n",
    ],
)
def test_file_of_ossutil_may_be_written_in_several_ways(run: Run, oss: LocalOSS, text: str) -> None:
    where = f'region = "{oss.region}"\nendpoint = {oss.endpoint}\n'
    text = text.format(id=oss.access_key_id, secret=oss.access_key_secret, where=where)
    (run.directory / "config").write_text(text)
    nothing = {"OSS_ACCESS_KEY_ID": "", "OSS_ACCESS_KEY_SECRET": "", "OSS_ENDPOINT": "", "OSS_REGION": ""}
    assert run.code("ls", "oss://examplebucket/", OSSUTIL_CONFIG_FILE="config", **nothing) == 0
    if "profile" in text:
        text = text.replace("profile default", "profile mine")
        (run.directory / "config").write_text(text)
        assert run.code("ls", "oss://examplebucket/", OSSUTIL_CONFIG_FILE="config", **nothing) == 2
        assert (
            run.code("ls", "oss://examplebucket/", OSSUTIL_CONFIG_FILE="config", OSSUTIL_PROFILE="mine", **nothing) == 0
        )
    (run.directory / "config").write_text(f"[default]\nregion={oss.region}\nendpoint={oss.endpoint}\n")
    nowhere = {"OSS_ENDPOINT": "", "OSS_REGION": ""}
    # The keys come from the environment.
    assert run.code("ls", "oss://examplebucket/", OSSUTIL_CONFIG_FILE="config", **nowhere) == 0


def test_keys_of_a_profile_with_an_unknown_mode_are_not_used(run: Run, oss: LocalOSS) -> None:
    keys = f"accessKeyID={oss.access_key_id}\naccessKeySecret={oss.access_key_secret}\n"
    (run.directory / "config").write_text(f"[default]\nmode=RamRoleArn\n{keys}")
    ended = run("ls", "oss://examplebucket/", "--config-file", "config")
    assert ended.returncode == 4
    assert b"by the mode RamRoleArn, which this command does not know" in ended.stderr


@pytest.mark.parametrize("endpoint", ["http://", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://[::1"])
def test_invalid_endpoint_is_a_usage_error(run: Run, endpoint: str) -> None:
    ended = run("ls", "oss://examplebucket/", "-e", endpoint)
    assert ended.returncode == 2
    assert b"is no endpoint" in ended.stderr


def test_error_for_a_wrong_region_names_the_right_one_and_its_flag(run: Run, oss: LocalOSS) -> None:
    assert run("ls", "oss://examplebucket/", "--region", "cn-beijing").stderr.endswith(
        b"\n  pass --region cn-hangzhou\n"
    )
    body = "<Error><Code>AccessDenied</Code><Endpoint>oss-cn-shanghai.aliyuncs.com</Endpoint></Error>"
    oss.faults.status(403, body=body.encode())
    assert b"pass --endpoint https://oss-cn-shanghai.aliyuncs.com" in run("ls", "oss://examplebucket/").stderr
    oss.faults.status(403, body=b"<Error><Code>AccessDenied</Code><EC>0003-00000703</EC></Error>")
    assert b"pass --requester-pays" in run("ls", "oss://examplebucket/").stderr


def test_ls_stat_cat_and_verify_have_requester_pays(run: Run, oss: LocalOSS) -> None:
    key = "oss://examplebucket/d/key"
    assert run.code("get", key, "--requester-pays") == 0
    for arguments in (["ls", key], ["stat", key], ["cat", key], ["verify", "key", key]):
        assert run.code(*arguments, "--requester-pays") == 0
    assert {record.headers.get("x-oss-request-payer") for record in oss.requests} == {"requester"}


def test_checkpoints_are_listed_restarted_and_removed(run: Run, oss: LocalOSS) -> None:
    oss.put("examplebucket", "large", size=12 * MiB, seed=1)
    fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] >= 11 * MiB)
    get = ("get", "oss://examplebucket/large", "--part-size", "1MiB", "-j", "2")
    assert run.code(*get) == 4
    shown = run("checkpoints", "list", ".").stdout.decode()
    assert "of 12.0 MiB" in shown
    assert "oss://examplebucket/large" in shown
    assert json.loads(run("checkpoints", "list", ".", "--json").stdout)["done"] > 0
    fault.cancel()
    assert b", 0 kept" in run(*get, "--restart").stderr
    fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] >= 11 * MiB)
    assert run.code(*get) == 4
    assert run.code("checkpoints", "clean", ".") == 0
    assert [path.name for path in run.directory.iterdir()] == ["large"]


@pytest.mark.parametrize("target", ["large", "sub/../large", "link"])
@pytest.mark.parametrize("is_presigned", [False, True])
def test_restart_starts_from_zero_however_source_and_path_are_written(
    run: Run, oss: LocalOSS, target: str, is_presigned: bool
) -> None:
    oss.put("examplebucket", "large", size=12 * MiB, seed=1)
    (run.directory / "link").symlink_to("large")
    fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] >= 11 * MiB)
    source = presigned(oss.bucket("examplebucket"), "large") if is_presigned else "oss://examplebucket/large"
    get = ("get", source, target, "--part-size", "1MiB", "-j", "2")
    assert run.code(*get) == 4
    fault.cancel()
    assert b" 0 kept, 12,582,912 fetched" in run(*get, "--restart").stderr


@pytest.mark.parametrize("name", ["large", "n" * 250])
def test_checkpoints_of_subdirectories_are_removed_unless_a_process_continues_them(
    run: Run, oss: LocalOSS, name: str
) -> None:
    oss.put("examplebucket", "large", size=12 * MiB, seed=1)
    stall = oss.faults.stall(0, times=None, range=lambda asked: asked is not None and asked[0] >= 11 * MiB)
    get = ["get", "oss://examplebucket/large", f"into/sub/{name}", "--part-size", "1MiB", "-j", "2"]
    process = subprocess.Popen([*COMMAND, *get], cwd=run.directory, env=run.environment, stderr=subprocess.DEVNULL)
    try:
        while not (stall.hits and list(run.directory.rglob("*.checkpoint"))):
            assert process.poll() is None
            time.sleep(0.01)
        ended = run("checkpoints", "clean", ".")
        assert (ended.returncode, ended.stdout) == (9, b"")
        assert f"into/sub/{name[:200]}".encode() in ended.stderr
        assert b": left, because a process is downloading it" in ended.stderr
    finally:
        process.kill()
        process.wait()
    assert json.loads(run("checkpoints", "list", ".", "--json").stdout)["path"].startswith(f"into/sub/{name[:200]}")
    assert b"from oss://examplebucket/large" in run("checkpoints", "clean", ".").stdout
    assert list((run.directory / "into" / "sub").iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_get_keeps_written_bytes_and_prints_the_line_that_resumes(
    run: Run, oss: LocalOSS, number: signal.Signals, code: int
) -> None:
    oss.put("examplebucket", "large", size=12 * MiB, seed=1)
    oss.faults.stall(0, times=None, range=lambda asked: asked is not None and asked[0] >= 11 * MiB)
    get = ["get", "oss://examplebucket/large", "--part-size", "1MiB", "-j", "4"]
    process = subprocess.Popen([*COMMAND, *get], cwd=run.directory, env=run.environment, stderr=subprocess.PIPE)
    oss.wait_for_bytes(10 * MiB)
    process.send_signal(number)
    shown = process.communicate(timeout=30)[1].decode()
    assert process.returncode == code
    assert "To go on:\n  aioss-resume get oss://examplebucket/large --part-size 1MiB -j 4" in shown
    oss.faults.clear()
    ended = run(*get)
    assert ended.returncode == 0
    kept = re.search(rb"([\d,]+) kept", ended.stderr)
    assert kept is not None
    assert int(kept[1].replace(b",", b"")) >= 1 * MiB


def test_hangup_does_not_end_a_command_that_nohup_has_started(run: Run, oss: LocalOSS) -> None:
    oss.put("examplebucket", "large", size=12 * MiB, seed=1)
    held = oss.faults.stall(0, times=None, range=lambda asked: asked is not None and asked[0] >= 11 * MiB)
    command = ["nohup", *COMMAND, "get", "oss://examplebucket/large", "--part-size", "1MiB", "-j", "4"]
    process = subprocess.Popen(command, cwd=run.directory, env=run.environment, stderr=subprocess.DEVNULL)
    oss.wait_for_bytes(10 * MiB)
    process.send_signal(signal.SIGHUP)
    held.cancel()
    oss.drop_connections()
    assert process.wait(60) == 0
    assert (run.directory / "large").read_bytes() == whole(12 * MiB)


@pytest.mark.slow
def test_get_killed_again_and_again_ends_with_the_right_file(run: Run, oss: LocalOSS) -> None:
    size = int(os.environ.get("GET_SIZE", str(128 * MiB)))
    oss.put("examplebucket", "large", size=size, seed=1)
    oss.faults.slow(20_000_000, times=None)
    get = [*COMMAND, "get", "oss://examplebucket/large", "--no-fsync"]
    for number in (*[signal.SIGKILL] * 5, *[signal.SIGINT] * 2):
        oss.clear_requests()
        process = subprocess.Popen(get, cwd=run.directory, env=run.environment, stderr=subprocess.DEVNULL)
        oss.wait_for_bytes(size // 12)
        process.send_signal(number)
        process.wait(30)
    assert run.code(*get[1:]) == 0
    assert run("verify", "large", "oss://examplebucket/large").returncode == 0
    assert [path.name for path in run.directory.iterdir()] == ["large"]


def test_closed_pipe_causes_no_traceback(run: Run, oss: LocalOSS) -> None:
    oss.put("examplebucket", "large", size=12 * MiB)
    command = [*COMMAND, "cat", "oss://examplebucket/large"]
    with subprocess.Popen(command, env=run.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_command_whose_output_nobody_reads(
    run: Run, oss: LocalOSS, number: signal.Signals, code: int
) -> None:
    oss.put("examplebucket", "large", size=12 * MiB)
    command = [*COMMAND, "cat", "oss://examplebucket/large"]
    with subprocess.Popen(command, env=run.environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        select.select([process.stdout], [], [])  # it writes more than a pipe holds
        process.send_signal(number)
        assert process.wait(30) == code


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_second_signal_ends_a_command_that_waits_for_the_reader_of_a_pipe(run: Run, oss: LocalOSS) -> None:
    for number in range(1000):
        oss.put("examplebucket", f"many/{number:0200}", b"")
    command = [*COMMAND, "ls", "oss://examplebucket/many/", "--json"]
    with subprocess.Popen(command, env=run.environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        unread = 0
        while unread < 60_000:  # of the 65 536 bytes that fit in
            (unread,) = struct.unpack("i", fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)))
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        while is_caught(process, signal.SIGINT):
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT


def test_closed_output_is_an_error_in_words(run: Run) -> None:
    command = f"{COMMAND[0]} cat oss://examplebucket/d/key >&-"
    ended = subprocess.run(["/bin/sh", "-c", command], env=run.environment, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 8
    assert ended.stderr == b"aioss-resume: could not use 'standard output': Bad file descriptor\n"


def in_a_terminal(run: Run, *arguments: str, columns: int = 80, **more: str) -> tuple[str, int]:
    """What the command shows in a pseudo-terminal, and its exit code."""
    parent, child = pty.openpty()
    environment = {**run.environment, "COLUMNS": str(columns), **more}
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=run.directory, env=environment, stdout=child, stderr=child, stdin=child
    )
    os.close(child)
    shown, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        readable, _, _ = select.select([parent], [], [], 0.1)
        if readable:
            try:
                data = os.read(parent, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        elif process.poll() is not None:
            break
    os.close(parent)
    return shown.decode(errors="replace"), process.wait(30)


def frames_of(shown: str) -> list[list[str]]:
    """The successive frames of an animated bar, each as a list of lines."""
    frames = re.split(r"(?:\r?\x1b\[2K|\x1b\[1A)+", re.sub(r"\x1b\[[0-9;?]*[mlh]", "", shown))
    return [[line.rstrip() for line in frame.splitlines() if line.strip()] for frame in frames]


FIGURES = re.compile(r" *\d+%.* (\d+\.\d/\d+\.\d MiB) +\d+\.\d .?B/s +\S+")
"""Bytes, speed, and the time left."""


@pytest.mark.parametrize("columns", [80, 40])
def test_progress_bar_is_drawn_in_a_terminal(run: Run, oss: LocalOSS, columns: int) -> None:
    oss.put("examplebucket", "large", size=12 * MiB)
    oss.faults.slow(8_000_000, times=None)
    shown, code = in_a_terminal(
        run, "get", "oss://examplebucket/large", "--part-size", "1MiB", "-j", "4", columns=columns
    )
    assert code == 0
    assert "\x1b[" in shown
    assert "verified" in shown
    lines = [line for frame in frames_of(shown) for line in frame]
    bars = [line for line in lines if FIGURES.fullmatch(line)]
    assert bars
    assert max(map(len, bars)) <= columns
    assert ("━" in "".join(bars)) == (columns == 80)
    assert any(re.fullmatch(r"large: \d in flight", line) for line in lines)


def test_bar_of_a_mirror_has_a_total_and_a_bar_for_each_large_object(run: Run, oss: LocalOSS) -> None:
    oss.delete("examplebucket", "d/cold")
    for number in range(30):
        oss.put("examplebucket", f"m/small-{number:02}", size=100_000)
    oss.put("examplebucket", "m/large", size=20 * MiB)
    oss.put("examplebucket", "m/excluded", size=100 * MiB)
    oss.faults.slow(10_000_000, times=None)
    arguments = ["mirror", "oss://examplebucket/m", "into", "-j", "8", "--part-size", "1MiB"]
    arguments += ["--exclude", "excluded", "--requester-pays"]
    oss.clear_requests()
    shown, code = in_a_terminal(run, *arguments)
    assert code == 0
    frames = [frame for frame in frames_of(shown) if frame]
    totals: dict[str, set[str]] = {"m": set(), "m/large": set()}
    for frame in frames:
        for title, figures in itertools.pairwise(frame):
            if found := FIGURES.fullmatch(figures):
                totals[title.partition(":")[0]].add(found[1].partition("/")[2])
    assert totals == {"m": {"22.9 MiB"}, "m/large": {"20.0 MiB"}}
    assert not any(line.startswith("m/large") for line in frames[-1])
    assert {record.headers.get("x-oss-request-payer") for record in oss.requests} == {"requester"}


@pytest.mark.parametrize("variable", ["CI", "NO_COLOR", "TERM"])
def test_nothing_is_animated_with_ci_no_color_or_a_dumb_terminal(run: Run, variable: str) -> None:
    value = "dumb" if variable == "TERM" else "1"
    shown, code = in_a_terminal(run, "get", "oss://examplebucket/d/key", **{variable: value})
    assert code == 0
    assert "\x1b" not in shown
    assert "verified" in shown


def test_keys_are_printed_above_a_bar_as_they_are(run: Run, oss: LocalOSS) -> None:
    oss.put("examplebucket", "e/:smile: [b]x[/b]", b"x")
    shown, code = in_a_terminal(run, "mirror", "oss://examplebucket/e/", "into")
    assert code == 0
    assert "downloaded: e/:smile: [b]x[/b]" in shown


def test_control_characters_of_keys_are_escaped(run: Run, oss: LocalOSS) -> None:
    oss.put("examplebucket", "e/\x1b[2Jx\n", b"x")
    for arguments in (("ls", "oss://examplebucket/e/"), ("mirror", "oss://examplebucket/e/", "into")):
        ended = run(*arguments)
        assert ended.returncode == 0
        assert b"\x1b" not in ended.stdout + ended.stderr


def test_serve_with_faults_and_doctor(run: Run, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "f").write_bytes(whole(SIZE))
    process = subprocess.Popen(
        [*COMMAND, "serve", str(tmp_path / "files"), "--fault", "503:20%"],
        env=run.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = dict(re.findall(r"(\w+)=(\S+)", process.stdout.readline() + process.stdout.readline()))
        assert run.code("get", "oss://examplebucket/f", **found) == 0
        assert (run.directory / "f").read_bytes() == whole(SIZE)
        ended = run("doctor", **found)
        assert b"access keys: from the environment" in ended.stdout
        assert b"locks work" in ended.stdout
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert run.code("serve", str(tmp_path / "files"), "--fault", "nonsense") == 2
    ended = run("doctor", OSS_ACCESS_KEY_ID="", OSS_ENDPOINT="http://127.0.0.1:1")
    assert ended.returncode == 1
    assert b"WRONG  http://127.0.0.1:1/: could not connect to 127.0.0.1:1 (connection refused)" in ended.stdout


def test_doctor_reports_tls_version_and_certificate(run: Run, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with LocalOSS(tls=context) as oss:
        ended = run("doctor", OSS_ENDPOINT=oss.endpoint, SSL_CERT_FILE=str(tmp_path / "authority.pem"))
        assert ended.returncode == 0, ended.stdout
        assert re.search(rb"ok +\S+ speaks TLSv1\.\d with \w+; its certificate is valid until .* GMT", ended.stdout)
        ended = run("doctor", OSS_ENDPOINT=oss.endpoint)
    assert ended.returncode == 1
    assert b"the server's certificate was refused" in ended.stdout


def test_doctor_uses_the_proxy_of_the_environment(run: Run, oss: LocalOSS) -> None:
    found = {"OSS_ENDPOINT": "http://oss.invalid", "HTTP_PROXY": oss.endpoint}
    assert b"http://oss.invalid answers as OSS does" in run("doctor", **found).stdout
    assert b"WRONG  the proxy for" in run("doctor", **{**found, "HTTP_PROXY": "socks5://127.0.0.1:1"}).stdout


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(run: Run, shell: str) -> None:
    assert b"_AIOSS_RESUME_COMPLETE" in run("completion", shell).stdout
