"""The code of README and of every page but the how-to guides of test_how_to.py runs as it stands there."""

import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from docs.test_how_to import NAMES as RUN_ELSEWHERE

from aioss_resume.testing import LocalOSS, MiB

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SCRIPTS = sysconfig.get_path("scripts")
CONTENT = b"line\n" * 100_000

# The first words of each block that is not run, and the reason.
NOT_RUN = {
    "python3 -m venv": "an environment of its own; the README's lines are the first thing that is tried anew",
    ".venv/bin/": "in that environment",
    "docker run": "needs a Docker engine",
    "python tests/core/simulated_cluster.py": "a measurement",
    "nox": "runs the tests themselves",
}


class Block(NamedTuple):
    language: str
    text: str


def blocks(path: Path, *languages: str) -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(*block) for block in found if block[0] in languages]


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not DOCS.exists():
        pytest.skip("the documentation is not beside the tests")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def environment(oss: LocalOSS) -> dict[str, str]:
    for key in ("key", "exampledir/exampleobject.txt", "exampledir/b.txt", "datasets/v3/a"):
        oss.put("examplebucket", key, CONTENT)
    return {
        **os.environ,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "OSS_ENDPOINT": oss.endpoint,
        "OSS_REGION": oss.region,
        "OSS_ACCESS_KEY_ID": oss.access_key_id,
        "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
        "HOME": str(Path.cwd()),
    }


def run(command: list[str], environment: dict[str, str], **options: Any) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def commands(block: Block) -> Iterator[str]:
    """The commands of a block that are run here, one a line."""
    for line in block.text.replace("\\\n", " ").splitlines():
        line = line.partition("  # ")[0].strip()
        if line and not line.startswith(tuple(NOT_RUN)):
            yield line


def test_every_page_with_code_is_run() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if blocks(path, "python", "sh")}
    here = {"tutorial.md", "index.md", "command-line.md", "zh-CN.md", "ja.md"}
    guides = {f"how-to/{name}.md" for name in (*RUN_ELSEWHERE, *FUNCTIONS, "testing")}
    assert pages == here | guides


@pytest.mark.parametrize("name", ["zh-CN", "ja"])
def test_programs_of_a_translation_run(name: str, oss: LocalOSS, environment: dict[str, str]) -> None:
    programs = [block.text for block in blocks(DOCS / f"{name}.md", "python")]
    assert len(programs) == 2
    # The second program uses names of the first one.
    said = run([sys.executable, "-c", f"ENDPOINT = {oss.endpoint!r}\n" + "\n".join(programs)], environment)
    assert Path("examplefile.txt").read_bytes() == CONTENT
    assert Path("mirror/exampleobject.txt").read_bytes() == CONTENT
    assert "exampledir/b.txt downloaded" in said


def test_programs_of_the_readme_run(oss: LocalOSS, environment: dict[str, str]) -> None:
    whole = [block.text for block in blocks(ROOT / "README.md", "python") if "asyncio.run" in block.text]
    assert len(whole) == 2
    assert "verified" in run([sys.executable, "-c", whole[0]], environment)
    ours = whole[1].replace("https://oss-cn-hangzhou.aliyuncs.com", oss.endpoint).replace("/data/", "")
    assert "verified" in run([sys.executable, "-c", ours], environment)
    assert Path("examplefile.txt").read_bytes() == CONTENT


async def test_parts_of_programs_in_the_readme_run(oss: LocalOSS, bucket: Any, environment: dict[str, str]) -> None:
    parts = [block.text for block in blocks(ROOT / "README.md", "python") if "asyncio.run" not in block.text]
    assert len(parts) == 3
    oss.put("examplebucket", "key", b"x" * 10_000)
    for part in parts:
        text = part.replace('"/data', '"data').replace('f"/data', 'f"data')
        names = {"bucket": bucket, "url": bucket.sign_url("GET", "key", 60), "sign_again": lambda url: url}
        exec("import aioss_resume\nasync def part():\n" + textwrap.indent(text, "    "), names)
        await names["part"]()
    assert Path("data/v3/a").read_bytes() == CONTENT
    assert Path("data/file").read_bytes() == b"x" * 10_000


FUNCTIONS = {
    "slow-lines": {"over_a_modem": ("copy",), "until_it_is_there": ("copy",), "within_a_minute": ("copy",)},
    "shared-file-systems": {
        "on_each_host": (".",),
        "with_local_checkpoints": ("copy",),
        "many_small_files": (["key", "datasets/v3/a"], "many"),
    },
    "containers": {"main": (), "until_sigterm": ("copy",)},
}


