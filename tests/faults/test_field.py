"""The catalogue's rows F: what users of downloaders have reported, and what reviews of this one have found."""
# ruff: noqa: N802

import asyncio
import errno
import json
import os
import socket
import ssl
import stat
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import oss2
import pytest
import trustme
from flow.canary import Watch
from flow.forward_proxy import Proxy
from flow.ranged import PART, RANGED, SIZE, interrupt, whole
from oss2.credentials import Credentials, CredentialsProvider
from over_old import OLD, Pins, brings, fails, is_there, put

import aioss_resume
from aioss_resume import (
    ConfigError,
    CredentialsError,
    Downloader,
    DownloadInProgressError,
    IntegrityError,
    LocalFileError,
    ProtocolError,
    RequestError,
    ServiceError,
)
from aioss_resume.testing import KiB, LocalOSS, MiB

pytestmark = pytest.mark.anyio

ONCE = {"retry": aioss_resume.RetryPolicy(attempts=1)}
SMALL = 1000
SIZES = pytest.mark.parametrize("size", [SMALL, SIZE])


async def run_python(program: str, *arguments: str, environment: dict[str, str] | None = None, **files: Any) -> str:
    """What a program printed; it must end well, and must say nothing on its standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})}, **files,
    )  # fmt: skip
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert errors.decode() == ""
    return said.decode()


@pytest.fixture
def system_links() -> Iterator[dict[str, str]]:
    """The links of /dev, which are as before at the end, also if a test that runs as root should fail."""
    before = {path: os.readlink(path) for path in ("/dev/stdout", "/dev/stderr", "/dev/fd")}
    yield before
    for path, target in before.items():
        if not Path(path).is_symlink():
            Path(path).unlink()
            Path(path).symlink_to(target)


@pytest.mark.parametrize("redirected_to", ["file", "pipe"])
async def test_F01_standard_output_is_refused_and_its_link_stays(
    oss: LocalOSS, tmp_path: Path, system_links: dict[str, str], redirected_to: str
) -> None:
    put(oss, SMALL)
    program = """
        import asyncio, sys, oss2, aioss_resume
        bucket = oss2.Bucket(oss2.AuthV4("a", "s"), sys.argv[1], "examplebucket", region="cn-hangzhou")
        try:
            asyncio.run(aioss_resume.download(bucket, "key", "/dev/stdout"))
        except aioss_resume.LocalFileError as error:
            open(sys.argv[2], "w").write(str(error))
    """
    output, message = tmp_path / "output", tmp_path / "message"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(program), oss.endpoint, str(message),
            stdout=file if redirected_to == "file" else asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await process.communicate()
    assert process.returncode == 0
    assert (said or b"", output.read_bytes()) == (b"", b"")
    assert "stream()" in message.read_text()
    assert {path: os.readlink(path) for path in system_links} == system_links
    assert oss.requests == []


@pytest.mark.parametrize(
    "path",
    ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/null", "/dev/full", "/dev/new", "/dev/../dev/new", "/proc/new",
     "/proc/self/fd/1", "/proc/self/cwd/new", "link", "chain", "directory/new"],
)  # fmt: skip
async def test_F01_nothing_in_dev_or_proc_is_a_destination(
    oss: LocalOSS, bucket: Any, tmp_path: Path, system_links: dict[str, str], path: str
) -> None:
    put(oss, SMALL)
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "chain").symlink_to("link")
    (tmp_path / "directory").symlink_to("/dev")
    before = sorted(os.listdir("/dev"))
    with pytest.raises(LocalFileError) as caught:
        await aioss_resume.download(bucket, "key", tmp_path / path, **ONCE)
    assert "stream()" in str(caught.value)
    assert oss.requests == []
    assert sorted(os.listdir("/dev")) == before
    assert {path: os.readlink(path) for path in system_links} == system_links


@SIZES
@pytest.mark.parametrize("target_exists", [True, False])
async def test_F02_file_that_a_link_leads_to_is_replaced_and_the_links_stay(
    oss: LocalOSS, bucket: Any, tmp_path: Path, size: int, target_exists: bool
) -> None:
    put(oss, size)
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    if target_exists:
        (elsewhere / "target").write_bytes(OLD)
    (elsewhere / "second").symlink_to("target")
    (here / "first").symlink_to("../elsewhere/second")
    result = await aioss_resume.download(bucket, "key", here / "first", **RANGED)
    assert result.path == here / "first"
    assert (elsewhere / "target").read_bytes() == whole(size)
    assert not (elsewhere / "target").is_symlink()
    assert (os.readlink(here / "first"), os.readlink(elsewhere / "second")) == ("../elsewhere/second", "target")
    assert sorted(os.listdir(here)) == ["first"]
    assert sorted(os.listdir(elsewhere)) == ["second", "target"]


async def test_F02_interrupted_download_through_a_link_is_resumed_beside_its_target(
    oss: LocalOSS, bucket: Any, tmp_path: Path
) -> None:
    put(oss)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/target")
    await interrupt(bucket, oss, tmp_path / "link")
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "link"]
    result = await aioss_resume.download(bucket, "key", tmp_path / "link", **RANGED)
    assert result.resumed_bytes == 5 * PART
    assert (tmp_path / "elsewhere" / "target").read_bytes() == whole()


async def test_F02_loop_of_links_is_refused(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    put(oss, SMALL)
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(LocalFileError) as caught:
        await aioss_resume.download(bucket, "key", tmp_path / "a")
    assert caught.value.errno == errno.ELOOP
    assert oss.requests == []


@pytest.mark.parametrize("overwrite", ["always", "if_changed"])
async def test_F02_link_planted_by_another_user_is_refused(
    oss: LocalOSS, bucket: Any, tmp_path: Path, overwrite: Any
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a link away")
    put(oss, SMALL)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    target = tmp_path / "target"
    target.write_bytes(OLD)
    (shared / "planted").symlink_to(target)
    os.lchown(shared / "planted", 65534, 65534)
    with pytest.raises(PermissionError) as caught:
        await aioss_resume.download(bucket, "key", shared / "planted", overwrite=overwrite)
    assert isinstance(caught.value, LocalFileError)
    assert target.read_bytes() == OLD
    assert oss.requests == []
    shared.chmod(0o777)  # without the sticky bit the link is followed, as the kernel does
    await aioss_resume.download(bucket, "key", shared / "planted", overwrite=overwrite)
    assert target.read_bytes() == whole(SMALL)


@SIZES
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o660, 0o755, 0o400])
async def test_F03_permission_bits_of_the_replaced_file_are_kept(
    oss: LocalOSS, bucket: Any, path: Path, size: int, mode: int
) -> None:
    put(oss, size)
    path.chmod(mode)
    await brings(bucket, path, whole(size))
    assert stat.S_IMODE(path.stat().st_mode) == mode


@SIZES
async def test_F03_group_of_the_replaced_file_is_kept(oss: LocalOSS, bucket: Any, path: Path, size: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give any group away")
    put(oss, size)
    os.chown(path, -1, 65534)
    path.chmod(0o640)
    await brings(bucket, path, whole(size))
    assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (65534, 0o640)


async def held_download(bucket: Any, path: Path, gate: Any) -> asyncio.Task[aioss_resume.DownloadResult]:
    """A download that waits for the gate half-way."""
    gate.close(5 * PART)
    task = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED))
    await gate.is_reached()
    return task


async def test_F04_joining_caller_with_fsync_has_the_file_on_the_disk(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(oss)
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    first = await held_download(bucket, path, gate)  # without fsync
    second = asyncio.create_task(aioss_resume.download(bucket, "key", path, **{**RANGED, "fsync": True}))
    await asyncio.sleep(0)
    synced.clear()
    gate.open()
    assert await first == await second
    assert [name for name in synced if name in (str(path), str(path.parent))] == [str(path), str(path.parent)]


async def test_F04_joining_caller_that_may_not_overwrite_gets_its_own_error(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any
) -> None:
    put(oss)
    first = await held_download(bucket, path, gate)
    with pytest.raises(FileExistsError):
        await aioss_resume.download(bucket, "key", path, **RANGED, overwrite="never")
    assert not first.done()
    gate.open()
    assert (await first).verified
    is_there(path)


async def test_F04_joining_caller_that_may_not_overwrite_joins_where_nothing_was(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any
) -> None:
    put(oss)
    path.unlink()
    first = await held_download(bucket, path, gate)
    second = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED, overwrite="never"))
    await asyncio.sleep(0)
    gate.open()
    assert await first == await second


async def test_F04_joining_caller_that_requires_integrity_gets_its_own_error(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any
) -> None:
    put(oss, no_crc=True)
    first = await held_download(bucket, path, gate)
    second = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED, integrity="require"))
    await asyncio.sleep(0)
    gate.open()
    assert not (await first).verified
    with pytest.raises(IntegrityError):
        await second
    is_there(path)


async def test_F04_first_callers_policy_is_no_error_of_the_caller_that_joined(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any
) -> None:
    put(oss, no_crc=True)
    first = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED, integrity="require"))
    second = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED))
    with pytest.raises(IntegrityError):
        await first
    assert not (await second).verified
    is_there(path)


async def test_F04_joining_caller_that_does_not_wait_gets_its_own_error(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any
) -> None:
    put(oss)
    other = oss.put("examplebucket", "other", size=SIZE, seed=2)
    first = await held_download(bucket, path, gate)
    with pytest.raises(DownloadInProgressError):
        await aioss_resume.download(bucket, other.key, path, **RANGED, on_busy="fail")
    gate.open()
    assert (await first).verified


async def test_F05_slow_request_is_given_up_while_parts_wait(oss: LocalOSS, bucket: Any, path: Path) -> None:
    part, parts = MiB, 24
    size = part * parts
    put(oss, size)
    oss.faults.slow(2 * MiB, times=None)
    # Set last, so it replaces the other fault for this range.
    slow = oss.faults.slow(10 * KiB, range=(4 * part, 5 * part))
    keywords = {"part_size": part, "multiget_threshold": part, "concurrency": 4}
    await brings(bucket, path, whole(size), **keywords)
    assert slow.hits == 1
    requests = oss.requests
    slow_part = [number for number, request in enumerate(requests) if 4 * part <= request.range[0] < 5 * part]
    last_part = next(number for number, request in enumerate(requests) if request.range[0] == size - part)
    assert len(slow_part) >= 2
    assert slow_part[1] < last_part
    assert len(requests) <= parts + 4 + parts // 10


@pytest.mark.parametrize(
    "settings",
    [
        {"headers": {"Accept-Encoding": "gzip, br", "User-Agent": "theirs"}},
        {"headers": {"x-oss-foo": "bar", "X-Oss-Request-Payer": "requester"}},
        {"headers": {"Content-Type": "text/plain", "Content-MD5": "x"}},
        {"headers": {"x-something": "else"}},
        {"cookies": {"session": "cookie"}},
        {"raise_for_status": True},
        {"timeout": aiohttp.ClientTimeout(total=0.001)},
        {"timeout": aiohttp.ClientTimeout(total=0.001, connect=0.0001, sock_read=0.0001)},
        {"auto_decompress": False},
        {"read_bufsize": 1000},
        {"trust_env": True},
        {"trace_configs": [aiohttp.TraceConfig()]},
        {"skip_auto_headers": ["User-Agent", "Accept"]},
        {"version": aiohttp.HttpVersion11},
        {"max_line_size": 4096},
        {"requote_redirect_url": False},
    ],
    ids=lambda settings: " ".join(f"{name}={str(value)[:30]}" for name, value in settings.items()),
)
async def test_F06_session_with_that_setting_downloads(
    oss: LocalOSS, bucket: Any, path: Path, settings: dict[str, Any]
) -> None:
    put(oss)
    async with aiohttp.ClientSession(**settings) as session, Downloader(bucket, session=session) as downloader:
        assert (await downloader.download("key", path, **RANGED)).verified
    is_there(path)
    assert {record.status for record in oss.requests} == {206}


@pytest.mark.parametrize("connector", [{"limit": 1}, {"limit_per_host": 1}, {"force_close": True}, {"limit": 0}])
async def test_F06_session_with_that_connector_downloads(
    oss: LocalOSS, bucket: Any, path: Path, connector: dict[str, Any]
) -> None:
    put(oss)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(**connector)) as session,
        Downloader(bucket, session=session) as downloader,
    ):
        assert (await downloader.download("key", path, **RANGED)).verified
    is_there(path)
    if 1 in connector.values() and "force_close" not in connector:
        assert oss.peak_in_flight == 1


async def test_F06_session_with_a_base_url_downloads_or_is_refused_by_name(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    put(oss)
    refusal = ""
    async with aiohttp.ClientSession(base_url="http://127.0.0.1:1/api/") as session:
        try:
            async with Downloader(bucket, session=session) as downloader:
                assert (await downloader.download("key", path, **RANGED)).verified
        except ConfigError as error:  # aiohttp 3.11 asserts that every address is relative to it
            refusal = str(error)
    if refusal:
        assert "base_url" in refusal
        assert oss.requests == []
    else:
        is_there(path)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"headers": {"Authorization": "Basic canary-word"}}, "Authorization"),
        ({"headers": {"range": "bytes=0-1"}}, "range"),
        ({"headers": {"If-Match": "canary-word"}}, "If-Match"),
        ({"headers": {"Host": "example.com"}}, "Host"),
        ({"headers": {"x-oss-security-token": "canary-word"}}, "x-oss-security-token"),
    ],
)
async def test_F06_setting_that_breaks_signed_requests_is_refused_by_name(
    oss: LocalOSS, bucket: Any, settings: dict[str, Any], named: str
) -> None:
    async with aiohttp.ClientSession(**settings) as session:
        with pytest.raises(ConfigError, match=named) as caught:
            Downloader(bucket, session=session)
    assert "canary-word" not in str(caught.value)
    assert oss.requests == []


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
async def test_F06_session_with_auth_is_refused_by_name(oss: LocalOSS, bucket: Any) -> None:
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "canary-word")) as session:
        with pytest.raises(ConfigError, match="auth=") as caught:
            Downloader(bucket, session=session)
    assert "canary-word" not in str(caught.value)
    assert oss.requests == []


def bucket_at(endpoint: str, name: str = "examplebucket") -> Any:
    return oss2.Bucket(oss2.AuthV4("a", "s"), endpoint, name, region="cn-hangzhou", is_path_style=True)


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_F07_https_endpoint_of_an_http_server_is_named_in_the_hint(
    oss: LocalOSS, path: Path, watch: Watch
) -> None:
    bucket = bucket_at(f"https://127.0.0.1:{oss.port}")
    error = await fails(watch, RequestError, bucket, path)
    assert f"http://127.0.0.1:{oss.port}" in error.hint
    assert "does not speak TLS" in str(error)


async def test_F07_http_endpoint_of_an_https_server_is_named_in_the_hint(path: Path, watch: Watch) -> None:
    with LocalOSS(tls=tls_context()) as oss:
        error = await fails(watch, (RequestError, ProtocolError), bucket_at(f"http://127.0.0.1:{oss.port}"), path)
        assert "https://" in error.hint


async def test_F07_error_of_nginx_for_http_at_an_https_port_has_a_hint(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    page = b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"
    oss.faults.status(400, body=page, times=None)
    error = await fails(watch, ServiceError, bucket, path)
    assert "https://" in error.hint


async def test_F07_tls_alert_as_a_response_to_http_has_a_hint(path: Path, watch: Watch) -> None:
    async def answer_with_an_alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x15\x03\x01\x00\x02\x02\x46")
        writer.close()

    async with await asyncio.start_server(answer_with_an_alert, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await fails(watch, ProtocolError, bucket_at(f"http://127.0.0.1:{port}"), path)
    assert "https://" in error.hint


@pytest.mark.parametrize(
    ("endpoint", "hint"),
    [
        ("https://examplebucket.oss-cn-hangzhou.aliyuncs.com", "https://oss-cn-hangzhou.aliyuncs.com"),
        ("http://examplebucket.oss-cn-hangzhou-internal.aliyuncs.com", "http://oss-cn-hangzhou-internal.aliyuncs.com"),
        ("https://oss.console.aliyun.com/bucket/oss-cn-hangzhou/examplebucket", "https://oss-cn-hangzhou.aliyuncs.com"),
    ],
)
async def test_F07_wrong_address_is_refused_with_the_right_form(path: Path, endpoint: str, hint: str) -> None:
    bucket = oss2.Bucket(oss2.AuthV4("a", "s"), endpoint, "examplebucket", region="cn-hangzhou")
    with pytest.raises(ConfigError) as caught:
        await aioss_resume.download(bucket, "key", path)
    assert caught.value.hint is not None
    assert hint in caught.value.hint


async def test_F07_path_in_the_endpoint_is_ignored_as_oss2_does(oss: LocalOSS, path: Path) -> None:
    put(oss)
    auth = oss2.AuthV4("local-access-key-id", "local-access-key-secret")
    endpoint = f"{oss.endpoint}/some/path?and=query"
    bucket = oss2.Bucket(auth, endpoint, "examplebucket", region="cn-hangzhou")
    await brings(bucket, path)


async def test_F07_error_for_a_closed_port_says_connection_refused(path: Path, watch: Watch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = await fails(watch, RequestError, bucket_at(f"http://127.0.0.1:{port}"), path)
    assert f"could not connect to 127.0.0.1:{port} (connection refused)" in str(error)
    assert error.errno == errno.ECONNREFUSED
    assert "endpoint" in error.hint


@pytest.mark.parametrize("port", ["", ":8080"])
async def test_F07_unknown_host_with_the_buckets_name_twice(path: Path, watch: Watch, port: str) -> None:
    endpoint = f"http://examplebucket.host.invalid{port}"
    bucket = oss2.Bucket(oss2.AuthV4("a", "s"), endpoint, "examplebucket", region="cn-hangzhou")
    error = await fails(watch, RequestError, bucket, path)
    assert "no such host" in str(error)
    assert error.hint.endswith(f"pass http://host.invalid{port}")


async def test_F07_error_for_a_bucket_of_another_region_names_its_endpoint(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    body = (
        b"<Error><Code>AccessDenied</Code><Message>The bucket you are attempting to access must be addressed using the "
        b"specified endpoint.</Message><Endpoint>oss-cn-shanghai.aliyuncs.com</Endpoint><EC>0003-00001403</EC></Error>"
    )
    oss.faults.status(403, body=body, times=None)
    error = await fails(watch, aioss_resume.AccessDeniedError, bucket, path)
    assert "https://oss-cn-shanghai.aliyuncs.com" in error.hint


async def test_F07_error_for_a_signature_of_another_region_names_the_right_one(
    oss: LocalOSS, path: Path, watch: Watch
) -> None:
    auth = oss2.AuthV4(oss.access_key_id, oss.access_key_secret)
    bucket = oss2.Bucket(auth, oss.endpoint, "examplebucket", region="cn-beijing")
    error = await fails(watch, aioss_resume.ServiceError, bucket, path)
    assert error.hint == 'pass region="cn-hangzhou" to oss2.Bucket'
    bucket.region = 3
    assert "region must be a string" in str(await fails(watch, aioss_resume.ConfigError, bucket, path))


@pytest.mark.parametrize(
    ("keyword", "meant"),
    [("num_threads", "concurrency"), ("filename", "path"), ("partsize", "part_size"), ("x", "store")],
)
async def test_F08_unknown_keyword_is_named_beside_ours(
    oss: LocalOSS, bucket: Any, path: Path, keyword: str, meant: str
) -> None:
    with pytest.raises(TypeError) as caught:
        await aioss_resume.download(bucket, "key", path, **{keyword: 4})
    assert str(caught.value).startswith(f"download() got an unexpected keyword argument '{keyword}'")
    assert meant in str(caught.value)
    assert "DownloadOptions" not in str(caught.value)
    assert oss.requests == []


async def test_F08_error_for_an_unknown_keyword_knows_the_keywords_of_each_function(oss: LocalOSS, bucket: Any) -> None:
    async with aioss_resume.Downloader(bucket) as downloader:
        for call in (downloader.read, downloader.stream):
            with pytest.raises(TypeError, match="did you mean 'start'"):
                await call("key", strat=4)
        with pytest.raises(TypeError, match="did you mean 'refresh'"):
            await aioss_resume.download_url(oss.endpoint, "path", refrsh=None)


async def test_F08_none_means_the_default_where_oss2_has_it(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, SMALL)
    unset: dict[str, Any] = dict.fromkeys(["multiget_threshold", "part_size", "progress_callback", "store", "headers"])
    await aioss_resume.download(bucket, "key", path, **unset, params=None)
    assert path.read_bytes() == whole(SMALL)


MANY = """
    import asyncio, json, logging, os, resource, sys, threading
    import oss2, aioss_resume

    endpoint, directory, count, descriptors = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    auth = oss2.AuthV4("local-access-key-id", "local-access-key-secret")
    buckets = [oss2.Bucket(auth, endpoint, "examplebucket", region="cn-hangzhou") for _ in range(2)]
    peak = {"threads": 0, "descriptors": 0}

    def note_progress(consumed, total):
        peak["threads"] = max(peak["threads"], threading.active_count())
        try:
            peak["descriptors"] = max(peak["descriptors"], len(os.listdir("/proc/self/fd")))
        except OSError:
            peak["descriptors"] = descriptors

    async def one(number):
        try:
            await aioss_resume.download(
                buckets[number % 2], "key", f"{directory}/{number}", fsync=False, progress_callback=note_progress
            )
            return "done"
        except aioss_resume.RequestError as error:
            return str(error)

    async def main():
        return await asyncio.gather(*(one(number) for number in range(count)))

    ended = asyncio.run(main(), debug=False)
    left = len(os.listdir("/proc/self/fd"))
    print(json.dumps({**peak, "ended": ended, "lines": lines, "left": left, "at_end": threading.active_count()}))
