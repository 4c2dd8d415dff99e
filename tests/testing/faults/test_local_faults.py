"""Each fault as a plain client sees it, and which requests it befalls."""

import http.client
from typing import Any

import oss2
import pytest
from raw_client import Fetch

from aioss_resume.testing import GeneratedContent, LocalOSS, MiB

TEN = b"0123456789"


@pytest.fixture(autouse=True)
def _objects(oss: LocalOSS) -> None:
    oss.put("open", "key", TEN)
    oss.put("open", "large", size=4 * MiB, seed=1)


def read_until_it_breaks(oss: LocalOSS, path: str) -> tuple[int, Exception | None]:
    connection = http.client.HTTPConnection("127.0.0.1", oss.port, timeout=10)
    connection.request("GET", path)
    count = 0
    try:
        response = connection.getresponse()
        while chunk := response.read1(MiB):
            count += len(chunk)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
    except (OSError, http.client.HTTPException) as error:
        return count, error
    finally:
        connection.close()
    return count, None


@pytest.mark.parametrize("n", [0, 1, 4096, 512 * 1024, 3 * MiB + 7])
def test_reset_after_resets_after_exactly_so_many_bytes(oss: LocalOSS, n: int) -> None:
    fault = oss.faults.reset_after(n)
    count, error = read_until_it_breaks(oss, "/open/large")
    assert count == n
    assert isinstance(error, ConnectionResetError)
    assert fault.hits == 1
    record = oss.requests[-1]
    assert (record.status, record.bytes_sent, record.faults) == (200, n, ("reset_after",))
    assert read_until_it_breaks(oss, "/open/large") == (4 * MiB, None)


@pytest.mark.parametrize("n", [0, 4096, 3 * MiB + 7])
def test_truncate_closes_the_connection_normally(oss: LocalOSS, n: int) -> None:
    oss.faults.truncate(n)
    count, error = read_until_it_breaks(oss, "/open/large")
    assert count == n
    assert isinstance(error, http.client.IncompleteRead)


def test_truncate_without_a_length_ends_the_chunks_early(oss: LocalOSS) -> None:
    oss.faults.drop_header("Content-Length")
    oss.faults.truncate(4096)
    count, error = read_until_it_breaks(oss, "/open/large")
    assert count == 4096
    assert isinstance(error, http.client.IncompleteRead)


def test_reset_before_answers_nothing(oss: LocalOSS) -> None:
    oss.faults.reset_before()
    count, error = read_until_it_breaks(oss, "/open/large")
    assert (count, type(error)) == (0, ConnectionResetError)
    assert oss.requests[-1].status is None


def test_stall_sends_so_much_and_then_nothing(oss: LocalOSS) -> None:
    fault = oss.faults.stall(5)
    connection = http.client.HTTPConnection("127.0.0.1", oss.port)
    connection.request("GET", "/open/key")
    response = connection.getresponse()
    assert response.read(5) == b"01234"
    assert not oss.requests[-1].is_finished
    assert fault.hits == 1
    response.close()
    connection.close()


def test_peak_in_flight_counts_answers_that_are_held(oss: LocalOSS) -> None:
    oss.faults.stall(5, times=3)
    connections = [http.client.HTTPConnection("127.0.0.1", oss.port) for _ in range(3)]
    for connection in connections:
        connection.request("GET", "/open/key")
    oss.wait_for_bytes(15)
    assert oss.peak_in_flight == 3
    for connection in connections:
        connection.close()


