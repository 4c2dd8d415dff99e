"""A TCP server in a thread, for tests that answer the library by hand."""

import socketserver
import threading
from types import TracebackType
from typing import Self


class ThreadedServer:
    """Serves on 127.0.0.1 within a `with` block, each connection in a thread of its own."""

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def where(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"
