"""The tail is shared out: no single connection decides when a download ends."""

import pytest

import aioss_resume
from aioss_resume.testing import KiB, LocalOSS, MiB

pytestmark = pytest.mark.anyio


async def test_last_bytes_of_a_stalled_connection_are_fetched_over_another(oss: LocalOSS, bucket, tmp_path):
    """Its timeout is far away: without help the download would wait for it."""
    size, part = 4 * MiB, 1 * MiB
    content = oss.put("examplebucket", "key", size=size, seed=1).content
    oss.faults.stall(part - 3 * KiB, range=lambda asked: asked == (size - part, size))
    result = await aioss_resume.download(
        bucket,
        "key",
        tmp_path / "file",
        part_size=part,
        multiget_threshold=100 * KiB,
        concurrency=3,
        timeouts=aioss_resume.Timeouts(stall=100),
    )
    assert result.path.read_bytes() == content.read(0, size)
    assert (size - 3 * KiB, size) in [record.range for record in oss.requests]
