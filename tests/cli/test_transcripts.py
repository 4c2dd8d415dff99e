"""Golden transcripts: what each command prints, in a pipe and on a terminal, with its exit code.

They stand in tests/cli/transcripts; times, bars and what else differs from run to run are masked. After a change that
is meant: WRITE_TRANSCRIPTS=1 pytest tests/cli/test_transcripts.py, and read the diff.
"""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple

import pyte
import pytest

from aioss_resume.testing import LocalOSS, MiB

COMMAND = str(Path(sys.executable).with_name("aioss-resume"))
GOLDEN = Path(__file__).parent / "transcripts"
OBJECT = "oss://examplebucket/d/key"
Prepare = Callable[[LocalOSS, Path], object]


class Step(NamedTuple):
    arguments: str
    prepare: Prepare | None = None
    environment: tuple[str, str] | None = None
    is_sorted: bool = False
    """Whether its lines are sorted here: many objects end in any order."""


def fault(name: str, *arguments: object, **scope: object) -> Prepare:
    return lambda oss, _: getattr(oss.faults, name)(*arguments, **scope)


def unavailable(key: str, after_requests: int = 0) -> Prepare:
    return fault("status", 503, times=None, key=key, after_requests=after_requests)


def edit(name: str, text: bytes) -> Prepare:
    return lambda _, directory: (directory / name).write_bytes(text)


COMMANDS = ("get", "mirror", "ls", "stat", "cat", "verify", "checkpoints", "doctor", "serve", "demo", "completion")
SESSIONS: dict[str, list[Step]] = {
    "help": [Step("--help"), Step("--version"), *(Step(f"{command} --help") for command in COMMANDS)],
    "usage": [
        Step("gte oss://examplebucket/d/key"),
        Step("get"),
        Step("get nowhere file"),
        Step("get oss://examplebucket file"),
        Step(f"get {OBJECT} file --part-size many"),
        Step(f"get {OBJECT} file --parallel 0"),
        Step(f"get {OBJECT} file", environment=("OSS_REGION", "")),
        Step("demo --size 10"),
    ],
    "get": [
        Step(f"get {OBJECT} copy"),
        Step(f"get {OBJECT} copy --if-changed"),
        Step(f"get {OBJECT} copy --no-clobber"),
        Step(f"get {OBJECT} quiet --quiet"),
        Step(f"get {OBJECT} plain --progress plain"),
        Step(f"get {OBJECT} json --json"),
        Step("get oss://examplebucket/d/sub/0 -"),
        Step("get oss://examplebucket/ many --from-file list", edit("list", b"d/sub/0\nmissing\n"), is_sorted=True),
    ],
    "failures": [
        Step("get oss://examplebucket/missing file"),
        Step("get oss://examplebucket/d/sub/ file"),
        Step("get oss://elsewhere/key file"),
        Step("get oss://exampelbucket/d/key file"),
        Step("get oss://examplebucket/ many --from-file list", edit("list", b"d/key\n\nother/key\n")),
        Step(f"get {OBJECT} file", environment=("OSS_ACCESS_KEY_SECRET", "wrong")),
        Step(f"get {OBJECT} file", environment=("OSS_ACCESS_KEY_ID", "")),
        Step(f"get {OBJECT} file --retries 0", unavailable("d/key")),
        Step(f"get {OBJECT} file --retries 0 -v", unavailable("d/key")),
        Step(f"get {OBJECT} file", fault("flip_bit", 5, times=None, key="d/key")),
        Step(f"get {OBJECT} file --deadline 1", fault("stall", 0, times=None, key="d/key")),
        Step(f"get {OBJECT} {'n' * 300}"),
        Step(f"get {OBJECT} /dev/null"),
        Step("get oss://examplebucket/d/cold file"),
    ],
    "mirror": [
        Step("mirror oss://examplebucket/d/sub/ tree --dry-run", is_sorted=True),
        Step("mirror oss://examplebucket/d/sub/ tree", is_sorted=True),
        Step("mirror oss://examplebucket/d/sub/ tree"),
        Step("mirror oss://examplebucket/d/sub/ tree --json", edit("tree/1", b"edited"), is_sorted=True),
        Step("mirror oss://examplebucket/d/sub/ tree --delete", lambda oss, _: oss.delete("examplebucket", "d/sub/2")),
        Step("mirror oss://examplebucket/d/ most --exclude cold --include sub/**", is_sorted=True),
        Step("mirror oss://examplebucket/d/ all", is_sorted=True),
    ],
    "looking": [
        Step("ls oss://examplebucket/"),
        Step("ls oss://examplebucket/d/sub/"),
        Step("ls oss://examplebucket/d/ --json"),
        Step(f"stat {OBJECT}"),
        Step(f"stat {OBJECT} --json"),
        Step("cat oss://examplebucket/d/sub/1"),
        Step(f"get {OBJECT} copy --quiet"),
        Step(f"verify copy {OBJECT}"),
        Step(f"verify copy {OBJECT}", edit("copy", b"other bytes")),
        Step("checkpoints list ."),
        Step("get oss://examplebucket/large large --retries 0 --quiet -j 1", unavailable("large", after_requests=2)),
        Step("checkpoints list ."),
        Step("checkpoints clean ."),
        Step("checkpoints list ."),
    ],
}

