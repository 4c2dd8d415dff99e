"""What OSS answers: addresses, headers, ranges, conditions, versions, listings, errors."""

import base64
import gzip
import http.client
from email.utils import formatdate
from typing import Any
from xml.etree import ElementTree

import oss2
import pytest
from raw_client import Fetch, raw_fetch

from aioss_resume._core import crc64
from aioss_resume.testing import GeneratedContent, GiB, LocalOSS, MiB

TEN = b"0123456789"
STANDARD = {"x_oss_range_behavior": "standard"}


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("127.0.0.1:1234", "/open/dir/key"),
        ("[::1]:1234", "/open/dir/key"),
        ("localhost", "/open/dir%2Fkey"),
        ("oss-cn-hangzhou.aliyuncs.com", "/open/dir/key"),
        ("open.oss-cn-hangzhou.aliyuncs.com", "/dir/key"),
        ("open.localhost:1234", "/dir%2Fkey"),
        ("Static.Example.com:1234", "/dir/key"),
    ],
)
def test_object_has_many_addresses(oss: LocalOSS, host: str, path: str) -> None:
    oss.put("open", "dir/key", TEN)
    oss.add_cname("static.example.com", "open")
    assert raw_fetch(oss.port, path, "GET", {"Host": host}).body == TEN
    assert [(record.bucket, record.key) for record in oss.requests] == [("open", "dir/key")]


def test_oss2_reaches_a_bucket_by_its_own_domain(oss: LocalOSS) -> None:
    bucket = oss.bucket("closed", cname=True)
    bucket.put_object("dir/key", TEN)
    assert bucket.get_object("dir/key").read() == TEN
    assert oss.requests[-1].headers["host"].startswith("closed.cname.localhost")
    assert oss.requests[-1].raw_path == "/dir%2Fkey"


def test_oss2_reaches_a_bucket_by_virtual_host(oss: LocalOSS) -> None:
    bucket = oss.bucket("closed", endpoint="http://oss.localhost")
    bucket.put_object("key", TEN)
    assert bucket.get_object("key").read() == TEN
    assert oss.requests[-1].headers["host"] == "closed.oss.localhost"


