"""Faults of the headers: missing, wrong or malformed."""

import re
from typing import Unpack

from aioss_resume.testing.faults.fault import Fault, Scope
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer


class HeaderFaults(FaultSet):
    """Successful responses with wrong headers."""

    def drop_header(self, name: str, **scope: Unpack[Scope]) -> Fault:
        """Omit a header of the response. Without Content-Length, the body is chunked."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            if name.lower() == "content-length":
                answer.framing = "chunked"
                return True
            return bool(answer.headers.popall(name, None))

        return self._late("drop_header", act, scope)

    def set_header(self, name: str, value: str, **scope: Unpack[Scope]) -> Fault:
        """Set or replace a header of the response."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            answer.headers[name] = value
            return True

        return self._late("set_header", act, scope)

    def close_delimited(self, **scope: Unpack[Scope]) -> Fault:
        """Send no length, and end the body by closing the connection."""

        def act(answer: Answer) -> bool:
            answer.framing = "close"
            return answer.is_success

        return self._late("close_delimited", act, scope)

    def weak_etag(self, **scope: Unpack[Scope]) -> Fault:
        """Send a weak ETag, `W/"..."`."""

        def act(answer: Answer) -> bool:
            etag = answer.headers.get("ETag")
            if etag is None or not answer.is_success:
                return False
            answer.headers["ETag"] = f"W/{etag}"
            return True

        return self._late("weak_etag", act, scope)

    def malformed_etag(self, text: str = 'A1"B2', **scope: Unpack[Scope]) -> Fault:
        """Send this ETag, unchanged."""
        return self.set_header("ETag", text, **scope)

    def malformed_crc(self, text: str = "-1", **scope: Unpack[Scope]) -> Fault:
        """Send this CRC-64, unchanged."""
        return self.set_header("x-oss-hash-crc64ecma", text, **scope)

    def malformed_range(self, text: str = "bytes 0-", **scope: Unpack[Scope]) -> Fault:
        """Send this Content-Range, unchanged."""

        def act(answer: Answer) -> bool:
            if answer.status != 206:
                return False
            answer.headers["Content-Range"] = text
            return True

        return self._late("malformed_range", act, scope)

    def total(self, n: int | str, **scope: Unpack[Scope]) -> Fault:
        """Send another total in Content-Range: a number, `*` or any text."""

        def act(answer: Answer) -> bool:
            told = answer.headers.get("Content-Range")
            if answer.status != 206 or told is None:
                return False
            answer.headers["Content-Range"] = re.sub(r"/.*", "", told) + f"/{n}"
            return True

        return self._late("total", act, scope)

    def content_length(self, n: int | str, **scope: Unpack[Scope]) -> Fault:
        """Send a wrong Content-Length, and close the connection after the body."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            answer.headers["Content-Length"] = str(n)
            answer.then = "close"
            return True

        return self._late("content_length", act, scope)

    def duplicate_content_length(self, other: int | None = None, **scope: Unpack[Scope]) -> Fault:
        """Send two Content-Length headers: the right one, and another or the same."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            for length in (answer.length, answer.length if other is None else other):
                answer.headers.add("Content-Length", str(length))
            answer.then = "close"
            return True

        return self._late("duplicate_content_length", act, scope)

    def length_and_chunked(self, n: int | None = None, **scope: Unpack[Scope]) -> Fault:
        """Send chunks together with a Content-Length: the right one, or n."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            answer.headers["Content-Length"] = str(answer.length if n is None else n)
            answer.headers["Transfer-Encoding"] = "chunked"
            answer.framing = "chunked"
            return True

        return self._late("length_and_chunked", act, scope)
