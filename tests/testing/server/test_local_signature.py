"""The reference vector of signature version 4, and that each way to sign is checked."""

import inspect
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import oss2
import pytest
from raw_client import Fetch

from aioss_resume.testing import LocalOSS
from aioss_resume.testing.server import signature

SIGNED = {
    "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
    "x-oss-date": "20260102T030405Z",
    "X-Oss-Range-Behavior": "standard",
    "x-oss-security-token": "TOK",
    "x-oss-traffic-limit": "819200",
    "Range": "bytes=0-1",
}
KEY = "dir/a b+中~*'(.txt"
CREDENTIAL = signature.Credential("ak", "20260102", "cn-hangzhou", "oss")


def test_header_form_matches_the_vector() -> None:
    canonical = signature.canonical_request(
        method="GET",
        bucket="examplebucket",
        key=KEY,
        query={"versionId": "v/1+2", "uploads": ""},
        headers=SIGNED,
    )
    assert canonical.splitlines()[:3] == [
        "GET",
        "/examplebucket/dir/a%20b%2B%E4%B8%AD~%2A%27%28.txt",
        "uploads&versionId=v%2F1%2B2",
    ]
    text = signature.string_to_sign(canonical, date_time="20260102T030405Z", scope=CREDENTIAL.scope)
    assert text.endswith("710e6eac473d6308bc06d4a3817534c2525713ec91df10c9adc0071fffc201da")
    assert (
        signature.sign(text, secret="sk", credential=CREDENTIAL)
        == "af9f0e56ed6893cb89c8233289a25d909952977665a15df49de0f18251876d38"
    )


def test_presigned_form_matches_the_vector() -> None:
    canonical = signature.canonical_request(
        method="GET",
        bucket="examplebucket",
        key=KEY,
        query={
            "x-oss-security-token": "TOK",
            "x-oss-date": "20260102T030405Z",
            "x-oss-expires": "3600",
            "x-oss-signature-version": "OSS4-HMAC-SHA256",
            "x-oss-credential": "ak/20260102/cn-hangzhou/oss/aliyun_v4_request",
        },
        headers={},
    )
    text = signature.string_to_sign(canonical, date_time="20260102T030405Z", scope=CREDENTIAL.scope)
    assert (
        signature.sign(text, secret="sk", credential=CREDENTIAL)
        == "c2d6788faaf57c66a7a3f2bd1b7068e60f723c281517de56a2632c2417819295"
    )


@pytest.mark.parametrize(
    "header",
    [
        "OSS4-HMAC-SHA256 Credential=a/b, Signature=ff, AdditionalHeaders=host;range",
        "OSS4-HMAC-SHA256 Credential=a/b,AdditionalHeaders=host;range,Signature=ff",
        "OSS4-HMAC-SHA256   AdditionalHeaders=host;range ,Signature = ff ,Credential=a/b",
    ],
)
def test_authorization_is_read_in_any_order_and_spacing(header: str) -> None:
    fields = signature.parse_authorization(header)
    assert fields == {"credential": "a/b", "signature": "ff", "additionalheaders": "host;range"}


Make = Callable[..., Any]
AUTHS: list[Any] = [oss2.AuthV4, oss2.AuthV2, oss2.Auth]


@pytest.mark.parametrize("make", AUTHS)
@pytest.mark.parametrize("key", ["plain", "a b+c", "中/文~*'(", "a/../b", "q?x=1&y", "per%25cent", "a//x"])
def test_every_signature_version_is_accepted_for_every_key(oss: LocalOSS, make: Make, key: str) -> None:
    bucket = oss.bucket("closed", auth=make(oss.access_key_id, oss.access_key_secret))
    oss.put("closed", key, b"data of " + key.encode())
    assert bucket.get_object(key).read() == b"data of " + key.encode()
    assert bucket.head_object(key).status == 200


@pytest.mark.parametrize("key", [".", "..", "a/../../b", "./a", "a//b", "a%2Fb"])
def test_keys_are_never_normalised(oss: LocalOSS, fetch: Fetch, key: str) -> None:
    oss.put("closed", key, b"data of " + key.encode())
    url = oss.bucket("closed").sign_url("GET", key, 60)
    assert fetch(url.removeprefix(oss.endpoint)).body == b"data of " + key.encode()


@pytest.mark.parametrize("make", AUTHS)
def test_presigned_urls_are_accepted(oss: LocalOSS, fetch: Fetch, make: Make) -> None:
    bucket = oss.bucket("closed", auth=make(oss.access_key_id, oss.access_key_secret))
    oss.put("closed", "dir/a b+中", b"0123456789")
    for slash_safe in (True, False):
        parts = urlsplit(bucket.sign_url("GET", "dir/a b+中", 60, slash_safe=slash_safe))
        got = fetch(f"{parts.path}?{parts.query}", Range="bytes=2-4")
        assert (got.status, got.body) == (206, b"234")
    assert fetch(f"{parts.path}?{parts.query}", "HEAD").status == 403


