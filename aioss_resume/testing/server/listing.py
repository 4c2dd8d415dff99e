"""Pages of a listing: ListObjects and ListObjectsV2."""

import base64
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from aioss_resume.testing.server.answers import Answer, RefusedError, text_answer, xml_text
from aioss_resume.testing.server.authority import iso_time
from aioss_resume.testing.server.store import StoredObject

_MOST_KEYS = 1000


def list_objects(bucket: str, objects: list[StoredObject], query: Mapping[str, str]) -> Answer:
    """The page that the query asks for, of objects in order."""
    is_v2 = query.get("list-type") == "2"
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    most = _max_keys(query.get("max-keys", "100"))
    after = _position(query, is_v2=is_v2)
    entries = list(_entries(objects, prefix, delimiter, after))
    page, is_truncated = entries[:most], len(entries) > most
    last = page[-1][0] if page and is_truncated else ""
    encode = quote if query.get("encoding-type") == "url" else str
    fields = {"Name": bucket, "Prefix": encode(prefix), "MaxKeys": str(most), "Delimiter": encode(delimiter)}
    if "encoding-type" in query:
        fields["EncodingType"] = query["encoding-type"]
    fields["IsTruncated"] = "true" if is_truncated else "false"
    if is_v2:
        fields["StartAfter"] = encode(query.get("start-after", ""))
        fields["ContinuationToken"] = query.get("continuation-token", "")
        fields["KeyCount"] = str(len(page))
        if is_truncated:
            fields["NextContinuationToken"] = _token(last)
    else:
        fields["Marker"] = encode(query.get("marker", ""))
        if is_truncated:
            fields["NextMarker"] = encode(last)
    has_owner = not is_v2 or query.get("fetch-owner") == "true"
    lines = [f"  <{name}>{xml_text(value)}</{name}>\n" for name, value in fields.items()]
    for name, stored in page:
        if stored is None:
            lines.append(f"  <CommonPrefixes><Prefix>{xml_text(encode(name))}</Prefix></CommonPrefixes>\n")
        else:
            lines.append(_contents(stored, encode(name), has_owner=has_owner))
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult>\n{"".join(lines)}</ListBucketResult>\n'
    return text_answer(200, text.encode("utf-8", "surrogateescape"))


def _entries(
    objects: list[StoredObject], prefix: str, delimiter: str, after: str
) -> Iterator[tuple[str, StoredObject | None]]:
    """Keys with their objects, and common prefixes with None, past `after`."""
    seen = ""
    floor = _order(after)
    for stored in objects:
        key = stored.key
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            if _order(key) > floor:
                yield key, stored
            continue
        common = key[: cut + len(delimiter)]
        if common != seen and _order(common) > floor:
            yield common, None
        seen = common


def _contents(stored: StoredObject, name: str, *, has_owner: bool) -> str:
    owner = "<Owner><ID>0022012</ID><DisplayName>0022012</DisplayName></Owner>" if has_owner else ""
    return (
        f"  <Contents><Key>{xml_text(name)}</Key>"
        f"<LastModified>{iso_time(stored.last_modified)}</LastModified>"
        f"<ETag>&quot;{xml_text(stored.etag)}&quot;</ETag><Type>{stored.object_type}</Type>"
        f"<Size>{stored.content.size}</Size><StorageClass>{stored.storage_class}</StorageClass>"
        f"{owner}</Contents>\n"
    )


def _position(query: Mapping[str, str], *, is_v2: bool) -> str:
    """The last name that the client has."""
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
    return base64.urlsafe_b64encode(_order(name)).decode()


def _max_keys(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST_KEYS:
        message = f"Argument maxKeys must be an integer between 1 and {_MOST_KEYS}."
        raise RefusedError(400, "InvalidArgument", message)
    return int(text)


def _order(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
