"""The objects that the file of --from-file names."""

from dataclasses import dataclass
from typing import TypeAlias

import click

from aioss_resume.cli.place import file_name_of, is_url, key_of_url, parse_address
from aioss_resume.errors import ConfigError, local_file_error
from aioss_resume.urls import SignedURL

Item: TypeAlias = tuple[str | SignedURL, str]
"""What to download, and the path of its file."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The objects of a list.

    Attributes:
        bucket: The name of the bucket that all keys are in; None if there are presigned addresses only.
    """

    bucket: str | None
    items: list[Item]


def read_list(path: str, bucket: str | None, directory: str) -> Listed:
    """Read a file with a key, an oss:// address or a presigned address on each line; "-" is standard input.

    Blank lines, and those that begin with "#", are skipped. Files are named like the last part of the key.

    Args:
        bucket: The bucket of the keys; None if the lines name it.
        directory: Where the files go.

    Raises:
        ConfigError: A line names no object, one of another bucket, or one whose file another line has already.
        LocalFileError: The file could not be read.
    """
    try:
        with click.open_file(path, encoding="utf-8-sig") as file:
            lines = file.read().split("\n")  # splitlines() would split keys, too
    except OSError as error:
        raise local_file_error("read the list", error, path) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"the list {path!r} is not UTF-8: {error.reason} at byte {error.start}") from None
    lines_by_target: dict[str, int] = {}
    items: list[Item] = []
    for number, text in enumerate(map(str.strip, lines), 1):
        if not text or text.startswith("#"):
            continue
        try:
            bucket, key, name = _parse(text, bucket)
        except ConfigError as error:
            problem, hint = error.args[0], error.hint
        else:
            target = f"{directory}/{name}"
            first = lines_by_target.setdefault(target, number)
            if first == number:
                items.append((key, target))
                continue
            problem = f"it would be downloaded to {target!r}, as line {first}"
            hint = "download them by two lists, or with mirror and --include, which keeps directories"
        raise ConfigError(f"line {number} of {path!r}: {problem}", hint=hint)
    return Listed(bucket, items)


def _parse(text: str, bucket: str | None) -> tuple[str | None, str | SignedURL, str]:
    """The bucket, what to download from it, and the name of the file."""
    key: str | SignedURL = text
    if is_url(text):
        key = SignedURL(text)
        text = key_of_url(text)
    elif text.startswith("oss://"):
        address = parse_address(text)
        bucket, expected = address.bucket, bucket or address.bucket
        if bucket != expected:
            raise ConfigError(f"it is of the bucket {bucket!r}, and not of {expected!r}")
        key = text = address.key
    elif bucket is None:
        raise ConfigError("it names no bucket", hint="pass oss://BUCKET/ before the directory")
    name = file_name_of(text)
    if not name:
        raise ConfigError("it has no name that a file could have")
    return bucket, key, name
