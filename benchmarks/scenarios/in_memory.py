"""A run that leaves no file: what the client received is compared with what was asked for."""

from benchmarks.clients import Client
from benchmarks.job import Job
from benchmarks.measure import Figures, RunFailedError, measure
from benchmarks.server import Nginx
from benchmarks.testbed import transfer


def received(server: Nginx, who: Client, job: Job, expected: int) -> Figures:
    """The figures of a run; a client that writes a file has it checked instead."""
    if "/" not in who.name or who.name.split("/")[0] == "aioss-resume":
        return transfer(server, who, job)
    server.wire()
    figures = measure(who, job)
    sent, requests = server.wire()
    if figures.get("received") != expected:
        raise RunFailedError(f"received {figures.get('received')} of {expected} bytes")
    return {**figures, "wire": sent, "requests": requests}
