"""The code of each how-to page runs as it stands there, against a local OSS."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from contrib.serving import ask, serving

from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
NAMES = ["fastapi", "proxy-with-ranges", "presigned-urls", "sts-for-weeks", "limit-bandwidth", "opentelemetry"]
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
        "ACCESS_KEY_ID": oss.access_key_id,
        "ACCESS_KEY_SECRET": oss.access_key_secret,
    }
    for block in blocks:
        exec(compile(block, page, "exec"), found)
    return found


def test_every_page_is_run() -> None:
    assert sorted(path.stem for path in PAGES.glob("*.md")) == sorted(NAMES)


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
