"""The index of hints has every hint that the sources have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "reference" / "errors.md"
HOLDERS = {
    "_HINTS",
    "_ERRNO_HINTS",
    "_IN_USE_HINT",
    "NO_WORKING_DIRECTORY",
    "USE_STREAM",
    "_FORM",
    "hint",
    "reason, hint",
}


def texts(node: ast.expr | None) -> Iterator[str]:
    """The constant pieces of what is, or may be, a hint."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr():
            yield from (piece.value for piece in node.values if isinstance(piece, ast.Constant))
        case ast.IfExp():
            yield from (*texts(node.body), *texts(node.orelse))
        case ast.BoolOp():
            for value in node.values:
                yield from texts(value)
        case ast.Dict():
            for value in node.values:
                yield from texts(value)
        case ast.Tuple(elts=[_, second]):
            yield from texts(second)


def hints(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield from (text for given in node.keywords if given.arg == "hint" for text in texts(given.value))
            if isinstance(node.func, ast.Name) and node.func.id in ("EndpointMistake", "permanent"):
                yield from texts(node.args[-1])
        if isinstance(node, ast.Assign):
            names = {ast.unparse(target).strip("()").rpartition(".")[2] for target in node.targets}
            if names & HOLDERS and path.name != "_arguments.py":  # there it is a part of a TypeError's text
                yield from texts(node.value)


def test_every_hint_is_in_the_index() -> None:
    if not INDEX.exists():
        pytest.skip("the documentation is not beside the tests")
    index = re.sub(r"\s+", " ", INDEX.read_text(encoding="utf-8"))
    sources = [path for path in (ROOT / "aioss_resume").rglob("*.py") if "testing" not in path.parts]
    found = {text.strip() for path in sources for text in hints(path)}
    assert len(found) > 70
    assert sorted(text for text in found if len(text) > 10 and re.sub(r"\s+", " ", text) not in index) == []
