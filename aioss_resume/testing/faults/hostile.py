"""Hostile values: error bodies and Retry-After headers that break careless clients."""

from typing import Literal, get_args

Body = Literal[
    "empty",
    "not_xml",
    "json",
    "html",
    "truncated",
    "wrong_charset",
    "utf16",
    "control_characters",
    "deep",
    "dtd",
    "external_entity",
    "parameter_entity",
    "billion_laughs",
    "quadratic",
    "escape_sequences",
    "huge_code",
]

ENDLESS = 1 << 60

_XML = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_ERROR = b"<Error><Code>%b</Code><Message>%b</Message><RequestId>5C3D9175B6FC201293AD0001</RequestId></Error>"
_LAUGHS = b"".join(b'<!ENTITY l%d "%b">' % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 10))

BODIES: dict[Body, tuple[bytes, str]] = {
    "empty": (b"", "application/xml"),
    "not_xml": (b"upstream connect error or disconnect/reset before headers", "text/plain"),
    "json": (b'{"code": "InternalError", "message": "no"}', "application/json"),
    "html": (b"<html><body><h1>502 Bad Gateway<br></h1></body></html>", "text/html"),
    "truncated": (_XML + b"<Error><Code>InternalErr", "application/xml"),
    "wrong_charset": (_XML + _ERROR % (b"InternalError", b"\xcf\xb5\xcd\xb3\xb4\xed\xce\xf3"), "application/xml"),
    "utf16": ((_XML + _ERROR % (b"InternalError", b"no")).decode().encode("utf-16"), "application/xml"),
    "control_characters": (_XML + _ERROR % (b"Internal\0Error", b"\x1b[2J\x07"), "application/xml"),
    "deep": (_XML + b"<Error>" * 100_000, "application/xml"),
    "dtd": (_XML + b"<!DOCTYPE Error>" + _ERROR % (b"InternalError", b"no"), "application/xml"),
    "external_entity": (
        _XML + b'<!DOCTYPE Error [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + _ERROR % (b"InternalError", b"&x;"),
        "application/xml",
    ),
    "parameter_entity": (
        _XML + b'<!DOCTYPE Error [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x.dtd"> %x;]>'
        b"<Error><Code>InternalError</Code></Error>",
        "application/xml",
    ),
    "billion_laughs": (
        _XML + b'<!DOCTYPE Error [<!ENTITY l0 "ha">' + _LAUGHS + b"]>" + _ERROR % (b"InternalError", b"&l9;"),
        "application/xml",
    ),
    "quadratic": (
        _XML + b'<!DOCTYPE Error [<!ENTITY x "' + b"x" * 50_000 + b'">]>' + _ERROR % (b"&x;", b"&x;" * 50_000),
        "application/xml",
    ),
    "escape_sequences": (_XML + _ERROR % (b"&#27;[31mInternalError", b"no&#10;INFO all is well"), "application/xml"),
    "huge_code": (_XML + _ERROR % (b"E" * 40_000, b"no"), "application/xml"),
}

HOSTILE_BODIES: tuple[Body, ...] = get_args(Body)

HOSTILE_RETRY_AFTERS = (
    "1e9",
    "1000000000",
    "9" * 400,
    "-1",
    "NaN",
    "inf",
    "",
    "soon",
    "0x10",
    "\u0663",
    "Fri, 31 Dec 2099 23:59:59 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Fri, 99 Foo 99999 99:99:99 GMT",
)


class LongError:
    """An unclosed XML error body of any size, which needs no memory."""

    crc64 = 0
    etag = ""
    md5: bytes | None = None
    _OPENING = _XML + b"<Error><Code>InternalError</Code><Message>"

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, start: int, stop: int) -> bytes:
        return self._OPENING[start:stop].ljust(min(stop, self.size) - start, b"x")
