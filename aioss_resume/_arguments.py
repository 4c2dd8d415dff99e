"""Checks of the arguments of a download, made before anything else."""

import difflib
import errno
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

from aioss_resume._file.disk import USE_STREAM
from aioss_resume._io.resolve import NOT_REGULAR, is_system_path
from aioss_resume._transfer.client import Client
from aioss_resume.errors import ConfigError, ObjectName, local_file_error
from aioss_resume.options import DownloadOptions

_KEY_MOST: Final = 1023  # bytes of UTF-8. Source: OSS's object naming rules

_KEYWORDS: Final = tuple(field.name for field in fields(DownloadOptions))
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


def with_explicit_keywords(function: F) -> F:
    """Show the keywords of DownloadOptions in help() and editors."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(DownloadOptions)
    ]
    function.__signature__ = signature.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
    return function


def download_options(keywords: Mapping[str, Any]) -> DownloadOptions:  # Any: they are checked here
    """The options that the keywords make.

    Raises:
        TypeError: A keyword that there is not; the message names the one that was probably meant.
        ConfigError: A value that cannot be.
    """
    for name in keywords:
        if name not in _KEYWORDS:
            near = difflib.get_close_matches(name, _KEYWORDS, n=1)
            meant = _OTHERS_KEYWORDS.get(name) or (near[0] if near else None)
            hint = f"; did you mean {meant!r}?" if meant else f"; there are {', '.join(_KEYWORDS)}"
            raise TypeError(f"download() got an unexpected keyword argument {name!r}{hint}")
    return DownloadOptions(**keywords)


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


async def destination(client: Client, path: str | os.PathLike[str], name: ObjectName) -> str:
    """The destination as an absolute path, or an error before anything is touched."""
    given = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(given, str) or not given or "\0" in given:
        raise ConfigError(f"path must be a file's path as str or PathLike, not {path!r}")
    if given.endswith(("/", "/.", "/..")) or given in (".", ".."):
        raise local_file_error("download to", errno.EISDIR, given, name=name)
    # A relative path needs the working directory, which is a system call; an absolute path needs none.
    absolute = os.path.abspath
    found = absolute(given) if os.path.isabs(given) else await client.threads.run(absolute, given)  # noqa: PTH117
    if is_system_path(found):
        raise local_file_error("download to", NOT_REGULAR, found, name=name, hint=USE_STREAM)
    return found
