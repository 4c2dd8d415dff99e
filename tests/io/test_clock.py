"""The machine's own clock and dice."""

import re
from datetime import timedelta

import anyio
import pytest

from aioss_resume._io.clock import Clock

pytestmark = pytest.mark.anyio


async def test_clock_never_goes_back() -> None:
    seen = [Clock().now() for _ in range(1000)]
    assert seen == sorted(seen)


async def test_time_of_day_says_its_zone() -> None:
    assert Clock().utc().utcoffset() == timedelta(0)


async def test_chance_is_at_least_zero_and_below_one() -> None:
    seen = [Clock().chance() for _ in range(1000)]
    assert all(0 <= chance < 1 for chance in seen)
    assert len(set(seen)) > 1


async def test_token_is_unique_and_valid_in_a_file_name() -> None:
    seen = {Clock().token() for _ in range(100)}
    assert len(seen) == 100
    assert all(re.fullmatch("[0-9a-f]{24}", token) for token in seen)


async def test_sleep_can_be_cancelled() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await Clock().sleep(3600)
    assert scope.cancelled_caught
