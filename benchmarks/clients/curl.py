"""curl: one connection, and the measure of what one connection can bring. Resumes from the file's length."""

from pathlib import Path

from benchmarks.clients import MANY, ONE, RESUME
from benchmarks.clients.command import CommandClient
from benchmarks.job import Job


class Curl(CommandClient):
    program = "curl"

    def command(self, job: Job) -> list[str]:
        argv = ["curl", "-q", "--silent", "--show-error", "--fail"]
        if job.authority:
            argv += ["--cacert", job.authority]
        if job.count > 1:
            urls = Path(job.directory, "urls.curl")
            urls.write_text("".join(f'url="{job.url(k)}"\noutput="{job.path(k)}"\n' for k in job.every_key()))
            # Without --parallel-immediate, curl first waits whether one connection can carry all requests.
            argv += ["--parallel", "--parallel-immediate", "--parallel-max", str(job.concurrency)]
            return [*argv, "--config", str(urls)]
        if job.keeps_checkpoint:
            argv += ["--continue-at", "-"]
        return [*argv, "--output", job.path(job.prefix), job.url(job.prefix)]


CLIENTS = [Curl("curl", {ONE, MANY, RESUME})]
