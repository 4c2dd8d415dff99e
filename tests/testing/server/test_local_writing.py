"""What a test's set-up needs: oss2 stores, copies, appends, links, uploads in parts, deletes and lists versions."""

from typing import Any

import oss2
import oss2.models
import pytest

from aioss_resume.testing import LocalOSS

TEN = b"0123456789"
LEAST_PART = 100 * 1024


def crc64_of(data: bytes) -> int:
    crc = oss2.utils.Crc64()
    crc.update(data)
    return int(crc.crc)


def stored_as(bucket: Any, key: str, data: bytes) -> None:
    """oss2 reads it whole and in part, and compares its CRC-64."""
    got = bucket.get_object(key)
    assert got.read() == data
    assert got.server_crc == crc64_of(data)
    assert bucket.get_object(key, byte_range=(3, 7)).read() == data[3:8]


def test_copy_keeps_bytes_metadata_and_tags(oss: LocalOSS, bucket: Any) -> None:
    bucket.put_object("a", TEN, headers={"x-oss-meta-x": "1", "Content-Type": "text/x", "x-oss-tagging": "t=1"})
    result = bucket.copy_object("examplebucket", "a", "d/ü copy")
    assert result.etag == bucket.head_object("a").etag
    stored_as(bucket, "d/ü copy", TEN)
    headers = bucket.head_object("d/ü copy").headers
    assert (headers["x-oss-meta-x"], headers["Content-Type"]) == ("1", "text/x")
    assert bucket.get_object_tagging("d/ü copy").tag_set.tagging_rule == {"t": "1"}
    bucket.append_object("log", 0, TEN)
    bucket.copy_object("examplebucket", "log", "log copy")
    assert bucket.head_object("log copy").object_type == "Normal"
    replaced = {"x-oss-metadata-directive": "REPLACE", "x-oss-meta-y": "2"}
    bucket.copy_object("examplebucket", "a", "b", headers=replaced)
    assert "x-oss-meta-x" not in bucket.head_object("b").headers
    assert bucket.head_object("b").headers["x-oss-meta-y"] == "2"


def test_copy_under_a_condition_that_does_not_hold(bucket: Any) -> None:
    bucket.put_object("a", TEN)
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        bucket.copy_object("examplebucket", "a", "b", headers={"x-oss-copy-source-if-match": "ABC"})
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.copy_object("examplebucket", "missing", "b")
    assert not bucket.object_exists("b")


def test_append_extends_an_object(bucket: Any) -> None:
    assert bucket.append_object("log", 0, TEN).next_position == 10
    assert bucket.append_object("log", 10, b"abc").next_position == 13
    stored_as(bucket, "log", TEN + b"abc")
    assert bucket.head_object("log").object_type == "Appendable"
    with pytest.raises(oss2.exceptions.PositionNotEqualToLength) as caught:
        bucket.append_object("log", 10, b"no")
    assert caught.value.next_position == 13
    bucket.put_object("normal", TEN)
    with pytest.raises(oss2.exceptions.ObjectNotAppendable):
        bucket.append_object("normal", 10, b"no")


def test_many_appends_are_read_as_one(bucket: Any) -> None:
    for number in range(1200):
        bucket.append_object("log", number, b"%d" % (number % 10))
    stored_as(bucket, "log", TEN * 120)


def test_symlink_leads_to_its_target(oss: LocalOSS, bucket: Any) -> None:
    bucket.put_object("d/ü", TEN)
    bucket.put_symlink("d/ü", "link")
    assert bucket.get_symlink("link").target_key == "d/ü"
    stored_as(bucket, "link", TEN)
    head = bucket.head_object("link")
    assert (head.object_type, head.etag, head.content_length) == ("Symlink", bucket.head_object("d/ü").etag, 10)
    bucket.put_symlink("link", "link to a link")
    bucket.put_symlink("missing", "dangling")
    for key, code in (("link to a link", "InvalidTargetType"), ("dangling", "SymlinkTargetNotExist")):
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket.get_object(key)
        assert caught.value.code == code
    with pytest.raises(oss2.exceptions.ServerError, match="NotSymlink"):
        bucket.get_symlink("d/ü")