@pytest.mark.parametrize("page", FUNCTIONS)
async def test_functions_of_a_how_to_run(
    page: str, oss: LocalOSS, bucket: Any, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {"bucket": bucket, "PAUSE": 0.01}
    for block in blocks(DOCS / f"how-to/{page}.md", "python"):
        exec(compile(block.text, page, "exec"), names)
    assert {name for name in names if inspect.iscoroutinefunction(names[name])} - {"download"} == {*FUNCTIONS[page]}
    for name, arguments in FUNCTIONS[page].items():
        if name == "until_it_is_there":
            oss.faults.status(503, times=7)  # one more than the attempts of one call
        found = await names[name](*arguments)
        for result in found if isinstance(found, list) else [found]:
            assert result.path.read_bytes() == CONTENT
            result.path.unlink()
    assert oss.faults.unmet() == []
    if page == "containers":
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


def test_tests_of_the_page_on_testing_pass(environment: dict[str, str]) -> None:
    with_pytest, without = (block.text for block in blocks(DOCS / "how-to/testing.md", "python"))
    Path("test_page.py").write_text(with_pytest, encoding="utf-8")
    said = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "."], environment)
    assert "3 passed" in said
    run([sys.executable, "-c", without], environment)


def test_faults_that_the_page_on_testing_names_are_there() -> None:
    table = (DOCS / "how-to/testing.md").read_text(encoding="utf-8").partition("| To test | Set |")[2]
    names = re.findall(r"`(\w+)\(", table.partition("\n\n")[0])
    assert len(names) > 12
    with LocalOSS() as oss:
        assert [name for name in names if not callable(getattr(oss.faults, name, None))] == []


@pytest.mark.parametrize(
    "page",
    ["command-line.md", "zh-CN.md", "ja.md", "how-to/slow-lines.md", "how-to/shared-file-systems.md", "../README.md"],
)
def test_commands_of_a_page_run(page: str, environment: dict[str, str]) -> None:
    Path("bucket").mkdir()
    Path("data").mkdir()
    lines = [line for block in blocks(DOCS / page, "sh") for line in commands(block)]
    assert lines
    for line in lines:
        line = line.replace(" /data", " data").replace("sleep 10", "false")
        if " serve " in line:
            _serve_for_a_moment(line, environment)
        else:
            run(["bash", "-euc", line], environment)


def _serve_for_a_moment(line: str, environment: dict[str, str]) -> None:
    with subprocess.Popen(
        ["bash", "-euc", f"exec {line}"], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("export OSS_ENDPOINT=")
        server.send_signal(signal.SIGINT)
        assert server.wait(30) in (0, 130)


def test_tutorial_from_the_first_to_the_last_line(environment: dict[str, str]) -> None:
    shell = [block.text for block in blocks(DOCS / "tutorial.md", "sh")]
    _, serve, interrupt, look, go_on, fetch = shell
    (program,) = (block.text for block in blocks(DOCS / "tutorial.md", "python"))
    made, serving = serve.rsplit("\n", 2)[:2]
    run(["bash", "-euc", made.replace("200000000", str(20 * MiB))], environment)
    with subprocess.Popen(
        ["bash", "-euc", f"exec {serving}"], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        exports = server.stdout.readline() + server.stdout.readline()
        ours = dict(word.split("=", 1) for word in exports.split() if "=" in word)
        theirs = {**environment, **ours}
        slow = interrupt.replace("20MiB", "4MiB").strip()
        with subprocess.Popen(["bash", "-euc", f"exec {slow}"], env=theirs, stderr=subprocess.PIPE, text=True) as get:
            while not list(Path().glob(".*.checkpoint")):
                assert get.poll() is None
                time.sleep(0.01)
            get.send_signal(signal.SIGINT)
            assert get.stderr is not None
            said = get.stderr.read()
        assert get.returncode == 130
        assert slow.partition(" --limit-rate")[0].partition("get ")[2].split()[0] in said
        left = run(["bash", "-euc", look], theirs)
        assert ".part" in left
        assert "copy.bin\n" not in left.replace(".copy.bin", "")
        said = run(["bash", "-euc", go_on], theirs)
        assert ".part" not in said
        kept = re.search(r"([\d,]+) kept", said)
        assert kept is not None
        assert int(kept[1].replace(",", "")) > 0
        Path("fetch.py").write_text(program, encoding="utf-8")
        assert "verified" in run(["bash", "-euc", fetch], theirs)
        assert Path("again.bin").read_bytes() == Path("bucket/big.bin").read_bytes()
        server.send_signal(signal.SIGINT)


def test_index_names_every_error_and_every_exit_code() -> None:
    import aioss_resume
    from aioss_resume.cli import exits

    page = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    errors = [name for name in aioss_resume.__all__ if name.endswith("Error") and name != "AiossError"]
    assert [name for name in errors if f"| `{name}`" not in page] == []
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} >= codes
    for name, code in re.findall(r"^\| `(\w+)`.*?\| (\d+)[^|]*\| [^|]*\|$", page, re.MULTILINE):
        kind = getattr(aioss_resume, name)
        assert exits.code_of(kind.__new__(kind)) == int(code), name
