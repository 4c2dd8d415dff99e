"""LocalOSS never answers with another operation's answer: what it does not do is 501, by name."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import oss2
import oss2.models
import pytest
from oss2.auth import ProviderAuth
from raw_client import Fetch, raw_fetch

from aioss_resume.testing import LocalOSS
from aioss_resume.testing.server.operations import SUB_RESOURCES

TEN = b"0123456789"
ANSWERED = {("GET", "object"): {"objectMeta", "versionId", "x-oss-process", "symlink", "tagging", "uploadId"},
            ("HEAD", "object"): {"objectMeta", "versionId"}, ("DELETE", "object"): {"versionId", "uploadId"},
            ("PUT", "object"): {"symlink", "uploadId"}, ("POST", "object"): {"append", "uploads", "uploadId"},
            ("GET", "bucket"): {"bucketInfo", "versions", "uploads"}, ("POST", "bucket"): {"delete"}}  # fmt: skip
OPTIONS = {"continuation-token", "security-token", "startTime", "endTime", "x-oss-request-payer", "x-oss-traffic-limit",
           "x-oss-access-point-name"}  # fmt: skip


@pytest.fixture(autouse=True)
def key(bucket: Any) -> None:
    bucket.put_object("key", TEN)


CALLS: dict[str, Callable[[Any], Any]] = {
    "acl": lambda bucket: bucket.get_object_acl("key"),
    "acl ": lambda bucket: bucket.put_object_acl("key", oss2.OBJECT_ACL_PRIVATE),
    "acl  ": lambda bucket: bucket.get_bucket_acl(),
    "tagging": lambda bucket: bucket.delete_object_tagging("key"),
    "a POST of the object": lambda bucket: bucket._do("POST", "examplebucket", "key"),
    "restore": lambda bucket: bucket.restore_object("key"),
    "versioning": lambda bucket: bucket.get_bucket_versioning(),
    "location": lambda bucket: bucket.get_bucket_location(),
    "lifecycle": lambda bucket: bucket.get_bucket_lifecycle(),
    "a DELETE of the bucket": lambda bucket: bucket.delete_bucket(),
    "x-oss-process": lambda bucket: bucket.process_object("key", "image/resize,w_10"),
    "x-oss-object-acl": lambda bucket: bucket.put_object("new", TEN, headers={"x-oss-object-acl": "public-read"}),
    "x-oss-callback": lambda bucket: bucket.put_object("new", TEN, headers={"x-oss-callback": "e30="}),
}


@pytest.mark.parametrize("named", CALLS)
def test_unsupported_call_of_oss2_is_refused_by_name(oss: LocalOSS, bucket: Any, named: str) -> None:
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        CALLS[named](bucket)
    assert (caught.value.status, caught.value.code) == (501, "NotImplemented")
    assert named.strip() in caught.value.message
    assert [stored.key for stored in bucket.list_objects().object_list] == ["key"]


def test_every_sub_resource_that_oss2_signs_is_known_or_an_option() -> None:
    signed = set(ProviderAuth._subresource_key_set)
    assert {
        name for name in signed - SUB_RESOURCES - OPTIONS if not name.startswith(("response-", "x-oss-ac-"))
    } == set()


@pytest.mark.parametrize("name", sorted(SUB_RESOURCES))
def test_sub_resource_is_answered_by_its_own_operation_or_refused(oss: LocalOSS, fetch: Fetch, name: str) -> None:
    oss.put("open", "key", TEN)
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        for path, level in (("/open/key", "object"), ("/open/", "bucket")):
            got = raw_fetch(oss.port, f"{path}?{quote(name)}", method, {})
            if name in ANSWERED.get((method, level), set()):
                assert got.status != 501
            else:
                assert (got.status, got.headers.get("x-oss-err") is None or method == "HEAD") == (501, True)
                assert method == "HEAD" or name.encode() in got.body
    assert oss.find("open", "key").content.read(0, 10) == TEN


def test_signature_is_checked_before_unsupported_operations(oss: LocalOSS, bucket: Any) -> None:
    stranger = oss2.Bucket(
        oss2.AuthV4("local-access-key-id", "wrong"), oss.endpoint, "examplebucket", region="cn-hangzhou"
    )
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch):
        stranger.get_object_acl("key")


def test_query_that_is_no_sub_resource_is_ignored(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", TEN)
    assert fetch("/open/key?anything=else&aclx").body == TEN


def test_bucket_that_is_created_public_is_public(oss: LocalOSS) -> None:
    created = oss.bucket("created")
    created.create_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    created.put_object("key", TEN)
    assert raw_fetch(oss.port, "/created/key", "GET", {}).body == TEN
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        oss.bucket("other").create_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    assert caught.value.status == 501
    assert "x-oss-acl" in caught.value.message


@pytest.mark.parametrize("key", ["/key", "\\key", "//", "k" * 1024, "é" * 512])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_key_that_oss_does_not_take_is_refused(oss: LocalOSS, fetch: Fetch, key: str, method: str) -> None:
    oss.put("open", "key", TEN)
    got = raw_fetch(oss.port, "/open/" + quote(key, safe=""), method, {})
    assert got.status == 400
    assert method == "HEAD" or b"<Code>InvalidObjectName</Code>" in got.body


@pytest.mark.parametrize("key", ["", "/key", "\\key", "k" * 1024])
def test_put_of_a_key_that_oss_does_not_take_is_a_value_error(oss: LocalOSS, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        oss.put("open", key, TEN)


@pytest.mark.parametrize("key", ["a//b", "a\\b", "./a", "k" * 1023, "é" * 511])
def test_key_that_oss_takes_is_stored(oss: LocalOSS, bucket: Any, key: str) -> None:
    bucket.put_object(key, TEN)
    assert bucket.get_object(key).read() == TEN
