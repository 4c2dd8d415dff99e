"""Clients that list a prefix and count its keys."""

from typing import Any

from benchmarks.clients import ONE, PythonClient, Transfer
from benchmarks.clients.aioss_resume import bucket_of
from benchmarks.clients.oss_v2 import _config
from benchmarks.job import BUCKET, Job


class Ours(PythonClient):
    package = "aioss-resume"
    module = "aioss_resume"

    def __init__(self, name: str, loop: str) -> None:
        super().__init__(name, {ONE}, loop=loop)

    def prepare(self, job: Job) -> Transfer:
        import aioss_resume

        bucket = bucket_of(job)

        async def count() -> dict[str, float]:
            found = 0
            async with aioss_resume.Downloader(bucket) as downloader, downloader.list(f"{job.prefix}/") as objects:
                async for _ in objects:
                    found += 1
            return {"received": found}

        return count


class Oss2(PythonClient):
    package = "oss2"
    module = "oss2"

    def prepare(self, job: Job) -> Transfer:
        import oss2

        bucket = bucket_of(job)

        def count() -> dict[str, float]:
            return {"received": sum(1 for _ in oss2.ObjectIteratorV2(bucket, f"{job.prefix}/", max_keys=1000))}

        return count


class OssV2(PythonClient):
    package = "alibabacloud-oss-v2"
    module = "alibabacloud_oss_v2"

    def prepare(self, job: Job) -> Transfer:
        import alibabacloud_oss_v2 as v2

        client: Any = v2.Client(_config(job))  # the SDK's own types

        def count() -> dict[str, float]:
            request = v2.ListObjectsV2Request(bucket=BUCKET, prefix=f"{job.prefix}/", max_keys=1000)
            pages = client.list_objects_v2_paginator().iter_page(request)
            return {"received": sum(len(page.contents or ()) for page in pages)}

        return count


CLIENTS = [
    Ours("list/aioss-resume", "asyncio"),
    Ours("list/aioss-resume-uvloop", "uvloop"),
    Oss2("list/oss2", {ONE}),
    OssV2("list/oss-v2", {ONE}),
]
