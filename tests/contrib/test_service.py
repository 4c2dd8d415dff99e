"""The example service of the documentation: a real uvicorn, a real browser."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from contrib.chromium import CHROMIUM, chromium
from contrib.serving import ask, serving
from flow.ranged import whole

from aioss_resume.testing import LocalOSS, MiB

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "service" / "app.py"
SIZE = 24 * MiB


@pytest.fixture
def port(oss: LocalOSS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    if not EXAMPLE.exists():
        pytest.skip("the documentation is not beside the tests")
    oss.create_bucket("examplebucket")
    for name, value in {
        "OSS_ENDPOINT": oss.endpoint,
        "OSS_REGION": oss.region,
        "OSS_BUCKET": "examplebucket",
        "OSS_ACCESS_KEY_ID": oss.access_key_id,
        "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
        "FILES": str(tmp_path / "files"),
    }.items():
        monkeypatch.setenv(name, value)
    with serving(_example().app) as found:
        yield found


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_service", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["example_service"] = module  # dataclasses look up their module there
    spec.loader.exec_module(module)
    return module


def test_objects_are_proxied_with_ranges(oss: LocalOSS, port: int) -> None:
    oss.put("examplebucket", "dir/video.mp4", size=100_000, seed=1, headers={"Content-Type": "video/mp4"})
    status, headers, body = ask(port, "/objects/dir/video.mp4", Range="bytes=500-599")
    assert (status, headers["content-type"], body) == (206, "video/mp4", whole(100_000)[500:600])
    assert ask(port, "/objects/missing")[0] == 404
    assert ask(port, "/progress/missing")[0] == 404


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
async def test_download_is_started_interrupted_and_resumed_in_a_browser(
    oss: LocalOSS, port: int, tmp_path: Path
) -> None:
    oss.put("examplebucket", "dir/file.bin", size=SIZE, seed=1)
    slow = oss.faults.slow(MiB, times=None)
    async with chromium(tmp_path / "profile") as page:
        await page.open(f"http://127.0.0.1:{port}/")
        await page.run("document.getElementById('key').value = 'dir/file.bin'")
        await page.run("document.getElementById('start').click()")
        await page.wait_for("document.getElementById('bar').value > 0.1 * document.getElementById('bar').max")
        await page.run("document.getElementById('stop').click()")
        await page.wait_for("document.body.dataset.state === 'interrupted'")
        await page.screenshot(tmp_path / "interrupted.png")
        slow.cancel()
        await page.run("document.getElementById('start').click()")
        await page.wait_for("document.body.dataset.state === 'done'")
        bar: Any = await page.run("[document.getElementById('bar').value, document.getElementById('bar').max]")
        assert bar == [SIZE, SIZE]
        assert "bytes were kept" in await page.run("document.getElementById('state').textContent")
        await page.screenshot(tmp_path / "done.png")
    assert (tmp_path / "files" / "dir_file.bin").read_bytes() == whole(SIZE)
