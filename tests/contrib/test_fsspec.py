"""The file system for fsspec, and what reads through it."""

import asyncio
import contextlib
import io
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from contrib.closing import close_file_systems
from flow.ranged import whole
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume import ConfigError, ObjectChangedError, RetryPolicy, ServerFaultError
from aioss_resume.contrib._buckets import BucketConfig
from aioss_resume.contrib.fsspec import OSSResumeFileSystem, SequentialCache, use_for_oss
from aioss_resume.testing import KiB, LocalOSS, MiB

SIZE = 300_000


@pytest.fixture
def oss() -> Iterator[LocalOSS]:
    with LocalOSS() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """fsspec keeps each instance; its threads would be taken for those of other tests."""
    yield
    close_file_systems()


@pytest.fixture
def options(oss: LocalOSS, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What fsspec calls storage options; the keys are in the environment."""
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", oss.access_key_id)
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", oss.access_key_secret)
    return {"endpoint": oss.endpoint, "region": oss.region}


@pytest.fixture
def fs(options: dict[str, Any]) -> OSSResumeFileSystem:
    return OSSResumeFileSystem(**options)


@pytest.fixture
def tree(oss: LocalOSS) -> None:
    for key in ("file", "d/a", "d/b", "d/e/c", "d/e/f/g", "d2/x", "marker/"):
        oss.put("bucket", key, key.encode() if not key.endswith("/") else b"")


def keys_asked_for(oss: LocalOSS) -> list[str]:
    return [request.key for request in oss.requests if request.key]


@pytest.mark.usefixtures("tree")
class TestListings:
    def test_info_describes_files_and_directories(self, fs: Any) -> None:
        info = fs.info("oss-resume://bucket/d/a")
        assert (info["name"], info["size"], info["type"]) == ("bucket/d/a", 3, "file")
        assert fs.info("bucket/d/")["type"] == "directory"
        assert fs.info("bucket")["type"] == "directory"
        with pytest.raises(FileNotFoundError):
            fs.info("bucket/none")
        assert fs.exists("bucket/d")
        assert not fs.exists("bucket/none")
        assert fs.isdir("bucket/d/e")
        assert fs.isfile("bucket/d/a")
        assert fs.size("bucket/d/a") == 3

    def test_ls_lists_one_level(self, fs: Any) -> None:
        assert fs.ls("bucket", detail=False) == ["bucket/d", "bucket/d2", "bucket/file", "bucket/marker"]
        assert fs.ls("bucket/d", detail=False) == ["bucket/d/a", "bucket/d/b", "bucket/d/e"]
        assert [info["type"] for info in fs.ls("bucket/d")] == ["file", "file", "directory"]
        assert fs.ls("bucket/d/a", detail=False) == ["bucket/d/a"]
        assert fs.ls("bucket/marker") == []
        with pytest.raises(FileNotFoundError):
            fs.ls("bucket/none")
        with pytest.raises(FileNotFoundError, match="begin the path with one"):
            fs.ls("")

    def test_find_lists_all_levels(self, fs: Any, oss: LocalOSS) -> None:
        fs.find("bucket")  # opens the connection
        oss.clear_requests()
        files = ["d/a", "d/b", "d/e/c", "d/e/f/g", "d2/x", "file"]
        assert fs.find("bucket") == [f"bucket/{name}" for name in files]
        assert len(oss.requests) == 1
        assert fs.find("bucket/d", maxdepth=2) == ["bucket/d/a", "bucket/d/b", "bucket/d/e/c"]
        assert fs.find("bucket/d/a") == ["bucket/d/a"]
        assert fs.find("bucket/none") == []
        assert fs.find("bucket/d/e", withdirs=True) == ["bucket/d/e", "bucket/d/e/c", "bucket/d/e/f", "bucket/d/e/f/g"]
        assert fs.find("bucket", prefix="d2") == ["bucket/d2/x"]
        assert fs.find("bucket/d", detail=True)["bucket/d/b"]["size"] == 3

    def test_glob_and_walk_find_files(self, fs: Any) -> None:
        assert fs.glob("bucket/d/*") == ["bucket/d/a", "bucket/d/b", "bucket/d/e"]
        assert fs.glob("bucket/**/g") == ["bucket/d/e/f/g"]
        assert fs.glob("oss-resume://bucket/d*/x") == ["bucket/d2/x"]
        assert [path for path, _, _ in fs.walk("bucket/d")] == ["bucket/d", "bucket/d/e", "bucket/d/e/f"]
        assert fs.du("bucket/d") == sum(len(key) for key in ("d/a", "d/b", "d/e/c", "d/e/f/g"))

    def test_ukey_and_times(self, fs: Any, oss: LocalOSS) -> None:
        before = fs.ukey("bucket/file")
        assert fs.ukey("bucket/file") == before
        assert fs.modified("bucket/file").utcoffset() is not None
        assert fs.created("bucket/file") == fs.modified("bucket/file")
        oss.put("bucket", "file", b"other")
        assert fs.ukey("bucket/file") != before


class TestReading:
    @pytest.fixture
    def content(self, oss: LocalOSS) -> bytes:
        oss.put("bucket", "key", size=SIZE, seed=1)
        return whole(SIZE)

    def test_cat_returns_the_bytes_of_a_file(self, fs: Any, content: bytes) -> None:
        assert fs.cat("bucket/key") == content
        for start, end in ((5, 10), (-10, None), (None, -5), (10, 5), (SIZE, None), (3, None)):
            assert fs.cat_file("bucket/key", start, end) == content[start:end]
        assert fs.cat(["bucket/key", "bucket/key2"], on_error="omit") == {"bucket/key": content}
        with pytest.raises(FileNotFoundError):
            fs.cat("bucket/none")

    def test_cat_ranges(self, fs: Any, oss: LocalOSS, content: bytes) -> None:
        fs.cat_file("bucket/key", 0, 1)
        oss.clear_requests()
        paths = ["bucket/key", "bucket/none", "bucket/key", "bucket/key"]
        found = fs.cat_ranges(paths, [0, 0, 100, SIZE - 5], [10, 5, 200, None])
        assert found[0] == content[:10]
        assert found[2:] == [content[100:200], content[-5:]]
        assert isinstance(found[1], FileNotFoundError)
        assert keys_asked_for(oss).count("key") <= 2  # neighbours by one request
        with pytest.raises(FileNotFoundError):
            fs.cat_ranges(paths, 0, 5, on_error="raise")
        assert fs.cat_ranges(["bucket/key"] * 2, 3, [4, 5], max_gap=0) == [content[3:4], content[3:5]]
        with pytest.raises(ValueError, match="same length"):
            fs.cat_ranges(["bucket/key"], [1, 2], [3])

    def test_open_reads_as_a_file(self, fs: Any, content: bytes) -> None:
        with fs.open("bucket/key", block_size=10_000) as file:
            assert file.read(10) == content[:10]
            assert file.seek(-7, io.SEEK_END) == SIZE - 7
            assert file.read() == content[-7:]
            file.seek(100_000)
            assert file.read(50_000) == content[100_000:150_000]
        with fs.open("oss-resume://bucket/key", "rb", cache_type="none") as file:
            assert file.read() == content
        with pytest.raises(FileNotFoundError):
            fs.open("bucket/none")

    def test_open_file_reads_on_after_a_failure(self, fs: Any, oss: LocalOSS, content: bytes) -> None:
        fs._read_options = {"retry": RetryPolicy(attempts=1)}
        with fs.open("bucket/key") as file:
            assert file.read(10) == content[:10]
            file.seek(200_000)
            oss.faults.status(500, times=1)
            with pytest.raises(ServerFaultError):
                file.read(10)
            assert file.tell() == 200_000
            assert file.read(10) == content[200_000:200_010]

    def test_open_file_keeps_reading_its_version(self, fs: Any, oss: LocalOSS, content: bytes) -> None:
        with fs.open("bucket/key", block_size=1000, cache_type="none") as file:
            assert file.read(5) == content[:5]
            oss.put("bucket", "key", size=SIZE, seed=2)
            with pytest.raises(ObjectChangedError):
                file.read(5)

    def test_get_resumes_and_reports(self, fs: Any, content: bytes, tmp_path: Path) -> None:
        class Callback(fsspec.callbacks.Callback):  # type: ignore[misc]
            pass

        callback = Callback()
        fs.get_file("bucket/key", str(tmp_path / "file"), callback=callback)
        assert (tmp_path / "file").read_bytes() == content
        assert (callback.size, callback.value) == (SIZE, SIZE)
        target = io.BytesIO()
        fs.get_file("bucket/key", target)
        assert target.getvalue() == content

    def test_path_must_be_a_file(self, fs: Any, oss: LocalOSS) -> None:
        oss.put("bucket", "d/x", b"")
        with pytest.raises(IsADirectoryError):
            fs.open("bucket/d")

    def test_denied_is_a_permission_error(self, fs: Any, oss: LocalOSS, content: bytes) -> None:
        oss.faults.status(403, times=None)
        with pytest.raises(PermissionError):
            fs.cat("bucket/key")
        with pytest.raises(PermissionError):
            fs.ls("bucket")

    def test_two_buckets_share_one_file_system(self, fs: Any, oss: LocalOSS, content: bytes) -> None:
        oss.put("other", "k", b"other")
        assert fs.cat(["bucket/key", "other/k"]) == {"bucket/key": content, "other/k": b"other"}


@pytest.mark.usefixtures("tree")
def test_nothing_is_written(fs: Any, oss: LocalOSS, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    oss.clear_requests()
    for call in (
        lambda: fs.open("bucket/new", "wb"),
        lambda: fs.open("bucket/file", "ab"),
        lambda: fs.pipe_file("bucket/new", b""),
        lambda: fs.put_file(str(tmp_path / "file"), "bucket/new"),
        lambda: fs.rm_file("bucket/file"),
        lambda: fs.cp_file("bucket/file", "bucket/new"),
        lambda: fs.mkdir("bucket/new"),
        lambda: fs.makedirs("bucket/new"),
        lambda: fs.rmdir("bucket/d"),
        lambda: fs.touch("bucket/new"),
    ):
        with pytest.raises(OSError, match="read-only"):
            call()
    assert oss.requests == []


def test_protocol_needs_no_import(oss: LocalOSS, options: dict[str, Any]) -> None:
    oss.put("bucket", "key", b"content")
    with fsspec.open("oss-resume://bucket/key", **options) as file:
        assert file.read() == b"content"
    assert fsspec.filesystem("oss-resume", **options).cat("bucket/key") == b"content"


def test_oss_protocol_only_when_it_is_asked_for(oss: LocalOSS, options: dict[str, Any]) -> None:
    code = """
        import fsspec
        from aioss_resume.contrib import fsspec as ours
        from fsspec.registry import get_filesystem_class
        try:
            assert get_filesystem_class("oss") is not ours.OSSResumeFileSystem
        except ImportError:
            pass
        ours.use_for_oss()
        assert get_filesystem_class("oss") is ours.OSSResumeFileSystem
        assert fsspec.core.url_to_fs("oss://bucket/key", endpoint="http://127.0.0.1:1", region="r")[1] == "bucket/key"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    assert callable(use_for_oss)


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120) | st.none(), st.booleans()), max_size=20),
    st.integers(1, 50),
)
def test_cache_returns_the_requested_bytes_also_after_requests_that_failed(
    reads: list[tuple[int, int | None, bool]], block_size: int
) -> None:
    content, fails = bytes(range(100)), False

    def fetch(start: int, stop: int) -> bytes:
        if fails:
            raise ConnectionError
        return content[start:stop]

    cache = SequentialCache(block_size, fetch, len(content))
    for start, stop, this_fails in reads:
        fails = this_fails
        with contextlib.suppress(ConnectionError):
            assert cache._fetch(start, stop) == content[start:stop]


