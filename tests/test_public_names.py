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
before = {*sys.modules}
from aioss_resume import *
for name in aioss_resume.__all__:
    assert name in globals(), name
assert not {name for name in dir() if name[0] != "_"} - {*aioss_resume.__all__, "aioss_resume", "before", "name", "sys"}
print({*sys.modules} - before)
"""


def test_nothing_is_imported_while_an_event_loop_runs() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "set()"


def test_help_of_the_command_imports_neither_aiohttp_nor_oss2() -> None:
    program = "import aioss_resume.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\n"
    program = f"import sys; sys.argv[0] = '/bin/aioss-resume'\n{program}print({{'aiohttp', 'oss2'}} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("package", [aioss_resume, aioss_resume.testing])
def test_names_for_type_checkers_are_those_at_run_time(package: ModuleType) -> None:
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


def test_unknown_name_is_an_attribute_error() -> None:
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
