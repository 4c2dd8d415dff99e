"""One signed request: as OSS and oss2 compute it, at the time that we say, and nobody hears of it."""

import copy
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import oss2
import oss2.auth
import pytest

from aioss_resume import ConfigError, CredentialsError
from aioss_resume._io.clock import Clock
from aioss_resume._io.credentials import KeyRing
from aioss_resume._io.sign import Signed, Signer, check_bucket, object_url
from aioss_resume._io.threads import Threads
from aioss_resume.errors import ObjectName

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAME = ObjectName("examplebucket", "dir/a b+中~*'(.txt")
HEADERS = {"x-oss-range-behavior": "standard", "x-oss-traffic-limit": "819200"}
PARAMS = {"versionId": "v/1+2", "uploads": ""}
SIGNATURE = "af9f0e56ed6893cb89c8233289a25d909952977665a15df49de0f18251876d38"
# Source: computed independently, and by oss2 and Alibaba Cloud's SDK V2 for the same request.


def bucket_of(auth: Any, endpoint: str = "https://oss-cn-hangzhou.aliyuncs.com", **options: Any) -> Any:
    return oss2.Bucket(auth, endpoint, "examplebucket", **{"region": "cn-hangzhou", **options})


def signer_of(bucket: Any, threads: Threads) -> Signer:
    return Signer(bucket, KeyRing(lambda: bucket.auth, threads, Clock()), threads)


async def sign(bucket: Any, threads: Threads, *, now: datetime = NOW, offset: timedelta = timedelta()) -> Signed:
    signer = signer_of(bucket, threads)
    signer.offset = offset
    return await signer.sign("GET", NAME, HEADERS, PARAMS, now)


AUTHS = [
    oss2.StsAuth("ak", "sk", "TOK", auth_version="v4"),
    oss2.ProviderAuthV4(oss2.credentials.StaticCredentialsProvider("ak", "sk", "TOK")),
]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: type(auth).__name__)
async def test_request_is_signed_as_the_reference_says(threads: Threads, auth: Any) -> None:
    signed = await sign(bucket_of(auth), threads)
    scope = "20260102/cn-hangzhou/oss/aliyun_v4_request"
    assert signed.headers["authorization"] == f"OSS4-HMAC-SHA256 Credential=ak/{scope}, Signature={SIGNATURE}"
    assert signed.headers["x-oss-date"] == "20260102T030405Z"
    assert signed.headers["x-oss-security-token"] == "TOK"
    assert signed.headers["x-oss-content-sha256"] == "UNSIGNED-PAYLOAD"


async def test_time_of_another_zone_is_the_same_moment(threads: Threads) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=8)))
    signed = await sign(bucket_of(AUTHS[0]), threads, now=there)
    assert signed.headers["authorization"].endswith(SIGNATURE)


async def test_signature_follows_the_offset_of_the_servers_clock(threads: Threads) -> None:
    offset = timedelta(days=400, seconds=7)
    signed = await sign(bucket_of(AUTHS[0]), threads, now=NOW - offset, offset=offset)
    assert signed.headers["authorization"].endswith(SIGNATURE)


async def test_cached_signing_key_depends_on_day_region_cloud_box_and_keys(threads: Threads) -> None:
    bucket = bucket_of(AUTHS[0])
    signer = signer_of(bucket, threads)

    async def is_as_anew(now: datetime = NOW) -> bool:
        remembering = await signer.sign("GET", NAME, HEADERS, PARAMS, now)
        return remembering.headers == (await sign(bucket, threads, now=now)).headers

    for _ in range(2):
        for now in (NOW, NOW + timedelta(days=1), NOW + timedelta(hours=1)):
            assert await is_as_anew(now)
        bucket.region = "cn-beijing"
        assert await is_as_anew()
        bucket.cloudbox_id = "cb-1"
        assert await is_as_anew()
        bucket.region, bucket.cloudbox_id = "cn-hangzhou", None
        assert await is_as_anew()
        bucket.auth = oss2.AuthV4("ak", "another")
        assert await is_as_anew()
        bucket.auth = oss2.AuthV2("ak", "another")
        assert await is_as_anew()
        bucket.auth = AUTHS[0]


