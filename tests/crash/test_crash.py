"""The campaign of `python -m tests.crash`, small."""

from pathlib import Path

import pytest

from aioss_resume.testing import MiB

from .campaign import Campaign
from .race import Race


def test_killed_downloads_resume_and_never_damage_the_destination(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, 64 * MiB, seed=5, say=print)
    campaign.run(kills=3)
    assert campaign.violations == []
    assert campaign.summary().startswith("3 kills")


@pytest.mark.parametrize("no_locks", [False, True])
def test_processes_that_race_for_a_path_and_are_killed_never_damage_the_destination(
    no_locks: bool, tmp_path: Path
) -> None:
    race = Race(tmp_path, 16 * MiB, 7, 2, no_locks=no_locks, say=print)
    race.run(kills=3)
    assert race.violations == []
    assert race.summary().startswith("3 kills")
