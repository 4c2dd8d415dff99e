"""The public names: what is exported, that it has a docstring, and what importing the package costs."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import aioss_resume

PROGRAM = """
import sys
import aioss_resume
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("aioss_resume", "aiohttp", "oss2", "anyio")))
from aioss_resume import *
for name in aioss_resume.__all__:
    assert name in globals(), name
assert not {name for name in dir() if name[0] != "_"} - {*aioss_resume.__all__, "aioss_resume", "name", "sys"}
"""


def test_importing_the_package_imports_nothing_else_before_a_name_is_used() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == ["aioss_resume", "aioss_resume._lazy"]


@pytest.mark.parametrize("package", [aioss_resume, aioss_resume.testing])
def test_names_for_type_checkers_are_those_that_there_are(package: ModuleType) -> None:
    """A package lists its names three times: for type checkers, for `import *`, and with where they are."""
    tree = ast.parse(Path(package.__file__ or "").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        (alias.name, node.module)
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {(name, f"{package.__name__}.{home}") for home, names in package._HOMES.items() for name in names}
    assert imported == homes
    constants = {"KiB", "MiB", "GiB"} & {*vars(package)}
    assert sorted(package.__all__) == sorted({name for name, _ in homes} | constants)
    assert {*package.__all__} <= {*dir(package)}


def test_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'downlaod'"):
        _ = aioss_resume.downlaod  # type: ignore[attr-defined]


def test_public_modules_are_attributes() -> None:
    for name in ("compat", "contrib", "errors", "events", "options", "testing", "urls"):
        assert getattr(aioss_resume, name) is importlib.import_module(f"aioss_resume.{name}")


@pytest.mark.parametrize("name", aioss_resume.__all__)
def test_every_public_name_has_a_docstring(name: str) -> None:
    found = getattr(aioss_resume, name)
    if name == "Event":  # a union
        return
    assert inspect.getdoc(found)
    for member, value in vars(found).items() if inspect.isclass(found) else ():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert inspect.getdoc(getattr(found, member)), f"{name}.{member}"
