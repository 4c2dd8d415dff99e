"""The table of all operations, and the operations that read an object."""

import base64
import gzip
from dataclasses import replace
from email.utils import formatdate
from typing import Final
from urllib.parse import quote

from multidict import CIMultiDict

from aioss_resume.testing.server.answers import Answer, RefusedError, xml_answer, xml_text
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.conditions import Selected, check_conditions, select
from aioss_resume.testing.server.contents import BytesContent
from aioss_resume.testing.server.listing import (
    OWNER,
    bucket_elements,
    list_buckets,
    list_objects,
    list_uploads,
    list_versions,
)
from aioss_resume.testing.server.multipart import (
    abort_upload,
    begin_upload,
    complete_upload,
    copy_part,
    list_parts,
    put_part,
)
from aioss_resume.testing.server.operations import Operation, not_implemented, operation_of
from aioss_resume.testing.server.store import Store, StoredObject
from aioss_resume.testing.server.writing import append, copy, delete, delete_many, put, put_symlink, version_header

_COMPRESSIBLE = {"text/plain", "text/html", "text/css", "text/xml", "application/json", "application/javascript"}
_MOST_COMPRESSED = 64 << 20  # larger ones are not compressed
_TRAFFIC_LIMITS = range(819_200, 838_860_801)  # bits per second


def answer_call(store: Store, call: Call, access_key_id: str | None, now: float) -> Answer:
    """Execute a signed or anonymous request. Raises RefusedError if OSS would refuse it."""
    if access_key_id is None and not call.bucket:
        raise RefusedError(403, "AccessDenied", "Anonymous access is forbidden for this operation.")
    operation = operation_of(call, _OPERATIONS)
    if access_key_id is None and not (operation.is_public and store.is_public(call.bucket)):
        raise RefusedError(403, "AccessDenied", "You have no right to access this object because of bucket acl.")
    return operation.do(store, call, now)


def _create_bucket(store: Store, call: Call, now: float) -> Answer:
    acl = call.headers.get("x-oss-acl", "private")
    if acl not in ("private", "public-read"):
        raise not_implemented(f'the header "x-oss-acl" with the value {acl!r}')
    store.create_bucket(call.bucket, int(now))
    if acl == "public-read":
        store.make_public(call.bucket)
    return Answer(200)


def _bucket_info(store: Store, call: Call, _now: float) -> Answer:
    """GetBucketInfo."""
    elements = bucket_elements(store, call.bucket)
    grant = "public-read" if store.is_public(call.bucket) else "private"
    if store.has_versions(call.bucket):
        elements.append("<Versioning>Enabled</Versioning>")
    elements.append(f"{OWNER}<AccessControlList><Grant>{grant}</Grant></AccessControlList>")
    return xml_answer("BucketInfo", {}, [f"<Bucket>{''.join(elements)}</Bucket>"])


def _get(store: Store, call: Call, _now: float) -> Answer:
    stored = _followed(store, call)
    _check_traffic_limit(call)
    check_conditions(stored, call.headers)
    selected = Selected(0, stored.content.size, is_partial=False)
    if call.method == "GET":
        if "Archive" in stored.storage_class:
            message = "The operation is not valid for the object's state"
            raise RefusedError(403, "InvalidObjectState", message, details={"ObjectName": stored.key})
        if "x-oss-process" in call.query:
            return _processed(stored)
        selected = select(stored, call.headers)
        if not selected.is_partial and _is_compressed(stored, call):
            return _compressed(stored)
    headers = object_headers(stored, selected, has_versions=store.has_versions(call.bucket))
    for name, value in call.query.items():
        if name.startswith("response-"):
            headers[name.removeprefix("response-").title()] = value
    status = 206 if selected.is_partial else 200
    return Answer(status, headers, stored.content, selected.start, selected.stop)


def object_headers(stored: StoredObject, selected: Selected, *, has_versions: bool) -> CIMultiDict[str]:
    """The headers of a successful response, in OSS's order."""
    headers = CIMultiDict({"Content-Type": stored.headers.get("Content-Type", "application/octet-stream")})
    if selected.is_partial:
        headers["Content-Range"] = f"bytes {selected.start}-{selected.stop - 1}/{stored.content.size}"
    headers["Accept-Ranges"] = "bytes"
    headers["ETag"] = f'"{stored.etag}"'
    headers["Last-Modified"] = formatdate(stored.last_modified, usegmt=True)
    headers["x-oss-object-type"] = stored.object_type
    crc64 = stored.told_crc64
    if crc64 is not None:
        headers["x-oss-hash-crc64ecma"] = str(crc64)
    headers["x-oss-storage-class"] = stored.storage_class
    if stored.object_type == "Normal" and stored.content.md5 is not None:
        headers["Content-MD5"] = base64.b64encode(stored.content.md5).decode()
    if has_versions or stored.version_id != "null":
        headers["x-oss-version-id"] = stored.version_id
    for name, value in stored.headers.items():
        if name.lower() != "content-type":
            headers[name] = value
    return headers


def _followed(store: Store, call: Call) -> StoredObject:
    """The requested object; for a symbolic link its target, under the link's name."""
    stored = store.find(call.bucket, call.key, call.version_id)
    if stored.symlink_target is None:
        return stored
    try:
        target = store.find(call.bucket, stored.symlink_target)
    except RefusedError:
        details = {"ObjectName": call.key, "SymlinkTarget": stored.symlink_target}
        raise RefusedError(
            404, "SymlinkTargetNotExist", "The symlink target object does not exist", details=details
        ) from None
    if target.symlink_target is not None:
        raise RefusedError(400, "InvalidTargetType", "The symlink's target object type is invalid.")
    newest = max(stored.last_modified, target.last_modified)
    return replace(target, key=stored.key, version_id=stored.version_id, object_type="Symlink", last_modified=newest)


