"""Requests for one object: ranges of its bytes, all of it, or its metadata.

aiohttp's exceptions contain signed addresses and headers, and so does a traceback that chains them. So our errors are
raised outside the except blocks, where nothing is chained.

This module has more than 300 lines because a request and the explanation of its refusal belong together.
"""

import asyncio
import base64
import binascii
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import aiohttp
from multidict import CIMultiDict

from aioss_resume._core.answers import Accepted, accept_of_any_server, accept_range, accept_whole, refuse_redirect
from aioss_resume._core.objects import ObjectMeta, read_http_date, read_meta
from aioss_resume._core.ranges import Range, Suffix
from aioss_resume._core.retry import read_retry_after
from aioss_resume._core.xml import MOST_ERROR_BYTES, read_error
from aioss_resume._io.body import reads_sockets
from aioss_resume._io.clock import Clock
from aioss_resume._io.origin import Origin
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._io.session import with_signed_defaults
from aioss_resume._io.sign import Signed
from aioss_resume._io.translate import PLAIN_TO_TLS, permanent, proxy_error, request_error, use_tls_hint
from aioss_resume.errors import (
    AiossError,
    CredentialsError,
    ObjectName,
    ProtocolError,
    ServiceError,
    changed_error,
    service_error,
)
from aioss_resume.options import READ_BUFFER, Timeouts

_PLAIN: Final = {"Accept-Encoding": "identity"}
# Without it aiohttp asks for gzip, and OSS then sends some objects compressed, without ETag and length.
_RANGES_AS_HTTP_HAS_THEM: Final = {"x-oss-range-behavior": "standard"}
# Without it OSS answers a range that is out of bounds with 200 and the whole object.

_CURES_MOST: Final = {"clock": 1, "keys": 1, "expired keys": 8, "address": 8}
# Replacements for one request. Keys that expire after few requests may expire again before this one is sent.


@dataclass(slots=True)
class RequestCounts:
    """Counts the requests of one download, and those that failed and were tried again."""

    sent: int = 0
    failed: int = 0


class _MaskedResponse:
    """A response in which echoed secrets of its request are masked."""

    def __init__(self, response: aiohttp.ClientResponse, signed: Signed) -> None:
        self.response = response
        self.status = response.status
        self.signed = signed
        self.headers: Mapping[str, str] = response.headers
        if signed.is_echoed_in("\0".join(response.headers.values())):
            self.headers = CIMultiDict((key, self.masked(value)) for key, value in response.headers.items())

    def masked(self, text: str) -> str:
        for secret in self.signed.secrets:
            text = text.replace(secret, "***")
        return text

    def masked_bytes(self, body: bytes) -> bytes:
        for secret in self.signed.secrets:
            body = body.replace(secret.encode(), b"***")
        return body

    def close(self) -> None:
        self.response.close()