async def _cat_asynchronously(options: dict[str, Any]) -> bytes:
    fs = OSSResumeFileSystem(**options, asynchronous=True, skip_instance_cache=True)
    try:
        file = await fs.open_async("bucket/key")
        async with file:
            first = await file.read(3)
            rest = await file.read()
        assert await fs._cat_file("bucket/key", 1, 3) == (first + rest)[1:3]
        return first + rest
    finally:
        await fs.close()


@pytest.mark.anyio
async def test_asynchronous_file_system_lives_in_its_callers_loop(oss: LocalOSS, options: dict[str, Any]) -> None:
    oss.put("bucket", "key", size=SIZE, seed=1)
    assert await _cat_asynchronously(options) == whole(SIZE)


@pytest.mark.anyio
async def test_asynchronous_file_reads_on_after_a_failure_and_a_cancellation(
    oss: LocalOSS, options: dict[str, Any]
) -> None:
    oss.put("bucket", "key", size=3 * MiB, seed=1)
    retry = RetryPolicy(attempts=2, wait_initial=0.001)
    fs = OSSResumeFileSystem(**options, read_options={"retry": retry}, asynchronous=True, skip_instance_cache=True)
    try:
        async with await fs.open_async("bucket/key") as file:
            oss.faults.status(500, times=2)
            with pytest.raises(ServerFaultError):
                await file.read(10)
            oss.faults.stall(2 * MiB, times=None)
            task = asyncio.create_task(file.read(3 * MiB - 1))
            while not file._received:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])
            oss.faults.clear()
            oss.drop_connections()
            assert await file.read(MiB) == whole(3 * MiB)[:MiB]
            assert (await file.read(None), file.loc) == (whole(3 * MiB)[MiB:], 3 * MiB)
            assert await file.read() == b""
    finally:
        await fs.close()


