"""A web service: how late a trivial endpoint answers, at rest and while its Downloader works at full speed."""

import asyncio
import json
import socket
import sys
from typing import Any

from benchmarks.clients import ONE, PythonClient, Transfer
from benchmarks.clients.aioss_resume import bucket_of
from benchmarks.job import Job

REQUESTS, RATE = 400, 50.0
"""How many requests are made to the endpoint, and how many in a second."""
STREAMS = 10

LOAD = f"""
import asyncio, json, sys, time, aiohttp

async def main():
    waits = []
    async with aiohttp.ClientSession() as session:
        async def ask():
            began = time.perf_counter()
            async with session.get(sys.argv[1]) as response:
                assert await response.text() == "ok"
            waits.append(time.perf_counter() - began)
        begin, tasks = time.perf_counter(), []
        for number in range({REQUESTS}):
            await asyncio.sleep(max(0, begin + number / {RATE} - time.perf_counter()))
            tasks.append(asyncio.ensure_future(ask()))
        await asyncio.gather(*tasks)
    waits.sort()
    print(json.dumps({{"p99": waits[int(0.99 * len(waits))], "p50": waits[len(waits) // 2]}}))

asyncio.run(main())
"""


class Service(PythonClient):
    """uvicorn and a Downloader in one event loop; the requests come from a process of their own."""

    package = "aioss-resume"
    module = "uvicorn"

    def __init__(self, name: str, *, is_busy: bool) -> None:
        super().__init__(name, {ONE}, loop="asyncio")
        self.is_busy = is_busy

    def prepare(self, job: Job) -> Transfer:
        import uvicorn
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        import aioss_resume

        bucket = bucket_of(job)

        async def ok(_: Any) -> PlainTextResponse:
            return PlainTextResponse("ok")

        async def read(downloader: aioss_resume.Downloader) -> None:
            while True:
                async with downloader.stream(job.prefix, window=8 << 20) as stream:
                    async for _ in stream:
                        pass

        async def download(downloader: aioss_resume.Downloader) -> None:
            while True:
                await downloader.download(job.prefix, job.path(job.prefix), fsync=False)

        async def transfer() -> dict[str, float]:
            # asyncio sets TCP_NODELAY only if the protocol is given; without it, responses wait 40 ms for an ACK.
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            server = uvicorn.Server(uvicorn.Config(Starlette(routes=[Route("/", ok)]), log_level="critical"))
            serving = asyncio.ensure_future(server.serve(sockets=[listener]))
            async with aioss_resume.Downloader(bucket) as downloader:
                works = [read] * STREAMS + [download] if self.is_busy else []
                tasks = [asyncio.ensure_future(work(downloader)) for work in works]
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
                load = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", LOAD, url, stdout=asyncio.subprocess.PIPE
                )
                said, _ = await load.communicate()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            server.should_exit = True
            await serving
            figures: dict[str, float] = json.loads(said)
            return figures

        return transfer


CLIENTS = [Service("service/idle", is_busy=False), Service("service/busy", is_busy=True)]
