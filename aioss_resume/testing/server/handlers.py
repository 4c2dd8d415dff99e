"""The operations: put, get, head, delete, list."""

import base64
import gzip
from email.utils import formatdate

from multidict import CIMultiDict

from aioss_resume.testing.server.answers import Answer, RefusedError
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.conditions import Selected, check_conditions, select
from aioss_resume.testing.server.contents import BytesContent
from aioss_resume.testing.server.listing import list_objects
from aioss_resume.testing.server.store import Store, StoredObject
from aioss_resume.testing.server.unsupported import check_supported, not_implemented

_STORED = {
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
}
_COMPRESSIBLE = {"text/plain", "text/html", "text/css", "text/xml", "application/json", "application/javascript"}
_MOST_COMPRESSED = 64 << 20  # larger ones are sent as they are: nobody tests with them
_TRAFFIC_LIMITS = range(819_200, 838_860_801)  # bits per second


def answer_call(store: Store, call: Call, access_key_id: str | None, now: float) -> Answer:
    """Do what a signed or anonymous call asks for; raises `RefusedError` when OSS would say no."""
    if not call.bucket and access_key_id is None:
        raise RefusedError(403, "AccessDenied", "Anonymous access is forbidden for this operation.")
    check_supported(call)
    if call.method == "PUT" and not call.key:
        return _create_bucket(store, call, access_key_id, now)
    is_public = store.is_public(call.bucket)
    if access_key_id is None and not (is_public and call.key and call.method in ("GET", "HEAD")):
        raise RefusedError(403, "AccessDenied", "You have no right to access this object because of bucket acl.")
    if not call.key:
        return list_objects(call.bucket, store.newest(call.bucket), call.query)
    if call.method == "PUT":
        return _put(store, call, now)
    if call.method == "DELETE":
        return _delete(store, call, now)
    return _get(store, call)


def _create_bucket(store: Store, call: Call, access_key_id: str | None, now: float) -> Answer:
    if access_key_id is None:
        raise RefusedError(403, "AccessDenied", "Anonymous access is forbidden for this operation.")
    acl = call.headers.get("x-oss-acl", "private")
    if acl not in ("private", "public-read"):
        raise not_implemented(f'the header "x-oss-acl" with the value {acl!r}')
    store.create_bucket(call.bucket, int(now))
    if acl == "public-read":
        store.make_public(call.bucket)
    return Answer(200)


def _get(store: Store, call: Call) -> Answer:
    stored = store.find(call.bucket, call.key, call.version_id)
    _check_traffic_limit(call)
    check_conditions(stored, call.headers)
    has_versions = store.has_versions(call.bucket)
    if "objectMeta" in call.query:
        return _meta(stored, has_versions=has_versions)
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
    headers = object_headers(stored, selected, has_versions=has_versions)
    for name, value in call.query.items():
        if name.startswith("response-"):
            headers[name.removeprefix("response-").title()] = value
    status = 206 if selected.is_partial else 200
    return Answer(status, headers, stored.content, selected.start, selected.stop)


def object_headers(stored: StoredObject, selected: Selected, *, has_versions: bool) -> CIMultiDict[str]:
    """The headers of a success, in OSS's order."""
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


def _meta(stored: StoredObject, *, has_versions: bool) -> Answer:
    """GetObjectMeta: Content-Length, ETag and Last-Modified, without the headers as stored."""
    everything = object_headers(stored, Selected(0, stored.content.size, is_partial=False), has_versions=has_versions)
    told = ("ETag", "Last-Modified", "x-oss-hash-crc64ecma", "x-oss-version-id")
    headers = CIMultiDict((name, everything[name]) for name in told if name in everything)
    return Answer(200, headers, stored.content, 0, stored.content.size)


def _processed(stored: StoredObject) -> Answer:
    """What `x-oss-process` makes of an object: here the same bytes, but of a length that is not told."""
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
    """What OSS makes of text for those who take gzip: no Content-Length, no ETag, no CRC-64."""
    body = BytesContent(gzip.compress(stored.content.read(0, stored.content.size), mtime=0))
    headers = CIMultiDict({"Content-Type": stored.headers["Content-Type"], "Content-Encoding": "gzip"})
    headers["Last-Modified"] = formatdate(stored.last_modified, usegmt=True)
    return Answer(200, headers, body, 0, body.size, framing="chunked")


def _put(store: Store, call: Call, now: float) -> Answer:
    content = BytesContent(call.body)
    told_md5 = call.headers.get("Content-MD5")
    if told_md5 is not None and told_md5 != base64.b64encode(content.md5 or b"").decode():
        raise RefusedError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
    if call.headers.get("x-oss-forbid-overwrite", "").lower() == "true" and not store.has_versions(call.bucket):
        _refuse_overwrite(store, call)
    headers = {
        name.title() if name.lower() in _STORED else name.lower(): value
        for name, value in call.headers.items()
        if name.lower() in _STORED or name.lower().startswith("x-oss-meta-")
    }
    stored = store.put(
        call.bucket,
        StoredObject(
            key=call.key,
            content=content,
            etag=content.etag,
            last_modified=int(now),
            headers=headers,
            storage_class=call.headers.get("x-oss-storage-class", "Standard"),
        ),
    )
    answer = Answer(200)
    answer.headers["ETag"] = f'"{stored.etag}"'
    answer.headers["x-oss-hash-crc64ecma"] = str(content.crc64)
    answer.headers["Content-MD5"] = base64.b64encode(content.md5 or b"").decode()
    if store.has_versions(call.bucket):
        answer.headers["x-oss-version-id"] = stored.version_id
    return answer


def _refuse_overwrite(store: Store, call: Call) -> None:
    try:
        store.find(call.bucket, call.key)
    except RefusedError:
        return
    message = "The object you specified already exists and can not be overwritten."
    raise RefusedError(409, "FileAlreadyExists", message)


def _delete(store: Store, call: Call, now: float) -> Answer:
    empty = BytesContent(b"")
    marker = StoredObject(key=call.key, content=empty, etag="", last_modified=int(now), is_delete_marker=True)
    gone = store.delete(call.bucket, call.key, call.version_id, marker)
    answer = Answer(204)
    if gone is not None and store.has_versions(call.bucket):
        answer.headers["x-oss-version-id"] = gone.version_id
        if gone.is_delete_marker:
            answer.headers["x-oss-delete-marker"] = "true"
    return answer


def _check_traffic_limit(call: Call) -> None:
    limit = call.headers.get("x-oss-traffic-limit") or call.query.get("x-oss-traffic-limit")
    if limit is not None and not (limit.isdigit() and int(limit) in _TRAFFIC_LIMITS):
        message = "The traffic limit is out of bounds."
        raise RefusedError(400, "InvalidArgument", message, ec="0004-00000502")
