"""rclone over its HTTP backend: several streams for one object, no signature, no CRC-64, no resume."""

import os
from pathlib import Path

from benchmarks.clients import MANY, ONE
from benchmarks.clients.command import CommandClient
from benchmarks.job import BUCKET, Job


class Rclone(CommandClient):
    program = "rclone"
    version_argument = "version"

    def command(self, job: Job) -> list[str]:
        argv = [
            "rclone",
            "--config",
            os.devnull,
            "--http-url",
            f"{job.endpoint}/{BUCKET}",
            "--http-no-head=false",
        ]
        if job.authority:
            argv += ["--ca-cert", job.authority]
        if job.count > 1:
            keys = Path(job.directory, "keys.rclone")
            keys.write_text("\n".join(job.every_key()))
            many = ["--transfers", str(job.concurrency), "--checkers", str(job.concurrency)]
            return [*argv, *many, "copy", "--no-traverse", "--files-from", str(keys), ":http:", job.directory]
        cut = ["--multi-thread-streams", str(job.concurrency), "--multi-thread-cutoff", f"{job.part_size}B"]
        return [*argv, *cut, "copyto", f":http:{job.prefix}", job.path(job.prefix)]


CLIENTS = [Rclone("rclone", {ONE, MANY})]
