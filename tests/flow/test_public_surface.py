"""The names and signatures that other people's code rests on."""

import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest

import aioss_resume
from aioss_resume import CheckpointStore, ConfigError, Downloader, DownloadResult, RetryPolicy, Timeouts, download
from aioss_resume.testing import LocalOSS, MiB

ERRORS = {
    "AccessDeniedError",
    "AiossError",
    "ConfigError",
    "CredentialsError",
    "DownloadInProgressError",
    "IntegrityError",
    "LocalFileError",
    "NoSuchBucketError",
    "NoSuchKeyError",
    "ObjectArchivedError",
    "ObjectChangedError",
    "ObjectNotFoundError",
    "ProtocolError",
    "RequestError",
    "ServerFaultError",
    "ServiceError",
    "SignatureError",
    "ThrottledError",
}
EVENTS = {
    "AttemptFailed",
    "CheckpointFlushed",
    "DownloadCommitted",
    "DownloadFailed",
    "DownloadFinished",
    "DownloadStarted",
    "DownloadVerified",
    "ObjectChanged",
    "SpanFetched",
    "StreamFinished",
    "StreamStarted",
}
NAMES = (
    ERRORS
    | EVENTS
    | {
        "CheckpointStore",
        "DownloadResult",
        "Downloader",
        "Event",
        "ObjectListing",
        "ObjectMeta",
        "ObjectStream",
        "Outcome",
        "PrefixOutcome",
        "PrefixSummary",
        "RetryPolicy",
        "SignedURL",
        "Timeouts",
        "download",
        "download_url",
        "resumable_download",
    }
)
KEYWORDS = {
    "version_id": None,
    "part_size": None,
    "multiget_threshold": 10 * MiB,
    "concurrency": "auto",
    "store": None,
    "progress_callback": None,
    "headers": None,
    "params": None,
    "overwrite": "always",
    "on_change": "restart",
    "on_busy": "wait",
    "integrity": "auto",
    "fsync": True,
    "adopt": False,
    "retry": RetryPolicy(attempts=6, deadline=None, wait_initial=0.2, wait_max=20.0),
    "timeouts": Timeouts(connect=10.0, response=30.0, stall=30.0, min_speed=1024, min_speed_window=30.0),
}


def test_public_names_are_the_documented_ones() -> None:
    assert set(aioss_resume.__all__) == NAMES
    assert len(aioss_resume.__all__) == len(NAMES)
    assert all(hasattr(aioss_resume, name) for name in NAMES)


@pytest.mark.parametrize(
    ("function", "first"), [(download, ["bucket", "key", "path"]), (Downloader.download, ["self", "key", "path"])]
)
def test_download_shows_every_keyword_with_its_default(function: Any, first: list[str]) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    assert [parameter.name for parameter in parameters[: len(first)]] == first
    keywords = parameters[len(first) :]
    assert {parameter.kind for parameter in keywords} == {inspect.Parameter.KEYWORD_ONLY}
    assert {parameter.name: parameter.default for parameter in keywords} == KEYWORDS


def test_download_and_its_methods_are_coroutine_functions() -> None:
    assert inspect.iscoroutinefunction(download)
    assert inspect.iscoroutinefunction(Downloader.download)
    assert inspect.iscoroutinefunction(Downloader.head)


def test_downloader_shows_every_keyword_with_its_default() -> None:
    parameters = inspect.signature(Downloader).parameters
    assert {name: parameter.default for name, parameter in parameters.items() if name != "bucket"} == {
        "concurrency": 32,
        "max_bytes_per_second": None,
        "session": None,
        "on_event": None,
    }


def test_result_has_the_documented_fields_in_their_order() -> None:
    assert [*DownloadResult.__dataclass_fields__] == [
        "path",
        "key",
        "version_id",
        "size",
        "etag",
        "crc64",
        "verified",
        "resumed_bytes",
        "fetched_bytes",
        "requests",
        "attempts",
        "elapsed",
        "skipped",
    ]


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_is_an_aioss_error_that_pickles(name: str) -> None:
    kind = getattr(aioss_resume, name)
    assert issubclass(kind, aioss_resume.AiossError)
    error = pickle.loads(pickle.dumps(kind("text", hint="do this")))
    assert type(error) is kind
    assert str(error) == "text; do this"
    assert error.hint == "do this"


async def refused(bucket: Any, **keywords: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        await download(bucket, "key", "/nowhere/file", **keywords)
    assert isinstance(caught.value, ValueError)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "keywords",
    [
        {"version_id": ""},
        {"version_id": 3},
        {"part_size": 100 * 1024 - 1},
        {"part_size": 5 * 1024**3 + 1},
        {"part_size": 1e6},
        {"part_size": True},
        {"multiget_threshold": -1},
        {"concurrency": 0},
        {"concurrency": "8"},
        {"store": "directory"},
        {"progress_callback": 3},
        {"headers": [("a", "b")]},
        {"headers": {"a": 1}},
        {"headers": {"a": "b\r\nc: d"}},
        {"headers": {"a\n": "b"}},
        {"headers": {"Range": "bytes=0-1"}},
        {"headers": {"if-match": "x"}},
        {"headers": {"Authorization": "x"}},
        {"params": {"a": None}},
        {"params": {"x-oss-signature": "x"}},
        {"params": {"versionId": "a"}, "version_id": "b"},
        {"overwrite": True},
        {"on_change": "ignore"},
        {"on_busy": None},
        {"integrity": "never"},
        {"fsync": 1},
        {"retry": 3},
        {"timeouts": 3.0},
    ],
    ids=repr,
)
async def test_invalid_argument_is_refused_before_any_request(
    oss: LocalOSS, bucket: Any, keywords: dict[str, Any]
) -> None:
    await refused(bucket, **keywords)
    assert oss.requests == []


@pytest.mark.anyio
@pytest.mark.parametrize("given", [None, "examplebucket", 3])
async def test_argument_that_is_not_a_bucket_is_refused(given: Any) -> None:
    await refused(given)


@pytest.mark.anyio
async def test_unknown_keyword_is_a_type_error(oss: LocalOSS, bucket: Any) -> None:
    with pytest.raises(TypeError, match="partsize"):
        await download(bucket, "key", "/nowhere/file", partsize=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        await download(bucket, "key", "/nowhere/file", None)  # type: ignore[misc]
    assert oss.requests == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(attempts=0),
        lambda: RetryPolicy(attempts=1.5),  # type: ignore[arg-type]
        lambda: RetryPolicy(deadline=-1),
        lambda: RetryPolicy(wait_initial=-0.1),
        lambda: RetryPolicy(wait_max=float("nan")),
        lambda: Timeouts(connect=0),
        lambda: Timeouts(stall=float("inf")),
        lambda: Timeouts(min_speed=-1),
        lambda: Timeouts(min_speed_window=0),
        lambda: CheckpointStore(""),
        lambda: CheckpointStore(None),  # type: ignore[arg-type]
    ],
)
def test_invalid_values_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


def test_library_imports_nothing_heavy() -> None:
    heavy = ("rich", "pytest", "uvloop", "aioss_resume.testing", "alibabacloud_oss_v2")
    code = f"import sys, aioss_resume; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
