"""Multipart uploads."""

import hashlib
import secrets
from itertools import pairwise
from typing import Final
from urllib.parse import quote

from aioss_resume.testing.server.answers import Answer, RefusedError, xml_answer, xml_text
from aioss_resume.testing.server.authority import iso_time
from aioss_resume.testing.server.calls import Call, parse_range
from aioss_resume.testing.server.contents import BytesContent, Content, JoinedContent
from aioss_resume.testing.server.store import Part, Store, Upload
from aioss_resume.testing.server.writing import (
    checked_body,
    copy_source,
    described,
    malformed_xml,
    parsed_body,
    refuse_overwrite,
    version_header,
)

_MOST_PARTS: Final = 10_000
_LEAST_PART: Final = 100 * 1024  # bytes of every part but the last. Source: OSS's limits
_PART_PAGE: Final = 1000


def begin_upload(store: Store, call: Call, now: float) -> Answer:
    """InitiateMultipartUpload."""
    refuse_overwrite(store, call)
    upload = Upload(secrets.token_hex(16).upper(), call.key, int(now), described(call, now))
    store.add_upload(call.bucket, upload)
    return xml_answer("InitiateMultipartUploadResult", {**_named(call), "UploadId": upload.upload_id})


def put_part(store: Store, call: Call, now: float) -> Answer:
    """UploadPart."""
    content = checked_body(call)
    _add_part(store, call, content, now)
    answer = Answer(200)
    answer.headers["ETag"] = f'"{content.etag}"'
    answer.headers["x-oss-hash-crc64ecma"] = str(content.crc64)
    return answer


def copy_part(store: Store, call: Call, now: float) -> Answer:
    """UploadPartCopy: a range of another object, or all of it."""
    source = copy_source(store, call)
    start, stop = parse_range(call.headers.get("x-oss-copy-source-range", "")) or (0, None)
    stop = source.content.size if stop is None else stop
    if not 0 <= start < stop <= source.content.size:
        raise RefusedError(400, "InvalidRange", "The specified copy range is invalid for the source object.")
    content = BytesContent(bytes(source.content.read(start, stop)))
    _add_part(store, call, content, now)
    return xml_answer("CopyPartResult", {"LastModified": iso_time(now), "ETag": f'"{content.etag}"'})


def list_parts(store: Store, call: Call, _now: float) -> Answer:
    """ListParts."""
    upload = _upload(store, call)
    after, most = _number(call, "part-number-marker", 0), min(_number(call, "max-parts", _PART_PAGE), _PART_PAGE)
    rest = sorted(number for number in upload.parts if number > after)
    page = rest[:most]
    is_truncated = len(rest) > most
    fields = {
        **_named(call),
        "UploadId": upload.upload_id,
        "StorageClass": upload.template.storage_class,
        "PartNumberMarker": str(after),
        "NextPartNumberMarker": str(page[-1]) if page else "",
        "MaxParts": str(most),
        "IsTruncated": "true" if is_truncated else "false",
    }
    return xml_answer("ListPartsResult", fields, [_described(number, upload.parts[number]) for number in page])


def complete_upload(store: Store, call: Call, now: float) -> Answer:
    """CompleteMultipartUpload, from the parts that the body names, or from all parts."""
    upload = _upload(store, call)
    refuse_overwrite(store, call)
    if call.headers.get("x-oss-complete-all", "").lower() == "yes":
        numbers = sorted(upload.parts)
    else:
        numbers = _asked_parts(call, upload)
    contents: list[Content] = [upload.parts[number].content for number in numbers]
    if not contents:
        raise malformed_xml()
    if any(content.size < _LEAST_PART for content in contents[:-1]):
        raise RefusedError(400, "EntityTooSmall", "Your proposed upload smaller than the minimum allowed size.")
    digests = b"".join(content.md5 or b"" for content in contents)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest().upper()}-{len(contents)}"
    whole = JoinedContent(contents, etag)
    stored = store.put(call.bucket, upload.finished(whole, int(now)))
    store.remove_upload(call.bucket, upload)
    location = f"http://{call.host}/{quote(call.key)}"
    answer = xml_answer("CompleteMultipartUploadResult", {"Location": location, **_named(call), "ETag": f'"{etag}"'})
    answer.headers["ETag"] = f'"{etag}"'
    answer.headers["x-oss-hash-crc64ecma"] = str(whole.crc64)
    answer.headers.update(version_header(store, call, stored))
    return answer


def abort_upload(store: Store, call: Call, _now: float) -> Answer:
    """AbortMultipartUpload."""
    store.remove_upload(call.bucket, _upload(store, call))
    return Answer(204)


def _upload(store: Store, call: Call) -> Upload:
    return store.upload(call.bucket, call.key, call.query["uploadId"])


def _add_part(store: Store, call: Call, content: BytesContent, now: float) -> None:
    number = _number(call, "partNumber", 0)
    if not 1 <= number <= _MOST_PARTS:
        message = f"Part number must be an integer between 1 and {_MOST_PARTS}, inclusive."
        raise RefusedError(400, "InvalidArgument", message)
    _upload(store, call).parts[number] = Part(content, int(now))


def _asked_parts(call: Call, upload: Upload) -> list[int]:
    """The part numbers in the body of the request. Raises RefusedError unless they are sorted and their ETags match."""
    numbers: list[int] = []
    for element in parsed_body(call, "CompleteMultipartUpload").iter("Part"):
        text, etag = element.findtext("PartNumber") or "", (element.findtext("ETag") or "").strip('"')
        part = upload.parts.get(int(text)) if text.isdigit() else None
        if part is None or part.content.etag != etag.upper():
            message = (
                "One or more of the specified parts could not be found or the specified entity tag might not have "
            )
            raise RefusedError(400, "InvalidPart", message + "matched the part's entity tag.")
        numbers.append(int(text))
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise RefusedError(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
    return numbers


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, "") or str(default)
    if not text.isdigit():
        raise RefusedError(400, "InvalidArgument", f"Argument {name} must be an integer.")
    return int(text)


def _named(call: Call) -> dict[str, str]:
    """The elements with which every response about an upload begins. The key is encoded as the client asked for."""
    return {**call.encoding, "Bucket": call.bucket, "Key": call.encoded(call.key)}


def _described(number: int, part: Part) -> str:
    return (
        f"<Part><PartNumber>{number}</PartNumber><LastModified>{iso_time(part.last_modified)}</LastModified>"
        f"<ETag>&quot;{xml_text(part.content.etag)}&quot;</ETag><HashCrc64ecma>{part.content.crc64}</HashCrc64ecma>"
        f"<Size>{part.content.size}</Size></Part>"
    )