class Source:
    """Fetches the bytes of one object with signed GET requests over one session.

    Args:
        session: The session, whose limits and TLS settings are its owner's.
        origin: The bucket or presigned address.
        name: The object.
        version_id, headers, params, timeouts: As in DownloadOptions.
        counts: Counts the requests.

    Attributes:
        ignores_ranges: Whether the server sent the whole object in response to a range request.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        origin: Origin,
        name: ObjectName,
        *,
        version_id: str | None = None,
        headers: Mapping[str, str],
        params: Mapping[str, str],
        timeouts: Timeouts,
        clock: Clock,
        counts: RequestCounts,
    ) -> None:
        self.name = name
        self._session = session
        self._origin = origin
        self._signer = origin.signer
        self._headers = with_signed_defaults(session, {**headers, **_PLAIN})
        self._params = {**params, "versionId": version_id} if version_id else dict(params)
        self._timeouts = timeouts
        self._timeout = _client_timeout(timeouts)
        self._clock = clock
        self._counts = counts
        self._was_there = False
        self.ignores_ranges = False
        self._uses_if_match = True

    def stop_using_if_match(self) -> bool:
        """From now on, pin objects by their CRC-64 only, if they have one. Returns whether this is a change."""
        was_used, self._uses_if_match = self._uses_if_match, False
        return was_used

    async def open_range(self, asked: Range | Suffix, pinned: ObjectMeta | None) -> AcceptedResponse:
        """Send a GET for a range, of the pinned object if there is one. The body has not been read yet.

        Raises:
            RequestError, ProtocolError: There is no response, or it contradicts the request. A retry may help.
            ServiceError: OSS returned an error.
            ObjectChangedError: The pinned object was replaced or deleted.
            CredentialsError: No usable keys.
        """
        headers = {**self._headers, "Range": asked.header()}
        if not self._origin.is_presigned:
            headers |= _RANGES_AS_HTTP_HAS_THEM
        if pinned is not None and pinned.if_match and (self._uses_if_match or pinned.crc64 is None):
            headers["If-Match"] = pinned.if_match
        began = self._clock.now()
        reply = await self._send("GET", headers, pinned)
        try:
            accepted = self._accept(asked, pinned, reply)
            self._was_there = True
            response = self._answer(reply, accepted)
        except BaseException:
            reply.close()
            raise
        response.latency = self._clock.now() - began
        return response

    async def open_whole(self) -> AcceptedResponse:
        """Send a GET without a range, for an empty object or one that OSS processes.

        Raises:
            As open_range().
        """
        reply = await self._send("GET", self._headers)
        try:
            meta, length = accept_whole(self.name, reply.status, reply.headers)
            return AcceptedResponse(reply.response, self.name, meta, None, length, self._timeouts, self._clock)
        except BaseException:
            reply.close()
            raise

    async def head(self) -> ObjectMeta:
        """Fetch the metadata of the object with a HEAD request. Presigned addresses only allow GET.

        Raises:
            As open_range().
        """
        assert not self._origin.is_presigned
        reply = await self._send("HEAD", self._headers)
        try:
            size = reply.headers.get("Content-Length", "")
            if not (size.isascii() and size.isdigit()):
                raise ProtocolError(f"{self.name}: the answer to a HEAD has no Content-Length", name=self.name)
            try:
                return read_meta(self.name.key, int(size), reply.headers)
            except ValueError as error:
                problem = f"{self.name}: x-oss-hash-crc64ecma: {error}"
            raise ProtocolError(problem, name=self.name)
        finally:
            reply.close()

    def _accept(self, asked: Range | Suffix, pinned: ObjectMeta | None, reply: _MaskedResponse) -> Accepted:
        if self._origin.is_presigned:
            return accept_of_any_server(self.name, asked, pinned, reply.status, reply.headers)
        return accept_range(self.name, asked, pinned, reply.status, reply.headers)

    def _answer(self, reply: _MaskedResponse, accepted: Accepted) -> AcceptedResponse:
        self.ignores_ranges |= accepted.ignores_ranges
        return AcceptedResponse(
            reply.response,
            self.name,
            accepted.meta,
            accepted.range,
            accepted.range.length,
            self._timeouts,
            self._clock,
            skip=accepted.skip,
        )

    async def _send(self, method: str, headers: Mapping[str, str], pinned: ObjectMeta | None = None) -> _MaskedResponse:
        """Send a request. If OSS refuses the keys, clock or address, replace them and send it again."""
        cured = Counter[str]()
        while True:
            signed = await self._sign(method, headers)
            self._counts.sent += 1
            reply = _MaskedResponse(await self._request(signed), signed)
            self._origin.has_answered = True
            if reply.status in (200, 206):
                return reply
            try:
                error = await self._refusal(reply)
                cure = await self._cure(error, reply)
            finally:
                reply.close()
            if cure is None or cured[cure] >= _CURES_MOST[cure]:
                raise self._explain(error, pinned)
            cured[cure] += 1
            self._counts.failed += 1

    async def _sign(self, method: str, headers: Mapping[str, str]) -> Signed:
        try:
            return await self._signer.sign(method, self.name, headers, self._params, self._clock.utc())
        except CredentialsError as error:
            error.bucket, error.key = self.name
            raise

    async def _request(self, signed: Signed) -> aiohttp.ClientResponse:
        if self._session.closed:
            raise permanent(f"{self.name}: the session was closed", self.name, "keep it open meanwhile")
        limits = self._timeouts
        try:
            # aiohttp's limits restart with each byte, so slow headers and endless 1xx responses pass them. They also do
            # not count the wait for a connection of the caller's pool.
            async with asyncio.timeout(limits.connect + limits.response):
                return await self._session.request(
                    signed.method,
                    signed.url,
                    headers=signed.headers,
                    allow_redirects=False,  # aiohttp would send x-oss-security-token to any host
                    timeout=self._timeout,
                    read_bufsize=READ_BUFFER,
                    auto_decompress=False,
                    proxy=self._origin.proxy,
                    raise_for_status=False,
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:  # ValueError: the session's settings
            has_answered = self._origin.has_answered
            problem = request_error(error, self.name, limits.response, signed.url, has_answered=has_answered)
        raise problem

    async def _refusal(self, reply: _MaskedResponse) -> AiossError:
        """The error for a response other than a success."""
        if 300 <= reply.status < 400 and reply.status != 304:
            return refuse_redirect(self.name, reply.status, reply.headers)
        if reply.status < 300:
            return ProtocolError(f"{self.name}: got status {reply.status}", name=self.name)
        if reply.status == 407:
            return proxy_error(reply.status, self.name)
        details = {"RequestId": reply.headers.get("x-oss-request-id", ""), "EC": reply.headers.get("x-oss-ec", "")}
        # Mask the body before parsing, too: parsing truncates values, and a truncated secret would not be recognized.
        body = reply.masked_bytes(await self._error_body(reply.response))
        details |= {tag: reply.masked(text) for tag, text in read_error(body).items()}
        now = read_http_date(reply.headers.get("Date")) or self._clock.utc()
        retry_after = read_retry_after(reply.headers.get("Retry-After"), now)
        error = service_error(reply.status, details, name=self.name, retry_after=retry_after)
        if PLAIN_TO_TLS in body:
            error.hint = use_tls_hint(reply.response.url)
        return error

    async def _error_body(self, response: aiohttp.ClientResponse) -> bytes:
        """Read the body of an error response, with limits on length and time."""
        if in_header := response.headers.get("x-oss-err"):  # of a HEAD, which has no body
            try:
                return base64.b64decode(in_header)
            except (binascii.Error, ValueError):
                return b""
        body = b""
        try:
            async with asyncio.timeout(self._timeouts.response):
                while len(body) < MOST_ERROR_BYTES and (chunk := await response.content.readany()):
                    body += chunk
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass  # the status says enough
        return body

    def _explain(self, error: AiossError, pinned: ObjectMeta | None) -> AiossError:
        """The error for an error response in the middle of a download."""
        if not isinstance(error, ServiceError):
            return error
        if error.status == 412 and pinned is not None and pinned.if_match:
            hint = "run again to fetch the new version"
            text = f'{self.name} was replaced while it was downloaded (it is not ETag "{pinned.etag}" any more)'
            return changed_error(text, name=self.name, hint=hint, answer=error)
        if error.status == 416 and pinned is not None:
            text = f"{self.name} got shorter than {pinned.size} bytes while it was downloaded"
            return changed_error(text, name=self.name, hint="run again to fetch the new version", answer=error)
        if error.status == 404 and self._was_there:
            return changed_error(f"{self.name} was deleted while it was downloaded", name=self.name, answer=error)
        return error

    async def _cure(self, error: AiossError, reply: _MaskedResponse) -> str | None:
        """Replace what OSS refused, so that a retry may succeed. Returns what was replaced, or None."""
        if not isinstance(error, ServiceError):
            return None
        server_time = read_http_date(reply.headers.get("Date"))
        return await self._signer.cure(error, reply.signed, server_time, self._clock.utc())


@lru_cache(maxsize=8)
def _client_timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    # This limit also applies within a body, if body_of() cannot set another one.
    silence = timeouts.response if reads_sockets() else max(timeouts.response, timeouts.stall)
    return aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=silence)
