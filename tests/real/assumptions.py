"""What LocalOSS assumes of OSS, one assumption each: a function that raises AssertionError where it does not hold."""

import gzip
from collections.abc import Callable
from typing import Any, NamedTuple

import oss2
import oss2.models

from aioss_resume.testing import GeneratedContent

KiB = 1024
SIZE = 300 * KiB
DATA = GeneratedContent(SIZE, seed=7).read(0, SIZE)
STANDARD = {"x-oss-range-behavior": "standard"}

Check = Callable[[Any, str], None]  # Any: oss2 has no types


class Assumption(NamedTuple):
    """A sentence, and what checks it below a prefix of a bucket."""

    text: str
    check: Check


ASSUMPTIONS: list[Assumption] = []


def assumes(text: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        ASSUMPTIONS.append(Assumption(text, check))
        return check

    return add


def crc64(data: bytes) -> int:
    crc = oss2.utils.Crc64()
    crc.update(data)
    return int(crc.crc)


def got(bucket: Any, key: str, range_: str | None = None, **headers: str) -> Any:
    """The answer to a GET as it came. Its body is read."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if range_ is not None:
        named["Range"] = range_
    response = bucket._do("GET", bucket.bucket_name, key, headers=named)
    response.body = response.read()
    return response


def refused(call: Callable[[], Any]) -> Any:
    try:
        call()
    except oss2.exceptions.OssError as error:
        return error
    raise AssertionError("nothing was refused")


@assumes("an object's CRC-64 is in every answer about it, and on a 206 it is the whole object's")
def _(bucket: Any, prefix: str) -> None:
    bucket.put_object(f"{prefix}whole", DATA)
    answers = [got(bucket, f"{prefix}whole"), got(bucket, f"{prefix}whole", "bytes=5-99", **STANDARD)]
    assert [answer.status for answer in answers] == [200, 206]
    assert {answer.headers["x-oss-hash-crc64ecma"] for answer in answers} == {str(crc64(DATA))}
    assert int(bucket.head_object(f"{prefix}whole").headers["x-oss-hash-crc64ecma"]) == crc64(DATA)


@assumes("Content-Range of a 206 has the range that was asked for and the size of the whole object")
def _(bucket: Any, prefix: str) -> None:
    answer = got(bucket, f"{prefix}whole", "bytes=5-99", **STANDARD)
    assert answer.headers["Content-Range"] == f"bytes 5-99/{SIZE}"
    assert answer.body == DATA[5:100]


@assumes("a range beyond the end gets 200 and the whole object; with x-oss-range-behavior: standard, 416")
def _(bucket: Any, prefix: str) -> None:
    beyond = f"bytes={SIZE}-{SIZE + 5}"
    answer = got(bucket, f"{prefix}whole", beyond)
    assert (answer.status, answer.body) == (200, DATA)
    assert refused(lambda: got(bucket, f"{prefix}whole", beyond, **STANDARD)).status == 416


@assumes("a range that ends beyond the end is cut to it, with x-oss-range-behavior: standard")
def _(bucket: Any, prefix: str) -> None:
    answer = got(bucket, f"{prefix}whole", f"bytes=5-{SIZE + 100}", **STANDARD)
    assert (answer.status, answer.body) == (206, DATA[5:])


@assumes("a suffix range gets the last bytes")
def _(bucket: Any, prefix: str) -> None:
    answer = got(bucket, f"{prefix}whole", "bytes=-8", **STANDARD)
    assert (answer.status, answer.body) == (206, DATA[-8:])


@assumes("an empty object answers 416 to a range, with x-oss-range-behavior: standard, and 200 without one")
def _(bucket: Any, prefix: str) -> None:
    bucket.put_object(f"{prefix}empty", b"")
    assert refused(lambda: got(bucket, f"{prefix}empty", "bytes=0-99", **STANDARD)).status == 416
    assert got(bucket, f"{prefix}empty").body == b""


@assumes("If-Match with another ETag is 412 PreconditionFailed, for a range too")
def _(bucket: Any, prefix: str) -> None:
    error = refused(lambda: got(bucket, f"{prefix}whole", "bytes=0-9", If_Match='"0123456789ABCDEF0123456789ABCDEF"'))
    assert (error.status, error.code) == (412, "PreconditionFailed")
    etag = bucket.head_object(f"{prefix}whole").etag
    assert got(bucket, f"{prefix}whole", "bytes=0-9", If_Match=f'"{etag}"').status == 206


@assumes("the ETag of a put is its MD5 in upper case; that of an upload in parts ends with their number")
def _(bucket: Any, prefix: str) -> None:
    assert bucket.head_object(f"{prefix}whole").etag == oss2.utils.md5_string(DATA).upper()
    upload_id = bucket.init_multipart_upload(f"{prefix}parts").upload_id
    parts = []
    for number, piece in enumerate((DATA[: 100 * KiB], DATA[100 * KiB :]), 1):
        etag = bucket.upload_part(f"{prefix}parts", upload_id, number, piece).etag
        parts.append(oss2.models.PartInfo(number, etag, size=len(piece), part_crc=crc64(piece)))
    bucket.complete_multipart_upload(f"{prefix}parts", upload_id, parts)
    head = bucket.head_object(f"{prefix}parts")
    assert head.etag.endswith("-2")
    assert head.object_type == "Multipart"
    assert int(head.headers["x-oss-hash-crc64ecma"]) == crc64(DATA)


@assumes("a missing object is 404 NoSuchKey with a request id")
def _(bucket: Any, prefix: str) -> None:
    error = refused(lambda: got(bucket, f"{prefix}missing"))
    assert (error.status, error.code) == (404, "NoSuchKey")
    assert error.request_id


@assumes("a wrong secret is 403 SignatureDoesNotMatch")
def _(bucket: Any, prefix: str) -> None:
    keys = bucket.auth.credentials_provider.get_credentials()
    if keys.get_security_token():
        return  # with a token, OSS would answer with another error
    auth = oss2.AuthV4(keys.get_access_key_id(), "wrong")
    stranger = oss2.Bucket(auth, bucket.endpoint, bucket.bucket_name, region=bucket.region, session=bucket.session)
    error = refused(lambda: got(stranger, f"{prefix}whole"))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


@assumes("text is compressed for clients that take gzip, without a CRC-64, and never for others")
def _(bucket: Any, prefix: str) -> None:
    text = b"line\n" * 2000
    bucket.put_object(f"{prefix}text", text, headers={"Content-Type": "text/plain"})
    answer = got(bucket, f"{prefix}text", Accept_Encoding="gzip")
    if answer.headers.get("Content-Encoding") == "gzip":
        assert "x-oss-hash-crc64ecma" not in answer.headers
        assert text in (answer.body, gzip.decompress(answer.body) if answer.body[:2] == b"\x1f\x8b" else answer.body)
    plain = got(bucket, f"{prefix}text", Accept_Encoding="identity")
    assert plain.headers.get("Content-Encoding") is None
    assert int(plain.headers["x-oss-hash-crc64ecma"]) == crc64(text)


@assumes("keys are kept byte for byte, and listed in the order of their UTF-8 bytes")
def _(bucket: Any, prefix: str) -> None:
    names = ["a", "a b", "a+b", "a%2Fb", "a/../b", "a//b", "é", "中", "😀"]
    for name in names:
        bucket.put_object(f"{prefix}keys/{name}", name.encode())
    listed = [found.key for found in oss2.ObjectIteratorV2(bucket, prefix=f"{prefix}keys/", max_keys=2)]
    expected = sorted((f"{prefix}keys/{name}" for name in names), key=lambda key: key.encode())
    assert listed == expected
    assert [bucket.get_object(f"{prefix}keys/{name}").read() for name in names] == [name.encode() for name in names]


@assumes("a symbolic link answers with the bytes, size and ETag of its target, as the type Symlink")
def _(bucket: Any, prefix: str) -> None:
    bucket.put_symlink(f"{prefix}whole", f"{prefix}link")
    answer = got(bucket, f"{prefix}link")
    assert answer.body == DATA
    assert answer.headers["x-oss-object-type"] == "Symlink"
    assert answer.headers["ETag"].strip('"') == bucket.head_object(f"{prefix}whole").etag


@assumes("an append at another position than the end is 409, and says where the end is")
def _(bucket: Any, prefix: str) -> None:
    bucket.append_object(f"{prefix}log", 0, b"abc")
    error = refused(lambda: bucket.append_object(f"{prefix}log", 1, b"no"))
    assert (error.status, error.next_position) == (409, 3)
    bucket.append_object(f"{prefix}log", 3, b"def")
    assert int(bucket.head_object(f"{prefix}log").headers["x-oss-hash-crc64ecma"]) == crc64(b"abcdef")


@assumes("a presigned address answers to Range without the header having been signed")
def _(bucket: Any, prefix: str) -> None:
    address = bucket.sign_url("GET", f"{prefix}whole", 300, slash_safe=True)
    answer = bucket.get_object_with_url(address, byte_range=(5, 99))
    assert (answer.status, answer.read()) == (206, DATA[5:100])


@assumes("a copy keeps the CRC-64 and the user's metadata")
def _(bucket: Any, prefix: str) -> None:
    bucket.put_object(f"{prefix}meta", DATA, headers={"x-oss-meta-a": "b"})
    bucket.copy_object(bucket.bucket_name, f"{prefix}meta", f"{prefix}copy")
    head = bucket.head_object(f"{prefix}copy")
    assert int(head.headers["x-oss-hash-crc64ecma"]) == crc64(DATA)
    assert head.headers["x-oss-meta-a"] == "b"


@assumes("many objects are deleted by one request, missing ones too")
def _(bucket: Any, prefix: str) -> None:
    keys = [f"{prefix}copy", f"{prefix}never was"]
    assert sorted(bucket.batch_delete_objects(keys).deleted_keys) == sorted(keys)
    assert not bucket.object_exists(f"{prefix}copy")
