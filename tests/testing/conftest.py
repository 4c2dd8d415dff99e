"""A LocalOSS and a plain client for it."""

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from raw_client import Fetch, Got, raw_fetch

from aioss_resume.testing import LocalOSS


@pytest.fixture
def oss() -> Iterator[LocalOSS]:
    with LocalOSS() as server:
        server.make_public("open")
        yield server


@pytest.fixture
def fetch(oss: LocalOSS) -> Fetch:
    """One request of a client that reads what it gets and checks nothing."""

    def fetch(path: str, method: str = "GET", **headers: str) -> Got:
        return raw_fetch(oss.port, path, method, {name.replace("_", "-"): value for name, value in headers.items()})

    return fetch


@pytest.fixture
def bucket(oss: LocalOSS) -> Iterator[Any]:  # Any: oss2 has no types
    """A bucket. oss2 leaves a connection open when it raises an error, and Python 3.13 warns when it is collected."""
    yield oss.bucket("examplebucket")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
