"""Parsers for the records that other tools leave when a download is interrupted.

A record is only used to find out where bytes may be: each span is read back, and its CRC-64 compared. No path is taken
from a record; the name of the temporary file is the destination's name with a suffix of a fixed form.

Sources: oss2/resumable.py of oss2 2.18.4 and 2.19.1 (aiooss2 writes the same records); checkpoint.py and downloader.py
of alibabacloud-oss-v2 1.4.
"""

import json
import re
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from aioss_resume._core.objects import ObjectMeta, read_http_date, unquoted
from aioss_resume._core.spans import Done, DoneSpans

MOST_BYTES: Final = 16 * 1024 * 1024
"""A larger file is no record: one of 100 000 parts has about 9 MB."""

OSS2_DIRECTORY: Final = ".py-oss-download"
"""Where oss2 keeps its records, below the home directory."""
V2_TEMPORARY: Final = ".temp"
V2_CHECKPOINT: Final = ".dcp"
_V2_MAGIC: Final = "92611BED-89E2-46B6-89E5-72F273D4B0A3"
_OSS2_TEMPORARY: Final = re.compile(r"\.tmp-[a-z]{12}")
_V2_AT_ONCE: Final = 3  # parts in flight: the default of alibabacloud-oss-v2
_SIZE_MOST: Final = 1 << 50  # bytes of an object; OSS's own limit is 48.8 TiB


class UnusableRecordError(ValueError):
    """The data is not a record of this download. The text says why."""


class Prefix(NamedTuple):
    """The first bytes of the object, which are in the temporary file according to a record.

    Attributes:
        crc64: The CRC-64 of these bytes; None if unknown.
        part_size: The size of the parts, which were written in parallel. Bytes of the last parts may have been lost
            with the killed process, because alibabacloud-oss-v2 writes its checkpoint before its buffer.
    """

    length: int
    crc64: int | None
    part_size: int

    def without_last_parts(self, file_size: int) -> int:
        """The number of bytes that a file of that size probably contains if the last parts were lost."""
        return max(0, min(self.length, file_size) // self.part_size - _V2_AT_ONCE) * self.part_size


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a record.

    Attributes:
        suffix: The part of the temporary file's name after the destination's name.
        size, etag: Size and ETag of the object.
        modified: When the object was written, in seconds since 1970.
        spans: The spans in the temporary file with their CRC-64, sorted and disjoint.
        prefix: Used instead of spans if the record only says how many bytes from the start were written.
    """

    suffix: str
    size: int
    etag: str
    modified: int
    spans: tuple[Done, ...]
    prefix: Prefix | None = None

    def is_of(self, meta: ObjectMeta) -> bool:
        """Whether the record belongs to that version of the object."""
        modified = int(meta.last_modified.timestamp()) if meta.last_modified is not None else None
        return bool(self.etag) and (self.size, self.etag, self.modified) == (meta.size, meta.etag, modified)


def oss2_name(bucket: str, key: str, version_id: str | None, path: str) -> str:
    """The name of oss2's record for a download to that absolute path."""
    query = "" if version_id is None else f"?versionid={version_id}"
    return f"{_md5(f'oss://{bucket}/{key}{query}')}--{_md5(path)}"


def v2_name(bucket: str, key: str, version_id: str | None, path: str) -> str:
    """The name of alibabacloud-oss-v2's checkpoint for a download to that absolute path through a temporary file."""
    source = f"oss://{quote(f'{bucket}/{key}')}\n{version_id or ''}\n"
    return f"{_md5(source)}-{_md5(path + V2_TEMPORARY)}{V2_CHECKPOINT}"


def read_oss2(content: Any, bucket: str, key: str, path: str) -> Record:  # Any: it is checked here
    """Read a record of oss2 or aiooss2, as json.loads() gives it.

    Raises:
        UnusableRecordError: The data is not a record, or belongs to another download.
    """
    fields = _mapping(content)
    if fields.get("op_type") != "ResumableDownload":
        raise UnusableRecordError("it is of no download")
    if (fields.get("bucket"), fields.get("key"), fields.get("file_path")) != (bucket, key, path):
        raise UnusableRecordError("it is of another download")
    suffix = fields.get("tmp_suffix")
    if not isinstance(suffix, str) or not _OSS2_TEMPORARY.fullmatch(suffix):
        raise UnusableRecordError("its temporary file has a strange name")
    size = _number(fields, "size", _SIZE_MOST)
    part_size = _number(fields, "part_size", _SIZE_MOST)
    parts = fields.get("parts")
    if not part_size or not isinstance(parts, list) or len(parts) > -(-size // part_size):
        raise UnusableRecordError("its parts cannot be")
    spans, seen = DoneSpans(size), set[int]()
    for part in map(_mapping, parts):
        number = _number(part, "part_number", 1 << 32)
        start, stop = _number(part, "start", size), _number(part, "end", size)
        if number in seen or start != (number - 1) * part_size or stop != min(start + part_size, size) or start >= stop:
            raise UnusableRecordError("its parts are not aligned, or overlap")
        seen.add(number)
        if part.get("part_crc") is not None:  # oss2 computes none if its bucket says enable_crc=False
            spans.add(Done(start, stop, _number(part, "part_crc", (1 << 64) - 1)))
    return Record(suffix, size, _text(fields, "etag"), _number(fields, "mtime", 1 << 40), tuple(spans))


def read_v2(data: bytes, bucket: str, key: str, version_id: str | None, path: str) -> Record:
    """Read a checkpoint of alibabacloud-oss-v2.

    Raises:
        UnusableRecordError: The data is not a record, or belongs to another download.
    """
    content = _mapping(parse_json(data))
    fields = _mapping(content.get("Data"))
    if content.get("Magic") != _V2_MAGIC or content.get("MD5") != _md5(json.dumps(fields)):
        raise UnusableRecordError("it is damaged, or no checkpoint")
    source = {"Name": f"oss://{bucket}/{key}", "VersionId": version_id or "", "Range": ""}
    if fields.get("ObjectInfo") != source or fields.get("FilePath") != path + V2_TEMPORARY:
        raise UnusableRecordError("it is of another download")
    meta, info = _mapping(fields.get("ObjectMeta")), _mapping(fields.get("DownloadInfo"))
    size = _number(meta, "Size", _SIZE_MOST)
    offset, crc64 = _number(info, "Offset", size), _number(info, "CRC64", (1 << 64) - 1)
    modified = read_http_date(_text(meta, "LastModified"))
    if modified is None:
        raise UnusableRecordError("it does not say when the object was written")
    etag, when = unquoted(_text(meta, "ETag")), int(modified.timestamp())
    part_size = _number(fields, "PartSize", _SIZE_MOST)
    if not part_size:
        raise UnusableRecordError("its parts cannot be")
    return Record(V2_TEMPORARY, size, etag, when, (), Prefix(offset, crc64 or None, part_size))


def parse_json(data: bytes) -> Any:  # Any: it is checked where it is read
    """Parse JSON. Raises UnusableRecordError if it is malformed."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        pass
    raise UnusableRecordError("it is no JSON")


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnusableRecordError("it has no fields where some belong")
    return value


def _number(fields: dict[str, Any], name: str, most: int) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise UnusableRecordError(f"its {name} cannot be")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise UnusableRecordError(f"its {name} is no text")
    return value


def _md5(text: str) -> str:
    return md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