"""


async def many_at_once(oss: LocalOSS, directory: Path, count: int, descriptors: int = 0) -> dict[str, Any]:

    directory.mkdir()
    found: dict[str, Any] = json.loads(
        await run_python(MANY, oss.endpoint, str(directory), str(count), str(descriptors))
    )
    return found


@pytest.mark.parametrize("size", [100 * KiB, 12 * MiB])
async def test_F09_hundreds_of_calls_under_a_low_descriptor_limit_end_well(
    oss: LocalOSS, tmp_path: Path, size: int
) -> None:
    put(oss, size)
    count = 300 if size < MiB else 60
    found = await many_at_once(oss, tmp_path / "files", count, 128)
    assert set(found["ended"]) == {"done"}
    assert len(found["lines"]) <= 20
    assert found["left"] < 15
    expected = whole(size)
    for number in range(count):
        assert (tmp_path / "files" / str(number)).read_bytes() == expected
    assert len(os.listdir(tmp_path / "files")) == count


async def test_F11_concurrent_calls_share_one_session_its_threads_and_one_budget(oss: LocalOSS, tmp_path: Path) -> None:
    put(oss, 12 * MiB)
    found = await many_at_once(oss, tmp_path / "files", 50)
    assert set(found["ended"]) == {"done"}
    assert found["threads"] <= 20
    assert found["descriptors"] <= 200
    assert found["at_end"] == 1
    assert oss.peak_in_flight <= 32
    # Flights that are ended early close their connections.
    assert len({record.connection for record in oss.requests}) <= 150


async def test_F11_shared_session_is_closed_when_the_last_call_ends(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, SMALL)
    program = """
        import asyncio, gc, os, sys, threading, weakref, oss2, aioss_resume
        auth = oss2.AuthV4("local-access-key-id", "local-access-key-secret")
        bucket = oss2.Bucket(auth, sys.argv[1], "examplebucket", region="cn-hangzhou")
        loops = []

        async def main():
            loops.append(weakref.ref(asyncio.get_running_loop()))
            for _ in range(2):
                await asyncio.gather(*(aioss_resume.download(bucket, "key", f"{sys.argv[2]}{n}") for n in range(3)))
                assert threading.active_count() == 1, threading.enumerate()
                assert not [fd for fd in os.listdir("/proc/self/fd") if "socket" in link(fd) and not is_known(fd)]

        def link(fd):
            try:
                return os.readlink(f"/proc/self/fd/{fd}")
            except FileNotFoundError:
                return ""

        def is_known(fd):
            loop = asyncio.get_running_loop()
            return int(fd) <= 2 or int(fd) in (loop._ssock.fileno(), loop._csock.fileno())

        for _ in range(2):
            asyncio.run(main())
        gc.collect()
        print([loop() for loop in loops])
    """
    assert await run_python(program, oss.endpoint, str(path)) == "[None, None]\n"


@pytest.mark.parametrize("etag", ['"cdn-etag"', 'W/"cdn-etag"', ""])
@pytest.mark.parametrize("on_change", ["restart", "fail"])
async def test_F10_crc64_decides_where_the_etags_are_not_the_servers(
    oss: LocalOSS, bucket: Any, path: Path, pins: Pins, watch: Watch, etag: str, on_change: Any
) -> None:
    pins.may_be_missing = True
    put(oss)
    if etag:
        oss.faults.set_header("ETag", etag, times=None)
    else:
        oss.faults.drop_header("ETag", times=None)
    assert (await brings(bucket, path, on_change=on_change)).verified
    # Only requests that were already in flight at the first 412 get another one.
    assert [record.status for record in oss.requests].count(412) <= 8


@pytest.mark.parametrize("at", [0, PART, 5 * PART])
async def test_F10_different_etag_in_one_response_is_no_change(
    oss: LocalOSS, bucket: Any, path: Path, pins: Pins, at: int
) -> None:
    pins.may_be_missing = True
    put(oss)
    oss.faults.set_header("ETag", '"another"', range=(at, at + PART))
    result = await brings(bucket, path, on_change="fail")
    assert result.verified


async def test_F10_download_interrupted_behind_a_cdn_is_resumed(
    oss: LocalOSS, bucket: Any, path: Path, pins: Pins
) -> None:
    pins.may_be_missing = True
    put(oss)
    await interrupt(bucket, oss, path)
    oss.faults.set_header("ETag", '"cdn-etag"', times=None)
    oss.put("examplebucket", "key", size=SIZE, seed=1, etag="NEW")  # the same bytes, uploaded anew
    result = await brings(bucket, path)
    assert (result.resumed_bytes, result.verified) == (5 * PART, True)


async def test_F10_content_range_is_case_insensitive(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    oss.faults.set_header("Content-Range", f"Bytes 0-{PART - 1}/{SIZE}", range=(0, PART))
    await brings(bucket, path)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        yield server


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
async def test_F12_proxy_of_the_environment_is_used_and_its_password_sent_to_it_only(
    oss: LocalOSS, bucket: Any, path: Path, proxy: Proxy, watch: Watch,
    monkeypatch: pytest.MonkeyPatch, no_proxies: None, name: str,
) -> None:  # fmt: skip
    put(oss)
    watch.secrets |= {"canary-user", "canary-word"}
    monkeypatch.setenv(name, f"http://canary-user:canary-word@{proxy.where}")
    await brings(bucket, path)
    assert len(proxy.requests) >= len(oss.requests) > 0
    assert all(authorization.startswith("Basic ") for _, authorization in proxy.requests)
    assert all("Proxy-Authorization" not in record.headers for record in oss.requests)


async def test_F12_https_proxy_is_for_https_only(
    oss: LocalOSS, bucket: Any, path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    put(oss)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.where}")
    await brings(bucket, path)
    assert proxy.requests == []


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "example.com,127.0.0.1"])
async def test_F12_no_proxy_is_obeyed(
    oss: LocalOSS, bucket: Any, path: Path, monkeypatch: pytest.MonkeyPatch, no_proxies: None, no_proxy: str
) -> None:
    put(oss)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    await brings(bucket, path)


async def test_F12_buckets_proxies_and_a_given_session_come_before_the_environment(
    oss: LocalOSS, bucket: Any, path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    put(oss)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    await brings(oss.bucket("examplebucket", proxies={"http": f"http://{proxy.where}"}), path)
    assert proxy.requests
    async with aiohttp.ClientSession() as session, Downloader(bucket, session=session) as downloader:
        await downloader.download("key", path, **RANGED)


async def test_F12_netrc_stays_ignored(
    oss: LocalOSS, bucket: Any, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(oss)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary-word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    await brings(bucket, path)
    async with aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(ConfigError, match="trust_env"):
            async with Downloader(bucket, session=session):
                pass


class Hiccuping(CredentialsProvider):  # type: ignore[misc]  # oss2 has no types
    """Gives good keys, but fails at every third call, and always once `is_down`."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_down = False

    def get_credentials(self) -> Credentials:
        self.asked += 1
        if self.is_down or self.asked % 3 == 0:
            raise RuntimeError("canary-metadata-word")
        return Credentials("local-access-key-id", "local-access-key-secret", "")


