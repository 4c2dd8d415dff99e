"""The HTTP server: from a request on a connection to its response."""

import asyncio
import secrets
import ssl
import weakref
from collections.abc import Callable
from email.utils import formatdate
from types import MappingProxyType

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from aioss_resume.testing.faults.fault import World
from aioss_resume.testing.faults.faults import Faults
from aioss_resume.testing.network.loop_thread import LoopThread
from aioss_resume.testing.server import calls
from aioss_resume.testing.server.answers import Answer, RefusedError, error_answer
from aioss_resume.testing.server.authority import Authority
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.handlers import answer_call
from aioss_resume.testing.server.ledger import Entry, Ledger, RequestRecord
from aioss_resume.testing.server.sending import Sender, Sent
from aioss_resume.testing.server.store import Store

_LONGEST_LINE = 64 * 1024


class Service:
    """The state of the server, and the handler for requests."""

    def __init__(self, authority: Authority, now: Callable[[], float]) -> None:
        self.authority = authority
        self.now = now
        self.store = Store(authority.region)
        self.ledger = Ledger()
        self.faults = Faults()
        self.cnames: dict[str, str] = {}
        self._connections: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
        self._connection_count = 0

    async def handle(self, request: web.BaseRequest, world: World, closing: asyncio.Event) -> web.StreamResponse:
        """Handle one request. The response that aiohttp gets was already sent."""
        call = await self._read(request)
        entry = self._arrive(call, self._connection(request))
        sender = Sender(
            request,
            head_sent=lambda answer: self.ledger.head_sent(entry, answer.status, answer.error),
            body_sent=lambda count: self.ledger.body_sent(entry, count),
            finished=lambda: self.ledger.leave(entry),
            closing=closing,
        )
        try:
            return await sender.send(self._answer(call, entry, world))
        except ConnectionError:
            return Sent(keep_alive=False)
        finally:
            self.ledger.leave(entry)

    def _answer(self, call: Call, entry: Entry, world: World) -> Answer:
        def fired(name: str) -> None:
            self.ledger.fault_fired(entry, name)

        met = self.faults.met_by(call)
        try:
            answer = self.faults.act_early(met, call, world, fired)
            if not isinstance(answer, Answer):
                # The signature is that of the received request; the response is for the request as changed by faults.
                now = self.now()  # after the early faults, because they may change the clock
                access_key_id = self.authority.check(call, now)
                answer = answer_call(self.store, answer, access_key_id, now)
        except RefusedError as refused:
            answer = error_answer(refused, method=call.method, request_id=call.request_id, host=call.host)
        if answer.is_foreign:
            self.faults.act_late(met, answer, fired)
            return answer
        common = CIMultiDict({"Server": "AliyunOSS", "Date": formatdate(self.now(), usegmt=True)})
        common["x-oss-request-id"] = call.request_id
        common["x-oss-server-time"] = "2"
        answer.headers = CIMultiDict({**common, **answer.headers})
        self.faults.act_late(met, answer, fired)
        return answer

    async def _read(self, request: web.BaseRequest) -> Call:
        raw_path, _, raw_query = request.raw_path.partition("?")
        host = request.headers.get("Host", "")
        bucket, key = calls.address(host, raw_path, self.cnames)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            assert isinstance(request.transport, asyncio.Transport)
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Call(
            method=request.method,
            host=host,
            raw_path=request.raw_path,
            bucket=bucket,
            key=key,
            query=MappingProxyType(calls.parse_query(raw_query)),
            headers=CIMultiDictProxy(CIMultiDict(request.headers)),
            body=await request.content.read() if request.body_exists else b"",
            request_id=secrets.token_hex(12).upper(),
        )

    def _arrive(self, call: Call, connection: int) -> Entry:
        return self.ledger.arrive(
            RequestRecord(
                method=call.method,
                bucket=call.bucket,
                key=call.key,
                version_id=call.version_id,
                range=call.range,
                query=call.query,
                headers=call.headers,
                raw_path=call.raw_path,
                connection=connection,
                request_id=call.request_id,
            )
        )

    def _connection(self, request: web.BaseRequest) -> int:
        transport = request.transport
        if transport is None:
            return 0
        if transport not in self._connections:
            self._connection_count += 1
            self._connections[transport] = self._connection_count
        return self._connections[transport]


class ServerThread:
    """A thread with its own event loop, in which the service handles requests."""

    def __init__(self, service: Service, world: World, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._service = service
        self._world = world
        self._where = (host, port)
        self._tls = tls
        self._thread = LoopThread("LocalOSS", self._listen, self._close)
        self._closing: asyncio.Event | None = None
        self._listener: asyncio.Server | None = None
        self._server: web.Server | None = None
        self.port = 0

    def start(self) -> None:
        """Start to listen. Returns when clients can connect.

        Raises:
            OSError: The port is taken.
        """
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all connections, including those with a running request. May be called again."""
        self._thread.stop()

    def drop_connections(self) -> None:
        """Close all connections, like a short network failure."""
        self._thread.tell(self._abort_connections)

    def _abort_connections(self) -> None:
        assert self._server is not None
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _listen(self) -> None:
        closing = self._closing = asyncio.Event()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._service.handle(request, self._world, closing)

        self._server = web.Server(
            handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            lingering_time=0,
        )
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, *self._where, ssl=self._tls, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._closing is not None
        assert self._listener is not None
        assert self._server is not None
        self._closing.set()
        self._listener.close()
        self._abort_connections()
        await self._server.shutdown(timeout=0.2)