@pytest.mark.parametrize("make", AUTHS)
def test_wrong_secret_is_answered_with_the_string_to_sign(oss: LocalOSS, make: Make) -> None:
    bucket = oss.bucket("closed", auth=make(oss.access_key_id, "wrong"))
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch) as caught:
        bucket.get_object("key")
    assert caught.value.ec == "0002-00000040"
    assert caught.value.details["OSSAccessKeyId"] == oss.access_key_id
    assert set(caught.value.details) >= {"StringToSign", "SignatureProvided"}


@pytest.mark.parametrize("make", AUTHS)
def test_unknown_key_id_is_refused(oss: LocalOSS, make: Make) -> None:
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        oss.bucket("closed", auth=make("nobody", "secret")).get_object("key")
    assert (caught.value.status, caught.value.code, caught.value.ec) == (
        403,
        "InvalidAccessKeyId",
        "0002-00000902",
    )


def test_wrong_region_is_refused(oss: LocalOSS) -> None:
    with pytest.raises(oss2.exceptions.InvalidArgument) as caught:
        oss.bucket("closed", region="cn-beijing").get_object("key")
    assert caught.value.ec == "0002-00000226"
    assert caught.value.details["Region"] == "cn-hangzhou"


@pytest.mark.parametrize("make", AUTHS)
@pytest.mark.parametrize("offset", [-1000, 1000])
def test_clock_that_is_off_is_refused_with_the_servers_time(oss: LocalOSS, make: Make, offset: int) -> None:
    oss.clock_offset = offset
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        oss.bucket("closed", auth=make(oss.access_key_id, oss.access_key_secret)).get_object("key")
    assert (caught.value.code, caught.value.ec) == ("RequestTimeTooSkewed", "0002-00000504")
    assert caught.value.details["ServerTime"].endswith("Z")


@pytest.mark.parametrize("make", AUTHS)
def test_expired_url_is_refused(oss: LocalOSS, fetch: Fetch, make: Make) -> None:
    url = urlsplit(oss.bucket("closed", auth=make(oss.access_key_id, oss.access_key_secret)).sign_url("GET", "k", 60))
    oss.clock_offset = 120
    got = fetch(f"{url.path}?{url.query}")
    assert got.status == 403
    assert b"Request has expired." in got.body
    assert got.headers["x-oss-ec"] == "0002-00000069"


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
def test_temporary_credentials_work_until_they_expire(oss: LocalOSS, fetch: Fetch, version: str) -> None:
    oss.put("closed", "key", b"data")
    oss.add_credentials("sts", "secret", "token")
    bucket = oss.bucket("closed", auth=oss2.StsAuth("sts", "secret", "token", auth_version=version))
    assert bucket.get_object("key").read() == b"data"
    url = urlsplit(bucket.sign_url("GET", "key", 60))
    assert fetch(f"{url.path}?{url.query}").body == b"data"
    oss.expire("sts")
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("key")
    assert (caught.value.status, caught.value.code) == (403, "SecurityTokenExpired")
    assert fetch(f"{url.path}?{url.query}").status == 403


def test_wrong_token_is_refused(oss: LocalOSS) -> None:
    oss.add_credentials("sts", "secret", "token")
    bucket = oss.bucket("closed", auth=oss2.StsAuth("sts", "secret", "other", auth_version="v4"))
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("key")
    assert caught.value.code == "InvalidSecurityToken"


def test_oss_header_that_is_not_signed_spoils_a_presigned_url(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("closed", "key", b"data")
    url = urlsplit(oss.bucket("closed").sign_url("GET", "key", 60))
    got = fetch(f"{url.path}?{url.query}", x_oss_range_behavior="standard")
    assert b"SignatureDoesNotMatch" in got.body


@pytest.mark.skipif(
    "additional_headers" not in inspect.signature(oss2.Bucket.sign_url).parameters, reason="this oss2 cannot sign them"
)
def test_additional_headers_are_signed(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("closed", "key", b"data")
    bucket = oss.bucket("closed")
    signed_url = bucket.sign_url("GET", "key", 60, headers={"Range": "bytes=0-1"}, additional_headers={"range"})
    url = urlsplit(signed_url)
    assert fetch(f"{url.path}?{url.query}", Range="bytes=0-1").body == b"da"
    assert fetch(f"{url.path}?{url.query}", Range="bytes=0-2").status == 403


def test_strangers_read_public_buckets_only(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", b"data")
    oss.put("closed", "key", b"data")
    assert fetch("/open/key").body == b"data"
    assert fetch("/open/key", "PUT").status == 403
    got = fetch("/closed/key")
    assert (got.status, got.headers["x-oss-ec"]) == (403, "0003-00000001")