async def test_F13_keys_stay_in_use_while_their_provider_fails(oss: LocalOSS, path: Path, watch: Watch) -> None:
    put(oss)
    provider = Hiccuping()
    watch.secrets.add("canary-metadata-word")
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    async with Downloader(bucket) as downloader:
        await downloader.head("key")
        assert downloader._client is not None
        passed = 0.0

        class Later(type(downloader._client.clock)):  # type: ignore[misc]
            def now(self) -> float:
                return float(super().now() + passed)

        downloader._client.clock.__class__ = Later
        for _ in range(9):
            passed += 100.0
            await downloader.head("key")
        provider.is_down = True
        passed += 100.0
        assert (await downloader.download("key", path, **RANGED)).verified
    assert provider.asked >= 9
    warnings = [line for line in watch.logged if "continuing with the keys" in line]
    assert len(warnings) == 3 + 1


async def test_F13_refused_keys_whose_provider_fails_are_the_providers_error(
    oss: LocalOSS, path: Path, watch: Watch
) -> None:
    put(oss)
    provider = Hiccuping()
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    async with Downloader(bucket) as downloader:
        await downloader.head("key")
        provider.is_down = True
        oss.faults.status(403, oss_code="InvalidAccessKeyId", times=None)
        with watch.raises(CredentialsError) as caught:
            await downloader.download("key", path, **RANGED)
    assert "Hiccuping" in str(caught.error)
    assert path.read_bytes() == OLD


async def test_F14_unknown_authority_is_an_error_that_names_both_solutions(
    path: Path, tmp_path: Path, watch: Watch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    program = """
        import asyncio, sys, oss2, aioss_resume
        auth = oss2.AuthV4("local-access-key-id", "local-access-key-secret")
        bucket = oss2.Bucket(auth, sys.argv[1], "examplebucket", region="cn-hangzhou", is_path_style=True)
        print(asyncio.run(aioss_resume.download(bucket, "key", sys.argv[2])).verified)
    """
    with LocalOSS(tls=context) as oss:
        oss.put("examplebucket", "key", size=SMALL, seed=1)
        error = await fails(watch, RequestError, bucket_at(oss.endpoint), path)
        assert "SSL_CERT_FILE" in error.hint
        assert "session=" in error.hint
        trusted = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
        assert await run_python(program, oss.endpoint, str(path), environment=trusted) == "True\n"
    assert path.read_bytes() == whole(SMALL)