def _meta(store: Store, call: Call, _now: float) -> Answer:
    """GetObjectMeta: Content-Length, ETag and Last-Modified, without the stored headers."""
    stored = store.find(call.bucket, call.key, call.version_id)
    check_conditions(stored, call.headers)
    whole = Selected(0, stored.content.size, is_partial=False)
    everything = object_headers(stored, whole, has_versions=store.has_versions(call.bucket))
    told = ("ETag", "Last-Modified", "x-oss-hash-crc64ecma", "x-oss-version-id")
    headers = CIMultiDict((name, everything[name]) for name in told if name in everything)
    return Answer(200, headers, stored.content, 0, stored.content.size)


def _get_symlink(store: Store, call: Call, _now: float) -> Answer:
    stored = store.find(call.bucket, call.key, call.version_id)
    if stored.symlink_target is None:
        raise RefusedError(400, "NotSymlink", "The object you specified is not a symlink object.")
    headers = CIMultiDict({"ETag": f'"{stored.etag}"', "x-oss-symlink-target": quote(stored.symlink_target)})
    headers["Last-Modified"] = formatdate(stored.last_modified, usegmt=True)
    headers.update(version_header(store, call, stored))
    return Answer(200, headers)


def _get_tagging(store: Store, call: Call, _now: float) -> Answer:
    stored = store.find(call.bucket, call.key, call.version_id)
    tags = [
        f"<Tag><Key>{xml_text(name)}</Key><Value>{xml_text(value)}</Value></Tag>" for name, value in stored.tags.items()
    ]
    return xml_answer("Tagging", {}, [f"<TagSet>{''.join(tags)}</TagSet>"])


def _processed(stored: StoredObject) -> Answer:
    """The result of `x-oss-process`: here the same bytes, but without a Content-Length."""
    headers = CIMultiDict({"Content-Type": "application/octet-stream", "x-oss-process-status": "0"})
    return Answer(200, headers, stored.content, 0, stored.content.size, framing="chunked")


def _is_compressed(stored: StoredObject, call: Call) -> bool:
    return (
        "gzip" in call.headers.get("Accept-Encoding", "")
        and stored.headers.get("Content-Type", "").partition(";")[0] in _COMPRESSIBLE
        and "Content-Encoding" not in stored.headers
        and 1024 <= stored.content.size <= _MOST_COMPRESSED
    )


def _compressed(stored: StoredObject) -> Answer:
    """The response for text if the client accepts gzip: without Content-Length, ETag and CRC-64, as OSS sends it."""
    body = BytesContent(gzip.compress(stored.content.read(0, stored.content.size), mtime=0))
    headers = CIMultiDict({"Content-Type": stored.headers["Content-Type"], "Content-Encoding": "gzip"})
    headers["Last-Modified"] = formatdate(stored.last_modified, usegmt=True)
    return Answer(200, headers, body, 0, body.size, framing="chunked")


def _check_traffic_limit(call: Call) -> None:
    limit = call.headers.get("x-oss-traffic-limit") or call.query.get("x-oss-traffic-limit")
    if limit is not None and not (limit.isdigit() and int(limit) in _TRAFFIC_LIMITS):
        message = "The traffic limit is out of bounds."
        raise RefusedError(400, "InvalidArgument", message, ec="0004-00000502")


_OPERATIONS: Final = (
    Operation(list_buckets, "GET", "service"),
    Operation(_create_bucket, "PUT", "bucket"),
    Operation(_bucket_info, "GET", "bucket", "bucketInfo"),
    Operation(list_objects, "GET", "bucket"),
    Operation(list_versions, "GET", "bucket", "versions"),
    Operation(list_uploads, "GET", "bucket", "uploads"),
    Operation(delete_many, "POST", "bucket", "delete"),
    Operation(_get, "GET", "object", companions=frozenset({"versionId", "x-oss-process"}), is_public=True),
    Operation(_get, "HEAD", "object", companions=frozenset({"versionId"}), is_public=True),
    Operation(_meta, "GET", "object", "objectMeta", frozenset({"versionId"}), is_public=True),
    Operation(_meta, "HEAD", "object", "objectMeta", frozenset({"versionId"}), is_public=True),
    Operation(_get_symlink, "GET", "object", "symlink", frozenset({"versionId"})),
    Operation(_get_tagging, "GET", "object", "tagging", frozenset({"versionId"})),
    Operation(put, "PUT", "object"),
    Operation(copy, "PUT", "object", header="x-oss-copy-source"),
    Operation(put_symlink, "PUT", "object", "symlink"),
    Operation(append, "POST", "object", "append", frozenset({"position"})),
    Operation(delete, "DELETE", "object", companions=frozenset({"versionId"})),
    Operation(begin_upload, "POST", "object", "uploads"),
    Operation(put_part, "PUT", "object", "uploadId", frozenset({"partNumber"})),
    Operation(copy_part, "PUT", "object", "uploadId", frozenset({"partNumber"}), header="x-oss-copy-source"),
    Operation(list_parts, "GET", "object", "uploadId"),
    Operation(complete_upload, "POST", "object", "uploadId"),
    Operation(abort_upload, "DELETE", "object", "uploadId"),
)
"""The implemented operations. All others are refused with 501 and their name."""
