"""A prefix into a directory by a real Dask cluster of processes on this machine."""
# ruff: noqa: N802

import asyncio
import os
import pickle
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from distributed import Client, LocalCluster
from flow.ranged import QUICK, whole
from oss2.credentials import EnvironmentVariableCredentialsProvider

from aioss_resume import AccessDeniedError, ConfigError, LocalFileError, NoSuchKeyError, RequestError
from aioss_resume._core.grouping import Allowance
from aioss_resume.contrib import _dask_worker
from aioss_resume.contrib.dask import BucketConfig, download_prefix_on
from aioss_resume.testing import GiB, KiB, LocalOSS, MiB

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Dask's own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.xdist_group("dask"),
    pytest.mark.timeout(180),
]

COUNT = 400
SIZES = {f"p/{number % 7}/{number:04}": 20 * KiB + number * 37 for number in range(COUNT)}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def oss() -> Iterator[LocalOSS]:
    with LocalOSS() as server:
        for seed, (key, size) in enumerate(SIZES.items()):
            server.put("examplebucket", key, size=size, seed=seed)
        yield server


@pytest.fixture(scope="module")
def cluster(oss: LocalOSS) -> Iterator[Any]:
    """Four processes that have the keys in their environment."""
    names = {"OSS_ACCESS_KEY_ID": oss.access_key_id, "OSS_ACCESS_KEY_SECRET": oss.access_key_secret}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        with LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
            yield cluster
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@pytest.fixture
async def client(cluster: Any, oss: LocalOSS) -> AsyncIterator[Any]:
    oss.faults.clear()
    oss.clear_requests()
    async with Client(cluster.scheduler_address, asynchronous=True) as client:
        yield client


@pytest.fixture
def config(oss: LocalOSS) -> BucketConfig:
    return BucketConfig(oss.endpoint, "examplebucket", oss.region)


async def outcomes_below(prefix: str, client: Any, config: BucketConfig, directory: Path, **keywords: Any) -> list[Any]:
    options = {"shared_directory": True, "fsync": False, "retry": QUICK, **keywords}
    async with download_prefix_on(client, config, prefix, str(directory), **options) as outcomes:
        return [outcome async for outcome in outcomes]


async def outcomes_of(client: Any, config: BucketConfig, directory: Path, **keywords: Any) -> dict[str, Any]:
    return {outcome.key: outcome for outcome in await outcomes_below("p/", client, config, directory, **keywords)}


def right_files(directory: Path) -> bool:
    return all(
        (directory / key.removeprefix("p/")).read_bytes() == whole(size, seed)
        for seed, (key, size) in enumerate(SIZES.items())
    )


@pytest.mark.parametrize("shared", [True, False])
async def test_workers_download_every_object(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path, shared: bool
) -> None:
    found = await outcomes_of(client, config, tmp_path / "root", shared_directory=shared)
    assert Counter(outcome.action for outcome in found.values()) == {"downloaded": COUNT}
    assert right_files(tmp_path / "root")
    assert len([request for request in oss.requests if request.key]) == COUNT
    assert (tmp_path / "root" / ".aioss-resume.sqlite").exists() == shared
    oss.clear_requests()
    found = await outcomes_of(client, config, tmp_path / "root", shared_directory=shared)
    assert Counter(outcome.action for outcome in found.values()) == {"unchanged": COUNT}
    assert bytes_sent(oss) == (0 if shared else COUNT)  # a byte each shows that a file is the object


async def test_failures_are_outcomes_that_name_what_was_tried(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path
) -> None:
    gone, taken = "p/0/0000", "p/1/0001"
    (tmp_path / "root" / "1" / "0001").mkdir(parents=True)
    oss.faults.status(404, key=gone, times=None, oss_code="NoSuchKey")
    found = await outcomes_of(client, config, tmp_path / "root")
    failed = {key: outcome.error for key, outcome in found.items() if outcome.error is not None}
    assert sorted(failed) == [gone, taken]
    assert isinstance(failed[gone], NoSuchKeyError)
    assert isinstance(failed[taken], LocalFileError)


async def test_limits_are_those_of_the_whole_cluster(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path
) -> None:
    oss.faults.delay(0.02, times=None)
    await outcomes_of(client, config, tmp_path / "root", concurrency=3)
    assert oss.peak_in_flight <= 3 + 1  # and a listing
    assert right_files(tmp_path / "root")


