"""Our own command, from the start of its process to its end."""

import sys
from pathlib import Path

from benchmarks.clients import MANY, ONE
from benchmarks.clients.command import CommandClient
from benchmarks.job import ACCESS_KEY, ACCESS_SECRET, BUCKET, REGION, Job

PROGRAM = str(Path(sys.executable).with_name("aioss-resume"))


class CommandLine(CommandClient):
    program = PROGRAM

    def command(self, job: Job) -> list[str]:
        keys = [f"OSS_ACCESS_KEY_ID={ACCESS_KEY}", f"OSS_ACCESS_KEY_SECRET={ACCESS_SECRET}"]
        how = ["-e", job.endpoint, "--region", REGION, "--no-fsync", "-q", "-j", str(job.concurrency)]
        if job.count > 1:
            what = ["mirror", f"oss://{BUCKET}/{job.prefix}/", job.path(job.prefix)]
        else:
            what = ["get", f"oss://{BUCKET}/{job.prefix}", job.path(job.prefix)]
        return ["env", *keys, PROGRAM, *what, *how]


CLIENTS = [CommandLine("command/get", {ONE}), CommandLine("command/mirror", {MANY})]