def test_success_has_the_headers_of_oss(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", TEN, headers={"Content-Type": "text/plain", "x-oss-meta-a": "b"}, last_modified=1330063668)
    got = fetch("/open/key", Range="bytes=2-3")
    headers = dict(got.headers)
    assert len(headers.pop("x-oss-request-id")) == 24
    assert headers.pop("Date")
    assert headers == {
        "Server": "AliyunOSS",
        "x-oss-server-time": "2",
        "Content-Type": "text/plain",
        "Content-Length": "2",
        "Connection": "keep-alive",
        "Content-Range": "bytes 2-3/10",
        "Accept-Ranges": "bytes",
        "ETag": '"781E5E245D69B566979B86E28D23F2C7"',
        "Last-Modified": "Fri, 24 Feb 2012 06:07:48 GMT",
        "x-oss-object-type": "Normal",
        "x-oss-hash-crc64ecma": str(crc64.crc64(TEN)),
        "x-oss-storage-class": "Standard",
        "Content-MD5": base64.b64encode(bytes.fromhex("781E5E245D69B566979B86E28D23F2C7")).decode(),
        "x-oss-meta-a": "b",
    }


def test_head_has_the_headers_without_the_body(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", size=50 * GiB, seed=1)
    got = fetch("/open/key", "HEAD")
    assert (got.status, got.headers["Content-Length"], got.body) == (200, str(50 * GiB), b"")
    assert got.headers["x-oss-hash-crc64ecma"] == str(GeneratedContent(50 * GiB, 1).crc64)


def test_object_meta_is_short(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", TEN)
    got = fetch("/open/key?objectMeta", "HEAD")
    assert (got.headers["Content-Length"], got.headers["Content-Type"]) == ("10", None)


def test_response_headers_are_overridden(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", TEN, headers={"Content-Encoding": "gzip"})
    assert fetch("/open/key").headers["Content-Encoding"] == "gzip"
    got = fetch("/open/key?response-content-type=a%2Fb&response-content-encoding=br")
    assert (got.headers["Content-Type"], got.headers["Content-Encoding"]) == ("a/b", "br")


def test_stored_etag_and_crc64_can_be_set_wrong(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "lie", TEN, crc64=5, etag="ABC")
    oss.put("open", "none", TEN, no_crc=True)
    got = fetch("/open/lie")
    assert (got.headers["x-oss-hash-crc64ecma"], got.headers["ETag"]) == ("5", '"ABC"')
    assert fetch("/open/none").headers["x-oss-hash-crc64ecma"] is None


def test_processed_object_has_no_length_and_no_crc64(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", TEN)
    got = fetch("/open/key?x-oss-process=image%2Finfo", Range="bytes=0-1")
    assert (got.status, got.body, got.headers["Transfer-Encoding"]) == (200, TEN, "chunked")
    assert got.headers["Content-Length"] is None
    assert got.headers["x-oss-hash-crc64ecma"] is None


@pytest.mark.parametrize(
    ("asked", "compatible", "standard"),
    [
        ("bytes=2-4", (206, b"234"), (206, b"234")),
        ("bytes=0-9", (206, TEN), (206, TEN)),
        ("bytes=8-", (206, b"89"), (206, b"89")),
        ("bytes=-3", (206, b"789"), (206, b"789")),
        ("bytes=8-99", (200, TEN), (206, b"89")),
        ("bytes=10-12", (200, TEN), (416, None)),
        ("bytes=99-", (200, TEN), (416, None)),
        ("bytes=-11", (200, TEN), (206, TEN)),
        ("bytes=4-2", (200, TEN), (200, TEN)),
        ("bytes=a-b", (200, TEN), (200, TEN)),
        ("lines=1-2", (200, TEN), (200, TEN)),
        ("bytes=0-1,4-5", (200, TEN), (200, TEN)),
    ],
)
def test_ranges_are_answered_as_oss_answers_them(
    oss: LocalOSS, fetch: Fetch, asked: str, compatible: tuple[int, bytes], standard: tuple[int, bytes | None]
) -> None:
    oss.put("open", "key", TEN)
    for more, (status, body) in (({}, compatible), (STANDARD, standard)):
        got = fetch("/open/key", Range=asked, **more)
        assert got.status == status
        if body is None:
            assert got.headers["Content-Range"] == "bytes */10"
            assert b"InvalidRange" in got.body
        else:
            assert got.body == body
            assert (got.headers["Content-Range"] is None) == (status == 200)


def test_no_range_of_an_empty_object_is_satisfied(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", b"")
    assert fetch("/open/key", Range="bytes=0-9").status == 200
    got = fetch("/open/key", Range="bytes=0-9", **STANDARD)
    assert (got.status, got.headers["Content-Range"]) == (416, "bytes */0")
    got = fetch("/open/key")
    assert (got.status, got.body, got.headers["x-oss-hash-crc64ecma"]) == (200, b"", "0")


def test_folder_ignores_the_range(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key/", TEN, headers={"Content-Type": "application/x-directory"})
    got = fetch("/open/key/", Range="bytes=0-1", **STANDARD)
    assert (got.status, got.body) == (200, TEN)


def test_any_range_of_a_huge_object_is_there_at_once(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", size=50 * GiB, seed=3)
    start = 49 * GiB + MiB - 5
    got = fetch("/open/key", Range=f"bytes={start}-{start + 99}")
    assert got.body == GeneratedContent(50 * GiB, 3).read(start, start + 100)


def test_conditions_are_evaluated_as_oss_does(oss: LocalOSS, fetch: Fetch) -> None:
    stored = oss.put("open", "key", TEN, last_modified=1330063668)
    then, before = formatdate(1330063668, usegmt=True), formatdate(1330063667, usegmt=True)
    assert fetch("/open/key", If_Match=stored.etag).status == 200
    assert fetch("/open/key", If_Match=f'"{stored.etag}"').status == 200
    assert fetch("/open/key", If_Match="*").status == 200
    assert fetch("/open/key", If_None_Match="OTHER").status == 200
    assert fetch("/open/key", If_Unmodified_Since=then).status == 200
    assert fetch("/open/key", If_Modified_Since=before).status == 200
    failed = fetch("/open/key", If_Match="OTHER")
    assert failed.status == 412
    assert b"<Condition>If-Match</Condition>" in failed.body
    assert fetch("/open/key", If_Unmodified_Since=before).status == 412
    for unchanged in (
        fetch("/open/key", If_None_Match=stored.etag),
        fetch("/open/key", If_Modified_Since=then),
    ):
        assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, b"", f'"{stored.etag}"')


def test_versions(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", b"null")
    oss.enable_versioning("open")
    first = oss.put("open", "key", b"first")
    oss.put("open", "key", b"second")
    got = fetch("/open/key")
    assert (got.body, len(got.headers["x-oss-version-id"])) == (b"second", 64)
    assert fetch(f"/open/key?versionId={first.version_id}").body == b"first"
    assert fetch("/open/key?versionId=null").body == b"null"
    assert b"<Code>NoSuchVersion</Code>" in fetch("/open/key?versionId=none").body
    marker = oss.bucket("open").delete_object("key")
    assert marker.delete_marker
    gone = fetch("/open/key")
    assert (gone.status, gone.headers["x-oss-delete-marker"]) == (404, "true")
    assert fetch(f"/open/key?versionId={marker.versionid}").status == 405
    assert fetch(f"/open/key?versionId={first.version_id}").body == b"first"
    oss.bucket("open").delete_object("key", params={"versionId": marker.versionid})
    assert fetch("/open/key").body == b"second"


@pytest.mark.parametrize("iterate", [oss2.ObjectIterator, oss2.ObjectIteratorV2])
def test_listings_are_complete_and_in_order(oss: LocalOSS, iterate: type) -> None:
    bucket = oss.bucket("closed")
    keys = sorted(["a", "b/1", "b/2", "b/3/x", "c &<b>", "d\x01", "中"], key=str.encode)
    for key in keys:
        oss.put("closed", key, TEN)
    assert [found.key for found in iterate(bucket, max_keys=2)] == keys
    assert [found.key for found in iterate(bucket, max_keys=1, delimiter="/")] == [
        "a",
        "b/",
        "c &<b>",
        "d\x01",
        "中",
    ]
    assert [found.key for found in iterate(bucket, prefix="b/", delimiter="/")] == ["b/1", "b/2", "b/3/"]
    assert [found.is_prefix() for found in iterate(bucket, prefix="b/", delimiter="/")] == [False, False, True]
    first = next(iter(iterate(bucket)))
    assert (first.size, first.etag, first.storage_class) == (10, "781E5E245D69B566979B86E28D23F2C7", "Standard")


def test_deleted_object_is_not_listed(oss: LocalOSS) -> None:
    oss.enable_versioning("closed")
    oss.put("closed", "key", TEN)
    oss.delete("closed", "key")
    assert oss.bucket("closed").list_objects_v2().object_list == []


def test_errors_are_xml_with_an_ec(oss: LocalOSS, fetch: Fetch) -> None:
    got = fetch("/open/no%3Ckey")
    error = {element.tag: element.text for element in ElementTree.fromstring(got.body)}
    assert got.status == 404
    assert error == {
        "Code": "NoSuchKey",
        "Message": "The specified key does not exist.",
        "RequestId": got.headers["x-oss-request-id"],
        "HostId": f"127.0.0.1:{oss.port}",
        "Key": "no<key",
        "EC": "0026-00000001",
        "RecommendDoc": "https://api.aliyun.com/troubleshoot?q=0026-00000001",
    }
    assert got.headers["x-oss-ec"] == "0026-00000001"


def test_head_has_its_error_in_a_header(oss: LocalOSS, fetch: Fetch) -> None:
    got = fetch("/open/nokey", "HEAD")
    assert (got.status, got.body) == (404, b"")
    assert b"<Code>NoSuchKey</Code>" in base64.b64decode(got.headers["x-oss-err"])


def test_each_wrong_request_has_its_error(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "cold", TEN, storage_class="Archive")
    assert fetch("/nobucket/key").headers["x-oss-ec"] == "0015-00000101"
    assert fetch("/open/cold", "HEAD").headers["x-oss-storage-class"] == "Archive"
    assert b"<Code>InvalidObjectState</Code>" in fetch("/open/cold").body
    assert fetch("/open/cold?x-oss-traffic-limit=1").headers["x-oss-ec"] == "0004-00000502"


def test_ledger_tells_connections_apart(oss: LocalOSS) -> None:
    oss.put("open", "key", TEN)
    for _ in range(2):
        connection = http.client.HTTPConnection("127.0.0.1", oss.port)
        for _ in range(2):
            connection.request("GET", "/open/key?a=b", headers={"Range": "bytes=1-2"})
            connection.getresponse().read()
        connection.close()
    records = oss.requests
    assert [record.connection for record in records] == [1, 1, 2, 2]
    first = records[0]
    assert (first.method, first.bucket, first.key, first.range) == ("GET", "open", "key", (1, 3))
    assert (first.status, first.bytes_sent, first.error, first.faults) == (206, 2, None, ())
    assert (first.query["a"], first.headers["RANGE"], first.raw_path) == ("b", "bytes=1-2", "/open/key?a=b")
    assert oss.peak_in_flight == 1
    oss.clear_requests()
    assert oss.requests == []


def test_ledgers_repr_shows_no_secret(oss: LocalOSS) -> None:
    oss.put("closed", "key", TEN)
    oss.bucket("closed").get_object("key").read()
    record = oss.requests[-1]
    assert record.headers["authorization"]
    assert "Signature" not in repr(record)
    assert "OSS4" not in str(record)


def test_text_is_compressed_for_those_who_take_gzip(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "key", TEN * 1000, headers={"Content-Type": "text/plain"})
    got = fetch("/open/key", Accept_Encoding="gzip, deflate")
    assert gzip.decompress(got.body) == TEN * 1000
    assert (got.headers["Content-Encoding"], got.headers["ETag"], got.headers["Content-Length"]) == (
        "gzip",
        None,
        None,
    )
    assert fetch("/open/key", Accept_Encoding="identity").body == TEN * 1000


def test_port_and_endpoint_raise_before_the_server_is_started() -> None:
    oss = LocalOSS()
    for ask in (lambda: oss.port, lambda: oss.endpoint, lambda: oss.bucket("examplebucket")):
        with pytest.raises(RuntimeError, match="no port yet"):
            ask()


def test_second_start_raises_and_the_server_keeps_running() -> None:
    with LocalOSS() as oss:
        port = oss.port
        with pytest.raises(RuntimeError, match="started already"):
            oss.start()
        oss.put("examplebucket", "key", b"content")
        assert oss.port == port
        assert oss.bucket("examplebucket").get_object("key").read() == b"content"
        oss.stop()
        oss.start()
        assert oss.port == port


def test_credentials_that_are_not_known_cannot_expire_or_be_removed(oss: LocalOSS) -> None:
    for method in (oss.expire, oss.remove_credentials):
        with pytest.raises(ValueError, match="no access key id 'other' is known"):
            method("other")


@pytest.mark.parametrize(
    ("content", "message"),
    [({"data": "text"}, "data must be bytes, not str"), ({"size": -1}, "size must be at least 0, not -1")],
)
def test_put_refuses_text_and_negative_sizes(oss: LocalOSS, content: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        oss.put("examplebucket", "key", **content)
