"""The picture of the layers in docs/CONTRIBUTING.md is the one that import-linter checks."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "CONTRIBUTING.md"
PROJECT = ROOT / "pyproject.toml"


def layer(text: str) -> list[str]:
    """The modules of one layer, however they are separated and qualified."""
    return sorted(name.rpartition(".")[2] for name in re.split(r"\s*[|:]\s*", text.strip()))


def contracts() -> dict[str, list[list[str]]]:
    """The layers by the package that they are in, from the top."""
    found = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layered = [contract for contract in found if contract["type"] == "layers"]
    return {
        contract.get("containers", ["aioss_resume"])[0].rpartition(".")[2]: [layer(each) for each in contract["layers"]]
        for contract in layered
    }


def picture() -> dict[str, list[list[str]]]:
    block = PAGE.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    drawn: dict[str, list[list[str]]] = {"aioss_resume": []}
    package = "aioss_resume"
    for line in block.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0]
        if line.startswith(" "):
            drawn.setdefault(package, []).append(layer(names))
        elif names.startswith("| "):  # a package on the same level as the one above it
            package = names.removeprefix("| ")
            drawn["aioss_resume"][-1] = sorted([*drawn["aioss_resume"][-1], package])
        else:
            package = names
            drawn["aioss_resume"].append(layer(names))
    return drawn


def test_picture_of_the_layers_is_the_contract() -> None:
    if not (PAGE.exists() and PROJECT.exists()):
        pytest.skip("the documentation is not beside the tests")
    assert picture() == contracts()