# What differs from run to run, and what stands for it.
MASKS = [
    (r"127\.0\.0\.1:\d+|http://127\.0\.0\.1:\d+", "HOST:PORT"),
    (r"request id [0-9A-F]{24}", "request id ID"),
    (r"aioss-resume, version \S+", "aioss-resume, version VERSION"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?", "DATE"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} [\d:]+ GMT", "DATE"),
    (r"\d+(\.\d+)? (MiB|KiB|GiB|B)/s", "SPEED"),
    (r'"(elapsed|seconds|speed|wait)": [\d.e-]+', r'"\1": N'),
    (r"\b\d+(\.\d+)? ?(s|ms|min)\b", "TIME"),
    (r" *\d+ %  .* of 64.0 MiB, last written .* ago", "  N %  SOME of 64.0 MiB, last written A WHILE ago"),
    (r"\.[0-9a-f]{24}\.", ".DIGEST."),
    (r"(?m)^.*\u2501.*$", "BAR"),
    (r"(?m)^\{\"v\": 1, \"event\": \"progress\".*\n", ""),
    (r"(?m)^(! )?key: .* of 293.0 KiB\n", ""),
]


def masked(text: str, directory: Path) -> str:
    text = text.replace(str(directory), "HERE")
    for pattern, replacement in MASKS:
        text = re.sub(pattern, replacement, text)
    return text


def in_a_pipe(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=False, timeout=60)
    said = {"": done.stdout.decode(), "! ": done.stderr.decode()}
    lines = [f"{mark}{line}" for mark, text in said.items() for line in masked(text, directory).splitlines()]
    return "\n".join([*lines, f"= {done.returncode}"])


def on_a_terminal(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, cwd=directory, env=environment, **streams) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece
        code = process.wait(60)
    os.close(ours)
    screen = pyte.Screen(columns=2000, lines=400)  # large enough that no line wraps or scrolls away
    pyte.Stream(screen).feed(said.decode())
    lines = "\n".join(line.rstrip() for line in screen.display).rstrip("\n")
    return f"{masked(lines, directory)}\n= {code}"


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("where", ["pipe", "terminal"])
def test_output_matches_the_recorded_transcript(session: str, where: str, tmp_path: Path) -> None:
    directory = tmp_path / "here"
    directory.mkdir()
    with LocalOSS(port=0) as oss:
        oss.put("examplebucket", "d/key", size=300_000, seed=1)
        oss.put("examplebucket", "d/cold", b"cold", storage_class="Archive")
        oss.put("examplebucket", "large", size=64 * MiB, seed=2)
        for number in range(3):
            oss.put("examplebucket", f"d/sub/{number}", f"content {number}\n".encode())
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TERM": "xterm",
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
            "OSS_ENDPOINT": oss.endpoint,
            "OSS_REGION": oss.region,
            "OSS_ACCESS_KEY_ID": oss.access_key_id,
            "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
        }
        run = in_a_pipe if where == "pipe" else on_a_terminal
        found = []
        for step in SESSIONS[session]:
            oss.faults.clear()
            if step.prepare is not None:
                step.prepare(oss, directory)
            changed = dict([step.environment]) if step.environment else {}
            given = {name: value for name, value in {**environment, **changed}.items() if value}
            command = [COMMAND, *step.arguments.split()]
            shown = " ".join(f"{name}={value!r}" for name, value in changed.items())
            line = f"$ {shown} aioss-resume {step.arguments}".replace("$  ", "$ ")
            said = run(command, directory, given).splitlines()
            found += [line, *(sorted(said) if step.is_sorted else said), ""]
    text = "\n".join(found)
    golden = GOLDEN / f"{session}.{where}.txt"
    if os.environ.get("WRITE_TRANSCRIPTS"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text.splitlines() == golden.read_text(encoding="utf-8").splitlines()
