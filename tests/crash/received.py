"""Bytes that a process has received, less those that the kernel has and the process has not read yet.

LocalOSS counts what it hands to its sockets. Over loopback the kernel takes up to 36 MiB a connection of that
(tcp_wmem and tcp_rmem), which a kill throws away whatever the process does; on a real network the same bytes would
mostly not have been sent. So the process is stopped just before it is killed, and the kernel's queues are read.

Source: proc(5), /proc/net/tcp: local address, remote address, state, tx_queue:rx_queue, all in hexadecimal. tx_queue
are the bytes not acknowledged, rx_queue those not read.
"""

import signal
import time
from pathlib import Path

from aioss_resume.testing import LocalOSS

from .runs import Run

_TABLE = Path("/proc/net/tcp")
_STILL_SECONDS = 0.004  # if no byte moves for so long, the queues are full, or the server has nothing to send
_STOP_SECONDS = 2.0


def stop_and_count(run: Run, oss: LocalOSS) -> int | None:
    """Stop the process and say how many bytes it has received; None where the system does not tell, or it has ended.

    Too many by what LocalOSS has counted and not yet handed to the kernel: one piece a connection.
    """
    if not _TABLE.exists() or not run.is_alive:
        return None
    run.send(signal.SIGSTOP)
    deadline = time.monotonic() + _STOP_SECONDS
    sent, queued = _sent(oss), _queued(oss.port)
    while time.monotonic() < deadline:
        time.sleep(_STILL_SECONDS)
        before, (sent, queued) = (sent, queued), (_sent(oss), _queued(oss.port))
        if before == (sent, queued):
            break
    return sent - queued


def _sent(oss: LocalOSS) -> int:
    return sum(request.bytes_sent for request in oss.requests)


def _queued(port: int) -> int:
    """Bytes in both directions' queues of the connections to that port."""
    suffix = f":{port:04X}"
    total = 0
    for line in _TABLE.read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        unsent, unread = (int(count, 16) for count in queues.split(":"))
        if local.endswith(suffix) and not remote.endswith(":0000"):
            total += unsent  # in the server's send queue
        elif remote.endswith(suffix):
            total += unread  # in the process's receive queue
    return total
