"""alibabacloud-oss-v2, the SDK that follows oss2: its Downloader with threads, and its async client."""

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.clients import LOOP, MANY, ONE, RESUME, PythonClient, Transfer
from benchmarks.job import ACCESS_KEY, ACCESS_SECRET, BUCKET, REGION, Job, MiB


class _OssV2(PythonClient):
    package = "alibabacloud-oss-v2"
    module = "alibabacloud_oss_v2"


def _config(job: Job) -> Any:  # the SDK's Config, which only the child may import
    import alibabacloud_oss_v2 as v2

    return v2.Config(
        region=REGION,
        endpoint=job.endpoint,
        use_path_style=True,
        credentials_provider=v2.credentials.StaticCredentialsProvider(ACCESS_KEY, ACCESS_SECRET),
    )


class Threads(_OssV2):
    def prepare(self, job: Job) -> Transfer:
        import alibabacloud_oss_v2 as v2

        def one() -> None:
            records = Path(job.directory, "v2-records")
            records.mkdir(exist_ok=True)
            downloader = v2.Client(_config(job)).downloader(
                part_size=job.part_size,
                parallel_num=job.concurrency,
                use_temp_file=True,
                enable_checkpoint=job.keeps_checkpoint,
                checkpoint_dir=str(records),
            )
            request = v2.GetObjectRequest(bucket=BUCKET, key=job.prefix)
            downloader.download_file(request, job.path(job.prefix))

        return one


class AsyncClient(_OssV2):
    """It has no downloader: one object is one stream, written by a thread."""

    def prepare(self, job: Job) -> Transfer:
        import alibabacloud_oss_v2 as v2
        import alibabacloud_oss_v2.aio as aio

        async def one() -> None:
            async with aio.AsyncClient(_config(job)) as client:
                # Not get_object(): that one reads the whole object into memory first.
                answer = await client.get_object_as_stream(v2.GetObjectRequest(bucket=BUCKET, key=job.prefix))
                async with answer.body as body:
                    with open(job.path(job.prefix), "wb", buffering=0) as file:
                        async for chunk in await body.iter_bytes(block_size=MiB):
                            await asyncio.to_thread(file.write, chunk)

        async def many() -> None:
            keys = iter(job.every_key())
            async with aio.AsyncClient(_config(job)) as client, asyncio.TaskGroup() as workers:

                async def work() -> None:
                    for key in keys:
                        answer = await client.get_object(v2.GetObjectRequest(bucket=BUCKET, key=key))
                        Path(job.path(key)).write_bytes(await answer.body.read())

                for _ in range(job.concurrency):
                    workers.create_task(work())

        return one if job.count == 1 else many


CLIENTS = [
    Threads("oss-v2", {ONE, RESUME}),
    AsyncClient("oss-v2/async", {ONE, MANY, LOOP}, loop="asyncio"),
]