async def test_headers_that_no_signature_covers_do_not_change_it(threads: Threads) -> None:
    signer = signer_of(bucket_of(AUTHS[0]), threads)
    more = {**HEADERS, "Range": "bytes=0-1", "If-Match": '"E"', "Accept-Encoding": "identity"}
    signed = await signer.sign("GET", NAME, more, PARAMS, NOW)
    assert signed.headers["authorization"].endswith(SIGNATURE)
    assert signed.headers["Range"] == "bytes=0-1"


async def test_arguments_are_not_modified(threads: Threads) -> None:
    headers, params = copy.deepcopy(HEADERS), copy.deepcopy(PARAMS)
    await signer_of(bucket_of(AUTHS[0]), threads).sign("GET", NAME, headers, params, NOW)
    assert (headers, params) == (HEADERS, PARAMS)


async def test_address_is_byte_for_byte_what_was_signed(threads: Threads) -> None:
    signed = await sign(bucket_of(AUTHS[0]), threads)
    assert str(signed.url) == (
        "https://examplebucket.oss-cn-hangzhou.aliyuncs.com/dir%2Fa%20b%2B%E4%B8%AD~%2A%27%28.txt"
        "?versionId=v%2F1%2B2&uploads"
    )


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("a/../b", "a%2F%2E%2E%2Fb"),
        ("a/./b.txt", "a%2F%2E%2Fb.txt"),
        ("a..b/...", "a..b%2F..."),
        ("a+b%20c?d#e", "a%2Bb%2520c%3Fd%23e"),
        ("/a//b/", "%2Fa%2F%2Fb%2F"),
    ],
)
async def test_key_with_dots_is_sent_so_that_no_proxy_normalizes_it(key: str, path: str) -> None:
    name = ObjectName("examplebucket", key)
    assert object_url(bucket_of(AUTHS[0]), name) == f"https://examplebucket.oss-cn-hangzhou.aliyuncs.com/{path}"
    by_path = bucket_of(AUTHS[0], "http://127.0.0.1:8080")
    assert object_url(by_path, name) == f"http://127.0.0.1:8080/examplebucket/{path}"
    by_cname = bucket_of(AUTHS[0], "https://img.example.com", is_cname=True)
    assert object_url(by_cname, name) == f"https://img.example.com/{path}"


@pytest.mark.parametrize("kind", [oss2.Auth, oss2.AuthV2, oss2.AuthV4])
@pytest.mark.parametrize("token", [None, "TOK"])
async def test_signature_is_the_one_that_oss2_computes_for_the_same_time(
    threads: Threads, kind: Any, token: str | None
) -> None:
    version = {oss2.Auth: "v1", oss2.AuthV2: "v2", oss2.AuthV4: "v4"}[kind]
    auth = oss2.StsAuth("ak", "sk", token, auth_version=version) if token else kind("ak", "sk")
    bucket = bucket_of(auth)
    theirs = oss2.http.Request(
        "GET", object_url(bucket, NAME), headers=dict(HEADERS), params=dict(PARAMS), region="cn-hangzhou", product="oss"
    )
    auth._sign_request(theirs, NAME.bucket, NAME.key)
    # Sign at the time that oss2 took from the machine's clock.
    told = theirs.headers.get("date") or theirs.headers["x-oss-date"]
    form = "%Y%m%dT%H%M%SZ" if version == "v4" else "%a, %d %b %Y %H:%M:%S GMT"
    signed = await sign(bucket, threads, now=datetime.strptime(told, form).replace(tzinfo=UTC))
    ours = {name.lower(): value for name, value in signed.headers.items() if name.lower() != "user-agent"}
    sent = {k.lower(): v for k, v in theirs.headers.items() if v is not None and k.lower() != "user-agent"}
    assert ours == sent


