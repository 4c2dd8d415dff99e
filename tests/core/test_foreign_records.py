"""Records of oss2 and alibabacloud-oss-v2: which are read, and which are refused."""

import copy
import json
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.foreign import (
    Prefix,
    Record,
    UnusableRecordError,
    oss2_name,
    parse_json,
    read_oss2,
    read_v2,
    v2_name,
)
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.spans import Done

CALL = "bucket", "dir/key", "/data/file"
PARTS = [
    {"part_number": 3, "start": 200, "end": 250, "part_crc": 33},
    {"part_number": 1, "start": 0, "end": 100, "part_crc": (1 << 64) - 1},
]
OSS2 = {
    "op_type": "ResumableDownload", "bucket": "bucket", "key": "dir/key", "size": 250, "mtime": 1_700_000_000,
    "etag": "A1", "part_size": 100, "file_path": "/data/file", "tmp_suffix": ".tmp-abcdefghijkl", "parts": PARTS,
}  # fmt: skip
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
V2_DATA = {
    "ObjectInfo": {"Name": "oss://bucket/dir/key", "VersionId": "", "Range": ""},
    "ObjectMeta": {"Size": 250, "LastModified": DATE, "ETag": '"A1"'},
    "FilePath": "/data/file.temp",
    "PartSize": 100,
    "DownloadInfo": {"Offset": 200, "CRC64": 7},
}
META = ObjectMeta("dir/key", 250, "A1", 5, last_modified=datetime.fromtimestamp(1_700_000_000, UTC))


def v2(data=V2_DATA, magic="92611BED-89E2-46B6-89E5-72F273D4B0A3", digest=None):
    digest = digest or md5(json.dumps(data).encode()).hexdigest()
    return json.dumps({"Magic": magic, "MD5": digest, "Data": data}).encode()


def changed(content, path, value):
    content = copy.deepcopy(content)
    *above, last = path
    inner = content
    for each in above:
        inner = inner[each]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return content


def test_records_are_read():
    record = read_oss2(OSS2, *CALL)
    spans = Done(0, 100, (1 << 64) - 1), Done(200, 250, 33)
    assert record == Record(".tmp-abcdefghijkl", 250, "A1", 1_700_000_000, spans)
    assert record.is_of(META)
    record = read_v2(v2(), "bucket", "dir/key", None, "/data/file")
    assert record == Record(".temp", 250, "A1", 1_700_000_000, (), Prefix(200, 7, 100))
    assert record.is_of(META)


def test_part_without_a_crc_is_not_resumed():
    record = read_oss2(changed(OSS2, ["parts", 0, "part_crc"], None), *CALL)
    assert record.spans == (Done(0, 100, (1 << 64) - 1),)


def test_crc_of_zero_in_a_v2_checkpoint_means_unknown():
    record = read_v2(v2(changed(V2_DATA, ["DownloadInfo", "CRC64"], 0)), "bucket", "dir/key", None, "/data/file")
    assert record.prefix == Prefix(200, None, 100)


def test_last_parts_of_a_v2_checkpoint_are_not_trusted():
    prefix = Prefix(500, 7, 100)
    assert [prefix.without_last_parts(size) for size in (0, 99, 399, 400, 10_000)] == [0, 0, 0, 100, 200]


@pytest.mark.parametrize(
    "change",
    [{"size": 251}, {"etag": "B2"}, {"last_modified": None}, {"last_modified": datetime(2024, 1, 1, tzinfo=UTC)}],
)
def test_record_of_another_version_is_not_used(change):
    fields = {"size": 250, "etag": "A1", "last_modified": META.last_modified, **change}
    assert not read_oss2(OSS2, *CALL).is_of(ObjectMeta("dir/key", crc64=5, **fields))


