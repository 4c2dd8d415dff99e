"""Pages of a listing: buckets, objects (both versions of the API), their versions, and multipart uploads."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Protocol, TypeVar

from aioss_resume.testing.server.answers import Answer, RefusedError, xml_answer, xml_elements, xml_text
from aioss_resume.testing.server.authority import iso_time
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.store import Store, StoredObject, Upload, order

_MOST_KEYS = 1000


class _Named(Protocol):
    @property
    def key(self) -> str: ...


N = TypeVar("N", bound=_Named)


def list_buckets(store: Store, call: Call, _now: float) -> Answer:
    """ListBuckets."""
    prefix, marker, most = (
        call.query.get("prefix", ""),
        call.query.get("marker", ""),
        _most(call.query, "max-keys", 100),
    )
    names = [name for name in store.bucket_names() if name.startswith(prefix) and name > marker]
    page = names[:most]
    fields = {"Prefix": prefix, "Marker": marker, "MaxKeys": str(most), "IsTruncated": "false"}
    if len(names) > most:
        fields |= {"IsTruncated": "true", "NextMarker": page[-1]}
    region = f"<Region>{store.region}</Region>"
    buckets = "".join(f"<Bucket>{''.join(bucket_elements(store, name))}{region}</Bucket>" for name in page)
    return xml_answer("ListAllMyBucketsResult", fields, [OWNER, f"<Buckets>{buckets}</Buckets>"])


def bucket_elements(store: Store, name: str) -> list[str]:
    """The elements that describe a bucket. The endpoints are OSS's own: clients keep the one they were given."""
    location = f"oss-{store.region}"
    fields = {
        "CreationDate": iso_time(store.created(name)),
        "ExtranetEndpoint": f"{location}.aliyuncs.com",
        "IntranetEndpoint": f"{location}-internal.aliyuncs.com",
        "Location": location,
        "Name": name,
        "StorageClass": "Standard",
    }
    return xml_elements(fields)


def list_objects(store: Store, call: Call, _now: float) -> Answer:
    """ListObjects and ListObjectsV2."""
    query = call.query
    is_v2 = query.get("list-type") == "2"
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    most = _most(query, "max-keys", 100)
    floor = order(_position(query, is_v2=is_v2))
    named = _by_name(store.newest(call.bucket), prefix, delimiter)
    page, last = _page([entry for entry in named if order(entry[0]) > floor], most)
    fields = {
        "Name": call.bucket,
        "Prefix": call.encoded(prefix),
        "MaxKeys": str(most),
        "Delimiter": call.encoded(delimiter),
    }
    fields |= call.encoding
    fields["IsTruncated"] = "true" if last is not None else "false"
    if is_v2:
        fields["StartAfter"] = call.encoded(query.get("start-after", ""))
        fields["ContinuationToken"] = query.get("continuation-token", "")
        fields["KeyCount"] = str(len(page))
        if last is not None:
            fields["NextContinuationToken"] = _token(last[0])
    else:
        fields["Marker"] = call.encoded(query.get("marker", ""))
        if last is not None:
            fields["NextMarker"] = call.encoded(last[0])
    has_owner = not is_v2 or query.get("fetch-owner") == "true"
    owner = OWNER if has_owner else ""
    lines = [
        _common_prefix(call.encoded(name)) if stored is None else _contents(stored, call.encoded(name), owner)
        for name, stored in page
    ]
    return xml_answer("ListBucketResult", fields, lines)


def list_versions(store: Store, call: Call, _now: float) -> Answer:
    """ListObjectVersions: the newest version of a key first."""
    query = call.query
    versions = store.every_version(call.bucket)
    marker, most = query.get("version-id-marker", ""), _most(query, "max-keys", 100)
    page, last = _page_after(versions, query, marker, attrgetter("version_id"), most)
    fields = {
        "Name": call.bucket,
        "Prefix": call.encoded(query.get("prefix", "")),
        "KeyMarker": call.encoded(query.get("key-marker", "")),
        "VersionIdMarker": marker,
        "MaxKeys": str(most),
        "Delimiter": call.encoded(query.get("delimiter", "")),
        **call.encoding,
        "IsTruncated": "true" if last is not None else "false",
    }
    if last is not None:
        name, stored = last
        fields["NextKeyMarker"] = call.encoded(name)
        fields["NextVersionIdMarker"] = stored.version_id if stored is not None else ""
    newest = {stored.key: stored for stored in reversed(versions)}
    lines = [
        _common_prefix(call.encoded(name))
        if stored is None
        else _version(stored, call.encoded(name), is_newest=newest[stored.key] is stored)
        for name, stored in page
    ]
    return xml_answer("ListVersionsResult", fields, lines)


