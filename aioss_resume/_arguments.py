"""Checks of arguments, made before anything else."""

import difflib
import errno
import inspect
import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

from aioss_resume._core.slices import Slice
from aioss_resume._core.windows_names import problem_of_path
from aioss_resume._file.disk import USE_STREAM
from aioss_resume._io.resolve import is_system_path, system_path_error
from aioss_resume._io.storage import STORAGE
from aioss_resume._transfer.client import Client
from aioss_resume.errors import NO_WORKING_DIRECTORY, ConfigError, ObjectName, local_file_error
from aioss_resume.options import ReadOptions
from aioss_resume.urls import SignedURL

_KEY_MOST: Final = 1023  # bytes of UTF-8. Source: OSS's object naming rules

_OTHERS_KEYWORDS: Final = {
    "num_threads": "concurrency",
    "filename": "path",
    "byte_range": "part_size",
    "process": "params={'x-oss-process': ...}",
    "versionId": "version_id",
    "parallel_num": "concurrency",
}
# What oss2 and alibabacloud-oss-v2 call these keywords.

F = TypeVar("F", bound=Callable[..., Any])  # Any: every signature
O = TypeVar("O", bound=ReadOptions)  # noqa: E741


def with_keywords_of(options: type[ReadOptions]) -> Callable[[F], F]:
    """Show the keywords of an options class in help() and editors."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        keywords = [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in fields(options)
        ]
        function.__signature__ = signature.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
        return function

    return decorate


def checked_options(
    options: type[O],
    function: str,
    keywords: Mapping[str, Any],  # Any: they are checked here
    *own: str,
) -> O:
    """The options that the keywords of a function make.

    Args:
        own: The function's other keywords, which an error may name too.

    Raises:
        TypeError: A keyword that there is not; the message names the one that was probably meant.
        ConfigError: A value that cannot be.
    """
    accepted = tuple(field.name for field in fields(options)) if keywords else ()
    for name in keywords:
        if name not in accepted:
            names = (*own, *accepted)
            near = difflib.get_close_matches(name, names, n=1)
            known = _OTHERS_KEYWORDS.get(name)
            meant = (
                known if known is not None and known.split("=")[0] in (*names, "path") else near[0] if near else None
            )
            hint = f"; did you mean {meant!r}?" if meant else f"; there are {', '.join(names)}"
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")
    return options(**keywords)


def object_name(bucket_name: str, key: Any) -> ObjectName:  # Any: it is checked here
    """The name of an object.

    Raises:
        ConfigError: OSS takes no such key.
    """
    if not isinstance(key, str) or not key:
        raise ConfigError(f"key must be a string that is not empty, not {key!r}")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= _KEY_MOST:
        raise ConfigError(f"key must have 1 to {_KEY_MOST} bytes of UTF-8; {ascii(key)[:80]} has not")
    return ObjectName(bucket_name, key)


def checked_names(**names: Any) -> None:  # Any: they are checked here
    """Raise ConfigError unless each argument can be part of a key: a prefix, a delimiter, a key to start after."""
    for parameter, value in names.items():
        if value is None and parameter != "prefix":
            continue
        if not isinstance(value, str):
            raise ConfigError(f"{parameter} must be a string, not {value!r}")
        try:
            length = len(value.encode())
        except UnicodeEncodeError:
            length = _KEY_MOST + 1
        if length > _KEY_MOST:
            raise ConfigError(f"{parameter} must have at most {_KEY_MOST} bytes of UTF-8; {ascii(value)[:80]} has not")


async def destination(client: Client, path: str | os.PathLike[str], name: ObjectName) -> str:
    """Make the destination an absolute path. Raises an error before anything is touched."""
    given = checked_path(path, "path")
    slashes = given.replace("\\", "/") if STORAGE.has_windows_names else given
    if slashes.endswith(("/", "/.", "/..")) or given in (".", ".."):
        raise local_file_error("download to", errno.EISDIR, given, name=name)
    refuse_other_meanings(given, name)
    # A relative path needs the working directory, which is a system call; an absolute path needs none.
    absolute = os.path.abspath
    try:
        found = absolute(given) if os.path.isabs(given) else await client.threads.run(absolute, given)  # noqa: PTH117
    except OSError as error:
        raise local_file_error("download to", error, given, name=name, hint=NO_WORKING_DIRECTORY) from None
    if is_system_path(found):
        raise local_file_error("download to", system_path_error(found), name=name, hint=USE_STREAM)
    return found


def refuse_other_meanings(path: str, name: ObjectName) -> None:
    """Raise LocalFileError for a path with a special meaning on this system: a device or stream on Windows."""
    if STORAGE.has_windows_names and (problem := problem_of_path(path)) is not None:
        raise local_file_error("download to", errno.EINVAL, path, name=name, hint=f"on Windows {problem}")


def checked_path(path: Any, parameter: str) -> str:  # Any: it is checked here
    """Check a path and return it as a string. Raises ConfigError."""
    given = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(given, str) or not given or "\0" in given:
        what = "a file's path" if parameter == "path" else "a path"
        raise ConfigError(f"{parameter} must be {what} as str or PathLike, not {path!r}")
    return given


def checked_slice(start: Any, stop: Any, *, most: int | None = None) -> Slice:  # Any: they are checked here
    """Make the slice of an object. Raises ConfigError unless both offsets are integers or None."""
    try:
        return Slice(_offset(start), _offset(stop), most)
    except TypeError:
        raise ConfigError(f"start and stop must be whole numbers or None, not {start!r} and {stop!r}") from None


def checked_ranges(ranges: Any) -> list[Slice]:  # Any: they are checked here
    """Make slices from pairs of offsets. Raises ConfigError."""
    try:
        pairs = [(start, stop) for start, stop in ranges]
    except (TypeError, ValueError):
        raise ConfigError("ranges must be pairs of offsets: [(start, stop), ...]") from None
    return [checked_slice(start, stop) for start, stop in pairs]


def refuse_signed_keywords(key: object, options: ReadOptions) -> None:
    """Raise ConfigError for options that must be signed if the object is a presigned address."""
    if not isinstance(key, SignedURL):
        return
    given = [name for name in ("version_id", "params") if getattr(options, name)]
    given += [name for name in options.headers or () if name.lower().startswith("x-oss-")]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: nothing can be added to a SignedURL that would have to be signed",
            hint="let the one who signs the address put it in there",
        )


def _offset(value: Any) -> int | None:  # Any: it is checked here
    return None if value is None else operator.index(value)
