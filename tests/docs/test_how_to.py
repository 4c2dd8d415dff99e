"""The code of how-to pages runs as it stands there, against a local OSS: of those that need more than a bucket."""

import inspect
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from contrib.closing import close_file_systems
from contrib.serving import ask, serving
from flow.presigned import presigned

from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
NAMES = [
    *(
        "dask",
        "fastapi",
        "limit-bandwidth",
        "migrate",
        "mirror-a-dataset",
        "model-files",
        "opentelemetry",
        "pandas-pyarrow-torch",
    ),
    *("pipeline", "presigned-urls", "proxy-with-ranges", "sts-for-weeks"),
]
CONTENT = b"line\n" * 1000


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(oss: LocalOSS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not PAGES.exists():
        pytest.skip("the documentation is not beside the tests")
    monkeypatch.chdir(tmp_path)
    oss.put("examplebucket", "key", CONTENT)


def executed(page: str, oss: LocalOSS, bucket: Any) -> dict[str, Any]:
    """What the blocks of a page define, run one after the other."""
    blocks = re.findall(r"^```python\n(.*?)^```", (PAGES / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    found = {
        "bucket": bucket,
        "ENDPOINT": oss.endpoint,
        "REGION": oss.region,
        "ACCESS_KEY_ID": oss.access_key_id,
        "ACCESS_KEY_SECRET": oss.access_key_secret,
    }
    for block in blocks:
        exec(compile(block, page, "exec"), found)
    return found


@pytest.mark.parametrize("page", ["presigned-urls", "sts-for-weeks", "limit-bandwidth", "opentelemetry"])
async def test_code_of_a_page_runs(page: str, oss: LocalOSS, bucket: Any) -> None:
    found = executed(page, oss, bucket)
    mains = [found[name] for name in ("main", "with_refresh") if name in found]
    assert mains
    for main in mains:
        assert inspect.iscoroutinefunction(main)
        await main()
    assert all(path.read_bytes() == CONTENT for path in Path().glob("*.bin"))


def test_code_for_fastapi_runs(oss: LocalOSS, bucket: Any) -> None:
    with serving(executed("fastapi", oss, bucket)["app"]) as port:
        assert json.loads(ask(port, "/lines/key")[2]) == 1000
        assert json.loads(ask(port, "/thumbnails/key")[2]) == CONTENT[:16].hex()


def test_code_for_a_proxy_runs(oss: LocalOSS, bucket: Any) -> None:
    with serving(executed("proxy-with-ranges", oss, bucket)["app"]) as port:
        status, headers, body = ask(port, "/files/key", Range="bytes=3-9")
        assert (status, body) == (206, CONTENT[3:10])
        assert headers["content-disposition"] == 'attachment; filename="key"'


async def test_code_for_mirroring_runs(oss: LocalOSS, bucket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "d/b", "d/c.tmp"):
        oss.put("examplebucket", f"datasets/v3/{name}", CONTENT)
    found = executed("mirror-a-dataset", oss, bucket)
    await found["main"]()
    assert "2 downloaded (10000 bytes)" in capsys.readouterr().out
    assert sorted(str(path) for path in Path("v3").rglob("[a-z]*")) == ["v3/a", "v3/d", "v3/d/b"]
    oss.delete("examplebucket", "datasets/v3/a")
    assert sorted(await found["rehearse"]()) == [
        ("unchanged", "datasets/v3/d/b"),
        ("would_delete", "datasets/v3/a"),
        ("would_download", "datasets/v3/d/c.tmp"),
    ]
    bar = await found["show"]()
    assert bar.n == bar.total == 2 * len(CONTENT)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # connections that the others leave open
async def test_code_for_migrating_runs(
    oss: LocalOSS, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = executed("migrate", oss, bucket)
    url = presigned(bucket, "key")
    calls: list[tuple[str, tuple[str, ...]]] = [("before", ()), ("before_v2", ()), ("before_aiohttp", (url,))]
    for before, arguments in calls:
        for name in (before, before.replace("before", "after")):
            path = tmp_path / name
            answer = found[name](*arguments, str(path))
            if inspect.isawaitable(answer):
                await answer
            assert path.read_bytes() == CONTENT


async def test_code_for_a_pipeline_runs(oss: LocalOSS, bucket: Any) -> None:
    for number in range(40):
        oss.put("examplebucket", f"logs/{number}", b"ERROR\n" * (100 + number * 10))
    found = executed("pipeline", oss, bucket)
    assert await found["main"]() == sum(100 + number * 10 for number in range(40) if 600 + number * 60 > 1000)
    assert list(Path("logs").iterdir()) == []


@pytest.fixture
def keys_in_the_environment(oss: LocalOSS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", oss.access_key_id)
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", oss.access_key_secret)


@pytest.mark.filterwarnings("ignore")  # of Dask's own
@pytest.mark.usefixtures("keys_in_the_environment")
async def test_code_for_dask_runs(oss: LocalOSS, bucket: Any) -> None:
    for number in range(60):
        oss.put("examplebucket", f"datasets/v3/{number}", CONTENT)
    summary = await executed("dask", oss, bucket)["main"]()
    assert summary.counts == {"downloaded": 60}
    assert len(list(Path("v3").glob("[0-9]*"))) == 60


@pytest.fixture
def nothing_stays_open() -> Iterator[None]:
    yield
    close_file_systems()


@pytest.mark.usefixtures("keys_in_the_environment", "nothing_stays_open")
def test_code_for_pandas_pyarrow_and_torch_runs(oss: LocalOSS, bucket: Any) -> None:
    oss.put("examplebucket", "tables/cities.csv", b"name,people\nHangzhou,12\nKyoto,1\n")
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"price": [1, 2, 30], "name": ["a", "b", "c"]}), target)
    oss.put("examplebucket", "tables/prices/part-0.parquet", target.getvalue())
    for number in range(3):
        oss.put("examplebucket", f"samples/{number}", bytes([number]))
    found = executed("pandas-pyarrow-torch", oss, bucket)
    assert found["table"]()["people"].sum() == 13
    assert found["cheap"](10)["price"].to_pylist() == [1, 2]
    samples = found["Samples"]()
    assert [samples[number] for number in range(len(samples))] == [b"\0", b"\1", b"\2"]


async def test_code_for_model_files_runs(oss: LocalOSS, bucket: Any) -> None:
    tensors = {"w": numpy.arange(300_000, dtype="f4").reshape(300, 1000), "b": numpy.array([1, 2], "i8")}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in tensors.items():
        kind = {"float32": "F32", "int64": "I64"}[tensor.dtype.name]
        header[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + tensor.nbytes],
        }
        body += tensor.tobytes()
    head = json.dumps(header).encode()
    oss.put("examplebucket", "models/model.safetensors", len(head).to_bytes(8, "little") + head + body)
    found = await executed("model-files", oss, bucket)["main"]()
    assert found.keys() == tensors.keys()
    assert all((found[name] == tensor).all() for name, tensor in tensors.items())
