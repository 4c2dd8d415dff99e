"""Where the requests go: host, path and CNAME style, TLS, proxies, and what else of the bucket counts on the way."""

import base64
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.abc
import pytest
import trustme
from canary import Watch, watching  # noqa: F401
from forward_proxy import Proxy
from ranged import PART, RANGED, SIZE, whole

import aioss_resume
from aioss_resume import AiossError, Downloader, RequestError, RetryPolicy
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio

ENDPOINT = "oss-cn-hangzhou.example.com"
PROXY_USER = "canary-proxy-user"
PROXY_WORD = "canary-proxy-word-3c1b"
KEYS = [".", "..", "a/../b", "../b", "a/.", "./a", "a//b", "名前/é", "\N{PILE OF POO}", "%2F", "a%2Fb", "a+b c", "?",
        "a?b=c", "#", "a#b", "a&b=c;d", "~'()*!", "a:b@c", "http://example.com/"]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


class HereOnly(aiohttp.abc.AbstractResolver):
    """Says that every name is this machine's, and remembers the names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[aiohttp.abc.ResolveResult]:
        self.names.append(host)
        return [
            aiohttp.abc.ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None: ...


class Session:
    """A session of the caller's, which finds every name here, and counts the connections it begins."""

    def __init__(self, tls: ssl.SSLContext | bool = True) -> None:
        self.connections = 0
        self.resolver = HereOnly()
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(self._count)
        connector = aiohttp.TCPConnector(resolver=self.resolver, ssl=tls)
        self.client = aiohttp.ClientSession(connector=connector, trace_configs=[trace])

    async def _count(self, *_: Any) -> None:
        self.connections += 1


@asynccontextmanager
async def session_here(tls: ssl.SSLContext | bool = True) -> AsyncIterator[Session]:
    session = Session(tls)
    async with session.client:
        yield session


async def bring(bucket: Any, path: Path, session: Session, key: str = "key", **keywords: Any) -> Any:
    async with Downloader(bucket, session=session.client) as downloader:
        return await downloader.download(key, path, **{**RANGED, **keywords})


@pytest.mark.parametrize(
    ("style", "host", "target"),
    [
        ({}, f"examplebucket.{ENDPOINT}", "/dir%2Fkey"),
        ({"is_path_style": True}, ENDPOINT, "/examplebucket/dir%2Fkey"),
        ({"cname": True}, "files.example.org", "/dir%2Fkey"),
    ],
    ids=["host", "path", "cname"],
)
async def test_bucket_is_requested_in_its_own_style(
    oss: LocalOSS, path: Path, style: dict[str, Any], host: str, target: str
) -> None:
    oss.put("examplebucket", "dir/key", size=SIZE, seed=1)
    name = "files.example.org" if "cname" in style else ENDPOINT
    bucket = oss.bucket("examplebucket", endpoint=f"http://{name}:{oss.port}", **style)
    async with session_here() as session:
        result = await bring(bucket, path, session, "dir/key")
        assert set(session.resolver.names) == {host}
    assert result.verified
    assert path.read_bytes() == whole()
    assert {record.headers["Host"] for record in oss.requests} == {f"{host}:{oss.port}"}
    assert {record.raw_path for record in oss.requests} == {target}


@pytest.mark.parametrize("cname", [False, True], ids=["host", "cname"])
@pytest.mark.parametrize("key", KEYS, ids=ascii)
async def test_key_is_unchanged_in_addresses_where_nothing_comes_before_it(
    oss: LocalOSS, path: Path, key: str, cname: bool
) -> None:
    for decoy in ("a", "b", "a/b", "a b c", "example.com/"):
        oss.put("examplebucket", decoy, b"a decoy")
    oss.put("examplebucket", key, size=SIZE, seed=1)
    bucket = oss.bucket("examplebucket", cname=cname, endpoint=f"http://{ENDPOINT}:{oss.port}")
    async with session_here() as session:
        await bring(bucket, path, session, key, params={"response-cache-control": "a/b+c d"})
    assert path.read_bytes() == whole()
    assert {(record.bucket, record.key) for record in oss.requests} == {("examplebucket", key)}
    assert {record.status for record in oss.requests} == {206}
    assert {record.query["response-cache-control"] for record in oss.requests} == {"a/b+c d"}


