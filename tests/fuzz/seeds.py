"""Inputs to begin with, for each target: what is usual, and what is known to be hard."""

import json
from datetime import UTC, datetime
from typing import Final

from aioss_resume._core.checkpoint import Checkpoint, encode
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.spans import Done
from aioss_resume.errors import ObjectName
from aioss_resume.testing import HOSTILE_RETRY_AFTERS

_CHECKPOINT: Final = encode(
    Checkpoint(
        name=ObjectName("examplebucket", "exampledir/key"),
        version_id=None,
        meta=ObjectMeta("exampledir/key", 10_000, "A1", 7, last_modified=datetime(2026, 1, 1, tzinfo=UTC)),
        part_file=".key.0123.part",
        spans=[Done(0, 100, 1), Done(200, 300, 2)],
    )
)

SEEDS: Final[dict[str, list[bytes]]] = {
    "checkpoint": [_CHECKPOINT],
    "planted": [json.dumps(json.loads(_CHECKPOINT)["checkpoint"]).encode()],
    "content_range": [b"bytes 0-99/1000", b"bytes */1000", b"bytes 0-99/*", b"bytes 99-0/1000", b"items 0-1/2"],
    "retry_after": [b"120", b"-1", b"1e400", b"Fri, 31 Dec 1999 23:59:59 GMT"]
    + [str(value).encode() for value in HOSTILE_RETRY_AFTERS],
    "http_dates": [
        b"Fri, 31 Dec 1999 23:59:59 GMT",
        b"Fri, 31 Dec 9999 23:59:59 -2359",
        b"Mon, 01 Jan 0001 00:00:00 +2359",
        b"Fri, 31 Dec 99999 23:59:59 GMT",
        b"Fri, 31 Dec 1999 23:59:59 +99999999999999999999",
    ],
    "crc_header": [b"0", b"18446744073709551615", b"18446744073709551616", b"-1", "٣".encode(), b"1_0", b" 1"],
    "error_xml": [
        b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Message>No</Message></Error>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><Error><Code>&b;</Code></Error>",
        b"<?xml version='1.0' encoding='utf-7'?><Error/>",
    ],
    "answer_headers": [
        b'Content-Range: bytes 100-299/1000\nContent-Length: 200\nETag: "A1"\nx-oss-hash-crc64ecma: 1',
        b"Location: http://[::1\nContent-Length: 99999999999999999999",
    ],
    "names": [b"bucket\n../../etc/passwd\n../../x", b"b\nk\n" + b"\xff" * 300, b"b\nk\n" + "é".encode() * 200],
}
