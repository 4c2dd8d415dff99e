"""Faults of the wire, of headers, errors and load, as a raw socket sees them; and the account of faults."""

import gzip
import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from xml.etree import ElementTree

import oss2
import pytest
import trustme
from raw_client import Fetch

from aioss_resume.testing import (
    HOSTILE_BODIES,
    HOSTILE_RETRY_AFTERS,
    Fault,
    Faults,
    GeneratedContent,
    KiB,
    LocalOSS,
    MiB,
    Recorder,
)

NEVER = 3600.0
TEN = b"0123456789"
HEAD = "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(autouse=True)
def _objects(oss: LocalOSS) -> None:
    oss.put("open", "key", TEN)
    oss.put("open", "large", size=4 * MiB, seed=1)


@pytest.fixture
def client(oss: LocalOSS) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", oss.port), timeout=10)) as client:
        yield client


def ask(client: socket.socket, path: str = "/open/key", more: str = "") -> None:
    client.sendall(HEAD.format(path).replace("\r\n\r\n", f"\r\n{more}\r\n").encode())


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(MiB), b""))


def read_until(client: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        got += client.recv(1) or pytest.fail(f"ended after {got!r}")
    return got


def is_silent(client: socket.socket) -> bool:
    client.settimeout(0.02)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    return False


def test_raw_sends_exactly_the_given_bytes(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.raw(b"\0\xff not HTTP")
    ask(client)
    assert read_all(client) == b"\0\xff not HTTP"
    record = oss.requests[-1]
    assert (record.status, record.bytes_sent, record.faults) == (None, 11, ("raw",))


def test_raw_response_can_end_with_a_reset_or_a_stall(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.raw(b"HTTP/1.1 200 OK\r\n", then="hang")
    ask(client)
    assert read_until(client, b"\n") == b"HTTP/1.1 200 OK\r\n"
    assert is_silent(client)
    oss.faults.raw(b"ab", then="reset")
    with closing(socket.create_connection(("127.0.0.1", oss.port), timeout=10)) as other:
        ask(other)
        assert read_until(other, b"ab") == b"ab"
        with pytest.raises(ConnectionResetError):
            other.recv(1)


def test_garbage_is_repeatable_and_not_http(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.garbage(200, seed=3, times=2)
    found = []
    for _ in range(2):
        with closing(socket.create_connection(("127.0.0.1", oss.port), timeout=10)) as client:
            ask(client)
            found.append(read_all(client))
    assert found[0] == found[1]
    assert len(found[0]) == 200
    oss.faults.garbage()
    with pytest.raises(http.client.HTTPException):
        fetch("/open/key")


def test_long_header_is_one_line(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.long_header(64 * KiB)
    ask(client)
    lines = read_until(client, b"\r\n\r\n").split(b"\r\n")
    assert max(map(len, lines)) == 64 * KiB
    assert read_until(client, TEN) == TEN


def test_many_headers(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.many_headers(40_000)
    oss.faults.raw_header(b"no colon \0 here")
    ask(client, more="Connection: close\r\n")
    head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.count(b"\r\nX-") == 40_000
    assert head.endswith(b"\r\nno colon \0 here")
    assert body == TEN


def test_bare_lf(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.bare_lf()
    ask(client)
    assert b"\r" not in read_until(client, b"\n\n")


@pytest.mark.parametrize("n", [1, 100, 2001])
def test_informational_answers_come_first(oss: LocalOSS, client: socket.socket, n: int) -> None:
    oss.faults.informational(n, 102)
    ask(client)
    got = read_until(client, TEN)
    assert got.startswith(b"HTTP/1.1 102 Processing\r\n\r\n" * n + b"HTTP/1.1 200 OK\r\n")


def test_endless_interim_responses_can_be_sent(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.informational(None)
    ask(client)
    one = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert read_until(client, one * 300) == one * 300
    client.close()
    with closing(socket.create_connection(("127.0.0.1", oss.port), timeout=10)) as other:
        ask(other)
        assert read_until(other, TEN)


def test_drip_headers(oss: LocalOSS, fetch: Fetch, client: socket.socket) -> None:
    oss.faults.drip_headers(1 / NEVER)
    ask(client)
    assert client.recv(100) == b"H"
    assert is_silent(client)
    oss.faults.drip_headers(100_000)
    assert fetch("/open/key").body == TEN


def test_never_answer_leaves_the_connection_open(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.never_answer()
    ask(client)
    oss.wait_for_requests(1)
    assert is_silent(client)
    record = oss.requests[-1]
    assert (record.status, record.is_finished) == (None, False)


def test_close_before_closes_the_connection_normally(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.close_before()
    ask(client)
    assert read_all(client) == b""


def test_close_idle_closes_a_keep_alive_connection(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.close_idle()
    ask(client)
    got = read_all(client)
    assert b"Connection: keep-alive" in got
    assert got.endswith(TEN)


def test_cut_chunked_lacks_the_last_chunk(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.cut_chunked(4)
    ask(client)
    head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"4\r\n0123\r\n"


def test_cut_unannounced_looks_complete(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.cut_unannounced(4)
    got = fetch("/open/key")
    assert (got.status, got.body, got.headers["Content-Length"]) == (200, b"0123", None)


def test_cut_tls_ends_without_close_notify() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with LocalOSS(tls=context) as oss:
        oss.make_public("open")
        oss.put("open", "key", TEN)
        oss.faults.cut_tls(4)
        plain = socket.create_connection(("127.0.0.1", oss.port), timeout=10)
        with closing(trusting.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)) as client:
            ask(client)
            assert read_until(client, b"\r\n\r\n0123")
            with pytest.raises(ssl.SSLEOFError):
                client.recv(1)


def test_weak_etag(oss: LocalOSS, fetch: Fetch) -> None:
    etag = fetch("/open/key").headers["ETag"]
    oss.faults.weak_etag()
    assert fetch("/open/key").headers["ETag"] == f"W/{etag}"


def test_malformed_headers(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.malformed_etag('"')
    oss.faults.malformed_crc("99999999999999999999999")
    oss.faults.malformed_range("bytes x-y/z")
    got = fetch("/open/key", Range="bytes=2-3")
    assert (got.status, got.body, got.headers["ETag"]) == (206, b"23", '"')
    assert got.headers["x-oss-hash-crc64ecma"] == "99999999999999999999999"
    assert got.headers["Content-Range"] == "bytes x-y/z"


@pytest.mark.parametrize("total", [11, "*", ""])
def test_total_replaces_the_size_in_content_range(oss: LocalOSS, fetch: Fetch, total: int | str) -> None:
    oss.faults.total(total)
    assert fetch("/open/key").status == 200  # a response without Content-Range is not affected
    assert fetch("/open/key", Range="bytes=2-3").headers["Content-Range"] == f"bytes 2-3/{total}"


@pytest.mark.parametrize("length", [3, 12, "-1", "ten"])
def test_content_length_can_contradict_the_body(oss: LocalOSS, client: socket.socket, length: int | str) -> None:
    oss.faults.content_length(length)
    ask(client)
    head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert re.findall(rb"Content-Length: (.*)\r", head) == [str(length).encode()]
    assert body == TEN


@pytest.mark.parametrize(("other", "told"), [(None, [b"10", b"10"]), (5, [b"10", b"5"])])
def test_duplicate_content_length(oss: LocalOSS, client: socket.socket, other: int | None, told: list[bytes]) -> None:
    oss.faults.duplicate_content_length(other)
    ask(client)
    assert re.findall(rb"Content-Length: (.*)\r", read_all(client)) == told


def test_length_and_chunked(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.length_and_chunked()
    ask(client)
    got = read_until(client, b"0\r\n\r\n")
    assert b"Content-Length: 10\r\n" in got
    assert b"Transfer-Encoding: chunked\r\n" in got


def test_multipart_is_a_real_one(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.multipart()
    got = fetch("/open/key", Range="bytes=2-7")
    kind = got.headers["Content-Type"]
    assert (got.status, got.headers["Content-Range"]) == (206, None)
    assert got.headers["Content-Length"] == str(len(got.body))
    boundary = kind.partition("boundary=")[2].encode()
    parts = got.body.split(b"\r\n--" + boundary)
    assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [b"234", b"567"]
    assert re.findall(rb"Content-Range: (.*)\r", got.body) == [b"bytes 2-4/10", b"bytes 5-7/10"]
    assert parts[-1] == b"--\r\n"


def test_gzip_in_flight_changes_encoding_and_length_only(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.gzip_in_flight()
    got = fetch("/open/key", Range="bytes=2-7")
    assert (got.status, got.headers["Content-Range"]) == (206, "bytes 2-7/10")
    assert gzip.decompress(got.body) == b"234567"
    assert got.headers["Content-Length"] == str(len(got.body))
    assert got.headers["Content-Encoding"] == "gzip"
    assert got.headers["ETag"] == f'"{oss.find("open", "key").etag}"'


def test_claim_gzip_sends_plain_bytes_as_gzip(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.claim_gzip()
    got = fetch("/open/key")
    assert (got.headers["Content-Encoding"], got.body) == ("gzip", TEN)


@pytest.mark.parametrize("value", [value for value in HOSTILE_RETRY_AFTERS if value.isascii()])
def test_retry_after_is_returned_unchanged(oss: LocalOSS, fetch: Fetch, value: str) -> None:
    oss.faults.retry_after(value, 429)
    got = fetch("/open/key")
    assert (got.status, got.headers["Retry-After"]) == (429, value)
    assert b"<Code>QpsLimitExceeded</Code>" in got.body


def test_html_fault_is_no_answer_of_oss(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.html()
    got = fetch("/open/key")
    assert (got.status, got.headers["Content-Type"]) == (200, "text/html")
    assert b"Log in" in got.body
    assert set(got.headers) == {"Content-Type", "Content-Length", "Connection"}


def test_proxy_auth(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.proxy_auth()
    got = fetch("/open/key")
    assert (got.status, got.headers["Server"]) == (407, None)
    assert "Basic" in got.headers["Proxy-Authenticate"]


def test_not_satisfiable(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.not_satisfiable(10)
    got = fetch("/open/key", Range="bytes=2-3")
    assert (got.status, got.headers["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize("kind", HOSTILE_BODIES)
def test_hostile_bodies_are_no_good_xml(oss: LocalOSS, fetch: Fetch, kind: str) -> None:
    oss.faults.hostile_body(kind, code=403)  # type: ignore[arg-type] - mypy sees a tuple of str, not of literals
    got = fetch("/open/key")
    assert got.status == 403
    assert len(got.body) < MiB
    if b"<!DOCTYPE" in got.body or kind in ("escape_sequences", "huge_code", "utf16"):
        return
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(got.body)


def test_hostile_body_can_be_a_listing(oss: LocalOSS) -> None:
    oss.faults.hostile_body("dtd", code=200, key="")
    bucket = oss.bucket("open")
    assert bucket.get_object("key").read() == TEN
    assert b"<!DOCTYPE" in bucket._do("GET", "open", "").read()


def test_error_body_has_so_many_bytes(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.error_body(10_000_000)
    got = fetch("/open/key")
    assert (got.status, len(got.body), got.headers["Content-Length"]) == (500, 10_000_000, "10000000")
    assert got.body.startswith(b"<?xml")


def test_error_body_can_have_no_end(oss: LocalOSS, client: socket.socket) -> None:
    oss.faults.error_body(code=503)
    ask(client)
    oss.wait_for_requests(1)
    left = 20 * MiB
    while left > 0:
        left -= len(client.recv(MiB))
    assert oss.requests[-1].status == 503
    assert not oss.requests[-1].is_finished


def test_redirect_to_a_recorder_shows_what_arrives_there(oss: LocalOSS, fetch: Fetch) -> None:
    with Recorder() as recorder:
        oss.faults.redirect(f"{recorder.url}/there", 307)
        assert fetch("/open/key").headers["Location"] == f"{recorder.url}/there"
        assert (recorder.requests, recorder.connections) == ([], 0)
        connection = http.client.HTTPConnection("127.0.0.1", recorder.port, timeout=10)
        connection.request("POST", "/there", body=b"body", headers={"Authorization": "secret"})
        assert connection.getresponse().read() == b"recorded"
        connection.close()
        recorder.wait_for_requests(1)
        (request,) = recorder.requests
        assert request.startswith(b"POST /there HTTP/1.1\r\n")
        assert b"Authorization: secret\r\n" in request
        assert request.endswith(b"\r\n\r\nbody")


def test_recorder_records_what_is_not_http() -> None:
    with Recorder(b"x") as recorder:
        with closing(socket.create_connection(("127.0.0.1", recorder.port), timeout=10)) as client:
            client.sendall(b"\x16\x03\x01")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"x"
        assert recorder.requests == [b"\x16\x03\x01"]
        waiting = socket.create_connection(("127.0.0.1", recorder.port), timeout=10)
    waiting.close()


def test_redirects_that_lead_nowhere(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.redirect_loop(308)
    oss.faults.bare_redirect()
    got = [fetch("/open/key?x=1") for _ in range(2)]
    assert [(one.status, one.headers["Location"]) for one in got] == [(308, "/open/key?x=1"), (301, None)]


def test_throttle_by_rate_refuses_forever_beyond_it(oss: LocalOSS, fetch: Fetch) -> None:
    fault = oss.faults.throttle(1 / NEVER, burst=2, retry_after=3)
    got = [fetch("/open/key") for _ in range(5)]
    assert [one.status for one in got] == [200, 200, 503, 503, 503]
    assert got[-1].headers["Retry-After"] == "3"
    assert b"<Code>DownloadTrafficRateLimitExceeded</Code>" in got[-1].body
    assert fault.hits == 3


def test_throttle_by_rate_lets_pass_again(oss: LocalOSS, fetch: Fetch) -> None:
    fault = oss.faults.throttle(1e9, code=429)
    assert [fetch("/open/key").status for _ in range(5)] == [200] * 5
    assert fault.hits == 0


def test_throttle_by_requests_in_flight(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.stall(5, times=2)
    oss.faults.throttle(most_in_flight=2, code=429)
    with ExitStack() as stack:
        for _ in range(2):
            held = stack.enter_context(closing(socket.create_connection(("127.0.0.1", oss.port), timeout=10)))
            ask(held)
            read_until(held, b"\r\n\r\n01234")
        assert [fetch("/open/key").status for _ in range(2)] == [429, 429]
    while oss.requests[0].is_finished + oss.requests[1].is_finished < 2:
        fetch("/open/nothing")
    assert fetch("/open/key").status == 200


def test_storm_is_repeatable(oss: LocalOSS, fetch: Fetch) -> None:
    def statuses() -> list[int]:
        fault = oss.faults.storm(0.5, seed=7)
        found = [fetch("/open/key").status for _ in range(24)]
        fault.cancel()
        return found

    first = statuses()
    assert first == statuses()
    assert {200, 503} < set(first) <= {200, 500, 502, 503, 504}
    oss.faults.storm(1.0, seconds=0)
    assert fetch("/open/key").status == 200


def test_stealth_replace_changes_only_the_bytes(oss: LocalOSS, fetch: Fetch) -> None:
    oss.put("open", "old", TEN, last_modified=1e9)
    before = fetch("/open/old")
    oss.faults.stealth_replace(b"9876543210", stale_crc=True)
    after = fetch("/open/old", If_Match=before.headers["ETag"], If_Unmodified_Since=before.headers["Last-Modified"])
    assert (after.status, after.body) == (200, b"9876543210")
    for name in ("ETag", "Last-Modified", "x-oss-hash-crc64ecma", "Content-Length"):
        assert after.headers[name] == before.headers[name]


def test_ignore_if_match(oss: LocalOSS, fetch: Fetch) -> None:
    fault = oss.faults.ignore_if_match(times=None)
    assert fetch("/open/key").status == 200
    assert fault.hits == 0
    assert fetch("/open/key", If_Match='"other"').body == TEN
    assert oss.requests[-1].headers["If-Match"] == '"other"'
    oss.faults.replace_object(b"new")
    assert fetch("/open/key", If_Match='"other"').body == b"new"
    assert fault.hits == 2


def test_ignore_if_match_checks_the_signature_of_what_came(oss: LocalOSS) -> None:
    oss.faults.ignore_if_match()
    got = oss.bucket("open").get_object("key", headers={"If-Match": '"other"'})
    assert got.read() == TEN


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_skewed_clock_stays_skewed(oss: LocalOSS, seconds: float) -> None:
    oss.faults.skew(seconds)
    bucket = oss.bucket("open")
    for _ in range(2):
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket.get_object("key")
        assert caught.value.code == "RequestTimeTooSkewed"
    assert oss.clock_offset == seconds


def test_objects_change_at_the_nth_request(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.replace_at(2, b"new")
    oss.faults.delete_at(4)
    got = [fetch("/open/key") for _ in range(4)]
    assert [one.status for one in got] == [200, 200, 200, 404]
    assert [one.body for one in got[:3]] == [TEN, b"new", b"new"]


def test_expire_at_the_nth_request(oss: LocalOSS) -> None:
    oss.add_credentials("sts", "secret", "token")
    oss.faults.expire_at(2)
    bucket = oss.bucket("open", auth=oss2.StsAuth("sts", "secret", "token", auth_version="v4"))
    assert bucket.get_object("key").read() == TEN
    for _ in range(2):
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket.get_object("key")
        assert caught.value.code == "SecurityTokenExpired"


def test_list_keys_lists_keys_that_are_not_stored(oss: LocalOSS) -> None:
    keys = ["../../x", "/abs", "a\\..\\b", "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe"]
    oss.faults.list_keys(keys)
    bucket = oss.bucket("open")
    page = bucket.list_objects_v2()
    assert [entry.key for entry in page.object_list] == keys
    assert len(bucket.list_objects_v2().object_list) == 2


def test_list_loop_never_ends(oss: LocalOSS) -> None:
    oss.faults.list_loop("same")
    bucket = oss.bucket("open")
    for _ in range(3):
        page = bucket.list_objects_v2()
        assert (page.is_truncated, page.next_continuation_token, len(page.object_list)) == (True, "same", 2)
    assert bucket.get_object("key").read() == TEN


def test_new_faults_take_scopes(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.html(key="large", method="HEAD")
    oss.faults.throttle(1 / NEVER, key="large", times=1)
    assert fetch("/open/key").status == 200
    assert [fetch("/open/large", Range="bytes=0-1").status for _ in range(3)] == [206, 503, 206]
    assert "ETag" not in fetch("/open/large", "HEAD").headers


def test_every_fault_that_is_public_makes_a_fault() -> None:
    needs = {
        "reset_after": (1,), "truncate": (1,), "status": (500,), "redirect": ("/",), "shift_range": (1,),
        "flip_bit": (1,), "extra_bytes": (1,), "drop_header": ("ETag",), "set_header": ("ETag", "x"), "delay": (0,),
        "slow": (1,), "cut_chunked": (1,), "cut_unannounced": (1,), "cut_tls": (1,), "retry_after": (1,),
        "not_satisfiable": (1,), "hostile_body": ("dtd",), "total": (1,), "content_length": (1,), "raw": (b"",),
        "raw_header": (b"",), "drip_headers": (1,), "skew": (1,), "replace_at": (1,), "delete_at": (1,),
        "expire_at": (1,), "list_keys": ([],),
    }  # fmt: skip
    kept = {"clear", "unmet", "check", "met_by", "act_early", "act_late"}
    faults = Faults()
    for name in (name for name in dir(faults) if not name.startswith("_") and name not in kept):
        assert isinstance(getattr(faults, name)(*needs.get(name, ()), key="no", bucket="no"), Fault)
    assert len(faults.unmet()) > 50


def test_check_names_faults_that_never_occurred(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.weak_etag()
    oss.faults.multipart(key="large")
    fetch("/open/key")
    with pytest.raises(AssertionError, match="nobody met them: <Fault multipart"):
        oss.faults.check()
    fetch("/open/large", Range="bytes=0-1")
    oss.faults.check()


def test_strict_faults_fail_the_with() -> None:
    with pytest.raises(AssertionError, match="weak_etag"), LocalOSS(strict_faults=True) as oss:
        oss.faults.weak_etag()
    with LocalOSS() as oss:
        oss.faults.weak_etag()


def test_strict_faults_hide_no_other_error() -> None:
    with pytest.raises(LookupError), LocalOSS(strict_faults=True) as oss:
        oss.faults.weak_etag()
        raise LookupError


def test_large_answer_is_complete_beside_faults(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.close_idle("reset")
    oss.faults.long_header(100)
    assert fetch("/open/large").body == GeneratedContent(4 * MiB, 1).read(0, 4 * MiB)
