"""A small web service around one Downloader: it proxies objects with ranges, and downloads them to its disk.

Run it: pip install 'aioss-resume[starlette]' fastapi uvicorn, then

    OSS_ENDPOINT=https://oss-cn-hangzhou.aliyuncs.com OSS_REGION=cn-hangzhou OSS_BUCKET=examplebucket \
    OSS_ACCESS_KEY_ID=... OSS_ACCESS_KEY_SECRET=... uvicorn app:app
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import oss2
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, StreamingResponse
from oss2.credentials import EnvironmentVariableCredentialsProvider

from aioss_resume import AiossError, Downloader
from aioss_resume.contrib.starlette import ObjectResponse

HERE = Path(__file__).parent
FILES = Path(os.environ.get("FILES", "files"))


@dataclass
class Job:
    """A download to the service's disk, and how far it is."""

    key: str
    state: str = "running"
    consumed: int = 0
    total: int | None = None
    resumed: int = 0
    error: str = ""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One Downloader for the whole service: one session, one budget, keys that are refreshed for weeks."""
    auth = oss2.ProviderAuthV4(EnvironmentVariableCredentialsProvider())
    bucket = oss2.Bucket(auth, os.environ["OSS_ENDPOINT"], os.environ["OSS_BUCKET"], region=os.environ["OSS_REGION"])
    app.state.jobs = {}
    async with Downloader(bucket) as downloader, asyncio.TaskGroup() as tasks:
        app.state.downloader, app.state.tasks = downloader, tasks
        app.state.running = {}
        yield
        for task in app.state.running.values():
            task.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(HERE / "page.html")


@app.api_route("/objects/{key:path}", methods=["GET", "HEAD"])
async def proxy(key: str, request: Request) -> ObjectResponse:
    """The object, straight through: a <video> can seek in it."""
    return ObjectResponse(request.app.state.downloader, key, request)


@app.post("/downloads/{key:path}")
async def start(key: str, request: Request) -> dict[str, object]:
    """Download an object to disk, or continue a download that was interrupted."""
    state = request.app.state
    if key not in state.running:
        job = state.jobs[key] = Job(key)
        state.running[key] = state.tasks.create_task(_download(state, job))
    return asdict(state.jobs[key])


@app.delete("/downloads/{key:path}")
async def interrupt(key: str, request: Request) -> dict[str, object]:
    """Interrupt a download. What it has is kept for the next start."""
    state = request.app.state
    if key not in state.jobs:
        raise HTTPException(404)
    if key in state.running:
        state.running[key].cancel()
        await asyncio.wait([state.running[key]])
    return asdict(state.jobs[key])


@app.get("/progress/{key:path}")
async def progress(key: str, request: Request) -> StreamingResponse:
    """How far it is, as server-sent events, until it ends."""
    jobs = request.app.state.jobs
    if key not in jobs:
        raise HTTPException(404)

    async def events() -> AsyncIterator[str]:
        while True:
            job = jobs[key]
            yield f"data: {json.dumps(asdict(job))}\n\n"
            if job.state != "running":
                return
            await asyncio.sleep(0.1)

    return StreamingResponse(events(), media_type="text/event-stream")


async def _download(state: object, job: Job) -> None:
    def note(consumed: int, total: int | None) -> None:
        job.consumed, job.total = consumed, total

    try:
        path = FILES / job.key.replace("/", "_")
        result = await state.downloader.download(job.key, path, progress_callback=note)
        job.state, job.resumed = "done", result.resumed_bytes
    except AiossError as error:
        job.state, job.error = "failed", str(error)
    except asyncio.CancelledError:
        job.state = "interrupted"
        raise
    finally:
        del state.running[job.key]
