"""The chaos proxy as a plain socket sees it."""

import socket
from collections.abc import Iterator
from contextlib import closing

import oss2
import pytest
from raw_client import raw_fetch

from aioss_resume.testing import ChaosProxy, GeneratedContent, KiB, LocalOSS, MiB
from aioss_resume.testing.network.toxics import Pacer

NEVER = 3600.0
LARGE = GeneratedContent(MiB, 1)


@pytest.fixture
def proxy(oss: LocalOSS) -> Iterator[ChaosProxy]:
    oss.put("open", "key", b"0123456789")
    oss.put("open", "large", size=MiB, seed=1)
    with ChaosProxy("127.0.0.1", oss.port) as proxy:
        yield proxy


def connect(proxy: ChaosProxy, timeout: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def ask(proxy: ChaosProxy, path: str = "/open/key", connection: str = "close", timeout: float = 10) -> socket.socket:
    client = connect(proxy, timeout)
    send(client, path, connection)
    return client


def send(client: socket.socket, path: str = "/open/key", connection: str = "close") -> None:
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {connection}\r\n\r\n".encode())


def read_all(client: socket.socket) -> bytes:
    with closing(client):
        return b"".join(iter(lambda: client.recv(MiB), b""))


def answer_size(proxy: ChaosProxy) -> int:
    return len(read_all(ask(proxy)))


def test_without_toxics_bytes_pass_and_are_counted(oss: LocalOSS, proxy: ChaosProxy) -> None:
    assert raw_fetch(proxy.port, "/open/large", "GET", {}).body == LARGE.read(0, MiB)
    proxy.wait_for_no_connection()
    assert proxy.connections == 1
    assert proxy.bytes_down > MiB
    assert 0 < proxy.bytes_up < 1000
    assert str(proxy.port) in repr(proxy)


def test_bucket_can_use_the_proxys_endpoint(oss: LocalOSS, proxy: ChaosProxy) -> None:
    bucket = oss2.Bucket(
        oss2.AuthV4(oss.access_key_id, oss.access_key_secret), proxy.endpoint, "open", region=oss.region
    )
    assert bucket.get_object("key").read() == b"0123456789"
    bucket.session.session.close()


def test_reset_after_resets_after_exactly_so_many_bytes(proxy: ChaosProxy) -> None:
    proxy.reset_after(100, times=1)
    client = ask(proxy, "/open/large")
    got = b""
    with pytest.raises(ConnectionResetError), closing(client):
        while True:
            got += client.recv(MiB)
    assert len(got) == 100
    assert len(read_all(ask(proxy, "/open/large"))) > MiB


def test_limit_closes_normally_after_exactly_so_many_bytes(proxy: ChaosProxy) -> None:
    proxy.limit(100)
    assert [len(read_all(ask(proxy))) for _ in range(2)] == [100, 100]
    proxy.heal()
    assert answer_size(proxy) > 100


@pytest.mark.parametrize("how", ["reset_after", "limit"])
def test_cut_at_zero_bytes_lets_no_request_reach_the_server(oss: LocalOSS, proxy: ChaosProxy, how: str) -> None:
    getattr(proxy, how)(0)
    try:
        with closing(connect(proxy)) as client:
            assert client.recv(1) == b""
    except ConnectionResetError:
        assert how == "reset_after"
    assert oss.requests == []


def test_cut_at_the_last_byte_needs_no_more_bytes(proxy: ChaosProxy) -> None:
    size = answer_size(proxy) + len("keep-alive") - len("close")
    proxy.limit(size)
    assert len(read_all(ask(proxy, connection="keep-alive"))) == size


def test_black_hole_accepts_and_never_answers(oss: LocalOSS, proxy: ChaosProxy) -> None:
    proxy.black_hole()
    with closing(ask(proxy, timeout=0.05)) as client, pytest.raises(TimeoutError):
        client.recv(1)
    proxy.wait_for_no_connection()
    assert oss.requests == []
    assert proxy.connections == 1
    assert proxy.bytes_up > 0
    assert proxy.bytes_down == 0


def test_black_hole_after_some_bytes(proxy: ChaosProxy) -> None:
    proxy.black_hole(100, times=1)
    client = ask(proxy, "/open/large", timeout=0.05)
    got = b""
    with pytest.raises(TimeoutError), closing(client):
        while True:
            got += client.recv(MiB)
    assert len(got) == 100
    proxy.wait_for_no_connection()
    assert len(read_all(ask(proxy, "/open/large"))) > MiB


def test_black_hole_drops_requests_on_idle_connections(oss: LocalOSS, proxy: ChaosProxy) -> None:
    with closing(ask(proxy, connection="keep-alive", timeout=0.05)) as client:
        while not client.recv(KiB).endswith(b"0123456789"):
            pass
        proxy.black_hole()
        send(client)
        with pytest.raises(TimeoutError):
            client.recv(1)
    proxy.wait_for_no_connection()
    assert len(oss.requests) == 1


def test_latency_holds_bytes_back_until_it_changes(oss: LocalOSS, proxy: ChaosProxy) -> None:
    proxy.latency(NEVER)
    client = ask(proxy)
    oss.wait_for_bytes(10)
    assert proxy.bytes_down == 0
    proxy.latency(0.001)
    assert read_all(client).endswith(b"0123456789")


def test_slice_makes_segments(proxy: ChaosProxy) -> None:
    proxy.slice(7, pause=NEVER)
    client = ask(proxy)
    assert client.recv(KiB) == b"HTTP/1."
    proxy.wait_for_bytes(7)
    assert proxy.bytes_down == 7
    proxy.slice(3)
    assert read_all(client).endswith(b"0123456789")


def test_bandwidth_lets_no_more_pass(proxy: ChaosProxy) -> None:
    proxy.bandwidth(1 / NEVER)
    client = ask(proxy)
    proxy.wait_for_connections(1)
    assert proxy.bytes_down == 0
    proxy.bandwidth(None)
    assert read_all(client).endswith(b"0123456789")
    proxy.bandwidth(64 * MiB, in_sum=32 * MiB)
    assert len(read_all(ask(proxy, "/open/large"))) > MiB


def test_rate_is_shared_in_sum_and_not_per_connection() -> None:
    one, other, shared = Pacer(), Pacer(), Pacer()
    assert [one.reserve(100, 100.0, 5.0), one.reserve(100, 100.0, 5.0), other.reserve(100, 100.0, 5.0)] == [1, 2, 1]
    assert [shared.reserve(100, 100.0, 5.0), shared.reserve(100, None, 5.0), shared.reserve(50, 100.0, 6.5)] == [
        1,
        0,
        0.5,
    ]


def test_refuse_and_accept(proxy: ChaosProxy) -> None:
    with closing(ask(proxy, connection="keep-alive")) as client:
        assert client.recv(1) == b"H"
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        send(client)  # existing connections stay open
        proxy.accept()
        port = proxy.port
        assert answer_size(proxy) > 100
        assert proxy.port == port


def test_drop_connections_resets_those_that_are_there(proxy: ChaosProxy) -> None:
    proxy.black_hole()
    with closing(connect(proxy)) as client:
        proxy.wait_for_connections(1)
        proxy.drop_connections()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    proxy.wait_for_no_connection()


def test_stopped_server_is_a_reset_for_the_client(oss: LocalOSS, proxy: ChaosProxy) -> None:
    oss.stop()
    with pytest.raises(ConnectionResetError), closing(connect(proxy)) as client:
        send(client)
        client.recv(1)


def test_reset_of_the_server_resets_the_client(oss: LocalOSS, proxy: ChaosProxy) -> None:
    oss.faults.reset_before()
    with closing(ask(proxy)) as client, pytest.raises(ConnectionResetError):
        client.recv(1)


def test_disconnected_client_disconnects_the_server(oss: LocalOSS, proxy: ChaosProxy) -> None:
    oss.faults.stall(0)
    with closing(ask(proxy)) as client:
        assert client.recv(1) == b"H"
    proxy.wait_for_no_connection()


def test_proxy_stops_with_connections_of_all_kinds(oss: LocalOSS) -> None:
    oss.put("open", "large", size=100 * MiB)
    clients = []
    with ChaosProxy("127.0.0.1", oss.port) as proxy:
        clients.append(ask(proxy, "/open/large"))  # reads nothing
        assert clients[0].recv(1) == b"H"
        proxy.latency(NEVER)
        clients.append(ask(proxy))
        oss.wait_for_requests(2)
        proxy.black_hole()
        clients.append(connect(proxy))
        proxy.wait_for_connections(3)
    assert proxy.open_connections == 0
    for client in clients:
        client.close()


def test_occupied_port_is_an_error(oss: LocalOSS, proxy: ChaosProxy) -> None:
    proxy.refuse()
    with closing(socket.create_server(("127.0.0.1", proxy.port))), pytest.raises(OSError, match="in use"):
        proxy.accept()
    proxy.accept()
    assert answer_size(proxy) > 100
