"""Again or not, and after how long."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aioss_resume._core.retry import PROGRESS_THAT_COUNTS, Attempts, may_help, read_retry_after
from aioss_resume.errors import (
    ConfigError,
    CredentialsError,
    IntegrityError,
    LocalFileError,
    ObjectChangedError,
    ObjectName,
    ProtocolError,
    RequestError,
    service_error,
)
from aioss_resume.options import RetryPolicy

NAME = ObjectName("b", "k")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CUT = RequestError("cut")


def service(status, code="", retry_after=None):
    return service_error(status, {"Code": code}, name=NAME, retry_after=retry_after)


def tries(error, policy, progress=0, most=100):
    """How many tries the policy grants when each ends with that error."""
    attempts = Attempts(policy)
    for number in range(1, most + 1):
        if attempts.wait_after(error, progress=progress, chance=0.0) is None:
            return number
    return most


@given(st.integers(1, 20))
def test_attempts_without_progress_are_limited_by_the_policy(most):
    assert tries(CUT, RetryPolicy(attempts=most)) == most


@given(st.integers(1, 20))
def test_contradicting_answers_are_tried_three_times_at_most(most):
    assert tries(ProtocolError("x"), RetryPolicy(attempts=most)) == min(most, 3)


def test_attempts_start_over_only_after_progress_that_counts():
    policy = RetryPolicy(attempts=4)
    assert tries(CUT, policy, progress=PROGRESS_THAT_COUNTS - 1) == 4
    assert tries(CUT, policy, progress=PROGRESS_THAT_COUNTS) == 100
    assert PROGRESS_THAT_COUNTS == 64 * 1024


def test_failure_counts_even_if_it_followed_progress():
    attempts = Attempts(RetryPolicy(attempts=2))
    assert attempts.wait_after(CUT, progress=0, chance=0.5) is not None
    assert attempts.wait_after(CUT, progress=1 << 20, chance=0.5) is not None
    assert (attempts.failed, attempts.total) == (1, 2)
    assert attempts.wait_after(CUT, progress=0, chance=0.5) is None


def test_final_error_ends_the_attempts_despite_progress():
    assert tries(service(403, "AccessDenied"), RetryPolicy(), progress=1 << 30) == 1


@given(
    st.floats(0, 100), st.floats(0, 100), st.integers(0, 80), st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e12),
)  # fmt: skip
@example(initial=1e-24, longest=1.0, failures=61, chance=0.5, retry_after=None)
def test_wait_keeps_its_bounds(initial, longest, failures, chance, retry_after):
    policy = RetryPolicy(attempts=100, wait_initial=initial, wait_max=longest)
    attempts = Attempts(policy, failed=failures)
    error = service(503, "SlowDown", retry_after)
    wait = attempts.wait_after(error, progress=0, chance=chance)
    assert wait is not None
    assert 0 <= wait <= longest
    backoff = min(longest, initial * 2.0**failures)
    assert wait == pytest.approx(min(longest, max(chance * backoff, retry_after or 0.0)))


def test_backoff_of_attempts_without_end_does_not_overflow():
    attempts = Attempts(RetryPolicy(attempts=10_000, wait_initial=0.5, wait_max=3), failed=5000)
    assert attempts.wait_after(CUT, progress=0, chance=1.0) == 3.0


def test_backoff_doubles_up_to_the_most():
    attempts = Attempts(RetryPolicy(attempts=100, wait_initial=0.5, wait_max=3))
    waits = [attempts.wait_after(CUT, progress=0, chance=1.0) for _ in range(90)]
    assert waits[:5] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert set(waits[5:]) == {3.0}


def test_huge_first_wait_is_clamped():
    attempts = Attempts(RetryPolicy(attempts=100, wait_initial=1e308, wait_max=3))
    assert [attempts.wait_after(CUT, progress=0, chance=1.0) for _ in range(3)] == [3.0] * 3


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", 0.0), ("7", 7.0), (" 7 ", 7.0), ("007", 7.0),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30.0),
        ("Fri, 02 Jan 2026 04:04:35 +0100", 30.0),
        ("Fri, 02 Jan 2026 03:04:04 GMT", 0.0),  # it has passed
    ],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(header, wait):
    assert read_retry_after(header, NOW) == wait


@pytest.mark.parametrize(
    "header",
    [
        None, "", " ", "-5", "+5", "NaN", "inf", "1e9", "1.5", "٧", "soon", "Fri, 02 Jan 2026 03:04:35",
        "Fri, 02 Jan 2026 03:04:35 -0000", "Fri, 02 Jan 99999999999999999999 03:04:35 GMT",
        "Fri, 99 Jan 2026 03:04:35 GMT",
    ],
)  # fmt: skip
def test_malformed_retry_after_is_none(header):
    assert read_retry_after(header, NOW) is None


@pytest.mark.parametrize("header", ["1000000000", "9" * 5000, "Thu, 31 Dec 2099 23:59:59 GMT"])
def test_hostile_retry_after_waits_no_longer_than_the_policy(header):
    error = service(503, "SlowDown", read_retry_after(header, NOW))
    assert Attempts(RetryPolicy(wait_max=20)).wait_after(error, progress=0, chance=0.0) == 20


@given(st.text(max_size=50) | st.floats().map(str) | st.integers().map(str))
def test_retry_after_is_never_negative(header):
    wait = read_retry_after(header, NOW)
    assert wait is None or 0 <= wait < timedelta(days=366 * 10_000).total_seconds()


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (RequestError("x"), True), (ProtocolError("x"), True),
        (service(429), True), (service(500, "InternalError"), True), (service(502), True), (service(503), True),
        (service(504), True), (service(599), True),
        (service(400, "RequestTimeout"), True), (service(409, "RequestTimeout"), True),
        (service(304), False), (service(400, "InvalidArgument"), False), (service(401), False),
        (service(403, "AccessDenied"), False), (service(403, "InvalidObjectState"), False),
        (service(403, "SignatureDoesNotMatch"), False), (service(404, "NoSuchKey"), False), (service(404), False),
        (service(412, "PreconditionFailed"), False), (service(416, "InvalidRange"), False),
        (ConfigError("x"), False), (CredentialsError("x"), False), (ObjectChangedError("x"), False),
        (IntegrityError("x"), False), (LocalFileError("x"), False),
    ],
    ids=lambda value: f"{value!r:.60}",
)  # fmt: skip
def test_only_errors_that_a_retry_may_cure_are_retried(error, helps):
    assert may_help(error) is helps
    assert tries(error, RetryPolicy(attempts=2)) == (2 if helps else 1)


def test_permanent_request_error_is_final():
    error = RequestError("the certificate is wrong")
    error.permanent = True
    assert not may_help(error)


def test_contradiction_after_resets_is_retried():
    """Its own limit counts contradictions only: a proxy that was confused once is no reason to give up."""
    attempts = Attempts(RetryPolicy(attempts=20))
    for error in (RequestError("cut"), RequestError("cut"), RequestError("cut"), ProtocolError("shifted")):
        assert attempts.wait_after(error, progress=0, chance=0.5) is not None
    assert attempts.wait_after(ProtocolError("shifted"), progress=0, chance=0.5) is not None
    assert attempts.wait_after(ProtocolError("shifted"), progress=0, chance=0.5) is None
