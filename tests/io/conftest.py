"""Threads of ours for tests of one module, all ended when the test has."""

import threading
from collections.abc import AsyncIterator

import pytest

from aioss_resume._io.threads import Threads


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def threads(anyio_backend: str) -> AsyncIterator[Threads]:
    made = Threads()
    yield made
    await made.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("aioss-resume")] == []