BAD_OSS2 = [
    (["op_type"], "ResumableUpload"), (["bucket"], "other"), (["key"], "other"), (["file_path"], "/etc/passwd"),
    (["tmp_suffix"], "/../../x"), (["tmp_suffix"], ".tmp-abcdefghijk"), (["tmp_suffix"], ".tmp-abcdefghijkL"),
    (["tmp_suffix"], ".tmp-abcdefghijkl\n"), (["tmp_suffix"], ""), (["tmp_suffix"], 5), (["tmp_suffix"], None),
    (["size"], -1), (["size"], 2.5), (["size"], True), (["size"], "250"), (["size"], 1 << 60), (["size"], float("nan")),
    (["part_size"], 0), (["part_size"], -100), (["part_size"], 50), (["part_size"], 1e400), (["mtime"], -5),
    (["etag"], 5), (["parts"], {}), (["parts"], [5]), (["parts"], PARTS * 2), (["parts", 0, "start"], 0),
    (["parts", 0, "end"], 300), (["parts", 0, "end"], 251), (["parts", 0, "part_number"], 1),
    (["parts", 0, "part_number"], 0), (["parts", 0, "part_number"], 2), (["parts", 0, "part_crc"], 1 << 64),
    (["parts", 0, "part_crc"], -1), (["parts", 0, "part_crc"], 1.5), (["parts", 0, "part_crc"], "7"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), BAD_OSS2)
def test_invalid_record_is_refused(path, value):
    with pytest.raises(UnusableRecordError):
        read_oss2(changed(OSS2, path, value), *CALL)


BAD_V2 = [
    (["ObjectInfo", "Name"], "oss://bucket/other"), (["ObjectInfo", "Range"], "bytes=0-5"),
    (["ObjectInfo", "VersionId"], "v"), (["FilePath"], "/etc/passwd"), (["FilePath"], "/data/file"),
    (["ObjectMeta", "Size"], -1), (["ObjectMeta", "LastModified"], ""), (["ObjectMeta", "ETag"], 5),
    (["DownloadInfo", "Offset"], 251), (["DownloadInfo", "Offset"], -1), (["DownloadInfo", "CRC64"], 1 << 64),
    (["DownloadInfo"], []), (["PartSize"], 0), (["PartSize"], "100"), (["ObjectMeta"], "x"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), BAD_V2)
def test_invalid_checkpoint_is_refused(path, value):
    with pytest.raises(UnusableRecordError):
        read_v2(v2(changed(V2_DATA, path, value)), "bucket", "dir/key", None, "/data/file")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff", v2(magic="x"), v2(digest="0" * 32)])
def test_file_that_is_not_a_checkpoint_is_refused(data):
    with pytest.raises(UnusableRecordError):
        read_v2(data, "bucket", "dir/key", None, "/data/file")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(sorted(OSS2)), inner),
    max_leaves=20,
)


@given(json_values, st.sampled_from(sorted(OSS2)))
def test_arbitrary_fields_raise_no_other_error(value, field):
    for content in (value, {**OSS2, field: value}, {**OSS2, "parts": [{**PARTS[0], "start": value}]}):
        try:
            record = read_oss2(content, *CALL)
        except UnusableRecordError:
            continue
        assert record.suffix == ".tmp-abcdefghijkl"
        assert all(0 <= span.start < span.stop <= record.size for span in record.spans)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_no_other_error(data):
    for read in (parse_json, lambda data: read_v2(data, "bucket", "dir/key", None, "/data/file")):
        with suppress(UnusableRecordError):
            read(data)


def test_record_file_names_equal_those_of_the_other_tools(tmp_path):
    import alibabacloud_oss_v2 as v2_package
    from alibabacloud_oss_v2.checkpoint import DownloadCheckpoint
    from oss2 import ResumableDownloadStore

    store = ResumableDownloadStore(root=str(tmp_path))
    key = "dir/é key+%"
    assert oss2_name("b", key, None, "/d/f") == store.make_store_key("b", key, "/d/f")
    assert oss2_name("b", key, "v1", "/d/f") == store.make_store_key("b", key, "/d/f", "v1")
    for version in (None, "v1"):
        request = v2_package.GetObjectRequest(bucket="b", key=key, version_id=version)
        theirs = DownloadCheckpoint(request, "/d/f.temp", f"{tmp_path}/", {"Content-Length": "5"}, 100)
        assert v2_name("b", key, version, "/d/f") == theirs.cp_filepath.rpartition("/")[2]
