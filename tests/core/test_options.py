"""Every knob's default, and every value that it refuses."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume.errors import ConfigError
from aioss_resume.options import (
    CheckpointStore,
    DownloadKeywords,
    DownloadOptions,
    RetryPolicy,
    Timeouts,
    checked_concurrency,
    checked_rate,
)

NAN, INF = float("nan"), float("inf")


def test_defaults_are_those_of_the_design():
    found = {field.name: getattr(DownloadOptions(), field.name) for field in fields(DownloadOptions)}
    assert found == {
        "version_id": None,
        "part_size": None,
        "multiget_threshold": 10 * 1024 * 1024,
        "concurrency": "auto",
        "store": None,
        "progress_callback": None,
        "headers": {},
        "params": {},
        "overwrite": "always",
        "on_change": "restart",
        "on_busy": "wait",
        "integrity": "auto",
        "fsync": True,
        "adopt": False,
        "retry": RetryPolicy(attempts=6, deadline=None, wait_initial=0.2, wait_max=20.0),
        "timeouts": Timeouts(connect=10.0, response=30.0, stall=30.0, min_speed=1024, min_speed_window=30.0),
    }
    assert RetryPolicy() == found["retry"]
    assert Timeouts() == found["timeouts"]


def test_multiget_threshold_none_means_the_default_as_in_oss2():
    assert DownloadOptions(multiget_threshold=None).multiget_threshold == 10 * 1024 * 1024


def test_keywords_are_the_options():
    assert list(DownloadKeywords.__annotations__) == [field.name for field in fields(DownloadOptions)]


BAD = {
    "version_id": ["", 7, b"v"],
    "part_size": [0, -1, 100 * 1024 - 1, 5 * 1024**3 + 1, 1e6, True, "1MB", NAN],
    "multiget_threshold": [-1, 1.5, True, "0", NAN],
    "concurrency": [0, -1, 1.5, None, True, "8", INF],
    "store": ["/tmp", Path("/tmp"), 7],
    "progress_callback": ["print", 7],
    "headers": ["a", 7, [("a", "b")], {"a": 1}, {1: "a"}, {b"a": b"b"}, {"a": None}, {"": "x"}],
    "params": ["a", 7, [("a", "b")], {"a": 1}, {"a": None}, {1: "a"}, {"versionId": ""}],
    "overwrite": ["", "Always", None, True, "yes", ["always"]],
    "on_change": ["", "resume", None, True],
    "on_busy": ["", "skip", None, False],
    "integrity": ["", "best_effort", None, True],
    "fsync": [None, 0, 1, "yes"],
    "adopt": [None, 0, 1, "yes"],
    "retry": [None, 6, {"attempts": 6}],
    "timeouts": [None, 30, {"stall": 1}],
}


@pytest.mark.parametrize(("option", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_value_is_refused_and_named(option, value):
    with pytest.raises(ConfigError, match=option):
        DownloadOptions(**{option: value})


def test_every_option_has_bad_values():
    assert set(BAD) == {field.name for field in fields(DownloadOptions)}


SECONDS = [-1, -0.001, NAN, INF, -INF, None, "1", True, 10**400]


@pytest.mark.parametrize("value", [0, -1, 1.0, None, True, "6"])
def test_bad_number_of_attempts_is_refused(value):
    with pytest.raises(ConfigError, match="attempts"):
        RetryPolicy(attempts=value)


@pytest.mark.parametrize("field", ["deadline", "wait_initial", "wait_max"])
@pytest.mark.parametrize("value", SECONDS)
def test_bad_wait_is_refused(field, value):
    if (field, value) == ("deadline", None):
        return
    with pytest.raises(ConfigError, match=field):
        RetryPolicy(**{field: value})


@pytest.mark.parametrize("field", ["connect", "response", "stall", "min_speed", "min_speed_window"])
@pytest.mark.parametrize("value", SECONDS)
def test_bad_timeout_is_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        Timeouts(**{field: value})


@pytest.mark.parametrize("field", ["connect", "response", "stall", "min_speed_window"])
def test_timeout_of_zero_is_refused(field):
    with pytest.raises(ConfigError, match=field):
        Timeouts(**{field: 0})


def test_min_speed_and_waits_may_be_zero():
    assert Timeouts(min_speed=0).min_speed == 0
    assert RetryPolicy(wait_initial=0, wait_max=0, deadline=0).wait_max == 0


@pytest.mark.parametrize(
    "name",
    ["Range", "range", "IF-MATCH", "Host", "Authorization", "Accept-Encoding", "x-oss-date", "x-oss-security-token",
     "x-oss-content-sha256", "x-oss-range-behavior", "Content-Length", "Transfer-Encoding", "Connection", "Date"],
)  # fmt: skip
def test_header_that_the_library_sets_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"headers: '{name}'"):
        DownloadOptions(headers={name: "x"})


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "a\r\nX-Evil: 1"])
def test_header_with_a_line_break_is_refused(bad):
    for headers in ({"x-a": bad}, {"x-a" + bad: "b"}):
        with pytest.raises(ConfigError, match="headers"):
            DownloadOptions(headers=headers)


@pytest.mark.parametrize(
    "name", ["x-oss-signature", "X-Oss-Credential", "OSSAccessKeyId", "Signature", "x-oss-expires"]
)
def test_param_of_a_signature_is_refused_without_its_value(name):
    with pytest.raises(ConfigError, match="params") as raised:
        DownloadOptions(params={name: "SECRET"})
    assert "SECRET" not in str(raised.value)


def test_value_of_a_refused_header_is_not_shown():
    with pytest.raises(ConfigError) as raised:
        DownloadOptions(headers={"Authorization": "SECRET"})
    assert "SECRET" not in str(raised.value)


def test_version_in_params_is_the_version():
    options = DownloadOptions(params={"versionId": "v1", "response-expires": "0"})
    assert (options.version_id, options.params) == ("v1", {"response-expires": "0"})
    assert DownloadOptions(version_id="v1", params={"versionId": "v1"}).version_id == "v1"
    with pytest.raises(ConfigError, match="version_id"):
        DownloadOptions(version_id="v1", params={"versionId": "v2"})


def test_mappings_of_the_caller_are_copied():
    headers, params = {"x-oss-request-payer": "requester"}, {"versionId": "v1", "a": ""}
    options = DownloadOptions(headers=headers, params=params)
    headers["x-oss-traffic-limit"], params["b"] = "819200", ""
    assert options.headers == {"x-oss-request-payer": "requester"}
    assert options.params == {"a": ""}
    assert params == {"versionId": "v1", "a": "", "b": ""}


@pytest.mark.parametrize("directory", ["", None, 7, b"x", b""])
def test_store_needs_a_path(directory):
    with pytest.raises(ConfigError, match="directory"):
        CheckpointStore(directory)


def test_store_accepts_a_path():
    assert CheckpointStore("/tmp/x").directory == CheckpointStore(Path("/tmp/x")).directory == Path("/tmp/x")


@pytest.mark.parametrize("value", [0, -1, NAN, INF, "1", True])
def test_bad_rate_is_refused(value):
    with pytest.raises(ConfigError, match="max_bytes_per_second"):
        checked_rate(value)


@pytest.mark.parametrize("value", [0, -1, 1.5, None, True])
def test_bad_concurrency_of_a_downloader_is_refused(value):
    with pytest.raises(ConfigError, match="concurrency"):
        checked_concurrency(value)


@given(st.integers(100 * 1024, 5 * 1024**3))
def test_every_part_size_that_oss_allows_is_accepted(part_size):
    assert DownloadOptions(part_size=part_size).part_size == part_size
