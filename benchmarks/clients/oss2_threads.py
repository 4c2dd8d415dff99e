"""oss2, the SDK that most people have: resumable_download and, for small objects, a pool of threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.clients import LOOP, MANY, ONE, RESUME, PythonClient, Transfer
from benchmarks.job import ACCESS_KEY, ACCESS_SECRET, BUCKET, REGION, Job


class Oss2(PythonClient):
    package = "oss2"
    module = "oss2"

    def __init__(self, name: str, *, crc: bool) -> None:
        super().__init__(name, {ONE, MANY, RESUME, LOOP})
        self.crc = crc

    def prepare(self, job: Job) -> Transfer:
        import oss2

        # Its pool holds 10 connections; more threads than that would reconnect for each request.
        oss2.defaults.connection_pool_size = max(10, job.concurrency)

        def bucket() -> oss2.Bucket:
            auth = oss2.AuthV4(ACCESS_KEY, ACCESS_SECRET)
            return oss2.Bucket(auth, job.endpoint, BUCKET, region=REGION, enable_crc=self.crc)

        def one() -> None:
            oss2.resumable_download(
                bucket(),
                job.prefix,
                job.path(job.prefix),
                multiget_threshold=job.part_size,
                part_size=job.part_size,
                num_threads=job.concurrency,
                # Its records go to the home folder otherwise.
                store=oss2.ResumableDownloadStore(root=str(Path(job.directory, "oss2-records"))),
            )

        def many() -> None:
            shared = bucket()
            with ThreadPoolExecutor(job.concurrency) as pool:
                for _ in pool.map(lambda key: shared.get_object_to_file(key, job.path(key)), job.every_key()):
                    pass

        return one if job.count == 1 else many


CLIENTS = [Oss2("oss2", crc=True), Oss2("oss2/no-crc", crc=False)]