async def test_session_of_the_callers_stays_open_and_keeps_its_settings(oss: LocalOSS, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    async with session_here() as session:
        for number in range(2):
            await bring(oss.bucket("examplebucket"), path.with_name(str(number)), session)
            assert not session.client.closed
        async with session.client.get(oss.endpoint) as response:
            assert response.status == 403
        with pytest.raises(AiossError):
            await bring(oss.bucket("examplebucket"), path, session, "missing")
        assert not session.client.closed
    with pytest.raises(RequestError):
        await bring(oss.bucket("examplebucket"), path, session)


async def test_user_agent_contains_our_name_and_the_apps(oss: LocalOSS, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    await aioss_resume.download(oss.bucket("examplebucket", app_name="my-app/1.2"), "key", path, **RANGED)
    [agent] = {record.headers["User-Agent"] for record in oss.requests}
    assert agent.startswith("aioss-resume")
    assert agent.endswith("/my-app/1.2")


async def test_buckets_timeout_counts_where_none_is_given(oss: LocalOSS, path: Path, watch: Watch) -> None:
    oss.put("examplebucket", "key", size=PART, seed=1)
    oss.faults.stall(0, times=None)
    once = {**RANGED, "retry": RetryPolicy(attempts=1)}
    bucket = oss.bucket("examplebucket", connect_timeout=0.25)
    with watch.raises(RequestError) as caught:
        await aioss_resume.download(bucket, "key", path, **once)
    assert "0.25 s" in str(caught.error)
    with watch.raises(RequestError) as caught:
        await aioss_resume.download(bucket, "key", path, **once, timeouts=aioss_resume.Timeouts(stall=0.125))
    assert "0.125 s" in str(caught.error)
    assert len(oss.requests) == 2


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def served_with(certificate: trustme.LeafCert) -> LocalOSS:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return LocalOSS(tls=context)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_download_over_tls_trusts_what_the_session_trusts(path: Path, authority: trustme.CA) -> None:
    with served_with(authority.issue_cert(f"examplebucket.{ENDPOINT}")) as oss:
        oss.put("examplebucket", "key", size=SIZE, seed=1)
        bucket = oss.bucket("examplebucket", endpoint=f"https://{ENDPOINT}:{oss.port}")
        async with session_here(trusting(authority)) as session:
            result = await bring(bucket, path, session)
    assert result.verified
    assert path.read_bytes() == whole()


@pytest.mark.parametrize("wrong", ["untrusted", "expired", "another host's"])
async def test_certificate_that_is_refused_costs_one_connection_and_no_request(
    path: Path, authority: trustme.CA, watch: Watch, wrong: str
) -> None:
    over = datetime.now(UTC) - timedelta(days=1) if wrong == "expired" else None
    host = "elsewhere.example.com" if wrong == "another host's" else f"examplebucket.{ENDPOINT}"
    certificate = authority.issue_cert(host, not_after=over)
    with served_with(certificate) as oss:
        oss.put("examplebucket", "key", size=SIZE, seed=1)
        bucket = oss.bucket("examplebucket", endpoint=f"https://{ENDPOINT}:{oss.port}")
        async with session_here(True if wrong == "untrusted" else trusting(authority)) as session:
            with watch.raises(RequestError) as caught:
                await bring(bucket, path, session)
            assert session.connections == 1
        assert oss.requests == []
    assert "certificate" in str(caught.error)
    assert caught.error.hint
    assert not path.exists()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        yield server


@pytest.fixture
def refusing_proxy() -> Iterator[Proxy]:
    with Proxy(refuses=True) as server:
        yield server


@pytest.fixture(autouse=True)
def proxy_secrets(watch: Watch) -> None:
    watch.secrets |= {PROXY_USER, PROXY_WORD}


@pytest.mark.parametrize("scheme", ["http", "all", "http://examplehost.example.com"])
async def test_all_requests_go_through_the_buckets_proxy(oss: LocalOSS, path: Path, proxy: Proxy, scheme: str) -> None:
    oss.put("examplebucket", "a/../k+é", size=SIZE, seed=1)
    name = "examplehost.example.com"
    proxies = {scheme: f"http://{proxy.where}"}
    bucket = oss.bucket("examplebucket", endpoint=f"http://{name}:{oss.port}", proxies=proxies, cname=True)
    result = await aioss_resume.download(bucket, "a/../k+é", path, **RANGED)  # only the proxy can resolve the name
    assert result.verified
    assert path.read_bytes() == whole()
    # Requests of a shared tail may be cancelled early.
    assert 11 <= len(oss.requests) <= len(proxy.requests) <= result.requests
    assert all(line.startswith(f"GET http://{name}:{oss.port}/a%2F%2E%2E%2Fk%2B") for line, _ in proxy.requests)
    assert {authorization for _, authorization in proxy.requests} == {""}


async def test_https_goes_through_a_tunnel_of_the_proxy(
    path: Path, proxy: Proxy, authority: trustme.CA, watch: Watch
) -> None:
    with served_with(authority.issue_cert(f"examplebucket.{ENDPOINT}")) as oss:
        oss.put("examplebucket", "key", size=SIZE, seed=1)
        proxies = {"https": f"http://{PROXY_USER}:{PROXY_WORD}@{proxy.where}", "http": "http://127.0.0.1:1"}
        bucket = oss.bucket("examplebucket", endpoint=f"https://{ENDPOINT}:{oss.port}", proxies=proxies)
        watch.logged.clear()
        async with session_here(trusting(authority)) as session:
            await bring(bucket, path, session)
        assert all("Proxy-Authorization" not in record.headers for record in oss.requests)
    assert path.read_bytes() == whole()
    assert {line.split(" ")[0] for line, _ in proxy.requests} == {"CONNECT"}
    assert all(authorization.startswith("Basic ") for _, authorization in proxy.requests)


async def test_proxys_user_and_password_are_sent_to_the_proxy_only(
    oss: LocalOSS, path: Path, proxy: Proxy, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    proxies = {"http": f"http://{PROXY_USER}:{PROXY_WORD}@{proxy.where}"}
    bucket = oss.bucket("examplebucket", proxies=proxies)
    watch.logged.clear()  # oss2 logs the proxies of each new bucket
    await aioss_resume.download(bucket, "key", path, **RANGED)
    expected = base64.b64encode(f"{PROXY_USER}:{PROXY_WORD}".encode()).decode()
    assert {authorization for _, authorization in proxy.requests} == {f"Basic {expected}"}
    watch.secrets |= {expected}
    assert all("Proxy-Authorization" not in record.headers for record in oss.requests)
    oss.faults.status(403, times=None)
    with watch.raises(aioss_resume.AccessDeniedError):
        await aioss_resume.download(bucket, "key", path, **RANGED)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_requires_authentication_is_not_asked_again(
    path: Path, refusing_proxy: Proxy, watch: Watch, scheme: str
) -> None:
    with LocalOSS() as oss:
        proxies = {scheme: f"http://{PROXY_USER}:{PROXY_WORD}@{refusing_proxy.where}"}
        bucket = oss.bucket("examplebucket", endpoint=f"{scheme}://{ENDPOINT}:{oss.port}", proxies=proxies)
        watch.logged.clear()
        with watch.raises(RequestError) as caught:
            await aioss_resume.download(bucket, "key", path, **RANGED)
        assert oss.requests == []
    assert "407" in str(caught.error)
    assert "prox" in caught.error.hint
    assert len(refusing_proxy.requests) == 1


NO_ADDRESS = "has no valid host and port"


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (f"http://{PROXY_USER}:{PROXY_WORD}@127.0.0.1:1", "could not connect to the proxy 127.0.0.1:1"),
        (f"http://{PROXY_USER}:{PROXY_WORD}@no-such-host.invalid:1", "could not connect to the proxy no-such-host"),
        (f"http://{PROXY_USER}:{PROXY_WORD}@127.0.0.1:port", NO_ADDRESS),
        (f"http://{PROXY_USER}:{PROXY_WORD}@127.0.0.1:99999", NO_ADDRESS),
        (f"http://{PROXY_USER}:{PROXY_WORD}@", NO_ADDRESS),
        (f"http://{PROXY_USER}:{PROXY_WORD}@[::1", NO_ADDRESS),
        (f"ftp://{PROXY_USER}:{PROXY_WORD}@127.0.0.1:1", "'ftp', not http or https"),
        (f"socks5://{PROXY_USER}:{PROXY_WORD}@127.0.0.1:1", "'socks5', not http or https"),
        (f"{PROXY_USER}:{PROXY_WORD}@127.0.0.1:1", "could not connect to the proxy 127.0.0.1:1"),
        (f"//{PROXY_USER}:{PROXY_WORD}@127.0.0.1:1", "prox"),
    ],
)
async def test_unusable_proxy_is_named_in_the_error_without_its_password(
    oss: LocalOSS, path: Path, watch: Watch, address: str, problem: str
) -> None:
    bucket = oss.bucket("examplebucket", proxies={"http": address})
    watch.logged.clear()
    with watch.raises(AiossError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert problem in str(caught.error)
    assert "prox" in caught.error.hint
    assert oss.requests == []
    assert not path.exists()


async def test_proxy_without_a_scheme_is_an_http_proxy_as_for_oss2(oss: LocalOSS, path: Path, proxy: Proxy) -> None:
    oss.put("examplebucket", "key", size=PART, seed=1)
    await aioss_resume.download(oss.bucket("examplebucket", proxies={"http": proxy.where}), "key", path, **RANGED)
    assert path.read_bytes() == whole(PART)
    assert proxy.requests