def test_multipart_upload_joins_its_parts(bucket: Any) -> None:
    bucket.put_object("source", TEN * LEAST_PART)
    upload_id = bucket.init_multipart_upload("big", headers={"x-oss-meta-x": "1"}).upload_id
    pieces = [b"a" * LEAST_PART, b"b" * LEAST_PART, b"c"]
    parts = []
    for number, piece in enumerate(pieces, 1):
        etag = bucket.upload_part("big", upload_id, number, piece).etag
        parts.append(oss2.models.PartInfo(number, etag, size=len(piece), part_crc=crc64_of(piece)))
    bucket.upload_part_copy("examplebucket", "source", (5, LEAST_PART + 4), "big", upload_id, 2)
    parts[1].etag = next(part.etag for part in bucket.list_parts("big", upload_id).parts if part.part_number == 2)
    whole = pieces[0] + (TEN * LEAST_PART)[5 : LEAST_PART + 5] + pieces[2]
    parts[1].part_crc = crc64_of(whole[LEAST_PART : 2 * LEAST_PART])
    assert [part.size for part in bucket.list_parts("big", upload_id).parts] == [LEAST_PART, LEAST_PART, 1]
    assert [upload.upload_id for upload in bucket.list_multipart_uploads().upload_list] == [upload_id]
    assert not bucket.object_exists("big")
    result = bucket.complete_multipart_upload("big", upload_id, parts)
    assert result.etag.endswith("-3")
    assert result.crc == crc64_of(whole)
    stored_as(bucket, "big", whole)
    head = bucket.head_object("big")
    assert (head.object_type, head.headers["x-oss-meta-x"]) == ("Multipart", "1")
    assert bucket.list_multipart_uploads().upload_list == []


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # oss2's own
def test_resumable_upload_of_oss2(bucket: Any, tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(TEN * LEAST_PART)
    store = oss2.ResumableStore(root=str(tmp_path))
    options = {"multipart_threshold": 0, "part_size": LEAST_PART, "num_threads": 2}
    oss2.resumable_upload(bucket, "key", str(path), store=store, **options)
    stored_as(bucket, "key", path.read_bytes())


def test_mistakes_in_multipart_uploads(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("big").upload_id
    etags = [bucket.upload_part("big", upload_id, number, TEN).etag for number in (1, 2)]
    first, second = (oss2.models.PartInfo(number, etag) for number, etag in zip((1, 2), etags, strict=True))
    other = oss2.models.PartInfo(1, "0" * 32)
    cases = [([second, first], "InvalidPartOrder"), ([other], "InvalidPart"), ([first, second], "EntityTooSmall")]
    for parts, code in cases:
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            _complete(bucket, upload_id, parts)
        assert caught.value.code == code
    bucket.abort_multipart_upload("big", upload_id)
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.upload_part("big", upload_id, 1, TEN)
    with pytest.raises(oss2.exceptions.ServerError, match="InvalidArgument"):
        bucket.upload_part("big", bucket.init_multipart_upload("big").upload_id, 10_001, TEN)


def test_batch_delete_deletes_and_reports_keys(bucket: Any) -> None:
    keys = ["a", "ü/&<>", "c"]
    for key in keys:
        bucket.put_object(key, TEN)
    assert sorted(bucket.batch_delete_objects([*keys[:2], "missing"]).deleted_keys) == ["a", "missing", "ü/&<>"]
    assert [stored.key for stored in oss2.ObjectIterator(bucket)] == ["c"]
    with pytest.raises(oss2.exceptions.ServerError, match="MalformedXML"):
        bucket._do("POST", "examplebucket", "", params={"delete": ""}, data=b"<Delete>")


def test_versions(oss: LocalOSS, bucket: Any) -> None:
    oss.enable_versioning("examplebucket")
    first, second = (bucket.put_object("a", data).versionid for data in (b"1", b"22"))
    marker = bucket.delete_object("a").versionid
    bucket.put_object("b", TEN)
    listed = bucket.list_object_versions()
    assert [(version.key, version.versionid, version.is_latest, version.size) for version in listed.versions][:2] == [
        ("a", second, False, 2),
        ("a", first, False, 1),
    ]
    assert [(version.key, version.versionid, version.is_latest) for version in listed.delete_marker] == [
        ("a", marker, True)
    ]
    seen = []
    page = bucket.list_object_versions(max_keys=1)
    for _ in range(5):
        seen += [version.versionid for version in (*page.versions, *page.delete_marker)]
        if not page.is_truncated:
            break
        page = bucket.list_object_versions(
            max_keys=1, key_marker=page.next_key_marker, versionid_marker=page.next_versionid_marker
        )
    assert seen[:3] == [marker, second, first]
    assert len(seen) == 4
    doomed = oss2.models.BatchDeleteObjectVersionList(
        [oss2.models.BatchDeleteObjectVersion("a", marker), oss2.models.BatchDeleteObjectVersion("b")]
    )
    deleted = bucket.delete_object_versions(doomed).delete_versions
    assert [(gone.key, bool(gone.delete_marker)) for gone in deleted] == [("a", True), ("b", True)]
    assert bucket.get_object("a").read() == b"22"
    assert not bucket.object_exists("b")


def test_versions_below_a_delimiter(oss: LocalOSS, bucket: Any) -> None:
    oss.enable_versioning("examplebucket")
    for key in ("d/a", "d/b", "e"):
        bucket.put_object(key, TEN)
    listed = bucket.list_object_versions(delimiter="/")
    assert (listed.common_prefix, [version.key for version in listed.versions]) == (["d/"], ["e"])


def test_bucket_says_where_it_is(oss: LocalOSS, bucket: Any) -> None:
    oss.enable_versioning("examplebucket")
    info = bucket.get_bucket_info()
    assert (info.name, info.location, info.acl.grant) == ("examplebucket", "oss-cn-hangzhou", "private")
    assert info.versioning_status == "Enabled"


def test_buckets_are_listed_in_pages(oss: LocalOSS) -> None:
    for name in ("pages-a", "pages-b", "pages2"):
        oss.create_bucket(name)
    keys = oss2.credentials.StaticCredentialsProvider(oss.access_key_id, oss.access_key_secret)
    service = oss2.Service(oss2.ProviderAuthV4(keys), oss.endpoint, region=oss.region)
    listed = list(oss2.BucketIterator(service, prefix="pages-", max_keys=1))
    assert [bucket.name for bucket in listed] == ["pages-a", "pages-b"]
    assert {(bucket.location, bucket.region) for bucket in listed} == {("oss-cn-hangzhou", "cn-hangzhou")}
    assert listed[0].extranet_endpoint == "oss-cn-hangzhou.aliyuncs.com"


def test_tags_are_read(bucket: Any) -> None:
    bucket.put_object("a", TEN, headers={"x-oss-tagging": "k%201=v%261&empty="})
    assert bucket.get_object_tagging("a").tag_set.tagging_rule == {"k 1": "v&1", "empty": ""}


def test_overwriting_that_is_forbidden(bucket: Any) -> None:
    bucket.put_object("a", TEN)
    forbidding = {"x-oss-forbid-overwrite": "true"}
    upload_id = bucket.init_multipart_upload("a").upload_id
    part = oss2.models.PartInfo(1, bucket.upload_part("a", upload_id, 1, b"x").etag)
    for call in (
        lambda: bucket.put_object("a", b"x", headers=forbidding),
        lambda: bucket.put_symlink("b", "a", headers=forbidding),
        lambda: bucket.copy_object("examplebucket", "a", "a", headers=forbidding),
        lambda: bucket.complete_multipart_upload("a", upload_id, [part], headers=forbidding),
    ):
        with pytest.raises(oss2.exceptions.ServerError, match="FileAlreadyExists"):
            call()
    stored_as(bucket, "a", TEN)


def _complete(bucket: Any, upload_id: str, parts: list[Any]) -> None:
    """As they stand: oss2's own method sorts them first."""
    body = oss2.xml_utils.to_complete_upload_request(parts)
    bucket._do("POST", "examplebucket", "big", params={"uploadId": upload_id}, data=body)
