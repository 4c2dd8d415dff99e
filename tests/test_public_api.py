"""The public interface changes only on purpose."""

from pathlib import Path

import pytest
from public_api import MODULES, public_api

SNAPSHOT = Path(__file__).with_name("public_api.txt")


def test_public_api_is_the_one_that_was_written_down() -> None:
    now, written = public_api().splitlines(), SNAPSHOT.read_text(encoding="utf-8").splitlines()
    assert now == written, (
        "if it is meant: python tests/public_api.py > tests/public_api.txt, and a line in CHANGELOG.md"
    )


@pytest.mark.parametrize("name", ["downloader", "urls", "compat"])
def test_public_names_come_with_their_parameters(name: str) -> None:
    expected = {
        "downloader": "class Downloader",
        "urls": "class SignedURL",
        "compat": "async def resumable_download(bucket: Any, key: ",
    }
    assert any(line.startswith(expected[name]) for line in SNAPSHOT.read_text(encoding="utf-8").splitlines())


def test_every_public_module_is_in_it() -> None:
    package = Path(__file__).parents[1] / "aioss_resume"
    bridges = {f"aioss_resume.contrib.{path.stem}" for path in (package / "contrib").glob("[a-z]*.py")}
    assert bridges <= {*MODULES}
