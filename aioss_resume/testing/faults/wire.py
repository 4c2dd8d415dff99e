"""Malformed HTTP: raw bytes, huge headers, floods."""

import itertools
import random
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Unpack

from aioss_resume.testing.faults.fault import Fault, Scope, World
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer, Then
from aioss_resume.testing.server.calls import Call

_BATCH = 100  # interim responses written at once


class WireFaults(FaultSet):
    """Malformed HTTP, which a client must survive."""

    def raw(self, data: bytes, *, then: Then = "close", **scope: Unpack[Scope]) -> Fault:
        """Respond with these bytes, unchanged, and then close, reset or hang."""
        return self._raw("raw", data, then, scope)

    def garbage(self, n: int = 4096, *, then: Then = "close", **scope: Unpack[Scope]) -> Fault:
        """Respond with n bytes that are not HTTP, repeatable by `seed`."""
        data = random.Random(scope.get("seed", 0)).randbytes(n)  # noqa: S311 - repeatable, not secret
        return self._raw("garbage", data, then, scope)

    def long_header(self, n: int = 64 * 1024, **scope: Unpack[Scope]) -> Fault:
        """Add one header line of n bytes."""
        line = b"X-Long: ".ljust(n, b"x") + b"\r\n"
        return self._rewrite("long_header", lambda head: _with_lines(head, line), scope)

    def many_headers(self, n: int = 40_000, **scope: Unpack[Scope]) -> Fault:
        """Add n short headers."""
        lines = b"".join(b"X-%d: x\r\n" % index for index in range(n))
        return self._rewrite("many_headers", lambda head: _with_lines(head, lines), scope)

    def raw_header(self, line: bytes, **scope: Unpack[Scope]) -> Fault:
        """Add a line to the headers, unchanged: with control characters, without a colon, folded."""
        return self._rewrite("raw_header", lambda head: _with_lines(head, line + b"\r\n"), scope)

    def bare_lf(self, **scope: Unpack[Scope]) -> Fault:
        """End the lines of the headers with LF alone."""
        return self._rewrite("bare_lf", lambda head: head.replace(b"\r\n", b"\n"), scope)

    def informational(self, n: int | None = 1, code: int = 103, **scope: Unpack[Scope]) -> Fault:
        """Send n interim responses (1xx) before the response; None for endless ones."""
        try:
            reason = HTTPStatus(code).phrase
        except ValueError:
            reason = "Unknown"
        one = f"HTTP/1.1 {code} {reason}\r\n\r\n".encode()

        def flood() -> Iterable[bytes]:
            if n is None:
                return itertools.repeat(one * _BATCH)
            return itertools.chain(itertools.repeat(one * _BATCH, n // _BATCH), (one * (n % _BATCH),))

        def act(answer: Answer) -> bool:
            answer.before = flood
            return True

        return self._late("informational", act, scope)

    def _raw(self, name: str, data: bytes, then: Then, scope: Scope) -> Fault:
        def act(_call: Call, _world: World) -> Answer:
            return Answer(0, raw=data, then=then, is_foreign=True)

        return self._early(name, act, scope)

    def _rewrite(self, name: str, rewrite: Callable[[bytes], bytes], scope: Scope) -> Fault:
        def act(answer: Answer) -> bool:
            before = answer.rewrite_head
            answer.rewrite_head = rewrite if before is None else lambda head: rewrite(before(head))
            return True

        return self._late(name, act, scope)


def _with_lines(head: bytes, lines: bytes) -> bytes:
    return head.removesuffix(b"\r\n") + lines + b"\r\n"
