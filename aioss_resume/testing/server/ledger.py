"""The ledger: the requests in order of arrival, and what was sent for each."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from multidict import CIMultiDictProxy


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """The state of one request when the ledger was read. Its `repr` shows neither signatures nor tokens."""

    method: str
    bucket: str
    key: str
    version_id: str | None
    range: tuple[int, int | None] | None
    """The requested range, half-open: `(5, None)` is `bytes=5-` and `(-5, None)` is `bytes=-5`."""
    query: Mapping[str, str] = field(repr=False)
    headers: CIMultiDictProxy[str] = field(repr=False)
    raw_path: str = field(repr=False)
    connection: int
    """The number of the TCP connection, which several requests may share."""
    request_id: str
    status: int | None = None
    """None until the response's headers are sent."""
    bytes_sent: int = 0
    """Bytes of the body that were written to the socket so far."""
    error: str | None = None
    faults: tuple[str, ...] = ()
    is_finished: bool = False


class Entry:
    """A request in the ledger. Only the ledger changes it, while it holds its lock."""

    __slots__ = ("bytes_sent", "error", "faults", "finished", "record", "status")

    def __init__(self, record: RequestRecord) -> None:
        self.record = record
        self.status: int | None = None
        self.bytes_sent = 0
        self.error: str | None = None
        self.faults: list[str] = []
        self.finished = False

    def snapshot(self) -> RequestRecord:
        record = self.record
        return RequestRecord(
            method=record.method,
            bucket=record.bucket,
            key=record.key,
            version_id=record.version_id,
            range=record.range,
            query=record.query,
            headers=record.headers,
            raw_path=record.raw_path,
            connection=record.connection,
            request_id=record.request_id,
            status=self.status,
            bytes_sent=self.bytes_sent,
            error=self.error,
            faults=tuple(self.faults),
            is_finished=self.finished,
        )


class Ledger:
    """All requests since the start or the last `clear`. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards the attributes below and the entries
        self._entries: list[Entry] = []
        self._under_way: set[str] = set()  # request ids
        self._gets = 0
        self._peak = 0

    def arrive(self, record: RequestRecord) -> Entry:
        entry = Entry(record)
        with self._changed:
            self._entries.append(entry)
            self._under_way.add(record.request_id)
            if record.method == "GET":
                self._gets += 1
                self._peak = max(self._peak, self._gets)
            self._changed.notify_all()
        return entry

    def head_sent(self, entry: Entry, status: int, error: str | None) -> None:
        with self._changed:
            entry.status = status
            entry.error = error
            self._changed.notify_all()

    def body_sent(self, entry: Entry, count: int) -> None:
        with self._changed:
            entry.bytes_sent += count
            self._changed.notify_all()

    def fault_fired(self, entry: Entry, name: str) -> None:
        with self._changed:
            entry.faults.append(name)

    def leave(self, entry: Entry) -> None:
        """Note that nothing more will be sent to the client. May be called again."""
        with self._changed:
            if entry.finished:
                return
            entry.finished = True
            self._under_way.discard(entry.record.request_id)
            if entry.record.method == "GET":
                self._gets -= 1
            self._changed.notify_all()

    def is_under_way(self, request_id: str) -> bool:
        """Whether that request has arrived and its response is not complete."""
        with self._changed:
            return request_id in self._under_way

    def snapshot(self) -> list[RequestRecord]:
        with self._changed:
            return [entry.snapshot() for entry in self._entries]

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()
            self._peak = self._gets

    @property
    def peak_in_flight(self) -> int:
        with self._changed:
            return self._peak

    @property
    def bytes_sent(self) -> int:
        with self._changed:
            return self._sent()

    def wait_for_bytes(self, count: int, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._sent() >= count, timeout)

    def wait_for_requests(self, count: int, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self._entries) >= count, timeout)

    def _sent(self) -> int:
        return sum(entry.bytes_sent for entry in self._entries)
