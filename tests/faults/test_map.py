"""tests/README.md, the map of the fault catalogue, is complete and true."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent.parent
HERE = Path(__file__).parent
RANGES = {"N": 52, "C": 17, "D": 15, "X": 21, "S": 24, "R": 7, "F": 14, "T": 9, "U": 4, "B": 8, "W": 5, "P": 6}
IDS = [f"{letter}{number:02}" for letter, count in RANGES.items() for number in range(1, count + 1)]
_ROW = re.compile(r"\| ([A-Z]\d\d) \| (S[1-4]) \| (.+) \| (.+) \|")
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
_ID_IN_NAME = re.compile(rf"test_([{''.join(RANGES)}]\d\d)_")


class Row(NamedTuple):
    id: str
    severity: str
    what: str
    held_by: str

    @property
    def applies(self) -> bool:
        return not self.held_by.startswith("no: ")

    @property
    def tests(self) -> list[tuple[str, str]]:
        return _TEST.findall(self.held_by)


@pytest.fixture(scope="module")
def text() -> str:
    return (TESTS / "README.md").read_text()


@pytest.fixture(scope="module")
def rows(text: str) -> list[Row]:
    return [Row(*found.groups()) for line in text.splitlines() if (found := _ROW.fullmatch(line))]


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of a file's tests, whatever pytest would say of running them."""
    tree = ast.parse((TESTS / file).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def found(file: str, name: str) -> set[str]:
    if not (TESTS / file).is_file():
        return set()
    return {test for test in names_in(file) if test == name or (name.endswith("_") and test.startswith(name))}


def test_every_row_is_there_once_and_in_order(rows: list[Row]) -> None:
    assert len(IDS) == 182
    assert [row.id for row in rows] == IDS


def test_every_row_has_tests_or_a_reason(rows: list[Row]) -> None:
    assert [row.id for row in rows if row.applies and not (row.tests and row.what.strip("- "))] == []
    assert [row.id for row in rows if not row.applies and len(row.held_by) < 12] == []


def test_every_test_that_is_named_exists(text: str) -> None:
    assert [(file, name) for file, name in _TEST.findall(text) if not found(file, name)] == []


def test_every_test_with_an_id_is_in_its_row(rows: list[Row]) -> None:
    held = {row.id: {(file, test) for file, name in row.tests for test in found(file, name)} for row in rows}
    named = {
        (f"faults/{path.name}", test): match[1]
        for path in HERE.glob("test_*.py")
        for test in names_in(f"faults/{path.name}")
        if (match := _ID_IN_NAME.match(test))
    }
    assert len(named) > 150
    assert [test for test, row in named.items() if test not in held.get(row, set())] == []


def test_every_grave_row_has_a_test_that_carries_its_id(rows: list[Row]) -> None:
    grave = [row for row in rows if row.applies and row.severity in ("S1", "S2")]
    assert [row.id for row in grave if not any(name.startswith(f"test_{row.id}_") for _, name in row.tests)] == []


def test_every_other_test_in_this_directory_is_in_the_catalogue(rows: list[Row]) -> None:
    files = {path.name for path in HERE.glob("test_*.py")} - {Path(__file__).name}
    assert [test for file in files for test in names_in(f"faults/{file}") if not _ID_IN_NAME.match(test)] == []
