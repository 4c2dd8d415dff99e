"""Error responses, well-formed and hostile, and other responses without the object."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Unpack

from multidict import CIMultiDict

from aioss_resume.testing.faults import hostile
from aioss_resume.testing.faults.fault import Fault, Scope, World
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer, RefusedError, error_answer, text_answer
from aioss_resume.testing.server.calls import Call

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

_LOGIN = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Welcome to the hotel.</body></html>"


class ErrorFaults(FaultSet):
    """Responses that OSS would not send."""

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
        """Respond with an error of OSS, or with any other body."""
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

    def retry_after(self, value: float | str, code: int = 503, **scope: Unpack[Scope]) -> Fault:
        """Respond with an error and this Retry-After header, unchanged. See `HOSTILE_RETRY_AFTERS`."""
        return self.status(code, retry_after=value, **scope)

    def proxy_auth(self, **scope: Unpack[Scope]) -> Fault:
        """Respond with 407, like an HTTP proxy that requires a password."""

        def act(_call: Call, _world: World) -> Answer:
            answer = text_answer(407, b"Proxy Authentication Required", "text/plain")
            answer.headers["Proxy-Authenticate"] = 'Basic realm="proxy"'
            answer.is_foreign = True
            return answer

        return self._early("proxy_auth", act, scope)

    def not_satisfiable(self, total: int | str, **scope: Unpack[Scope]) -> Fault:
        """Respond with 416 and `Content-Range: bytes */total`."""
        return self.status(416, headers={"Content-Range": f"bytes */{total}"}, **scope)

    def html(
        self, body: bytes = _LOGIN, *, code: int = 200, content_type: str = "text/html", **scope: Unpack[Scope]
    ) -> Fault:
        """Respond like a captive portal: with a page and without headers of OSS."""

        def act(_call: Call, _world: World) -> Answer:
            answer = text_answer(code, body, content_type)
            answer.is_foreign = True
            return answer

        return self._early("html", act, scope)

    def hostile_body(self, kind: hostile.Body, *, code: int = 500, **scope: Unpack[Scope]) -> Fault:
        """Respond with one of `HOSTILE_BODIES`. With code 200 and `key=""`, it replaces a listing."""
        body, content_type = hostile.BODIES[kind]

        def act(_call: Call, _world: World) -> Answer:
            return text_answer(code, body, content_type)

        return self._early("hostile_body", act, scope)

    def error_body(self, n: int | None = None, *, code: int = 500, **scope: Unpack[Scope]) -> Fault:
        """Respond with an error of n bytes; None for a chunked body that never ends."""

        def act(_call: Call, _world: World) -> Answer:
            content = hostile.LongError(hostile.ENDLESS if n is None else n)
            headers = CIMultiDict({"Content-Type": "application/xml"})
            answer = Answer(code, headers, content, 0, content.size)
            answer.framing = "chunked" if n is None else "length"
            return answer

        return self._early("error_body", act, scope)

    def redirect(self, location: str, code: int = 302, **scope: Unpack[Scope]) -> Fault:
        """Redirect the client."""

        def act(_call: Call, _world: World) -> Answer:
            return Answer(code, CIMultiDict({"Location": location}))

        return self._early("redirect", act, scope)

    def redirect_loop(self, code: int = 302, **scope: Unpack[Scope]) -> Fault:
        """Redirect the client to the same address."""

        def act(call: Call, _world: World) -> Answer:
            return Answer(code, CIMultiDict({"Location": call.raw_path}))

        return self._early("redirect_loop", act, scope)

    def bare_redirect(self, code: int = 301, **scope: Unpack[Scope]) -> Fault:
        """Redirect the client without a target."""
        return self._early("bare_redirect", lambda _call, _world: Answer(code), scope)
