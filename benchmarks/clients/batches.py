"""This library's batches: many objects, a prefix, a prefix that is there already, and a cluster."""

import os
import time
from typing import Any

from benchmarks.clients import MANY, PythonClient, Transfer
from benchmarks.clients.aioss_resume import bucket_of
from benchmarks.job import ACCESS_KEY, ACCESS_SECRET, BUCKET, REGION, Job


class Batch(PythonClient):
    package = "aioss-resume"
    module = "aioss_resume"

    def __init__(self, name: str, what: str, *, loop: str = "asyncio") -> None:
        super().__init__(name, {MANY}, loop=loop)
        self.what = what

    def prepare(self, job: Job) -> Transfer:
        import aioss_resume

        bucket = bucket_of(job)

        async def drain(batch: Any) -> int:
            count = 0
            async with batch as outcomes:
                async for outcome in outcomes:
                    assert outcome.error is None, outcome.error
                    count += 1
            return count

        def prefix(downloader: Any) -> Any:
            return downloader.download_prefix(f"{job.prefix}/", job.path(job.prefix), fsync=False)

        async def transfer() -> dict[str, float] | None:
            async with aioss_resume.Downloader(bucket, concurrency=job.concurrency) as downloader:
                if self.what == "many":
                    items = ((key, job.path(key)) for key in job.every_key())
                    await drain(downloader.download_many(items, fsync=False))
                    return None
                await drain(prefix(downloader))
                if self.what == "prefix":
                    return None
                began = time.perf_counter()
                count = await drain(prefix(downloader))
                return {"second_run": count / (time.perf_counter() - began)}

        return transfer


class Cluster(PythonClient):
    """A Dask cluster of so many processes on this machine. Its start is not measured."""

    package = "aioss-resume"
    module = "distributed"

    def __init__(self, name: str, workers: int) -> None:
        super().__init__(name, {MANY}, loop="asyncio")
        self.workers = workers

    def prepare(self, job: Job) -> Transfer:
        import distributed

        from aioss_resume.contrib.dask import BucketConfig, download_prefix_on

        os.environ.update(OSS_ACCESS_KEY_ID=ACCESS_KEY, OSS_ACCESS_KEY_SECRET=ACCESS_SECRET)
        config = BucketConfig(job.endpoint, BUCKET, REGION)

        async def transfer() -> dict[str, float]:
            async with (
                distributed.LocalCluster(
                    n_workers=self.workers, threads_per_worker=1, dashboard_address=":0", asynchronous=True
                ) as cluster,
                distributed.Client(cluster, asynchronous=True) as client,
            ):
                began = time.perf_counter()
                batch = download_prefix_on(
                    client,
                    config,
                    f"{job.prefix}/",
                    job.path(job.prefix),
                    shared_directory=True,
                    concurrency=job.concurrency * self.workers,
                    fsync=False,
                )
                async with batch as outcomes:
                    async for outcome in outcomes:
                        assert outcome.error is None, outcome.error
                return {"without_start": time.perf_counter() - began}

        return transfer


CLIENTS = [
    Batch("many/aioss-resume", "many"),
    Batch("many/aioss-resume-uvloop", "many", loop="uvloop"),
    Batch("many/prefix", "prefix"),
    Batch("many/prefix-uvloop", "prefix", loop="uvloop"),
    Batch("many/second-run", "second run"),
    Cluster("cluster/1-process", 1),
    Cluster("cluster/2-processes", 2),
]
