"""Faults by name: what goes wrong, in the order it was asked for."""

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Literal, Unpack

from multidict import CIMultiDict

from aioss_resume.testing.answers import Answer, Cut, RefusedError, error_answer, text_answer
from aioss_resume.testing.calls import Call
from aioss_resume.testing.contents import BytesContent, Content, GeneratedContent
from aioss_resume.testing.fault import Early, Fault, Late, Scope, World

_CODES = {
    400: "InvalidArgument",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "RequestTimeout",
    412: "PreconditionFailed",
    416: "InvalidRange",
    429: "QpsLimitExceeded",
    500: "InternalError",
    503: "ServiceUnavailable",
}


class Faults:
    """The faults that are set, in that order; every method may be called from any thread.

    A fault that ends an answer (an error status, a cut) leaves those after it to the next request.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # guards the list and every fault in it; a scope's function may ask for hits
        self._set: list[Fault] = []

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            for fault in self._set:
                fault.cancel()
            self._set.clear()

    def unmet(self) -> list[Fault]:
        """Faults that never fired and were not cancelled."""
        with self._lock:
            return [fault for fault in self._set if not fault.hits and not fault.is_cancelled]

    # Cuts: the answer begins well and does not end so.

    def reset_after(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """Reset the connection (RST) after n bytes of the body; 0: after the headers."""
        return self._cut("reset_after", Cut(n, "reset"), scope)

    def truncate(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """Close the connection in good order (FIN) after n bytes of the body."""
        return self._cut("truncate", Cut(n, "truncate"), scope)

    def stall(self, n: int = 0, seconds: float | None = None, **scope: Unpack[Scope]) -> Fault:
        """Send n bytes of the body and then nothing for so long; None: until somebody leaves."""
        return self._cut("stall", Cut(n, "stall", seconds), scope)

    def reset_before(self, **scope: Unpack[Scope]) -> Fault:
        """Reset the connection instead of answering."""

        def act(_call: Call, _world: World) -> Answer:
            answer = Answer(0)
            answer.cut = Cut(-1, "reset")
            return answer

        return self._early("reset_before", act, scope)

    # Another answer than OSS would give.

    def status(
        self,
        code: int,
        *,
        oss_code: str | None = None,
        message: str | None = None,
        retry_after: float | str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        **scope: Unpack[Scope],
    ) -> Fault:
        """Answer with an error of OSS, or with any body."""
        more = dict(headers or {})
        if retry_after is not None:
            more["Retry-After"] = str(retry_after)
        name = oss_code or _CODES.get(code, "InternalError")

        def act(call: Call, _world: World) -> Answer:
            if body is not None:
                answer = text_answer(code, body, more.get("Content-Type", "text/html"))
                answer.headers.update(more)
                return answer
            refused = RefusedError(code, name, message or HTTPStatus(code).phrase, headers=more)
            return error_answer(refused, method=call.method, request_id=call.request_id, host=call.host)

        return self._early("status", act, scope)

    def redirect(self, location: str, code: int = 302, **scope: Unpack[Scope]) -> Fault:
        """Send the client elsewhere."""

        def act(_call: Call, _world: World) -> Answer:
            return Answer(code, CIMultiDict({"Location": location}))

        return self._early("redirect", act, scope)

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

    def drop_header(self, name: str, **scope: Unpack[Scope]) -> Fault:
        """Leave a header of the answer out; without Content-Length the body is chunked."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            if name.lower() == "content-length":
                answer.framing = "chunked"
                return True
            return bool(answer.headers.popall(name, None))

        return self._late("drop_header", act, scope)

    def set_header(self, name: str, value: str, **scope: Unpack[Scope]) -> Fault:
        """Put a header into the answer, in place of the one that is there."""

        def act(answer: Answer) -> bool:
            if not answer.is_success:
                return False
            answer.headers[name] = value
            return True

        return self._late("set_header", act, scope)

    def close_delimited(self, **scope: Unpack[Scope]) -> Fault:
        """Say no length and end the body by closing the connection."""

        def act(answer: Answer) -> bool:
            answer.framing = "close"
            return answer.is_success

        return self._late("close_delimited", act, scope)

    # Late and slow.

    def delay(self, seconds: float, **scope: Unpack[Scope]) -> Fault:
        """Wait before the headers."""

        def act(answer: Answer) -> bool:
            answer.delay += seconds
            return True

        return self._late("delay", act, scope)

    def slow(self, bytes_per_second: float, **scope: Unpack[Scope]) -> Fault:
        """Send the body no faster than that."""

        def act(answer: Answer) -> bool:
            answer.rate = bytes_per_second
            return answer.is_success

        return self._late("slow", act, scope)

    # The world changes just before the request is answered.

    def replace_object(
        self,
        data: bytes | None = None,
        *,
        size: int | None = None,
        content_seed: int = 1,
        same_etag: bool = False,
        stale_crc: bool = False,
        **scope: Unpack[Scope],
    ) -> Fault:
        """Replace the object by data, by `size` made-up bytes, or by other bytes of the same length.

        same_etag: the ETag stays. stale_crc: the CRC-64 told stays that of the old bytes.
        """
        content: Content | None = None
        if data is not None:
            content = BytesContent(data)
        elif size is not None:
            content = GeneratedContent(size, content_seed)

        def act(call: Call, world: World) -> None:
            world.replace_content(call, content, same_etag=same_etag, stale_crc=stale_crc)

        return self._early("replace_object", act, scope)

    def delete_object(self, **scope: Unpack[Scope]) -> Fault:
        """Delete the object."""
        return self._early("delete_object", lambda call, world: world.delete_object(call), scope)

    def expire_credentials(self, **scope: Unpack[Scope]) -> Fault:
        """Expire the credentials that the request is signed with."""
        return self._early("expire_credentials", lambda call, world: world.expire_credentials(call), scope)

    # What the server calls.

    def met_by(self, call: Call) -> list[Fault]:
        """The faults for which this is a request, in the order they were set; counts it for each."""
        with self._lock:
            return [fault for fault in self._set if fault.meets(call)]

    def act_early(self, met: list[Fault], call: Call, world: World, fired: Callable[[str], None]) -> Answer | None:
        """Run the early faults; an answer ends it."""
        for fault in met:
            if fault.early is not None and self._claim(fault):
                fired(fault.name)
                answer = fault.early(call, world)
                if answer is not None:
                    return answer
        return None

    def act_late(self, met: list[Fault], answer: Answer, fired: Callable[[str], None]) -> None:
        """Change an answer by those of the late faults that can befall it."""
        for fault in met:
            with self._lock:
                if fault.late is None or fault.is_over or not fault.late(answer):
                    continue
                fault.count()
            fired(fault.name)

    def _claim(self, fault: Fault) -> bool:
        with self._lock:
            if fault.is_over:
                return False
            fault.count()
            return True

    def _cut(self, name: Literal["reset_after", "truncate", "stall"], cut: Cut, scope: Scope) -> Fault:
        def act(answer: Answer) -> bool:
            never_gets_there = cut.after and cut.after >= answer.length
            if answer.cut is not None or not answer.is_success or never_gets_there:
                return False
            answer.cut = cut
            return True

        return self._late(name, act, scope)

    def _early(self, name: str, act: Early, scope: Scope) -> Fault:
        return self._add(Fault(name, scope, self._lock, early=act))

    def _late(self, name: str, act: Late, scope: Scope) -> Fault:
        return self._add(Fault(name, scope, self._lock, late=act))

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._set.append(fault)
        return fault
