"""doctor: check that this machine has what downloads need."""

import asyncio
import platform
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import click

from aioss_resume._core.crc64 import crc64
from aioss_resume._core.objects import read_http_date
from aioss_resume._io.clock import Clock
from aioss_resume._io.storage import CREATE, STORAGE, sync_directory
from aioss_resume.cli.exits import DONE, SOME_FAILED
from aioss_resume.cli.place import Place
from aioss_resume.cli.sizes import in_words

_PACKAGES: Final = ("aioss-resume", "aiohttp", "aiofiles", "oss2", "anyio", "fastcrc", "uvloop")
_SKEW_MOST: Final = 900  # seconds: OSS refuses more


async def doctor(place: Place, directory: str) -> int:
    """Print the findings. Returns the exit code: 1 if something is wrong."""
    wrong = 0

    def say(is_right: bool | None, text: str) -> None:
        nonlocal wrong
        wrong += is_right is False
        click.echo(f"{ {True: 'ok   ', False: 'WRONG', None: '     '}[is_right] }  {text}")

    say(None, f"Python {platform.python_version()} on {platform.system()} {platform.release()}")
    say(None, ", ".join(_versions()))
    loop = type(asyncio.get_running_loop())
    say(
        None,
        f"event loop {loop.__module__}.{loop.__qualname__}; uvloop is {'' if find_spec('uvloop') else 'not '}there",
    )
    say(True, f"CRC-64 of {in_words(await asyncio.to_thread(_crc_speed))} a second")
    say(
        place.keys is not None,
        f"access keys: {f'from {place.source}' if place.keys else place.problem or 'none were found'}",
    )
    say(place.endpoint is not None, f"endpoint: {place.endpoint or 'not known: set OSS_ENDPOINT or OSS_REGION'}")
    say(place.region is not None, f"region: {place.region or 'not known: set OSS_REGION'}")
    if place.endpoint is not None:
        say(*await _reach(place.endpoint))
        if place.endpoint.startswith("http://") and urlsplit(place.endpoint).hostname not in ("127.0.0.1", "localhost"):
            say(False, "the endpoint is http: keys' signatures and bytes travel unencrypted; use https")
    for found in await asyncio.to_thread(lambda: list(_disk(directory))):
        say(*found)
    return SOME_FAILED if wrong else DONE


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def _crc_speed() -> int:
    data, began = bytes(64 << 20), time.perf_counter()
    crc64(data)
    return int(len(data) / (time.perf_counter() - began))


async def _reach(endpoint: str) -> tuple[bool, str]:
    """Check that OSS responds at the endpoint, and how far its clock is from ours."""
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(endpoint, allow_redirects=False) as response,
        ):
            now, sent = Clock().utc(), read_http_date(response.headers.get("Date"))
            if not response.headers.get("x-oss-request-id"):
                return False, f"{endpoint} answers, but not as OSS does (no x-oss-request-id)"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return False, f"{endpoint} cannot be reached: {type(error).__name__}"
    offset = round((sent - now).total_seconds()) if sent is not None else 0
    text = f"{endpoint} answers as OSS does; its clock is {offset:+} s from ours"
    return abs(offset) < _SKEW_MOST, text


def _disk(directory: str) -> Iterator[tuple[bool, str]]:
    """Check that locks and fsync work in the directory, and how much space is free."""
    try:
        path = Path(directory, f".aioss-resume.doctor.{Clock().token()}")
        descriptor = STORAGE.open(path, CREATE)
        try:
            room: Any = STORAGE.room(descriptor)
            yield True, f"{directory}: {in_words(room) if room is not None else 'unknown'} free"
            try:
                locked = STORAGE.lock(descriptor)
                yield locked, f"{directory}: locks {'work' if locked else 'are taken by nobody, and refused'}"
            except OSError as error:
                yield False, f"{directory}: no locks ({error.strerror}); two processes may fetch the same object"
            began = time.perf_counter()
            try:
                STORAGE.write_at(descriptor, [memoryview(bytes(4096))], 0)
                STORAGE.fsync(descriptor)
                sync_directory(STORAGE, Path(directory))
                yield True, f"{directory}: fsync takes {1000 * (time.perf_counter() - began):.1f} ms"
            except OSError as error:
                yield False, f"{directory}: fsync fails ({error.strerror})"
        finally:
            STORAGE.close(descriptor)
            STORAGE.unlink(path)
    except OSError as error:
        yield False, f"{directory}: no file can be made there ({error.strerror})"
