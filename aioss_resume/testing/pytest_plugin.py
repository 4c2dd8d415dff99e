"""The pytest fixtures `local_oss` and `oss_bucket`. They are available when the package is installed."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioss_resume.testing import LocalOSS


@pytest.fixture
def local_oss() -> "Iterator[LocalOSS]":
    """A started `aioss_resume.testing.LocalOSS`. The test fails if a fault that was set never occurred."""
    from aioss_resume.testing import LocalOSS  # here: pytest imports plugins also where none is used

    with LocalOSS(strict_faults=True) as oss:
        yield oss


@pytest.fixture
def oss_bucket(local_oss: "LocalOSS") -> Any:  # Any: oss2 has no types
    """An `oss2.Bucket` of `local_oss`, named "examplebucket". Plain HTTP clients must sign as it does."""
    return local_oss.bucket("examplebucket")
