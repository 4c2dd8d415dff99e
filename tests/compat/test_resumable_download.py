"""resumable_download(): the arguments, the meaning and the errors of oss2's function."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import oss2
import pytest
from flow.ranged import PART, SIZE, whole

import aioss_resume
from aioss_resume import CheckpointStore, ConfigError, Downloader, resumable_download
from aioss_resume.testing import KiB, LocalOSS

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_signature_is_that_of_oss2() -> None:
    expected = inspect.signature(oss2.resumable_download).parameters
    ours = inspect.signature(resumable_download).parameters
    assert list(ours) == list(expected)
    assert [parameter.default for parameter in ours.values()] == [parameter.default for parameter in expected.values()]
    assert inspect.iscoroutinefunction(resumable_download)


async def test_example_of_the_help_page_runs_as_it_is(bucket: Any, content: bytes, path: Path, tmp_path: Path) -> None:
    calls = []

    def percentage(consumed_bytes: int, total_bytes: int) -> None:
        if total_bytes:
            calls.append(int(100 * (float(consumed_bytes) / float(total_bytes))))

    key, filename = "key", str(path)
    result = await aioss_resume.resumable_download(
        bucket,
        key,
        filename,
        store=oss2.ResumableDownloadStore(root=str(tmp_path / "tmp")),
        multiget_threshold=100 * 1024,
        part_size=100 * 1024,
        progress_callback=percentage,
        num_threads=4,
    )
    assert path.read_bytes() == content
    assert (result.size, result.verified, result.path) == (SIZE, True, path)
    assert calls[-1] == 100


async def test_part_size_threads_and_threshold_are_adjusted_as_in_oss2(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path
) -> None:
    await resumable_download(bucket, "key", str(path), 1, 1, None, 1)
    assert [request.range[1] - request.range[0] for request in oss.requests[:-1]] == [128 * KiB] * (SIZE // (128 * KiB))
    assert oss.peak_in_flight == 1
    oss.clear_requests()
    await resumable_download(bucket, "key", path)  # pathlib, and oss2's threshold of 100 MiB
    assert [request.range for request in oss.requests] == [(0, 100 * 1024 * KiB)]


async def test_defaults_are_read_when_it_is_called(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oss2.defaults, "multiget_threshold", PART)
    monkeypatch.setattr(oss2.defaults, "multiget_part_size", 2 * PART)
    monkeypatch.setattr(oss2.defaults, "multiget_num_threads", 2)
    await resumable_download(bucket, b"key", str(path).encode())
    assert oss.requests[0].range == (0, 2 * PART)
    assert len(oss.requests) == 6
    assert oss.peak_in_flight <= 2


async def test_version_and_headers_are_sent(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.create_bucket("examplebucket")
    oss.enable_versioning("examplebucket")
    old = oss.put("examplebucket", "key", b"old")
    oss.put("examplebucket", "key", b"new")
    headers = {"x-oss-request-payer": "requester", "x-other": "kept"}
    result = await resumable_download(bucket, "key", path, params={"versionId": old.version_id}, headers=headers)
    assert path.read_bytes() == b"old"
    assert result.version_id == old.version_id
    assert {name: oss.requests[0].headers[name] for name in headers} == headers


async def test_progress_callback_is_called_for_each_part(bucket: Any, content: bytes, path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    await resumable_download(bucket, "key", path, 1, PART, lambda *call: calls.append(call), 1)
    assert calls == [(consumed, SIZE) for consumed in (*range(0, SIZE, PART), SIZE)]


async def test_progress_of_a_resumed_download_begins_with_what_is_there(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path
) -> None:
    interrupted(oss, bucket, path, None)
    calls: list[tuple[int, int | None]] = []

    async def progress(consumed: int, total: int | None) -> None:
        calls.append((consumed, total))

    result = await resumable_download(bucket, "key", path, PART, PART, progress, 1)
    assert result.resumed_bytes == 5 * PART
    assert calls == [(consumed, SIZE) for consumed in (*range(5 * PART, SIZE, PART), SIZE)]


async def test_progress_of_a_processed_object_has_no_parts(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path
) -> None:
    calls: list[tuple[int, int | None]] = []
    await resumable_download(
        bucket, "key", path, 1, PART, lambda *call: calls.append(call), 1, params={"x-oss-process": "image/resize,w_9"}
    )
    consumed = [call[0] for call in calls]
    assert consumed == sorted(set(consumed))
    assert consumed[-1] == path.stat().st_size


@pytest.mark.parametrize(
    "keywords",
    [{"part_size": 0}, {"part_size": -1}, {"num_threads": 0}, {"num_threads": -2}, {"num_threads": True},
     {"multiget_threshold": -1}, {"part_size": 1.5}, {"store": object()}, {"store": "directory"}, {"key": None},
     {"filename": None}, {"key": b"\xff"}, {"progress_callback": 5}, {"headers": []}],
)  # fmt: skip
async def test_invalid_argument_is_refused(oss: LocalOSS, bucket: Any, path: Path, keywords: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await resumable_download(bucket, **{"key": "key", "filename": str(path), **keywords})
    assert oss.requests == []


@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")  # of oss2's own
async def test_crypto_bucket_is_refused(oss: LocalOSS, bucket: Any, path: Path) -> None:
    crypto = oss2.CryptoBucket(
        bucket.auth, oss.endpoint, "examplebucket", oss2.LocalRsaProvider(dir=str(path.parent / "keys")), region="r"
    )
    with pytest.raises(ConfigError, match="CryptoBucket"):
        await resumable_download(crypto, "key", path)


async def test_empty_object_is_downloaded_with_a_threshold_of_zero(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", b"")
    result = await resumable_download(bucket, "key", path, multiget_threshold=0)
    assert (path.read_bytes(), result.size) == (b"", 0)


def theirs(bucket: Any, *args: Any, **keywords: Any) -> None:
    """oss2's own function; its connections are closed at the end."""
    try:
        oss2.resumable_download(bucket, *args, **keywords)
    finally:
        bucket.session.session.close()