@pytest.mark.slow
async def test_object_that_is_large_is_split_among_workers_and_committed_once(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path
) -> None:
    size = 1 * GiB + 12_345
    oss.put("examplebucket", "large/object", size=size, seed=5)
    options: dict[str, Any] = {"shared_directory": True, "fsync": False}
    async with download_prefix_on(client, config, "large/", str(tmp_path), **options) as outcomes:
        (outcome,) = [outcome async for outcome in outcomes]
    assert outcome.error is None
    assert outcome.result.verified
    assert outcome.result.resumed_bytes == size  # proven here, fetched by the workers
    assert sum(request.bytes_sent for request in oss.requests if request.key == "large/object") < size * 1.1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".aioss-resume.sqlite", "object"]
    connections = {request.connection for request in oss.requests if request.key == "large/object"}
    assert len(connections) > 4
    oss.delete("examplebucket", "large/object")


@pytest.fixture
def large(oss: LocalOSS) -> Iterator[int]:
    """The size of an object that is split into 16 ranges."""
    size = 256 * MiB
    oss.put("examplebucket", "large/object", size=size, seed=5)
    yield size
    oss.delete("examplebucket", "large/object")


async def test_large_object_is_resumed_by_the_next_run(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path, large: int
) -> None:
    oss.faults.status(403, times=None, range=lambda _: bytes_sent(oss) > large * 3 // 4)
    (outcome,) = await outcomes_below("large/", client, config, tmp_path)
    assert isinstance(outcome.error, AccessDeniedError)
    oss.faults.clear()
    oss.clear_requests()
    (outcome,) = await outcomes_below("large/", client, config, tmp_path)
    assert outcome.error is None
    assert outcome.result.verified
    # At least half is kept: at the first 403, four ranges of 16 MiB were in flight.
    assert bytes_sent(oss) < large * 3 // 5
    assert (tmp_path / "object").stat().st_size == large


@pytest.mark.parametrize(
    ("overwrite", "content_is_same", "fetched"),
    [("if_changed", True, False), ("never", False, False), ("never", True, False), ("if_changed", False, True)],
)
async def test_large_file_that_exists_is_fetched_only_where_it_must_be(
    client: Any,
    config: BucketConfig,
    oss: LocalOSS,
    tmp_path: Path,
    large: int,
    overwrite: str,
    content_is_same: bool,
    fetched: bool,
) -> None:
    (tmp_path / "object").write_bytes(whole(large, 5 if content_is_same else 6))
    (outcome,) = await outcomes_below("large/", client, config, tmp_path, overwrite=overwrite)
    assert isinstance(outcome.error, FileExistsError if overwrite == "never" else NoneType)
    assert (bytes_sent(oss) > MiB) == fetched


def bytes_sent(oss: LocalOSS) -> int:
    return sum(request.bytes_sent for request in oss.requests if request.key)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"client": None}, "client must be a distributed.Client with asynchronous=True, not NoneType"),
        ({"bucket_config": object()}, "bucket_config must be a BucketConfig, not object"),
        ({"prefix": 5}, "prefix"),
        ({"directory": ""}, "directory"),
        ({"delete_extra": True}, "need shared_directory=True"),
        ({"progress_callback": print}, "progress_callback cannot be used on a cluster"),
        ({"max_bytes_per_second": 0}, "max_bytes_per_second must be a number above 0, not 0"),
    ],
)
async def test_invalid_argument_is_refused(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    given = {
        "client": client,
        "bucket_config": config,
        "prefix": "p/",
        "directory": str(tmp_path / "root"),
        **arguments,
    }
    with pytest.raises(ConfigError, match=message):
        download_prefix_on(**given)
    assert oss.requests == []
    assert not (tmp_path / "root").exists()


async def test_unknown_keyword_is_a_type_error_that_lists_the_clusters_own(
    client: Any, config: BucketConfig, tmp_path: Path
) -> None:
    with pytest.raises(TypeError) as caught:
        download_prefix_on(client, config, "p/", str(tmp_path), shared=True)
    assert "unexpected keyword argument 'shared'; there are shared_directory, concurrency" in str(caught.value)


async def test_closed_client_is_refused(cluster: Any, config: BucketConfig, tmp_path: Path) -> None:
    async with Client(cluster.scheduler_address, asynchronous=True) as client:
        pass
    with pytest.raises(ConfigError, match="client is closed"):
        download_prefix_on(client, config, "p/", str(tmp_path))


async def test_B07_lost_worker_is_replaced_and_little_is_fetched_twice(
    client: Any, config: BucketConfig, cluster: Any, oss: LocalOSS, tmp_path: Path
) -> None:
    oss.faults.delay(0.01, times=None)
    killed = False
    options: dict[str, Any] = {"shared_directory": True, "fsync": False, "retry": QUICK}
    actions = Counter[str]()
    async with download_prefix_on(client, config, "p/", str(tmp_path / "root"), **options) as outcomes:
        async for outcome in outcomes:
            assert outcome.error is None, outcome.error
            actions[outcome.action] += 1
            if not killed:
                killed = True
                pids = await client.run(os.getpid)
                os.kill(next(iter(pids.values())), signal.SIGKILL)
    assert sum(actions.values()) == COUNT
    assert right_files(tmp_path / "root")
    fetched = Counter(request.key for request in oss.requests if request.bytes_sent > 1 and request.key)
    assert sum(fetched.values()) <= COUNT + 100  # the group of the lost worker, at most
    await client.wait_for_workers(4)


async def test_B07_worker_without_keys_is_named(
    client: Any, oss: LocalOSS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYS_ARE_HERE", "1")
    config = BucketConfig(oss.endpoint, "examplebucket", oss.region, f"{__name__}:only_here")
    found = await outcomes_of(client, config, tmp_path / "root")
    error = found["p/0/0000"].error
    assert isinstance(error, ConfigError)
    assert "could not be made" in str(error)
    assert any("on worker tcp://" in note for note in error.__notes__)


def only_here() -> Any:
    """A provider that this process can make, and the workers cannot."""
    assert "KEYS_ARE_HERE" in os.environ
    return EnvironmentVariableCredentialsProvider()


async def test_B07_other_release_is_named(client: Any, config: BucketConfig, tmp_path: Path) -> None:
    job = _dask_worker.Job("token", "0.0.0-other", config, str(tmp_path), {})
    with pytest.raises(ConfigError, match=r"the job is of 0\.0\.0-other"):
        await client.submit(_dask_worker.download_group, job, None, [], pure=False)


async def test_B07_block_that_is_left_ends_what_runs_on_the_workers(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path
) -> None:
    oss.faults.stall(0, times=None, key="p/6/0006")
    oss.faults.stall(0, times=None, key="p/0/0007")
    async with download_prefix_on(client, config, "p/", str(tmp_path / "root"), fsync=False) as outcomes:
        await anext(outcomes)
        for _ in range(2000):
            if any(request.key in ("p/6/0006", "p/0/0007") for request in oss.requests):
                break
            await asyncio.sleep(0.01)  # until a worker waits for bytes that do not come
        assert sum((await client.run(_running_tasks)).values()) > 0
        assert set((await client.run(_end_and_count, outcomes._job.token)).values()) == {0}
    assert set((await client.run(_running_tasks)).values()) == {0}
    assert not list((tmp_path / "root").rglob("*.part"))


async def test_B07_group_that_was_queued_when_its_job_ended_does_nothing(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path
) -> None:
    job = _dask_worker.Job("ended", _dask_worker.RELEASE, config, str(tmp_path), {"fsync": False})
    worker = next(iter(await client.nthreads()))
    await client.run(_dask_worker.end_job, "ended", workers=[worker])
    oss.put("examplebucket", "queued/object", size=20 * KiB)
    items = [("queued/object", "file")]
    with pytest.raises(RequestError, match="cancelled"):
        await client.submit(_dask_worker.download_group, job, Allowance(1, None), items, workers=[worker], pure=False)
    assert not [request for request in oss.requests if request.key == "queued/object"]


def _running_tasks() -> int:
    """In a worker: how many tasks run in the event loop of its downloads."""
    return sum(len(asyncio.all_tasks(process._loop)) for process in _dask_worker._processes.values())


async def _end_and_count(token: str) -> int:
    """In a worker: how many tasks are left in that event loop as soon as the job has ended."""
    await _dask_worker.end_job(token)
    return _running_tasks()


async def test_B08_no_key_travels(
    client: Any, config: BucketConfig, oss: LocalOSS, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    await outcomes_of(client, config, tmp_path / "root")
    logs = str(await client.get_worker_logs()) + str(await client.get_scheduler_logs()) + caplog.text
    state = str(await client.run_on_scheduler(_everything_the_scheduler_knows))
    job = _dask_worker.Job("token", "1", config, str(tmp_path), {"headers": {"x-oss-request-payer": "requester"}})
    for secret in (oss.access_key_id, oss.access_key_secret):
        assert secret not in logs
        assert secret not in state
        assert secret.encode() not in pickle.dumps(job)
        assert secret not in repr(job)


def _everything_the_scheduler_knows(dask_scheduler: Any) -> list[str]:
    return [repr(task.run_spec) + str(task.key) + repr(task) for task in dask_scheduler.tasks.values()] + [
        repr(event) for events in dask_scheduler._broker._topics.values() for event in events.events
    ]
