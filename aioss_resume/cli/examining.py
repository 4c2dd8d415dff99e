"""doctor: check that this machine has what downloads need."""

import asyncio
import platform
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import aiohttp
import click
from yarl import URL

from aioss_resume._core.crc64 import crc64
from aioss_resume._core.objects import read_http_date
from aioss_resume._io.clock import Clock
from aioss_resume._io.session import proxy_for
from aioss_resume._io.storage import CREATE, STORAGE, sync_directory
from aioss_resume._io.translate import request_error
from aioss_resume.cli.exits import DONE, SOME_FAILED
from aioss_resume.cli.place import Place
from aioss_resume.cli.showing import print_json
from aioss_resume.cli.sizes import in_words
from aioss_resume.errors import ConfigError
from aioss_resume.urls import url_name

_PACKAGES: Final = ("aioss-resume", "aiohttp", "aiofiles", "oss2", "anyio", "fastcrc", "uvloop")
_SECONDS: Final = 10.0  # timeout for the response of the endpoint
_SKEW_MOST: Final = 900  # seconds: OSS refuses more


async def doctor(place: Place, directory: str, *, as_json: bool) -> int:
    """Print the findings. Returns the exit code: 1 if something is wrong."""
    wrong = 0

    def say(is_right: bool | None, text: str) -> None:
        nonlocal wrong
        wrong += is_right is False
        if as_json:
            print_json(ok=is_right, text=text)
            return
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
        async for found in _reach(place.endpoint):
            say(*found)
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


async def _reach(endpoint: str) -> AsyncIterator[tuple[bool, str]]:
    """Check that OSS responds at the endpoint, how TLS is spoken, and how far its clock is from ours."""
    name, problem = url_name(endpoint), ""
    try:
        proxy = proxy_for(endpoint, None, is_own_session=True)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
            session.get(endpoint, allow_redirects=False, proxy=proxy) as response,
        ):
            now, sent = Clock().utc(), read_http_date(response.headers.get("Date"))
            is_oss = "x-oss-request-id" in response.headers
        if endpoint.startswith("https://") and proxy is None:
            yield True, f"{endpoint} speaks {await _tls_of(urlsplit(endpoint))}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        problem = str(request_error(error, name, _SECONDS, URL(endpoint), has_answered=False))
    except ConfigError as error:
        problem = str(error)
    if problem:
        yield False, problem
    elif not is_oss:
        yield False, f"{endpoint} answers, but not as OSS does (no x-oss-request-id)"
    else:
        offset = round((sent - now).total_seconds()) if sent is not None else 0
        yield abs(offset) < _SKEW_MOST, f"{endpoint} answers as OSS does; its clock is {offset:+} s from ours"


async def _tls_of(endpoint: SplitResult) -> str:
    """The version, the cipher and the end of the certificate of a connection."""
    context = ssl.create_default_context()
    _, writer = await asyncio.open_connection(endpoint.hostname, endpoint.port or 443, ssl=context)
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        cipher, certificate = tls.cipher(), tls.getpeercert()
        assert cipher is not None
        assert certificate is not None
        return f"{tls.version()} with {cipher[0]}; its certificate is valid until {certificate['notAfter']}"
    finally:
        writer.close()


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