def interrupted(oss: LocalOSS, bucket: Any, path: Path, store: Any) -> None:
    """Let oss2 itself fetch half of the object, and fail."""
    fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] >= 5 * PART)
    with pytest.raises(oss2.exceptions.AccessDenied):
        theirs(bucket, "key", str(path), multiget_threshold=PART, part_size=PART, num_threads=1, store=store)
    fault.cancel()


class AsyncStore:
    """A store whose methods are coroutines."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def get(self, key: str) -> Any:
        return await asyncio.to_thread(self._inner.get, key)

    async def put(self, key: str, value: Any) -> None:
        raise AssertionError

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._inner.delete, key)

    async def make_store_key(self, *names: str) -> str:
        return self._inner.make_store_key(*names)  # type: ignore[no-any-return]


STORES: dict[str, tuple[Callable[[str], Any], Callable[[Any], Any]]] = {
    "of downloads": (lambda root: oss2.ResumableDownloadStore(root=root), lambda store: store),
    "of uploads": (lambda root: oss2.ResumableStore(root=root), lambda store: store),
    "async": (lambda root: oss2.ResumableDownloadStore(root=root), AsyncStore),
    "default": (lambda _root: None, lambda store: store),
}


@pytest.mark.parametrize("kind", STORES)
async def test_download_that_oss2_began_is_continued(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path, home: Path, tmp_path: Path, kind: str
) -> None:
    make, wrap = STORES[kind]
    root = tmp_path / "root"
    store = await asyncio.to_thread(make, str(root))
    await asyncio.to_thread(interrupted, oss, bucket, path, store)
    records = [*root.rglob("*--*"), *home.rglob("*--*")]
    assert len(records) == 1
    result = await resumable_download(
        bucket, "key", path, multiget_threshold=PART, part_size=PART, store=None if store is None else wrap(store)
    )
    assert path.read_bytes() == content
    assert result.resumed_bytes == 5 * PART
    assert not records[0].exists()
    assert [file.name for file in tmp_path.iterdir() if file.name != "root"] == ["file"]


async def test_store_of_our_own_keeps_our_checkpoints(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path, tmp_path: Path
) -> None:
    fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] >= 5 * PART)
    store = CheckpointStore(tmp_path / "checkpoints")
    with pytest.raises(oss2.exceptions.AccessDenied):
        await resumable_download(bucket, "key", path, PART, PART, None, 1, store)
    fault.cancel()
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    result = await resumable_download(bucket, "key", path, PART, PART, None, 1, store)
    assert result.resumed_bytes >= 5 * PART


async def test_record_is_removed_when_our_checkpoint_is_safe(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path, tmp_path: Path
) -> None:
    kept: list[list[str]] = []

    class Watching(oss2.ResumableDownloadStore):  # type: ignore[misc]
        def delete(self, key: str) -> Any:
            kept.append([file.suffix for file in sorted(path.parent.glob(".file.*"))])
            super().delete(key)

    store = await asyncio.to_thread(Watching, str(tmp_path / "root"))
    await asyncio.to_thread(interrupted, oss, bucket, path, store)
    await resumable_download(bucket, "key", path, PART, PART, store=store)
    assert len(kept) == 1
    assert {".checkpoint", ".part"} <= set(kept[0])


async def test_error_of_the_store_reaches_the_caller(bucket: Any, content: bytes, path: Path, tmp_path: Path) -> None:
    class Broken(oss2.ResumableDownloadStore):  # type: ignore[misc]
        def get(self, key: str) -> Any:
            raise RuntimeError("from the store")

    store = await asyncio.to_thread(Broken, str(tmp_path / "root"))
    with pytest.raises(RuntimeError, match="from the store"):
        await resumable_download(bucket, "key", path, PART, PART, store=store)


async def test_record_that_cannot_be_removed_is_no_failure(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path, tmp_path: Path
) -> None:
    class Kept(oss2.ResumableDownloadStore):  # type: ignore[misc]
        def delete(self, key: str) -> Any:
            raise OSError("cannot be removed")

    store = await asyncio.to_thread(Kept, str(tmp_path / "root"))
    await asyncio.to_thread(interrupted, oss, bucket, path, store)
    result = await resumable_download(bucket, "key", path, PART, PART, store=store)
    assert result.resumed_bytes == 5 * PART
    record = json.loads(next((tmp_path / "root").rglob("*--*")).read_text())
    result = await resumable_download(bucket, "key", path, PART, PART, store=store)  # its temporary file is gone
    assert result.resumed_bytes == 0
    assert path.read_bytes() == content
    assert record["key"] == "key"


def refusals() -> Iterator[Any]:
    yield pytest.param({"key": "missing"}, None, id="missing key")
    yield pytest.param({}, {"code": 403, "oss_code": "AccessDenied"}, id="denied")
    yield pytest.param({}, {"code": 403, "oss_code": "SignatureDoesNotMatch"}, id="signature")
    yield pytest.param({}, {"code": 403, "oss_code": "InvalidAccessKeyId"}, id="unknown key id")
    yield pytest.param({}, {"code": 404, "oss_code": "NoSuchBucket"}, id="missing bucket")
    yield pytest.param({}, {"code": 403, "oss_code": "InvalidObjectState"}, id="archived")


@pytest.mark.parametrize(("changes", "fault"), list(refusals()))
async def test_except_clause_written_for_oss2_catches_the_error(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path, changes: dict[str, Any], fault: dict[str, Any] | None
) -> None:
    arguments = {"key": "key", "filename": str(path), "multiget_threshold": PART, "part_size": PART, **changes}
    if fault is not None:
        oss.faults.status(fault["code"], oss_code=fault["oss_code"], times=None)
    with pytest.raises(oss2.exceptions.OssError) as expected:
        await asyncio.to_thread(lambda: theirs(bucket, **arguments))
    with pytest.raises(type(expected.value)) as ours:
        await resumable_download(bucket, **arguments)
    assert ours.value.status == expected.value.status


async def test_wrong_bytes_are_oss2s_inconsistent_error(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1, crc64=12345)
    with pytest.raises(oss2.exceptions.InconsistentError):
        await resumable_download(bucket, "key", path, PART, PART)
    assert not path.exists()


async def test_object_is_downloaded_with_default_arguments(
    oss: LocalOSS, bucket: Any, content: bytes, path: Path
) -> None:
    result = await resumable_download(bucket, "key", path)
    assert path.read_bytes() == whole()
    assert result.skipped is False


@pytest.mark.usefixtures("unknown_user")
async def test_object_is_downloaded_where_the_home_directory_is_unknown(
    bucket: Any, content: bytes, path: Path
) -> None:
    await resumable_download(bucket, "key", str(path))
    assert path.read_bytes() == content
    async with aiohttp.ClientSession(trust_env=True) as session, Downloader(bucket, session=session) as downloader:
        assert await downloader.read("key") == content
