"""The commands ls, stat, cat and verify."""

import errno
from pathlib import Path
from typing import Any, TypeAlias

import click

from aioss_resume._io.threads import Threads
from aioss_resume._io.verify import crc64_of_file
from aioss_resume.cli.exits import DONE, INTEGRITY, NOT_FOUND, on_stderr
from aioss_resume.cli.place import Address
from aioss_resume.cli.showing import print_json
from aioss_resume.cli.sizes import in_words
from aioss_resume.cli.writing import write_object_out
from aioss_resume.downloader import Downloader
from aioss_resume.errors import ConfigError, ObjectName, local_file_error, printable

Headers: TypeAlias = dict[str, str] | None
"""More headers of the requests."""


async def ls(bucket: Any, source: Address, *, headers: Headers, recursive: bool, as_json: bool) -> int:
    """List the objects and prefixes below an address. Any: oss2 has no types."""
    found = 0
    async with (
        Downloader(bucket) as downloader,
        downloader.list(source.key, delimiter=None if recursive else "/", headers=headers) as objects,
    ):
        async for meta in objects:
            found += 1
            when = meta.last_modified.strftime("%Y-%m-%d %H:%M:%S") if meta.last_modified else "-"
            if as_json:
                fields = {"key": meta.key, "size": meta.size, "etag": meta.etag, "storage_class": meta.storage_class}
                print_json(**fields, last_modified=when)
            else:
                click.echo(f"{when}  {in_words(meta.size):>12}  {printable(meta.key)}")
        for prefix in objects.prefixes:
            found += 1
            if as_json:
                print_json(prefix=prefix)
            else:
                click.echo(f"{'':19}  {'':>12}  {printable(prefix)}")
    if found or not source.key:
        return DONE
    on_stderr(f"nothing is at {source}")
    return NOT_FOUND


async def stat(bucket: Any, source: Address, *, headers: Headers, version_id: str | None, as_json: bool) -> int:
    """Print the metadata of an object. Any: as above."""
    async with Downloader(bucket) as downloader:
        meta = await downloader.head(source.key, version_id=version_id, headers=headers)
    fields = {
        "key": meta.key,
        "size": meta.size,
        "etag": meta.etag,
        "crc64": meta.crc64,
        "version_id": meta.version_id,
        "last_modified": meta.last_modified and meta.last_modified.isoformat(),
        "content_type": meta.content_type,
        "storage_class": meta.storage_class,
        "object_type": meta.object_type,
        **{f"meta-{name}": value for name, value in meta.user_metadata.items()},
    }
    if as_json:
        print_json(**fields)
    else:
        for name, value in fields.items():
            if value is not None:
                click.echo(f"{name:14} {printable(str(value))}")
    return DONE


async def cat(bucket: Any, source: Address, *, headers: Headers, version_id: str | None) -> int:
    """Write an object to standard output; it is verified before its last byte. Any: as above."""
    async with Downloader(bucket) as downloader:
        await write_object_out(downloader, source.key, version_id=version_id, headers=headers)
    return DONE


async def verify(
    bucket: Any, path: str, source: Address, *, headers: Headers, version_id: str | None, as_json: bool
) -> int:
    """Compare a file with an object, by size and CRC-64; nothing is downloaded. Any: as above."""
    async with Downloader(bucket) as downloader:
        meta = await downloader.head(source.key, version_id=version_id, headers=headers)
    name = ObjectName(source.bucket, source.key)
    if meta.crc64 is None:
        raise ConfigError(f"{source}: OSS knows no CRC-64 of it", name=name, hint="it is older than OSS's use of them")
    threads = Threads()
    try:
        size = await threads.run(_size_of, path)
        if size is None:
            raise local_file_error("verify", errno.ENOENT, path, name=name)
        found = await crc64_of_file(Path(path), meta.size, threads, name=name)
    finally:
        await threads.close()
    is_same = (size, found) == (meta.size, meta.crc64)
    if as_json:
        sides = {
            "file": {"path": path, "size": size, "crc64": found},
            "object": {"size": meta.size, "crc64": meta.crc64},
        }
        print_json(key=source.key, same=is_same, **sides)
    elif size != meta.size:
        click.echo(f"differs: {printable(path)} has {size} bytes, and the object {meta.size}")
    elif not is_same:
        click.echo(f"differs: {printable(path)} has CRC-64 {found}, and the object {meta.crc64}")
    else:
        click.echo(f"same: {printable(path)}, {meta.size} bytes, CRC-64 {meta.crc64}")
    return DONE if is_same else INTEGRITY


def _size_of(path: str) -> int | None:
    file = Path(path)
    return file.stat().st_size if file.is_file() else None
