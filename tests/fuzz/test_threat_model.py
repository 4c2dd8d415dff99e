"""docs/THREAT_MODEL.md names tests; they are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "THREAT_MODEL.md"


def test_every_test_that_the_threat_model_names_is_there() -> None:
    if not PAGE.exists():
        pytest.skip("the documentation is not beside the tests")
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 50
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (TESTS / file).exists() or f"def {test}(" not in (TESTS / file).read_text(encoding="utf-8")
    ]
    assert missing == []