def test_instances_pickle_without_keys(oss: LocalOSS, options: dict[str, Any]) -> None:
    oss.put("bucket", "key", b"content")
    fs = OSSResumeFileSystem(**options)
    assert fs.cat("bucket/key") == b"content"
    data = pickle.dumps(fs)
    for secret in (oss.access_key_id, oss.access_key_secret):
        assert secret.encode() not in data
        assert secret not in repr(fs) + repr(fs.storage_options) + fs.to_json()
    assert pickle.loads(data).cat("bucket/key") == b"content"
    with fs.open("bucket/key") as file:
        assert pickle.loads(pickle.dumps(file)).read() == b"content"


def test_environment_without_keys_is_named(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSS_ACCESS_KEY_SECRET")
    with pytest.raises(ConfigError, match="OSS_ACCESS_KEY_SECRET is not set"):
        OSSResumeFileSystem(**options).ls("bucket")


class TestBucketConfig:
    def test_provider_by_name(self, oss: LocalOSS) -> None:
        config = BucketConfig(
            oss.endpoint, "bucket", oss.region, "oss2.credentials:EnvironmentVariableCredentialsProvider"
        )
        assert config.open().bucket_name == "bucket"
        assert BucketConfig(oss.endpoint, "bucket", oss.region, "anonymous").open().auth is not None
        assert pickle.loads(pickle.dumps(config)) == config

    @pytest.mark.parametrize(
        "fields",
        [("e", "b", "r", "AKIDEXAMPLE"), ("e", "b", "r", "id:secret/with+signs"), ("e", "b", "r", object()),
         (None, None), (5, "b"), ("https://user:password@host", "b"), ("b", "https://user:password@host"),
         ("e", "b", "r", "a b:c")],
    )  # fmt: skip
    def test_what_may_hold_keys_is_refused(self, fields: Any) -> None:
        with pytest.raises(ConfigError) as caught:
            BucketConfig(*fields)
        assert "AKIDEXAMPLE" not in str(caught.value)
        assert "secret/with" not in str(caught.value)
        assert "password@" not in str(caught.value)

    def test_bucket_before_endpoint_raises_config_error(self) -> None:
        with pytest.raises(ConfigError, match="the endpoint comes first"):
            BucketConfig("bucket", "http://127.0.0.1")

    def test_provider_that_cannot_be_created_is_an_error(self) -> None:
        with pytest.raises(ConfigError, match="could not be made"):
            BucketConfig("http://127.0.0.1", "bucket", "r", "no_such_module:Provider").open()

    def test_endpoint_and_region_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OSS_ENDPOINT", raising=False)
        with pytest.raises(ConfigError, match="OSS_ENDPOINT"):
            BucketConfig(None, "bucket", provider="anonymous").open()
        monkeypatch.setenv("OSS_ENDPOINT", "http://127.0.0.1:1")
        monkeypatch.setenv("OSS_REGION", "cn-x")
        assert BucketConfig(None, "bucket", provider="anonymous").open().region == "cn-x"
        with pytest.raises(ConfigError, match="no bucket"):
            BucketConfig(None, "not valid!", provider="anonymous").open()


def parquet(rows: int = 200_000) -> tuple[bytes, "pyarrow.Table"]:
    table = pyarrow.table(
        {"a": range(rows), "b": [float(n) for n in range(rows)], "c": [f"text {n}" for n in range(rows)]}
    )
    target = io.BytesIO()
    pyarrow.parquet.write_table(table, target, row_group_size=rows // 4, compression="none")
    return target.getvalue(), table


def test_pandas_reads_csv_and_parquet(oss: LocalOSS, options: dict[str, Any]) -> None:
    frame = pandas.DataFrame({"x": range(1000), "y": [f"t{n}" for n in range(1000)]})
    oss.put("bucket", "d/f.csv", frame.to_csv(index=False).encode())
    found = pandas.read_csv("oss-resume://bucket/d/f.csv", storage_options=options)
    pandas.testing.assert_frame_equal(found, frame)
    data, table = parquet(1000)
    oss.put("bucket", "d/f.parquet", data)
    found = pandas.read_parquet("oss-resume://bucket/d/f.parquet", storage_options=options)
    assert found["a"].tolist() == table["a"].to_pylist()


def test_only_the_ranges_asked_for_travel(oss: LocalOSS, fs: Any) -> None:
    data, table = parquet()
    oss.put("bucket", "f.parquet", data)
    fs.info("bucket/f.parquet")
    oss.clear_requests()
    found = pyarrow.parquet.read_table("bucket/f.parquet", filesystem=fs, columns=["a"], filters=[("a", "<", 10)])
    assert found["a"].to_pylist() == list(range(10))
    received = sum(request.bytes_sent for request in oss.requests if request.method == "GET")
    assert received < len(data) / 3
    assert pyarrow.parquet.read_table("bucket/f.parquet", filesystem=fs).equals(table)


def test_pyarrow_reads_a_dataset(oss: LocalOSS, fs: Any) -> None:
    for number in range(5):
        oss.put("bucket", f"set/part={number}/f.parquet", parquet(100 + number)[0])
    dataset = pyarrow.dataset.dataset("bucket/set", filesystem=fs, partitioning="hive")
    assert dataset.count_rows() == 510
    assert dataset.to_table(filter=pyarrow.dataset.field("part") == 3).num_rows == 103


_WORKERS = """
import multiprocessing, os, sys
from aioss_resume.contrib.fsspec import OSSResumeFileSystem

fs = OSSResumeFileSystem(endpoint=sys.argv[2], region=sys.argv[3])

def read(number):
    return fs.cat_file("bucket/key", number * 100, number * 100 + 100)

if __name__ == "__main__":
    if sys.argv[1] == "fork":
        assert len(read(0)) == 100  # the parent has connections, which its children must leave alone
    with multiprocessing.get_context(sys.argv[1]).Pool(3) as pool:
        found = b"".join(pool.map(read, range(30)))
    assert len(read(0)) == 100
    sys.stdout.buffer.write(found)
"""


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_worker_processes_read_as_those_of_a_data_loader_do(
    oss: LocalOSS, options: dict[str, Any], tmp_path: Path, start: str
) -> None:
    oss.put("bucket", "key", size=SIZE, seed=1)
    script = tmp_path / "workers.py"
    script.write_text(_WORKERS)
    command = [sys.executable, str(script), start, oss.endpoint, oss.region]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, env={**os.environ})
    assert found.stdout == whole(SIZE)[:3000]


class OSSFixtures(AbstractFixtures):
    """fsspec's own tests need a tree, which they would write through the file system."""

    @pytest.fixture
    def fs(self, options: dict[str, Any]) -> Any:
        return OSSResumeFileSystem(**options)

    @pytest.fixture
    def fs_path(self) -> str:
        return "bucket/base"

    @pytest.fixture
    def fs_join(self) -> Any:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False

    @pytest.fixture
    def writable(self, oss: LocalOSS) -> Any:
        class Writable(LocalFileSystem):  # type: ignore[misc]
            def touch(self, path: str, **_: Any) -> None:
                self.pipe(path, b"")

            def pipe(self, path: str, value: bytes = b"", **_: Any) -> None:
                bucket, _, key = path.partition("/")
                oss.put(bucket, key, value)

            def makedirs(self, path: str, exist_ok: bool = False) -> None:
                pass

        return Writable()

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, writable: Any, fs_join: Any, fs_path: str) -> str:
        return self._bulk_operations_scenario_0(writable, fs_join, fs_path)  # type: ignore[no-any-return]

    @pytest.fixture
    def fs_glob_edge_cases_files(self, writable: Any, fs_join: Any, fs_path: str) -> str:
        return self._glob_edge_cases_files(writable, fs_join, fs_path)  # type: ignore[no-any-return]

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, writable: Any, fs_join: Any, fs_path: str) -> str:
        return self._dir_and_file_with_same_name_prefix(writable, fs_join, fs_path)  # type: ignore[no-any-return]

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, writable: Any, fs_join: Any, fs_path: str) -> str:
        return self._10_files_with_hashed_names(writable, fs_join, fs_path)  # type: ignore[no-any-return]


class TestFsspecsOwnGetTests(OSSFixtures, AbstractGetTests):
    def test_get_directory_recursive(  # it writes its own tree
        self,
        fs: Any,
        writable: Any,
        fs_join: Any,
        fs_path: str,
        local_fs: Any,
        local_join: Any,
        local_target: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        class Both:
            mkdir, touch = writable.makedirs, writable.touch

            def __getattr__(self, name: str) -> Any:
                return getattr(fs, name)

        super().test_get_directory_recursive(Both(), fs_join, fs_path, local_fs, local_join, local_target)


def test_large_object_is_read_in_parallel_ranges(oss: LocalOSS, fs: Any) -> None:
    oss.put("bucket", "large", size=24 * MiB, seed=1)
    assert fs.cat("bucket/large") == whole(24 * MiB)
    assert len(keys_asked_for(oss)) > 1
    assert 64 * KiB < 24 * MiB
