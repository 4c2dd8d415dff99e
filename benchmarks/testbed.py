"""Who runs when, and was it right: runs interleaved in a shuffled order, files checked off the clock."""

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastcrc import crc64

from benchmarks.clients import Client, load
from benchmarks.job import Job, MiB
from benchmarks.measure import Figures, RunFailedError, measure
from benchmarks.server import Nginx, Stored


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for; None: the benchmark's own."""

    runs: int | None = None
    size: int | None = None
    concurrency: int | None = None
    only: tuple[str, ...] = ()
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Case:
    """One column of a benchmark: a job, and who takes part."""

    name: str
    job: Job
    clients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of one client gave. A failed run has an error instead of figures."""

    case: str
    client: str
    run: int
    figures: Figures = field(default_factory=dict)
    error: str = ""


RunOnce = Callable[[Case, Client, Job, int], Figures]
"""Do one run: the job has its own empty directory; the number seeds what is drawn."""


class Testbed:
    """Keeps the folder, finds the clients once, and says who cannot take part."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options
        self.skipped: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def run_all(self, cases: Iterable[Case], runs: int, run_once: RunOnce) -> list[Sample]:
        """Every case, client and run; one at a time, each round in a new order."""
        entries = [(case, who) for case in cases for who in map(self._client_named, case.clients) if who]
        order = random.Random(self.options.seed)
        samples: list[Sample] = []
        places: dict[tuple[str, str], int] = {}
        for case, who in entries:
            places[case.name, who.name] = len(places)
        for run in range(self.options.runs or runs):
            order.shuffle(entries)
            for case, who in entries:
                samples.append(self._run_once(case, who, run, run_once))
        return sorted(samples, key=lambda sample: places[sample.case, sample.client])

    def _client_named(self, name: str) -> Client | None:
        # "oss2" means its whole family, "oss2/no-crc" that one, and "oss2/" the one without a suffix.
        asked = {name, name.split("/")[0]} if "/" in name else {name, f"{name}/"}
        if self.options.only and not asked & {*self.options.only}:
            return None
        client = load(name)
        if name not in self.versions and name not in self.skipped:
            if reason := client.missing():
                self.skipped[name] = reason
                say(f"skipped {name}: {reason}")
            else:
                self.versions[name] = client.version()
        return client if name in self.versions else None

    def _run_once(self, case: Case, who: Client, run: int, run_once: RunOnce) -> Sample:
        directory = self.folder / "files"
        (directory / case.job.prefix).parent.mkdir(parents=True)
        if case.job.count > 1:
            (directory / case.job.prefix).mkdir()
        try:
            figures = run_once(case, who, replace(case.job, directory=str(directory)), run)
        except RunFailedError as error:
            say(f"{case.name} / {who.name} / run {run + 1}: FAILED: {error}")
            return Sample(case.name, who.name, run, error=str(error))
        finally:
            shutil.rmtree(directory)
        say(f"{case.name} / {who.name} / run {run + 1}: {figures.get('seconds', 0):.3f} s")
        return Sample(case.name, who.name, run, figures)


def transfer(server: Nginx, who: Client, job: Job) -> Figures:
    """The plain run: the whole job, its bytes on the wire, its files checked."""
    server.wire()
    figures = measure(who, job)
    sent, requests = server.wire()
    verify(job, server.objects[job.prefix])
    return {**figures, "wire": sent, "requests": requests}


def verify(job: Job, stored: Stored) -> None:
    """Every file is there and is the object."""
    for key in job.every_key():
        path = job.path(key)
        if not os.path.exists(path):
            raise RunFailedError(f"{key} was not written")
        if os.path.getsize(path) != stored.size or _crc64_of(path) != stored.crc64:
            raise RunFailedError(f"{key} is a wrong file")


def _crc64_of(path: str) -> int:
    checksum = 0
    with open(path, "rb") as file:
        while chunk := file.read(4 * MiB):
            checksum = crc64.xz(chunk, checksum)
    return checksum


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
