"""A run through a network of known speed: its seconds, against those that the network needs."""

from benchmarks.clients import Client
from benchmarks.job import Job
from benchmarks.measure import Figures
from benchmarks.proxy import Proxy
from benchmarks.server import Nginx
from benchmarks.testbed import Case, RunOnce, transfer


def through_proxy(server: Nginx, proxy: Proxy, seed: int, fair: float) -> RunOnce:
    """`fair`: seconds for the whole object when all connections are fast, full and started at once."""

    def run_once(_case: Case, who: Client, job: Job, run: int) -> Figures:
        proxy.reset(seed + run)
        figures = transfer(server, who, job)
        return {
            **figures,
            "fair": figures["seconds"] / fair,
            "of_link": fair / figures["seconds"],
            "connections": proxy.stats()["connections"],
        }

    return run_once