async def test_anonymous_request_carries_no_signature(threads: Threads) -> None:
    signed = await sign(bucket_of(oss2.AnonymousAuth()), threads)
    assert "authorization" not in {name.lower() for name in signed.headers}
    assert signed.keys is None
    assert signed.secrets == ()


async def test_app_name_of_the_bucket_is_sent(threads: Threads) -> None:
    signed = await sign(bucket_of(AUTHS[0], app_name="their-app"), threads)
    assert signed.headers["User-Agent"].startswith("aioss-resume (")
    assert signed.headers["User-Agent"].endswith("/their-app")


async def test_signing_changes_nothing_in_oss2_for_the_rest_of_the_process(threads: Threads) -> None:
    before = dict(vars(oss2.auth))
    await sign(bucket_of(AUTHS[0]), threads)
    assert vars(oss2.auth) == before
    assert oss2.auth.datetime is datetime
    assert oss2.auth.utils is oss2.utils
    assert oss2.auth.logger is logging.getLogger("oss2.auth")


@pytest.fixture
def heard() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    known = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    levels = [(logger, logger.level) for logger in (logging.root, *known)]
    listener = Listener(level=1)
    logging.root.addHandler(listener)
    for logger, _ in levels:
        logger.setLevel(1)
    try:
        yield records
    finally:
        logging.root.removeHandler(listener)
        for logger, level in levels:
            logger.setLevel(level)


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
async def test_nothing_is_logged_at_any_level_while_signing(
    threads: Threads, heard: list[logging.LogRecord], version: str
) -> None:
    bucket = bucket_of(oss2.StsAuth("ak", "sk", "TOK", auth_version=version))
    signer = signer_of(bucket, threads)
    heard.clear()
    await signer.sign("GET", NAME, HEADERS, PARAMS, NOW)
    assert [record.getMessage() for record in heard if record.name != "asyncio"] == []


async def test_repr_of_a_signed_request_shows_no_secret(threads: Threads) -> None:
    signed = await sign(bucket_of(oss2.StsAuth("the-id", "the-secret", "the-token", auth_version="v4")), threads)
    shown = repr(signed)
    assert not [secret for secret in signed.secrets if secret in shown]
    signature = signed.headers["authorization"].rpartition("=")[2]
    assert {"the-secret", "the-token", signature} <= set(signed.secrets)
    assert signature not in shown


class Own:
    """Signs as it likes."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def _sign_request(self, request: Any, _bucket: str, _key: str) -> None:
        if self._error is not None:
            raise self._error
        request.headers["authorization"] = "mine"
        request.headers["empty"] = None
        request.params["x-more"] = "1"


async def test_custom_signer_decides_how_to_sign(threads: Threads) -> None:
    signed = await sign(bucket_of(Own()), threads)
    assert signed.headers["authorization"] == "mine"
    assert "empty" not in signed.headers
    assert str(signed.url).endswith("&x-more=1")


async def test_exception_of_a_custom_signer_is_reported_by_its_type_only(threads: Threads) -> None:
    with pytest.raises(CredentialsError, match="RuntimeError") as caught:
        await sign(bucket_of(Own(RuntimeError("the-secret"))), threads)
    assert "the-secret" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert (caught.value.bucket, caught.value.key) == NAME


async def test_bucket_without_region_cannot_sign_v4() -> None:
    with pytest.raises(ConfigError, match="region"):
        check_bucket(oss2.Bucket(AUTHS[0], "https://oss-cn-hangzhou.aliyuncs.com", "examplebucket"))
    check_bucket(oss2.Bucket(oss2.Auth("a", "s"), "https://oss-cn-hangzhou.aliyuncs.com", "examplebucket"))


@pytest.mark.parametrize("what", [None, "examplebucket", object()])
async def test_argument_that_is_not_a_bucket_is_refused(what: Any) -> None:
    with pytest.raises(ConfigError, match=r"oss2\.Bucket"):
        check_bucket(what)
