"""Checkpoint: which spans of which object are written; encoded to bytes and decoded.

A checkpoint only says which spans are worth reading back. It contains a CRC-64 of itself, so that a torn or damaged one
is recognized. It contains no path: the name of the part file is computed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aioss_resume._core.crc64 import crc64
from aioss_resume._core.objects import ObjectMeta, http_date, read_http_date
from aioss_resume._core.spans import Done
from aioss_resume.errors import ObjectName

FORMAT: Final = "aioss-resume checkpoint"
VERSION: Final = 1
MOST_BYTES: Final = 1024 * 1024
"""A larger file is no checkpoint of ours: one of a 1 TiB object with 64 flights has less than 16 KiB."""

_MOST_SPANS: Final = 20_000
_MOST_SIZE: Final = 1 << 50  # bytes of an object; OSS's own limit is 48.8 TiB


class Unusable(Exception):
    """The file is not a usable checkpoint. The text says why."""


class TooNew(Unusable):
    """The checkpoint is of a newer release, which can continue from it, so it must not be removed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state that one run leaves for the next one.

    Attributes:
        name: Bucket and key.
        version_id: The requested version; None for the current one.
        meta: The object that the spans belong to.
        part_file: The name of the file that contains them, without a directory.
        spans: In order, disjoint, none empty.
    """

    name: ObjectName
    version_id: str | None
    meta: ObjectMeta
    part_file: str
    spans: Sequence[Done]


def encode(checkpoint: Checkpoint) -> bytes:
    """Encode a checkpoint as a small JSON file, without secrets or addresses."""
    meta = checkpoint.meta
    content = {
        "format": FORMAT,
        "version": VERSION,
        "bucket": checkpoint.name.bucket,
        "key": checkpoint.name.key,
        "version_id": checkpoint.version_id,
        "object": {
            "size": meta.size,
            "etag": meta.etag,
            "crc64": None if meta.crc64 is None else f"{meta.crc64:016x}",
            "version_id": meta.version_id,
            "last_modified": http_date(meta.last_modified) if meta.last_modified else None,
            "content_encoding": meta.content_encoding,
        },
        "part_file": checkpoint.part_file,
        "spans": [[span.start, span.stop, f"{span.crc64:016x}"] for span in checkpoint.spans],
    }
    text = _dumped(content)
    return f'{{"check":"{crc64(text.encode()):016x}","checkpoint":{text}}}\n'.encode()


def decode(data: bytes) -> Checkpoint:
    """Decode a checkpoint.

    Raises:
        Unusable: The bytes are truncated, damaged, or not a checkpoint.
        TooNew: The format is newer than this release.
    """
    if len(data) > MOST_BYTES:
        raise Unusable("it is larger than any checkpoint")
    try:
        document = json.loads(data.decode("utf-8"))
        content = document["checkpoint"]
        whole = document["check"] == f"{crc64(_dumped(content).encode()):016x}"
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unusable("it is torn or no checkpoint") from None
    if not whole:
        raise Unusable("its CRC-64 does not hold")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise Unusable("it is no checkpoint")
    if (version := content.get("version")) != VERSION:
        kind = TooNew if isinstance(version, int) and version > VERSION else Unusable
        raise kind(f"it has version {version!r}, and this release reads {VERSION}")
    try:
        return _read(content)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"its content makes no sense ({type(error).__name__})"
    raise Unusable(reason)


def _read(content: dict[str, object]) -> Checkpoint:
    described = _dict(content["object"])
    size = _number(described["size"], _MOST_SIZE)
    modified = _text_or_none(described["last_modified"])
    crc = _text_or_none(described["crc64"])
    meta = ObjectMeta(
        key=_text(content["key"]),
        size=size,
        etag=_header(_text(described["etag"])),
        crc64=None if crc is None else _hex(crc),
        version_id=_text_or_none(described["version_id"]),
        last_modified=read_http_date(modified),
        content_encoding=_text_or_none(described["content_encoding"]),
    )
    return Checkpoint(
        name=ObjectName(_text(content["bucket"]), meta.key),
        version_id=_text_or_none(content["version_id"]),
        meta=meta,
        part_file=_text(content["part_file"]),
        spans=_spans(content["spans"], size),
    )


def _spans(listed: object, size: int) -> list[Done]:
    if not isinstance(listed, list) or len(listed) > _MOST_SPANS:
        raise ValueError
    spans, edge = [], 0
    for item in listed:
        start, stop, crc = item
        span = Done(_number(start, size), _number(stop, size), _hex(_text(crc)))
        if not edge <= span.start < span.stop:
            raise ValueError
        spans.append(span)
        edge = span.stop
    return spans


def _dumped(content: object) -> str:
    return json.dumps(content, separators=(",", ":"), sort_keys=True, allow_nan=False)


def _dict(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _number(value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _header(value: str) -> str:
    # It is sent as If-Match, and a line break would begin another header.
    if not (value.isascii() and value.isprintable()) or '"' in value:
        raise ValueError
    return value


def _hex(value: str) -> int:
    if len(value) != 16 or not set(value) <= set(
        "0123456789abcdef"
    ):  # int() also accepts signs, blanks and underscores
        raise ValueError
    return int(value, 16)
