"""Keys are bytes to OSS: whatever they look like, that very object arrives."""

from pathlib import Path
from typing import Any

import oss2
import pytest

from aioss_resume import ConfigError, download
from aioss_resume.testing import KiB, LocalOSS

pytestmark = pytest.mark.anyio

KEYS = [
    "a b",
    " ",
    " a ",
    "a+b",
    "100%",
    "%2F",
    "%252F",
    "a%20b",
    "a?b",
    "?",
    "a#b",
    "#",
    "a&b=c",
    "a=b",
    "a;b",
    "a:b",
    "a,b",
    "a'b\"c",
    "a\\b",
    "a|b",
    "a<b>c",
    "~a!b*c(d)",
    "[a]{b}",
    "^`$@",
    "名前/ファイル",
    "\u00e9",
    "e\u0301",
    "\N{PILE OF POO}",
    "a\nb",
    "a\tb",
    "a\x01b",
    "a\x7fb",
    "a//b",
    "a/",
    "a//",
    "a/../b",
    "../b",
    "a/./b",
    ".",
    "..",
    "a/..",
    "a/.",
    "http://example.com/a",
    "x-oss-process=image",
    "k" * 1023,
    "名" * 341,
]


@pytest.mark.parametrize("key", KEYS, ids=ascii)
async def test_server_sees_exactly_that_key(oss: LocalOSS, bucket: Any, tmp_path: Path, key: str) -> None:
    for decoy in ("b", "a", "a/b", "a b", "a%20b", "100", "F"):
        oss.put("examplebucket", decoy, b"a decoy")
    stored = oss.put("examplebucket", key, size=300 * KiB)
    result = await download(bucket, key, tmp_path / "file", multiget_threshold=0, part_size=100 * KiB)
    assert result.key == key
    assert result.crc64 == stored.content.crc64
    assert (tmp_path / "file").read_bytes() == stored.content.read(0, stored.content.size)
    assert len(oss.requests) == 3
    assert {request.key for request in oss.requests} == {key}
    assert {request.bucket for request in oss.requests} == {"examplebucket"}
    assert {request.status for request in oss.requests} == {206}


@pytest.mark.parametrize("key", ["a/../b", "a b+c", "%2F", "名前", "a//b"], ids=ascii)
async def test_key_is_that_key_under_a_version_1_signature_too(oss: LocalOSS, tmp_path: Path, key: str) -> None:
    oss.put("examplebucket", key, b"bytes")
    oss.put("examplebucket", "b", b"a decoy")
    bucket = oss.bucket("examplebucket", auth=oss2.Auth(oss.access_key_id, oss.access_key_secret))
    await download(bucket, key, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"bytes"
    assert oss.requests[-1].key == key


@pytest.mark.parametrize("key", ["", "k" * 1024, "名" * 342, None, b"key", 3, Path("key"), "\udcff"], ids=ascii)
async def test_invalid_key_is_refused_before_any_request(oss: LocalOSS, bucket: Any, tmp_path: Path, key: Any) -> None:
    with pytest.raises(ConfigError, match="key"):
        await download(bucket, key, tmp_path / "made" / "file")
    assert oss.requests == []
    assert list(tmp_path.iterdir()) == []
