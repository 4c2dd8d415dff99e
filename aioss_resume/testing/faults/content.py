"""Faults of the content: wrong range, flipped bits, extra bytes, compression, multipart responses."""

import gzip
import itertools
from typing import Unpack

from aioss_resume.testing.faults.fault import Fault, Scope
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer
from aioss_resume.testing.server.contents import BytesContent

_BOUNDARY = "3d6b6a416f9b5"


class ContentFaults(FaultSet):
    """Successful responses with a wrong body."""

    def ignore_range(self, **scope: Unpack[Scope]) -> Fault:
        """Respond to a range request with 200 and the whole object."""

        def act(answer: Answer) -> bool:
            if answer.status != 206:
                return False
            answer.status = 200
            answer.headers.popall("Content-Range", None)
            answer.start, answer.stop = 0, answer.content.size
            return True

        return self._late("ignore_range", act, scope)

    def shift_range(self, by: int, **scope: Unpack[Scope]) -> Fault:
        """Respond with a range shifted by `by` bytes, and with a matching Content-Range."""

        def act(answer: Answer) -> bool:
            start, stop = answer.start + by, answer.stop + by
            if answer.status != 206 or start < 0 or stop > answer.content.size:
                return False
            answer.start, answer.stop = start, stop
            answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{answer.content.size}"
            return True

        return self._late("shift_range", act, scope)

    def flip_bit(self, offset: int, **scope: Unpack[Scope]) -> Fault:
        """Flip a bit of the byte at that offset in the object, in the first response that contains it."""

        def act(answer: Answer) -> bool:
            if not (answer.is_success and answer.start <= offset < answer.stop):
                return False
            answer.flips.add(offset)
            return True

        return self._late("flip_bit", act, scope)

    def extra_bytes(self, n: int, *, announced: bool = True, **scope: Unpack[Scope]) -> Fault:
        """Send n bytes more than requested. announced: whether Content-Length includes them."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            if not announced:
                answer.announced = answer.length
            answer.tail += bytes(n)
            return True

        return self._late("extra_bytes", act, scope)

    def multipart(self, parts: int = 2, **scope: Unpack[Scope]) -> Fault:
        """Respond to a range request with multipart/byteranges, with the range divided into so many parts."""

        def act(answer: Answer) -> bool:
            if answer.status != 206:
                return False
            body = b"".join(_parts(answer, parts))
            answer.headers.popall("Content-Range", None)
            answer.headers["Content-Type"] = f"multipart/byteranges; boundary={_BOUNDARY}"
            _replace_body(answer, body)
            return True

        return self._late("multipart", act, scope)

    def gzip_in_flight(self, **scope: Unpack[Scope]) -> Fault:
        """Compress the body like a proxy does, with Content-Encoding and a new Content-Length."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            _replace_body(answer, gzip.compress(b"".join(answer.pieces()), compresslevel=1, mtime=0))
            answer.headers["Content-Encoding"] = "gzip"
            return True

        return self._late("gzip_in_flight", act, scope)

    def claim_gzip(self, **scope: Unpack[Scope]) -> Fault:
        """Claim that the body is gzip, although it is not."""

        def act(answer: Answer) -> bool:
            answer.headers["Content-Encoding"] = "gzip"
            return answer.is_success

        return self._late("claim_gzip", act, scope)


def _parts(answer: Answer, count: int) -> list[bytes]:
    size = answer.stop - answer.start
    edges = [answer.start + size * index // count for index in range(count + 1)]
    kind = answer.headers.get("Content-Type", "application/octet-stream")
    pieces = []
    for start, stop in itertools.pairwise(edges):
        content_range = f"bytes {start}-{stop - 1}/{answer.content.size}"
        head = f"\r\n--{_BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Range: {content_range}\r\n\r\n"
        pieces += [head.encode(), bytes(answer.content.read(start, stop))]
    return [*pieces, f"\r\n--{_BOUNDARY}--\r\n".encode()]


def _replace_body(answer: Answer, body: bytes) -> None:
    answer.content, answer.start, answer.stop = BytesContent(body), 0, len(body)
    answer.flips, answer.tail = set(), b""
