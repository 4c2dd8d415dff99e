"""A run through a network of known speed: its seconds, against those that the network needs."""

from benchmarks.arena import Case, Play, transfer
from benchmarks.contestants import Contestant
from benchmarks.job import Job
from benchmarks.measure import Figures
from benchmarks.proxy import Proxy
from benchmarks.server import Nginx


def play_through(server: Nginx, proxy: Proxy, seed: int, fair: float) -> Play:
    """`fair`: seconds for the whole object when all connections are fast, full and started at once."""

    def play(_case: Case, who: Contestant, job: Job, run: int) -> Figures:
        proxy.reset(seed + run)
        figures = transfer(server, who, job)
        return {
            **figures,
            "fair": figures["seconds"] / fair,
            "of_link": fair / figures["seconds"],
            "connections": proxy.stats()["connections"],
        }

    return play
