"""aria2c. It cuts and resumes but knows neither ETag nor CRC-64."""

from pathlib import Path

from benchmarks.clients import MANY, ONE, RESUME
from benchmarks.clients.command import CommandClient
from benchmarks.job import Job


class Aria2(CommandClient):
    program = "aria2c"

    def command(self, job: Job) -> list[str]:
        argv = ["aria2c", "--no-conf", "--quiet", "--file-allocation=none", "--dir", job.directory]
        if job.authority:
            argv.append(f"--ca-certificate={job.authority}")
        if job.count > 1:
            urls = Path(job.directory, "urls.aria2")
            urls.write_text("".join(f"{job.url(k)}\n out={k}\n" for k in job.every_key()))
            return [*argv, f"--max-concurrent-downloads={job.concurrency}", f"--input-file={urls}"]
        most = str(min(16, job.concurrency))  # aria2's own limit of connections to one server
        argv += ["-x", most, "-s", most, "-k", str(job.part_size), "--continue=true"]
        return [*argv, "--auto-save-interval=1", "--out", job.prefix, job.url(job.prefix)]


CLIENTS = [Aria2("aria2c", {ONE, MANY, RESUME})]
