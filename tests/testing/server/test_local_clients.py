"""Unmodified official clients against LocalOSS."""

import asyncio
import io
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest
import trustme

from aioss_resume.testing import GeneratedContent, LocalOSS, MiB

SIZE = 3 * MiB + 77


def whole(seed: int = 1) -> bytes:
    return GeneratedContent(SIZE, seed).read(0, SIZE)


def test_oss2_puts_and_gets(bucket: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    put = bucket.put_object("key", whole(), headers={"x-oss-meta-a": "b"})
    got = bucket.get_object("key")
    assert got.read() == whole()
    assert put.crc == got.server_crc == got.client_crc
    assert bucket.head_object("key").headers["x-oss-meta-a"] == "b"
    assert bucket.get_object_meta("key").content_length == SIZE
    assert bucket.get_object("key", byte_range=(5, 9)).read() == whole()[5:10]
    bucket.get_object_to_file("key", str(path))
    assert path.read_bytes() == whole()
    assert bucket.object_exists("key")
    bucket.delete_object("key")
    assert not bucket.object_exists("key")


def test_oss2_gets_with_a_signed_url(bucket: Any) -> None:
    bucket.put_object("dir/key", b"data")
    url = bucket.sign_url("GET", "dir/key", 60)
    assert bucket.get_object_with_url(url).read() == b"data"


def test_oss2_gets_anonymously(oss: LocalOSS) -> None:
    oss.put("open", "key", b"data")
    assert oss.bucket("open", auth=oss2.AnonymousAuth()).get_object("key").read() == b"data"
    with pytest.raises(oss2.exceptions.AccessDenied):
        oss.bucket("closed", auth=oss2.AnonymousAuth()).get_object("key")


def test_oss2_downloads_in_parts_and_resumes(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    path = tmp_path / "file"
    options: dict[str, Any] = {
        "multiget_threshold": MiB,
        "part_size": MiB,
        "num_threads": 1,
        "store": oss2.ResumableDownloadStore(root=str(tmp_path)),
    }
    oss.faults.reset_after(1000, range=(2 * MiB, 3 * MiB))
    with pytest.raises((OSError, oss2.exceptions.OssError)):
        oss2.resumable_download(bucket, "key", str(path), **options)
    assert not oss.faults.unmet()
    kept = [(0, MiB), (MiB, 2 * MiB)]
    assert [record.range for record in oss.requests if record.method == "GET"][:2] == kept
    oss.clear_requests()
    oss2.resumable_download(bucket, "key", str(path), **options)
    fetched = [record.range for record in oss.requests if record.method == "GET"]
    assert fetched
    assert not set(fetched) & set(kept)
    assert path.read_bytes() == whole()


def test_oss2_finds_a_flipped_bit(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.flip_bit(MiB + 5)
    with pytest.raises(oss2.exceptions.InconsistentError):
        bucket.get_object_to_file("key", str(tmp_path / "file"))


@pytest.fixture
def client(oss: LocalOSS) -> oss_v2.Client:
    oss.create_bucket("examplebucket")
    config = oss_v2.config.load_default()
    config.credentials_provider = oss_v2.credentials.StaticCredentialsProvider(oss.access_key_id, oss.access_key_secret)
    config.region, config.endpoint = oss.region, oss.endpoint
    config.use_path_style, config.additional_headers = True, ["range", "host"]
    return oss_v2.Client(config)


def test_v2_puts_and_gets(client: oss_v2.Client) -> None:
    key = "dir/a b+中~*'("
    client.put_object(oss_v2.PutObjectRequest(bucket="examplebucket", key=key, body=whole()))
    head = client.head_object(oss_v2.HeadObjectRequest(bucket="examplebucket", key=key))
    assert head.content_length == SIZE
    with client.get_object(oss_v2.GetObjectRequest(bucket="examplebucket", key=key)).body as body:
        assert body.read() == whole()
    part = oss_v2.GetObjectRequest(bucket="examplebucket", key=key, range_header="bytes=5-9", range_behavior="standard")
    with client.get_object(part).body as body:
        assert body.read() == whole()[5:10]
    page = client.list_objects_v2(oss_v2.ListObjectsV2Request(bucket="examplebucket"))
    assert [found.key for found in page.contents] == [key]


def test_v2_sets_up_what_a_test_needs(oss: LocalOSS, client: oss_v2.Client) -> None:
    oss.enable_versioning("examplebucket")
    where = {"bucket": "examplebucket"}
    first = client.put_object(oss_v2.PutObjectRequest(**where, key="a", body=b"1", tagging="t=1")).version_id
    client.put_object(oss_v2.PutObjectRequest(**where, key="a", body=b"22"))
    client.copy_object(oss_v2.CopyObjectRequest(**where, key="copy", source_key="a", source_version_id=first))
    client.append_object(oss_v2.AppendObjectRequest(**where, key="log", position=0, body=b"abc"))
    client.put_symlink(oss_v2.PutSymlinkRequest(**where, key="link", symlink_target="copy"))
    with client.get_object(oss_v2.GetObjectRequest(**where, key="link")).body as body:
        assert body.read() == b"1"
    tags = client.get_object_tagging(oss_v2.GetObjectTaggingRequest(**where, key="copy")).tag_set.tags
    assert [(tag.key, tag.value) for tag in tags] == [("t", "1")]
    uploader = client.uploader(part_size=MiB, parallel_num=2)
    uploader.upload_from(oss_v2.PutObjectRequest(**where, key="parts"), io.BytesIO(whole()))
    assert bytes(oss.find("examplebucket", "parts").content.read(0, SIZE)) == whole()
    doomed = [oss_v2.DeleteObject(key="log"), oss_v2.DeleteObject(key="a", version_id=first)]
    client.delete_multiple_objects(oss_v2.DeleteMultipleObjectsRequest(**where, objects=doomed))
    listed = client.list_object_versions(oss_v2.ListObjectVersionsRequest(**where))
    kept = {version.key: version.is_latest for version in listed.version}
    assert kept == {"a": True, "copy": True, "link": True, "log": False, "parts": True}
    assert [marker.key for marker in listed.delete_marker] == ["log"]
    assert client.get_bucket_info(oss_v2.GetBucketInfoRequest(**where)).bucket_info.location == "oss-cn-hangzhou"


def test_v2_understands_an_error(client: oss_v2.Client) -> None:
    with pytest.raises(oss_v2.exceptions.OperationError) as caught:
        client.get_object(oss_v2.GetObjectRequest(bucket="examplebucket", key="nokey"))
    assert caught.value.unwrap().code == "NoSuchKey"


def test_v2_downloads_in_parts(oss: LocalOSS, client: oss_v2.Client, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    path = tmp_path / "file"
    downloader = client.downloader(part_size=MiB, parallel_num=2)
    result = downloader.download_file(oss_v2.GetObjectRequest(bucket="examplebucket", key="key"), str(path))
    assert result.written == SIZE
    assert path.read_bytes() == whole()
    assert sum(record.bytes_sent for record in oss.requests) == SIZE


def test_v2_presigned_url_is_accepted(oss: LocalOSS, client: oss_v2.Client) -> None:
    oss.put("examplebucket", "dir/key", b"data")
    signed = client.presign(oss_v2.GetObjectRequest(bucket="examplebucket", key="dir/key"))
    assert oss.bucket("examplebucket").get_object_with_url(signed.url).read() == b"data"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async_program_starts_and_stops_it() -> None:
    async with LocalOSS() as oss:
        oss.make_public("open")
        oss.put("open", "key", size=SIZE, seed=1)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:

            async def get() -> bytes:
                async with session.get(f"{oss.endpoint}/open/key") as response:
                    return await response.read()

            got = [tasks.create_task(get()) for _ in range(5)]
        assert {task.result() for task in got} == {whole()}


def test_it_speaks_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with LocalOSS(tls=context) as oss:
        bucket = oss.bucket("examplebucket")
        assert oss.endpoint.startswith("https://")
        oss.put("examplebucket", "key", size=SIZE, seed=1)
        assert bucket.get_object("key").read() == whole()
        oss.faults.reset_after(5)
        with pytest.raises((OSError, oss2.exceptions.RequestError)):
            bucket.get_object("key").read()


def test_port_that_is_taken_is_an_error(oss: LocalOSS) -> None:
    with pytest.raises(OSError, match="in use"):
        LocalOSS(port=oss.port).__enter__()


def test_file_is_served(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(whole())
    oss.put("examplebucket", "key", file=path)
    got = bucket.get_object("key")
    assert got.read() == whole()
    assert got.client_crc == got.server_crc


def test_restarted_server_has_the_same_port_and_objects(oss: LocalOSS, bucket: Any) -> None:
    bucket.put_object("key", b"data")
    port = oss.port
    oss.stop()
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.get_object("key")
    oss.start()
    assert oss.port == port
    assert bucket.get_object("key").read() == b"data"
    assert [record.method for record in oss.requests] == ["PUT", "GET"]


def test_dropped_connections_break_what_is_under_way(oss: LocalOSS, bucket: Any) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.stall(MiB)
    got = bucket.get_object("key")
    oss.wait_for_bytes(MiB)
    oss.drop_connections()
    with pytest.raises((OSError, oss2.exceptions.RequestError)):
        got.read()
    assert bucket.get_object("key").read() == whole()
