"""Ending a TCP connection with RST, which discards unsent data."""

import asyncio
import contextlib
import socket
import struct
import sys

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: closing sends RST


def reset(transport: asyncio.WriteTransport) -> None:
    """End the connection with RST at once."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


async def flush(transport: asyncio.WriteTransport) -> None:
    """Wait until the written bytes have reached the peer, because a reset discards bytes on the way."""
    sock = transport.get_extra_info("socket")
    for _ in range(2000):
        if transport.is_closing() or not (transport.get_write_buffer_size() or _unsent(sock)):
            return
        await asyncio.sleep(0.0005)


def _unsent(sock: socket.socket) -> int:
    """Number of bytes in the socket that the peer has not acknowledged; 0 if the system does not know."""
    if sys.platform != "linux":
        return 0
    import fcntl  # not on Windows
    import termios

    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)
