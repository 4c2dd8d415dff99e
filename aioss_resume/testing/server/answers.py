"""A response of the server: status, headers and part of some content, or an error in OSS's form."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape

from multidict import CIMultiDict

from aioss_resume.testing.server.contents import BytesContent, Content

PIECE = 512 * 1024  # large enough for full speed, small enough for exact counts and cuts

# The ECs that are known from OSS's documents and traces. Other errors have none here; those of OSS have one.
_EC = {
    (403, "AccessDenied"): "0003-00000001",
    (403, "InvalidAccessKeyId"): "0002-00000902",
    (403, "RequestTimeTooSkewed"): "0002-00000504",
    (403, "SecurityTokenExpired"): "0002-00000007",
    (403, "SignatureDoesNotMatch"): "0002-00000040",
    (404, "NoSuchBucket"): "0015-00000101",
    (404, "NoSuchKey"): "0026-00000001",
}


@dataclass(slots=True)
class Cut:
    """Where and how the body of a response is cut off."""

    after: int
    how: Literal["reset", "truncate", "stall", "unsaid"]
    """unsaid: the TCP connection is closed normally, without TLS's close_notify."""
    seconds: float | None = None


Then = Literal["close", "reset", "hang"]
"""What happens to a connection: FIN, RST, or nothing until the client disconnects."""


@dataclass(slots=True)
class Answer:
    """A response, which faults may change until it is sent."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    content: Content = field(default_factory=lambda: BytesContent(b""))
    start: int = 0
    stop: int = 0
    error: str | None = None
    framing: Literal["length", "chunked", "close"] = "length"
    announced: int | None = None
    """The Content-Length to send instead of the body's."""
    flips: set[int] = field(default_factory=set)
    """Offsets in the object of bytes whose lowest bit is flipped."""
    tail: bytes = b""
    """Bytes sent after the body."""
    cut: Cut | None = None
    delay: float = 0.0
    rate: float | None = None
    head_rate: float | None = None
    """Bytes of the headers per second."""
    before: Callable[[], Iterable[bytes]] | None = None
    """Returns what to send before the response. It may be endless."""
    rewrite_head: Callable[[bytes], bytes] | None = None
    """Changes the bytes of the headers before they are sent."""
    raw: bytes | None = None
    """Sent instead of headers and body."""
    then: Then | None = None
    """What happens to the connection after the response; None: what the headers say."""
    is_foreign: bool = False
    """Whether no headers of OSS are added, as if another server had responded."""

    @property
    def length(self) -> int:
        return self.stop - self.start + len(self.tail)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def pieces(self) -> Iterator[bytes | bytearray | memoryview]:
        for position in range(self.start, self.stop, PIECE):
            end = min(position + PIECE, self.stop)
            piece = self.content.read(position, end)
            flipped = [offset for offset in self.flips if position <= offset < end]
            if flipped:
                changed = bytearray(piece)
                for offset in flipped:
                    changed[offset - position] ^= 1
                yield changed
            else:
                yield piece
        if self.tail:
            yield self.tail


def text_answer(status: int, body: bytes, content_type: str = "application/xml") -> Answer:
    headers = CIMultiDict({"Content-Type": content_type})
    return Answer(status, headers, BytesContent(body), 0, len(body))


def xml_elements(fields: Mapping[str, str]) -> list[str]:
    return [f"<{name}>{xml_text(value)}</{name}>" for name, value in fields.items()]


def xml_answer(root: str, fields: Mapping[str, str], lines: Iterable[str] = ()) -> Answer:
    """A successful response with an XML body, from elements with text and from elements that are already XML."""
    inside = "".join(f"  {element}\n" for element in (*xml_elements(fields), *lines))
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>\n{inside}</{root}>\n'
    return text_answer(200, text.encode("utf-8", "surrogateescape"))


class RefusedError(Exception):
    """OSS refuses the request. Becomes an error response."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        ec: str | None = None,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.ec = ec if ec is not None else _EC.get((status, code))
        self.details = dict(details or {})
        self.headers = dict(headers or {})


def error_answer(refused: RefusedError, *, method: str, request_id: str, host: str) -> Answer:
    """Make the error response: XML, or for a HEAD the header `x-oss-err`."""
    if refused.status == 304:
        return Answer(304, CIMultiDict(refused.headers), error=refused.code)
    fields = {
        "Code": refused.code,
        "Message": refused.message,
        "RequestId": request_id,
        "HostId": host,
        **refused.details,
    }
    if refused.ec:
        fields["EC"] = refused.ec
        fields["RecommendDoc"] = f"https://api.aliyun.com/troubleshoot?q={refused.ec}"
    lines = "".join(f"  <{name}>{xml_text(value)}</{name}>\n" for name, value in fields.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n{lines}</Error>\n'.encode("utf-8", "replace")
    answer = text_answer(refused.status, body)
    answer.error = refused.code
    if refused.ec:
        answer.headers["x-oss-ec"] = refused.ec
    answer.headers.update(refused.headers)
    if method == "HEAD":
        answer.headers["x-oss-err"] = base64.b64encode(body).decode()
    return answer


def xml_text(value: str) -> str:
    """Escape text for XML 1.0. Characters that XML cannot contain become question marks."""
    return escape("".join(c if c >= " " or c in "\t\n\r" else "?" for c in value))
