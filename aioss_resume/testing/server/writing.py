"""The operations that store and delete objects."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, unquote
from xml.etree import ElementTree

from aioss_resume.testing.server.answers import Answer, RefusedError, xml_answer, xml_text
from aioss_resume.testing.server.authority import iso_time
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.conditions import check_conditions
from aioss_resume.testing.server.contents import BytesContent, JoinedContent
from aioss_resume.testing.server.store import Store, StoredObject

_STORED = {
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
}
_MOST_DELETED = 1000  # objects in one DeleteMultipleObjects


def put(store: Store, call: Call, now: float) -> Answer:
    """PutObject."""
    refuse_overwrite(store, call)
    content = checked_body(call)
    stored = store.put(call.bucket, replace(described(call, now), content=content, etag=content.etag))
    answer = Answer(200)
    answer.headers["ETag"] = f'"{stored.etag}"'
    answer.headers["x-oss-hash-crc64ecma"] = str(content.crc64)
    answer.headers["Content-MD5"] = base64.b64encode(content.md5 or b"").decode()
    answer.headers.update(version_header(store, call, stored))
    return answer


def copy(store: Store, call: Call, now: float) -> Answer:
    """CopyObject. The copy is a normal object, however the source was written. A symbolic link is copied as a link."""
    refuse_overwrite(store, call)
    source = copy_source(store, call)
    described_anew = described(call, now)
    headers, tags = source.headers, source.tags
    if call.headers.get("x-oss-metadata-directive", "COPY").upper() == "REPLACE":
        headers = described_anew.headers
    if call.headers.get("x-oss-tagging-directive", "Copy").upper() == "REPLACE":
        tags = described_anew.tags
    storage_class = call.headers.get("x-oss-storage-class", source.storage_class)
    copied = replace(
        source,
        key=call.key,
        last_modified=int(now),
        version_id="null",
        headers=headers,
        tags=tags,
        storage_class=storage_class,
        object_type=source.object_type if source.symlink_target is not None else "Normal",
    )
    stored = store.put(call.bucket, copied)
    fields = {"LastModified": iso_time(stored.last_modified), "ETag": f'"{stored.etag}"'}
    answer = xml_answer("CopyObjectResult", fields)
    answer.headers["ETag"] = f'"{stored.etag}"'
    answer.headers["x-oss-hash-crc64ecma"] = str(stored.content.crc64)
    answer.headers.update(version_header(store, call, stored))
    if source.version_id != "null":
        answer.headers["x-oss-copy-source-version-id"] = source.version_id
    return answer


def append(store: Store, call: Call, now: float) -> Answer:
    """AppendObject: at the end of an appendable object, or at 0 if the object does not exist."""
    text = call.query.get("position", "")
    if not text.isdigit():
        raise RefusedError(400, "InvalidArgument", "The position must be a whole number of at least 0.")
    content = checked_body(call)
    try:
        old: StoredObject | None = store.find(call.bucket, call.key)
    except RefusedError as error:
        if error.code != "NoSuchKey":
            raise
        old = None
    if old is not None and old.object_type != "Appendable":
        raise RefusedError(409, "ObjectNotAppendable", "The object is not appendable")
    length = old.content.size if old is not None else 0
    if int(text) != length:
        message = "Position is not equal to file length"
        raise RefusedError(
            409, "PositionNotEqualToLength", message, headers={"x-oss-next-append-position": str(length)}
        )
    parts = [content] if old is None else [old.content, content]
    whole = JoinedContent(parts, etag=_etag_of(*(part.etag for part in parts)))
    if old is None:
        new = replace(described(call, now), content=whole, etag=whole.etag, object_type="Appendable")
        stored = store.put(call.bucket, new)
    else:
        stored = replace(old, content=whole, etag=whole.etag, last_modified=int(now))
        store.update(call.bucket, stored)
    answer = Answer(200)
    answer.headers["ETag"] = f'"{stored.etag}"'
    answer.headers["x-oss-hash-crc64ecma"] = str(whole.crc64)
    answer.headers["x-oss-next-append-position"] = str(whole.size)
    answer.headers.update(version_header(store, call, stored))
    return answer


def put_symlink(store: Store, call: Call, now: float) -> Answer:
    """PutSymlink. Whether the target exists is only checked when the link is followed."""
    refuse_overwrite(store, call)
    target = unquote(call.headers.get("x-oss-symlink-target", ""))
    if not target:
        raise RefusedError(400, "InvalidArgument", "The header x-oss-symlink-target is missing.")
    empty = BytesContent(b"")
    link = replace(described(call, now), content=empty, etag=_etag_of(target), object_type="Symlink")
    stored = store.put(call.bucket, replace(link, symlink_target=target))
    answer = Answer(200)
    answer.headers["ETag"] = f'"{stored.etag}"'
    answer.headers.update(version_header(store, call, stored))
    return answer


def delete(store: Store, call: Call, now: float) -> Answer:
    """DeleteObject."""
    gone = store.delete(call.bucket, call.key, call.version_id, int(now))
    answer = Answer(204)
    if gone is not None and store.has_versions(call.bucket):
        answer.headers["x-oss-version-id"] = gone.version_id
        if gone.is_delete_marker:
            answer.headers["x-oss-delete-marker"] = "true"
    return answer


def delete_many(store: Store, call: Call, now: float) -> Answer:
    """DeleteMultipleObjects, of objects and of versions."""
    checked_body(call)
    request = parsed_body(call, "Delete")
    asked = [(child.findtext("Key") or "", child.findtext("VersionId") or None) for child in request.iter("Object")]
    if not 1 <= len(asked) <= _MOST_DELETED or not all(key for key, _ in asked):
        raise malformed_xml()
    lines = []
    for key, version_id in asked:
        gone = store.delete(call.bucket, key, version_id, int(now))
        line = f"<Key>{xml_text(call.encoded(key))}</Key>"
        if gone is not None and store.has_versions(call.bucket):
            if version_id is not None:
                line += f"<VersionId>{version_id}</VersionId>"
            if gone.is_delete_marker:
                marker = f"<DeleteMarkerVersionId>{gone.version_id}</DeleteMarkerVersionId>"
                line += f"<DeleteMarker>true</DeleteMarker>{marker}"
        lines.append(f"<Deleted>{line}</Deleted>")
    is_quiet = (request.findtext("Quiet") or "").lower() == "true"
    return xml_answer("DeleteResult", call.encoding, [] if is_quiet else lines)


def described(call: Call, now: float) -> StoredObject:
    """An object without bytes, described by the headers of a request."""
    headers = {
        name.title() if name.lower() in _STORED else name.lower(): value
        for name, value in call.headers.items()
        if name.lower() in _STORED or name.lower().startswith("x-oss-meta-")
    }
    return StoredObject(
        key=call.key,
        content=BytesContent(b""),
        etag="",
        last_modified=int(now),
        headers=headers,
        storage_class=call.headers.get("x-oss-storage-class", "Standard"),
        tags=dict(parse_qsl(call.headers.get("x-oss-tagging", ""), keep_blank_values=True)),
    )


def checked_body(call: Call) -> BytesContent:
    """The body of a request. Raises RefusedError unless its MD5 matches the Content-MD5 header."""
    content = BytesContent(call.body)
    told_md5 = call.headers.get("Content-MD5")
    if told_md5 is not None and told_md5 != base64.b64encode(content.md5 or b"").decode():
        raise RefusedError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
    return content


def parsed_body(call: Call, root: str) -> ElementTree.Element:
    """Parse the XML of a request's body."""
    try:
        request = ElementTree.fromstring(call.body)  # noqa: S314 - what a test's own client sends
    except ElementTree.ParseError:
        raise malformed_xml() from None
    if request.tag != root:
        raise malformed_xml()
    return request


