"""Running batches to their end, and looking at what they leave."""

from pathlib import Path
from typing import Any

from flow.ranged import QUICK

from aioss_resume import Downloader
from aioss_resume.testing import LocalOSS

FAST: dict[str, Any] = {"fsync": False, "retry": QUICK}  # Any: keywords of many types


async def outcomes_of(batch: Any) -> list[Any]:
    """All outcomes of a batch, as they end. Any: of many, or of a prefix."""
    async with batch as outcomes:
        return [outcome async for outcome in outcomes]


async def mirror(bucket: Any, prefix: str, directory: Path, **keywords: Any) -> dict[str, Any]:
    """The outcomes of a prefix by key."""
    async with Downloader(bucket) as downloader:
        found = await outcomes_of(downloader.download_prefix(prefix, directory, **{**FAST, **keywords}))
    return {outcome.key: outcome for outcome in found}


def actions(outcomes: dict[str, Any]) -> dict[str, str]:
    return {key: outcome.action for key, outcome in outcomes.items()}


def tree(directory: Path) -> dict[str, bytes | str | None]:
    """Everything below a directory: files with their content, links with their target; directories have None."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif not name.startswith(".aioss-resume.sqlite"):
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def gets(oss: LocalOSS) -> list[str]:
    """The keys of the requests for objects, not for listings."""
    return [request.key for request in oss.requests if request.key]
