"""This library: on asyncio and uvloop, without fsync (as no rival calls it), with it, and synced in the end; told how
many ranges, and not.
"""

import asyncio
import importlib.metadata
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.clients import LOOP, MANY, ONE, RESUME, PythonClient, Transfer
from benchmarks.job import ACCESS_KEY, ACCESS_SECRET, BUCKET, REGION, Job

ROOT = Path(__file__).resolve().parents[2]


def bucket_of(job: Job) -> Any:  # oss2 ships no types
    """The oss2.Bucket of a job. oss2 is imported here: only the child may import it."""
    import oss2

    return oss2.Bucket(oss2.AuthV4(ACCESS_KEY, ACCESS_SECRET), job.endpoint, BUCKET, region=REGION)


class AiossResume(PythonClient):
    package = "aioss-resume"
    module = "aioss_resume"

    def __init__(
        self,
        name: str,
        loop: str,
        *,
        fsync: bool = False,
        is_synced: bool = False,
        is_auto: bool = False,
        storage: str = "",
    ) -> None:
        super().__init__(name, {ONE, MANY, RESUME, LOOP}, loop=loop)
        self.fsync = fsync
        self.is_synced = is_synced
        self.is_auto = is_auto
        self.storage = storage

    def missing(self) -> str | None:
        if reason := super().missing():
            return reason
        # In a process of its own, because importing an unfinished tree may fail in any way.
        wanted = "from aioss_resume import Downloader, download"
        tried = subprocess.run([self.python(), "-c", wanted], capture_output=True, text=True, cwd=ROOT, check=False)
        return f"cannot be imported: {tried.stderr.splitlines()[-1]}" if tried.returncode else None

    def version(self) -> str:
        try:
            return super().version()
        except importlib.metadata.PackageNotFoundError:
            return "source tree"

    def prepare(self, job: Job) -> Transfer:
        if self.storage:
            os.environ["AIOSS_RESUME_STORAGE"] = self.storage  # read when the library is imported
        import oss2  # noqa: F401

        import aioss_resume

        if self.loop == "uvloop":
            import uvloop  # noqa: F401

        async def one() -> dict[str, float]:
            result = await aioss_resume.download(
                bucket_of(job),
                job.prefix,
                job.path(job.prefix),
                concurrency="auto" if self.is_auto else job.concurrency,
                part_size=None if self.is_auto else job.part_size,
                fsync=self.fsync,
            )
            return {"resumed_bytes": result.resumed_bytes, "library_elapsed": result.elapsed}

        async def many() -> None:
            keys = iter(job.every_key())
            results = []
            async with aioss_resume.Downloader(bucket_of(job), concurrency=job.concurrency) as downloader:

                async def work() -> None:
                    for key in keys:
                        result = await downloader.download(key, job.path(key), fsync=self.fsync)
                        if self.is_synced:
                            results.append(result)

                async with asyncio.TaskGroup() as workers:
                    for _ in range(job.concurrency):
                        workers.create_task(work())
                await downloader.sync(results)

        return one if job.count == 1 else many


class AtOnce(AiossResume):
    """All objects of a job started at once: by calls of download(), or through one Downloader."""

    def __init__(self, name: str, *, has_downloader: bool) -> None:
        super().__init__(name, "asyncio")
        self.has_downloader = has_downloader

    def prepare(self, job: Job) -> Transfer:
        import aioss_resume

        bucket = bucket_of(job)

        async def calls() -> None:
            await asyncio.gather(
                *(aioss_resume.download(bucket, key, job.path(key), fsync=False) for key in job.every_key())
            )

        async def one_downloader() -> None:
            async with aioss_resume.Downloader(bucket) as downloader:
                await asyncio.gather(*(downloader.download(key, job.path(key), fsync=False) for key in job.every_key()))

        return one_downloader if self.has_downloader else calls


CLIENTS = [
    AtOnce("aioss-resume/calls", has_downloader=False),
    AtOnce("aioss-resume/one-downloader", has_downloader=True),
    AiossResume("aioss-resume", "asyncio"),
    AiossResume("aioss-resume/uvloop", "uvloop"),
    AiossResume("aioss-resume/fsync", "asyncio", fsync=True),
    AiossResume("aioss-resume/synced", "asyncio", is_synced=True),
    AiossResume("aioss-resume/auto", "asyncio", is_auto=True),
    AiossResume("aioss-resume/portable", "asyncio", storage="portable"),
]
