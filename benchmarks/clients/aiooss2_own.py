"""aiooss2, oss2 on aiohttp. It pins another oss2 than ours, so it gets an environment of its own."""

import asyncio
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.clients import LOOP, MANY, ONE, RESUME, PythonClient, Transfer
from benchmarks.job import ACCESS_KEY, ACCESS_SECRET, BUCKET, Job


def _folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches, "aioss-resume-bench", f"aiooss2-{sys.version_info[0]}.{sys.version_info[1]}")


@cache
def _environment() -> str | None:
    """Make the environment once; the reason why that failed, or None."""
    ready = _folder() / "ready"
    if ready.exists():
        return None
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", _folder()], check=True, capture_output=True)
        install = [str(_folder() / "bin/python"), "-m", "pip", "install", "--quiet", "aiooss2"]
        subprocess.run(install, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        return f"its environment in {_folder()} could not be made: {error}"
    ready.touch()
    return None


class Aiooss2(PythonClient):
    package = "aiooss2"
    module = "aiooss2"

    def missing(self) -> str | None:
        return _environment()

    def version(self) -> str:
        code = "import importlib.metadata as m; print(m.version('aiooss2'), 'with oss2', m.version('oss2'))"
        return subprocess.check_output([self.python(), "-c", code], text=True).strip()

    def python(self) -> str:
        return str(_folder() / "bin/python")

    def prepare(self, job: Job) -> Transfer:
        import aiooss2
        import oss2
        from oss2.resumable import ResumableDownloadStore

        def bucket() -> aiooss2.AioBucket:  # it signs with V1 only
            return aiooss2.AioBucket(oss2.Auth(ACCESS_KEY, ACCESS_SECRET), job.endpoint, BUCKET)

        async def one() -> None:
            async with bucket() as opened:
                await aiooss2.resumable_download(
                    opened,
                    job.prefix,
                    job.path(job.prefix),
                    store=ResumableDownloadStore(root=str(Path(job.directory, "aiooss2-records"))),
                    part_size=job.part_size,
                    num_threads=job.concurrency,
                    multiget_threshold=job.part_size,
                )

        async def many() -> None:
            keys = iter(job.every_key())
            async with bucket() as opened, asyncio.TaskGroup() as workers:

                async def work() -> None:
                    for key in keys:
                        await opened.get_object_to_file(key, job.path(key))

                for _ in range(job.concurrency):
                    workers.create_task(work())

        return one if job.count == 1 else many


CLIENTS = [Aiooss2("aiooss2", {ONE, MANY, RESUME, LOOP}, loop="asyncio")]
