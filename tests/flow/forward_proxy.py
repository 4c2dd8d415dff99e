"""A real HTTP proxy for tests: it forwards plain requests and tunnels TLS."""

import socket
import socketserver
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from flow.threaded_server import ThreadedServer

REFUSAL = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy(ThreadedServer):
    """A forwarding proxy that serves one request per connection, or refuses all of them with 407."""

    def __init__(self, refuses: bool = False) -> None:
        self.requests: list[tuple[str, str]] = []
        """The first line of each request, and its Proxy-Authorization."""
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                lines = []
                while line := self.rfile.readline().strip(b"\r\n"):
                    lines.append(line.decode("latin-1"))
                if not lines:
                    return
                authorization = [line for line in lines if line.lower().startswith("proxy-authorization:")]
                proxy.requests.append((lines[0], authorization[0].partition(":")[2].strip() if authorization else ""))
                if refuses:
                    self.wfile.write(REFUSAL)
                    return
                proxy._forward(self, lines)

        super().__init__(Handler)

    def _forward(self, handler: socketserver.StreamRequestHandler, lines: list[str]) -> None:
        method, target, version = lines[0].split(" ")
        parts = urlsplit(target)
        port = int(target.rpartition(":")[2]) if method == "CONNECT" else parts.port
        with socket.create_connection(("127.0.0.1", port or 80)) as upstream:
            if method == "CONNECT":
                handler.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                thread = threading.Thread(target=_pipe, args=(handler.connection, upstream))
                thread.start()
                _pipe(upstream, handler.connection)
                thread.join()
                return
            origin = target.partition(parts.netloc)[2]
            kept = [line for line in lines[1:] if not line.lower().startswith(("connection:", "proxy-"))]
            head = "\r\n".join([f"{method} {origin} {version}", *kept, "Connection: close", "", ""])
            upstream.sendall(head.encode("latin-1"))
            _pipe(upstream, handler.connection)


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
