"""The campaign of `python -m tests.crash`, small."""

from pathlib import Path

from aioss_resume.testing import MiB

from .campaign import Campaign


def test_killed_downloads_resume_and_never_damage_the_destination(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, 64 * MiB, seed=5, say=print)
    campaign.run(kills=3)
    assert campaign.violations == []
    assert campaign.summary().startswith("3 kills")