def test_stall_with_a_duration_continues_afterwards(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.stall(5, seconds=0.01)
    assert fetch("/open/key").body == TEN


def test_server_with_stalled_clients_stops() -> None:
    connections = []
    with LocalOSS() as oss:
        oss.make_public("open")
        oss.put("open", "large", size=100 * MiB)
        oss.faults.stall(5, times=2)
        oss.faults.delay(3600, after_requests=2)
        for _ in range(4):
            connection = http.client.HTTPConnection("127.0.0.1", oss.port)
            connection.request("GET", "/open/large")
            connections.append(connection)
        oss.wait_for_requests(4)
        oss.wait_for_bytes(10)
    for connection in connections:
        connection.close()


def test_status_is_an_error_of_oss(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.status(503, retry_after=7)
    got = fetch("/open/key")
    assert (got.status, got.headers["Retry-After"]) == (503, "7")
    assert b"<Code>ServiceUnavailable</Code>" in got.body
    assert len(got.headers["x-oss-request-id"]) == 24
    assert oss.requests[-1].error == "ServiceUnavailable"


def test_status_can_be_anything(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.status(403, oss_code="InDebt", message="Pay.")
    assert b"<Code>InDebt</Code>\n  <Message>Pay.</Message>" in fetch("/open/key").body
    oss.faults.status(200, body=b"<html>Log in", headers={"Content-Type": "text/html"})
    got = fetch("/open/key")
    assert (got.status, got.body, got.headers["Content-Type"]) == (200, b"<html>Log in", "text/html")


def test_redirect_sends_a_status_and_a_location(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.redirect("http://169.254.169.254/", 307)
    got = fetch("/open/key")
    assert (got.status, got.headers["Location"]) == (307, "http://169.254.169.254/")


def test_ignore_range_gives_the_whole_object(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.ignore_range()
    assert fetch("/open/key").body == TEN  # a response without a range is not affected
    got = fetch("/open/key", Range="bytes=2-3")
    assert (got.status, got.body, got.headers["Content-Range"]) == (200, TEN, None)
    assert fetch("/open/key", Range="bytes=2-3").body == b"23"


def test_shift_range_gives_another_range(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.shift_range(3)
    got = fetch("/open/key", Range="bytes=2-3")
    assert (got.status, got.body, got.headers["Content-Range"]) == (206, b"56", "bytes 5-6/10")


def test_flip_bit_waits_for_its_offset(oss: LocalOSS, fetch: Fetch) -> None:
    fault = oss.faults.flip_bit(3 * MiB)
    content = GeneratedContent(4 * MiB, 1)
    assert fetch("/open/large", Range=f"bytes=0-{3 * MiB - 1}").body == content.read(0, 3 * MiB)
    assert fault.hits == 0
    body = fetch("/open/large", Range=f"bytes={3 * MiB - 1}-{3 * MiB + 1}").body
    true = content.read(3 * MiB - 1, 3 * MiB + 2)
    assert body == bytes([true[0], true[1] ^ 1, true[2]])
    assert fault.hits == 1
    assert fetch("/open/large").body == content.read(0, 4 * MiB)


def test_replace_object_comes_before_the_answer(oss: LocalOSS, fetch: Fetch) -> None:
    old = fetch("/open/key").headers
    oss.faults.replace_object(b"other", after_requests=0)
    got = fetch("/open/key")
    assert (got.body, got.headers["Content-Length"]) == (b"other", "5")
    assert got.headers["ETag"] != old["ETag"]
    assert oss.find("open", "key").content.size == 5


def test_replace_object_fails_a_condition(oss: LocalOSS, fetch: Fetch) -> None:
    etag = fetch("/open/key").headers["ETag"]
    oss.faults.replace_object(size=10)
    assert fetch("/open/key", If_Match=etag).status == 412


def test_replace_object_can_be_stealthy(oss: LocalOSS, fetch: Fetch) -> None:
    old = fetch("/open/key")
    oss.faults.replace_object(same_etag=True)
    new = fetch("/open/key", If_Match=old.headers["ETag"])
    assert (new.status, len(new.body), new.headers["ETag"]) == (200, 10, old.headers["ETag"])
    assert new.body != old.body
    assert new.headers["x-oss-hash-crc64ecma"] != old.headers["x-oss-hash-crc64ecma"]
    oss.faults.replace_object(same_etag=True, stale_crc=True)
    newer = fetch("/open/key")
    assert newer.body != new.body
    assert newer.headers["x-oss-hash-crc64ecma"] == new.headers["x-oss-hash-crc64ecma"]


def test_deleted_object_is_a_404(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.delete_object(nth=2)
    assert [fetch("/open/key").status for _ in range(3)] == [200, 404, 404]


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
def test_expire_credentials_expires_those_of_the_request(oss: LocalOSS, version: str) -> None:
    oss.add_credentials("sts", "secret", "token")
    oss.faults.expire_credentials()
    bucket = oss.bucket("open", auth=oss2.StsAuth("sts", "secret", "token", auth_version=version))
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("key")
    assert caught.value.code == "SecurityTokenExpired"
    assert oss.bucket("open").get_object("key").read() == TEN


def test_headers_are_dropped_and_set(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.drop_header("ETag")
    oss.faults.drop_header("Date")
    oss.faults.set_header("Content-Range", "bytes 0-9/*")
    got = fetch("/open/key", Range="bytes=0-9")
    assert (got.headers["ETag"], got.headers["Date"]) == (None, None)
    assert got.headers.get_all("Content-Range") == ["bytes 0-9/*"]


def test_content_length_can_be_wrong(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.set_header("Content-Length", "4")
    assert fetch("/open/key").body == b"0123"


def test_extra_bytes_follow_the_body(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.extra_bytes(3)
    got = fetch("/open/key", Range="bytes=0-1")
    assert (got.body, got.headers["Content-Length"], got.headers["Content-Range"]) == (
        b"01\0\0\0",
        "5",
        "bytes 0-1/10",
    )
    oss.faults.extra_bytes(3, announced=False)
    assert fetch("/open/key", Range="bytes=0-1").body == b"01"


def test_close_delimited_response_has_no_length(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.close_delimited()
    oss.faults.truncate(4)
    got = fetch("/open/key")
    assert (got.body, got.headers["Content-Length"], got.headers["Connection"]) == (b"0123", None, "close")


def test_delay_and_slow_change_nothing_else(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.delay(0.01)
    oss.faults.slow(1000)
    assert fetch("/open/key").body == TEN
    assert oss.requests[-1].faults == ("delay", "slow")


def test_fault_fires_so_many_times(oss: LocalOSS, fetch: Fetch) -> None:
    fault = oss.faults.status(500, times=2)
    assert [fetch("/open/key").status for _ in range(4)] == [500, 500, 200, 200]
    assert fault.hits == 2


def test_unlimited_fault_ends_when_it_is_cancelled(oss: LocalOSS, fetch: Fetch) -> None:
    fault = oss.faults.status(500, times=None)
    assert [fetch("/open/key").status for _ in range(3)] == [500] * 3
    fault.cancel()
    assert fetch("/open/key").status == 200


def test_fault_affects_only_requests_in_its_scope(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.status(500, bucket="other", times=None)
    oss.faults.status(501, key="large", times=None)
    oss.faults.status(502, range=(0, 2), times=None)
    oss.faults.status(504, range=lambda asked: asked is not None and asked[0] >= 5, times=None)
    oss.faults.status(503, method="HEAD", times=None)
    assert fetch("/open/key").status == 200
    assert fetch("/open/large").status == 501
    assert fetch("/open/key", Range="bytes=0-1").status == 502
    assert fetch("/open/key", Range="bytes=1-2").status == 206
    assert fetch("/open/key", Range="bytes=7-8").status == 504
    assert fetch("/open/key", "HEAD").status == 503


def test_nth_and_after_requests_count_requests_in_scope(oss: LocalOSS, fetch: Fetch) -> None:
    oss.faults.status(500, key="key", nth=2)
    oss.faults.status(501, key="key", after_requests=3, times=None)
    fetch("/open/large", "HEAD")
    assert [fetch("/open/key").status for _ in range(5)] == [200, 500, 200, 501, 501]


def test_probability_is_repeatable(oss: LocalOSS, fetch: Fetch) -> None:
    def statuses() -> list[int]:
        fault = oss.faults.status(500, probability=0.5, seed=7, times=None)
        found = [fetch("/open/key").status for _ in range(16)]
        fault.cancel()
        return found

    assert statuses() == statuses()
    assert set(statuses()) == {200, 500}


def test_second_of_two_cuts_affects_the_second_response(oss: LocalOSS) -> None:
    oss.faults.reset_after(1)
    oss.faults.truncate(2)
    assert [read_until_it_breaks(oss, "/open/key")[0] for _ in range(3)] == [1, 2, 10]


def test_error_does_not_use_up_a_cut(oss: LocalOSS, fetch: Fetch) -> None:
    cut = oss.faults.reset_after(1)
    assert fetch("/open/nokey").status == 404
    assert fetch("/closed/key").status == 404
    assert cut.hits == 0


def test_unmet_faults_are_reported(oss: LocalOSS, fetch: Fetch) -> None:
    met = oss.faults.status(500)
    unmet = oss.faults.reset_after(99, key="other")
    oss.faults.delay(0).cancel()
    fetch("/open/key")
    assert met.hits == 1
    assert oss.faults.unmet() == [unmet]
    oss.faults.clear()
    assert oss.faults.unmet() == []


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ({"time": 3}, "unexpected keyword argument 'time'; there are times, "),
        ({"times": 0}, "times must be at least 1, not 0"),
        ({"nth": 0}, "nth must be at least 1, not 0"),
        ({"after_requests": -1}, "after_requests must be at least 0, not -1"),
        ({"probability": 2}, "probability must be between 0 and 1, not 2"),
    ],
)
def test_invalid_scope_of_a_fault_raises(oss: LocalOSS, scope: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        oss.faults.status(503, **scope)
    assert oss.faults.unmet() == []


def test_negative_offset_of_a_cut_raises(oss: LocalOSS) -> None:
    with pytest.raises(ValueError, match=r"truncate\(\): it must be after 0 bytes or more, not -1"):
        oss.faults.truncate(-1)