def malformed_xml() -> RefusedError:
    message = "The XML you provided was not well-formed or did not validate against our published schema."
    return RefusedError(400, "MalformedXML", message)


def refuse_overwrite(store: Store, call: Call) -> None:
    """Raise RefusedError with 409 if the object exists and the request forbids overwriting it."""
    if call.headers.get("x-oss-forbid-overwrite", "").lower() != "true" or store.has_versions(call.bucket):
        return
    try:
        store.find(call.bucket, call.key)
    except RefusedError:
        return
    message = "The object you specified already exists and can not be overwritten."
    raise RefusedError(409, "FileAlreadyExists", message)


def copy_source(store: Store, call: Call) -> StoredObject:
    """The object that the header x-oss-copy-source names, if the conditions of the request hold."""
    path, _, query = call.headers["x-oss-copy-source"].partition("?")
    bucket, _, key = unquote(path, errors="surrogateescape").removeprefix("/").partition("/")
    if not bucket or not key:
        raise RefusedError(400, "InvalidArgument", "Copy Source must mention the source bucket and key: /bucket/key.")
    version_id = next(iter(parse_qs(query).get("versionId", [])), None)
    source = store.find(bucket, key, version_id)
    asked = {
        name.lower().removeprefix("x-oss-copy-source-"): value
        for name, value in call.headers.items()
        if name.lower().startswith("x-oss-copy-source-if-")
    }
    check_conditions(source, {_CONDITIONS[name]: value for name, value in asked.items() if name in _CONDITIONS})
    return source


_CONDITIONS: Mapping[str, str] = {
    "if-match": "If-Match",
    "if-none-match": "If-None-Match",
    "if-modified-since": "If-Modified-Since",
    "if-unmodified-since": "If-Unmodified-Since",
}


def version_header(store: Store, call: Call, stored: StoredObject) -> dict[str, str]:
    """The header with the version id, if the bucket has versioning."""
    return {"x-oss-version-id": stored.version_id} if store.has_versions(call.bucket) else {}


def _etag_of(*texts: str) -> str:
    return hashlib.md5("\n".join(texts).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest().upper()
