"""The public interface as text, read from the sources: `python tests/public_api.py` prints it.

`tests/test_public_api.py` compares it with `tests/public_api.txt`. A change that is meant is written there by
`python tests/public_api.py > tests/public_api.txt`, and has a line in CHANGELOG.md.
"""

from collections.abc import Iterator
from pathlib import Path

import griffe

import aioss_resume

_EXPORTED = {*aioss_resume.__all__}

MODULES = [
    "aioss_resume",
    "aioss_resume.options",
    "aioss_resume.testing",
    *(f"aioss_resume.contrib.{name}" for name in ("aiohttp_web", "dask", "fsspec", "opentelemetry", "progress")),
    *("aioss_resume.contrib.starlette", "aioss_resume.testing.pytest_plugin"),
]


def public_api() -> str:
    """Each public name of the public modules, with its parameters, their defaults and its types."""
    package = griffe.load("aioss_resume", search_paths=[Path(__file__).parents[1]], allow_inspection=False)
    assert isinstance(package, griffe.Module)
    return "\n".join(line for module in MODULES for line in _module(package, module)) + "\n"


def _module(package: griffe.Module, path: str) -> Iterator[str]:
    module = package[path.removeprefix("aioss_resume").removeprefix(".")] if path != "aioss_resume" else package
    yield f"# {path}"
    names = [str(name).strip("'") for name in module.exports or ()]
    for name in names or sorted(_public_members(module)):
        member = module.members[name]
        yield from _object(_target(member), name, "")
    yield ""


def _target(member: griffe.Object | griffe.Alias) -> griffe.Object:
    return member.final_target if isinstance(member, griffe.Alias) else member


def _public_members(owner: griffe.Object) -> Iterator[str]:
    for name, member in owner.members.items():
        if not name.startswith("_") and not isinstance(member, griffe.Alias):
            yield name


def _inherited_members(owner: griffe.Class) -> Iterator[str]:
    """Those of base classes that are not public themselves."""
    for name, member in owner.inherited_members.items():
        base = _target(member).parent
        assert base is not None
        if not name.startswith("_") and base.path.rpartition(".")[2] not in _EXPORTED:
            yield name


def _object(found: griffe.Object, name: str, indent: str) -> Iterator[str]:
    if isinstance(found, griffe.Class):
        bases = f"({', '.join(str(base) for base in found.bases)})" if found.bases else ""
        yield f"{indent}class {name}{bases}"
        for member_name in ("__init__", *sorted({*_public_members(found), *_inherited_members(found)})):
            if member_name in found.all_members and (member_name != "__init__" or "__init__" in found.members):
                yield from _object(_target(found.all_members[member_name]), member_name, indent + "    ")
    elif isinstance(found, griffe.Function):
        kind = "async def" if "async" in found.labels else "def"
        yield f"{indent}{kind} {name}({', '.join(_parameters(found))}) -> {found.returns or 'None'}"
    elif isinstance(found, griffe.Attribute):
        annotation = f": {found.annotation}" if found.annotation is not None else ""
        has_value = found.value is not None and "property" not in found.labels
        yield f"{indent}{name}{annotation}{f' = {found.value}' if has_value else ''}"


def _parameters(function: griffe.Function) -> Iterator[str]:
    kinds = [parameter.kind for parameter in function.parameters]
    for index, parameter in enumerate(function.parameters):
        keyword_only = griffe.ParameterKind.keyword_only
        is_first = parameter.kind is keyword_only and keyword_only not in kinds[:index]
        if is_first and griffe.ParameterKind.var_positional not in kinds:
            yield "*"
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
        text = f"{stars.get(parameter.kind, '') if parameter.kind else ''}{parameter.name}"
        if parameter.annotation is not None:
            text += f": {parameter.annotation}"
        if parameter.default is not None and not text.startswith("*"):
            text += f" = {parameter.default}"
        yield text


if __name__ == "__main__":
    print(public_api(), end="")
