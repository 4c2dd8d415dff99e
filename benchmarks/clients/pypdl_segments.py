"""pypdl, a multi-connection downloader on aiohttp for any URL. No signature, no CRC."""

import time

from benchmarks.clients import LOOP, MANY, ONE, PythonClient, Transfer
from benchmarks.job import Job


class Pypdl(PythonClient):
    package = "pypdl"
    module = "pypdl"

    def prepare(self, job: Job) -> Transfer:
        import pypdl

        def wait(downloader: pypdl.Pypdl) -> None:
            # Its own result() looks once a second only. Its times still come in steps of half a second.
            while not downloader.completed:
                time.sleep(0.002)
            assert len(downloader.success) == job.count, downloader.failed

        def one() -> None:
            downloader = pypdl.Pypdl()
            downloader.start(
                job.url(job.prefix),
                job.path(job.prefix),
                segments=job.concurrency,
                block=False,
                display=False,
            )
            wait(downloader)

        def many() -> None:
            tasks = [{"url": job.url(key), "file_path": job.path(key)} for key in job.every_key()]
            downloader = pypdl.Pypdl(max_concurrent=job.concurrency)
            downloader.start(tasks=tasks, multisegment=False, block=False, display=False)
            wait(downloader)

        return one if job.count == 1 else many


CLIENTS = [Pypdl("pypdl", {ONE, MANY, LOOP})]
