"""What `python -m aioss_resume` says without doing anything."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from aioss_resume import ConfigError
from aioss_resume.__main__ import main
from aioss_resume.cli.place import find_place
from aioss_resume.cli.sizes import parse_size


def test_help_names_the_demo() -> None:
    run = subprocess.run([sys.executable, "-m", "aioss_resume", "--help"], capture_output=True, text=True, check=True)
    assert "demo" in run.stdout
    assert run.stderr == ""


def test_help_of_the_demo_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--size", "--kills", "--directory", "256MiB"))


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"aioss-resume {version('aioss-resume')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--size", "huge"], "'huge' is no size: write bytes, or a unit as in 256MiB"),
        (["demo", "--size", "-1"], "'-1' is no size"),
        (["demo", "--size", "1k"], "less than 1 MiB"),
        (["demo", "--kills", "many"], "'many' is not a valid integer"),
        (["demo", "--kills", "101"], "101 is not in the range 0<=x<=100"),
        (["gett"], "there is no command 'gett'. Did you mean 'get'?"),
        (["get"], "say what to get"),
        (["get", "oss://examplebucket/k", "-j", "0"], "must be a whole number of at least 1"),
        (["get", "oss://examplebucket/k", "--deadline", "soon"], "'soon' is no time"),
    ],
)
def test_bad_arguments_are_named_and_end_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 2**20),
        ("12b", 12),
        ("64m", 64 * 2**20),
        ("64M", 64 * 2**20),
        ("256MiB", 256 * 2**20),
        ("256 mib", 256 * 2**20),
        ("1.5g", 3 * 2**29),
        ("1GB", 10**9),
        ("2t", 2**41),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "1x", "1mm", "1 MiB and more", "0x10", "1e6", "1,5g", "٣m"])
def test_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.usefixtures("unknown_user")
def test_configuration_is_not_searched_where_the_home_directory_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("OSS", "ALIBABA_CLOUD"))]:
        monkeypatch.delenv(name)
    assert find_place(None, "cn-hangzhou", None, None).keys is None
    with pytest.raises(ConfigError, match="no profile 'mine' in the home directory, which is not known"):
        find_place(None, None, "mine", None)
