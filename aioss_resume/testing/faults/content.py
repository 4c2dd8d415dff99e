"""Faults of the content: another range, flipped bits, more bytes, compressed, in several parts."""

import gzip
import itertools
from typing import Unpack

from aioss_resume.testing.faults.fault import Fault, Scope
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer
from aioss_resume.testing.server.contents import BytesContent

_BOUNDARY = "3d6b6a416f9b5"


class ContentFaults(FaultSet):
    """Successes whose body is not what it should be."""

    def ignore_range(self, **scope: Unpack[Scope]) -> Fault:
        """Answer a range request with 200 and the whole object."""

        def act(answer: Answer) -> bool:
            if answer.status != 206:
                return False
            answer.status = 200
            answer.headers.popall("Content-Range", None)
            answer.start, answer.stop = 0, answer.content.size
            return True

        return self._late("ignore_range", act, scope)

    def shift_range(self, by: int, **scope: Unpack[Scope]) -> Fault:
        """Answer with another range, `by` bytes further on, and say so in Content-Range."""

        def act(answer: Answer) -> bool:
            start, stop = answer.start + by, answer.stop + by
            if answer.status != 206 or start < 0 or stop > answer.content.size:
                return False
            answer.start, answer.stop = start, stop
            answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{answer.content.size}"
            return True

        return self._late("shift_range", act, scope)

    def flip_bit(self, offset: int, **scope: Unpack[Scope]) -> Fault:
        """Flip a bit of the byte at that offset in the object, in the first answer that contains it."""

        def act(answer: Answer) -> bool:
            if not (answer.is_success and answer.start <= offset < answer.stop):
                return False
            answer.flips.add(offset)
            return True

        return self._late("flip_bit", act, scope)

    def extra_bytes(self, n: int, *, announced: bool = True, **scope: Unpack[Scope]) -> Fault:
        """Send n bytes more than asked for; announced: Content-Length counts them in."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            if not announced:
                answer.announced = answer.length
            answer.tail += bytes(n)
            return True

        return self._late("extra_bytes", act, scope)

    def multipart(self, parts: int = 2, **scope: Unpack[Scope]) -> Fault:
        """Answer a range request with multipart/byteranges, the range cut into so many parts."""

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
        """Compress the body as a proxy would: Content-Encoding and another Content-Length, all else as it was."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            _replace_body(answer, gzip.compress(b"".join(answer.pieces()), compresslevel=1, mtime=0))
            answer.headers["Content-Encoding"] = "gzip"
            return True

        return self._late("gzip_in_flight", act, scope)

    def claim_gzip(self, **scope: Unpack[Scope]) -> Fault:
        """Say that the body is gzip, which it is not."""

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