def list_uploads(store: Store, call: Call, _now: float) -> Answer:
    """ListMultipartUploads."""
    query = call.query
    marker, most = query.get("upload-id-marker", ""), _most(query, "max-uploads", _MOST_KEYS)
    page, last = _page_after(store.uploads(call.bucket), query, marker, attrgetter("upload_id"), most)
    fields = {
        "Bucket": call.bucket,
        **call.encoding,
        "KeyMarker": call.encoded(query.get("key-marker", "")),
        "UploadIdMarker": marker,
        "NextKeyMarker": call.encoded(last[0]) if last is not None else "",
        "NextUploadIdMarker": last[1].upload_id if last is not None and last[1] is not None else "",
        "Delimiter": call.encoded(query.get("delimiter", "")),
        "Prefix": call.encoded(query.get("prefix", "")),
        "MaxUploads": str(most),
        "IsTruncated": "true" if last is not None else "false",
    }
    lines = [
        _common_prefix(call.encoded(name)) if upload is None else _upload(upload, call.encoded(name))
        for name, upload in page
    ]
    return xml_answer("ListMultipartUploadsResult", fields, lines)


def _by_name(items: Iterable[N], prefix: str, delimiter: str) -> Iterator[tuple[str, N | None]]:
    """Pair sorted items with their keys. Common prefixes are paired with None."""
    seen = ""
    for item in items:
        key = item.key
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            yield key, item
            continue
        common = key[: cut + len(delimiter)]
        if common != seen:
            yield common, None
        seen = common


def _page_after(
    items: Iterable[N], query: Mapping[str, str], marker: str, id_of: Callable[[N], str], most: int
) -> tuple[list[tuple[str, N | None]], tuple[str, N | None] | None]:
    """The page after the key marker and, among the items of that key, after the one whose id is the marker."""
    key = query.get("key-marker", "")
    named = list(_by_name(items, query.get("prefix", ""), query.get("delimiter", "")))
    if marker:
        for index, (name, item) in enumerate(named):
            if name == key and item is not None and id_of(item) == marker:
                return _page(named[index + 1 :], most)
    return _page([entry for entry in named if order(entry[0]) > order(key)], most)


def _page(
    entries: list[tuple[str, N | None]], most: int
) -> tuple[list[tuple[str, N | None]], tuple[str, N | None] | None]:
    """The first entries, and the last one of them if more follow."""
    page = entries[:most]
    return page, page[-1] if page and len(entries) > most else None


OWNER = "<Owner><ID>0022012</ID><DisplayName>0022012</DisplayName></Owner>"


def _common_prefix(name: str) -> str:
    return f"<CommonPrefixes><Prefix>{xml_text(name)}</Prefix></CommonPrefixes>"


def _contents(stored: StoredObject, name: str, owner: str) -> str:
    return f"<Contents><Key>{xml_text(name)}</Key>{_described(stored)}{owner}</Contents>"


def _version(stored: StoredObject, name: str, *, is_newest: bool) -> str:
    which = (
        f"<Key>{xml_text(name)}</Key><VersionId>{stored.version_id}</VersionId>"
        f"<IsLatest>{'true' if is_newest else 'false'}</IsLatest>"
    )
    if stored.is_delete_marker:
        return (
            f"<DeleteMarker>{which}<LastModified>{iso_time(stored.last_modified)}</LastModified>{OWNER}</DeleteMarker>"
        )
    return f"<Version>{which}{_described(stored)}{OWNER}</Version>"


def _described(stored: StoredObject) -> str:
    return (
        f"<LastModified>{iso_time(stored.last_modified)}</LastModified>"
        f"<ETag>&quot;{xml_text(stored.etag)}&quot;</ETag><Type>{stored.object_type}</Type>"
        f"<Size>{stored.content.size}</Size><StorageClass>{stored.storage_class}</StorageClass>"
    )


def _upload(upload: Upload, name: str) -> str:
    return (
        f"<Upload><Key>{xml_text(name)}</Key><UploadId>{upload.upload_id}</UploadId>"
        f"<StorageClass>{upload.template.storage_class}</StorageClass>"
        f"<Initiated>{iso_time(upload.initiated)}</Initiated></Upload>"
    )


def _position(query: Mapping[str, str], *, is_v2: bool) -> str:
    """The last name that the client has already received."""
    if not is_v2:
        return query.get("marker", "")
    token = query.get("continuation-token", "")
    if not token:
        return query.get("start-after", "")
    try:
        return base64.urlsafe_b64decode(token).decode("utf-8", "surrogateescape")
    except ValueError:
        raise RefusedError(400, "InvalidArgument", "The continuation token is invalid.") from None


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(order(name)).decode()


def _most(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= _MOST_KEYS:
        message = f"Argument {name} must be an integer between 1 and {_MOST_KEYS}."
        raise RefusedError(400, "InvalidArgument", message)
    return int(text)
