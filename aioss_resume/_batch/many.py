"""download_many(): download many objects, given as pairs of a key and a path."""

import os
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeAlias

from aioss_resume._batch.batch import Work
from aioss_resume._batch.outcomes import Outcome
from aioss_resume._core.objects import ObjectMeta, is_archived
from aioss_resume._io.storage import Storage
from aioss_resume.errors import AiossError, ConfigError, ObjectArchivedError, ObjectName, service_error
from aioss_resume.events import DownloadResult
from aioss_resume.options import DownloadOptions
from aioss_resume.urls import SignedURL

StrPath: TypeAlias = str | os.PathLike[str]
Item: TypeAlias = tuple[str | SignedURL | ObjectMeta, StrPath]
Items: TypeAlias = Iterable[Item] | AsyncIterable[Item]
DownloadInto: TypeAlias = Callable[
    [str | SignedURL, StrPath, DownloadOptions, Storage], Awaitable[tuple[DownloadResult, os.stat_result | None]]
]
"""Downloads a key to a path in a storage; returns how the file was published as well, unless it was not."""


async def many(
    items: Items, bucket_name: str, options: DownloadOptions, download: DownloadInto, storage: Storage
) -> AsyncGenerator[Outcome | Work[Outcome], None]:
    """Yield the work for each item in turn.

    Raises:
        Exception: Whatever the iterable raises.
    """

    def work(item: Item, key: str | SignedURL, path: StrPath, options: DownloadOptions) -> Work[Outcome]:
        async def run() -> list[Outcome]:
            try:
                result, _ = await download(key, path, options, storage)
                return [Outcome(item, result)]
            except Exception as error:  # noqa: BLE001  # what the caller's callback raises, too
                return [Outcome(item, error=error)]

        return run

    async with aclosing(_each(items)) as each:
        async for item in each:
            try:
                key, path = _pair(item)
            except ConfigError as error:
                yield Outcome(item, error=error)
                continue
            if not isinstance(key, ObjectMeta):
                yield work(item, key, path, options)
            elif is_archived(key):
                yield Outcome(item, error=archived_error(ObjectName(bucket_name, key.key), key))
            else:
                is_version = key.version_id is not None and options.version_id is None
                wanted = replace(options, version_id=key.version_id) if is_version else options
                yield work(item, key.key, path, wanted)


def archived_error(name: ObjectName, meta: ObjectMeta) -> AiossError:
    """The error for a listed object that must be restored first: the same class as for OSS's own response."""
    message = f"its storage class is {meta.storage_class}, according to the listing"
    error = service_error(
        403,
        {"Code": "InvalidObjectState", "Message": message},
        name=name,
        text=f"{name}: cannot be read yet: {message}",
    )
    assert isinstance(error, ObjectArchivedError)
    return error


async def _each(items: Items) -> AsyncGenerator[Item, None]:
    """Iterate over a sync or async iterable. A generator is closed at the end."""
    if isinstance(items, AsyncIterable):
        async_iterator = aiter(items)
        try:
            async for item in async_iterator:
                yield item
        finally:
            if isinstance(async_iterator, AsyncGenerator):
                await async_iterator.aclose()
    else:
        iterator = iter(items)
        try:
            for item in iterator:
                yield item
        finally:
            if isinstance(iterator, Generator):
                iterator.close()


def _pair(item: Any) -> Item:  # Any: it is checked here
    """Split an item into key and path, or raise ConfigError. The download itself checks both."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise ConfigError(f"an item must be a pair (key, path), not {item!r:.200}")
    return item[0], item[1]
