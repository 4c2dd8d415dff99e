"""A network of known speed: a TCP proxy in its own process that delays, paces and counts.

Run by `Proxy` as `python -m benchmarks.proxy SETTINGS`; commands come as lines on standard input.
"""

import asyncio
import json
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

CHUNK = 64 * 1024
CREDIT = 0.02
"""Seconds that a paced connection may fall behind and still make up: timers are not exact."""
FIRST = 64 * 1024
"""Bytes that must have passed before the time of the first new one is taken: mere headers are fewer."""


@dataclass(frozen=True, slots=True)
class Settings:
    port: int
    """Of the server behind it, on 127.0.0.1."""
    round_trip: float = 0.0
    """Seconds, half of it in each direction. Connecting itself is not delayed."""
    speed: float = 0.0
    """Bytes per second and connection towards the client; 0: as fast as it goes."""
    total_speed: float = 0.0
    """Bytes per second towards the client of all connections together; 0: no such limit."""
    slow_speed: float = 0.0
    """Bytes per second of a slow connection; 0: there is none."""
    slow_every: int = 10
    """One slow connection in so many."""
    slow_within: int = 8
    """Which of the ten is slow is drawn from the first so many, so that each run meets one."""


class Proxy:
    """The proxy's parent side. Use in `with`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __enter__(self) -> "Proxy":
        argv = [sys.executable, "-m", "benchmarks.proxy", json.dumps(asdict(self.settings))]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://127.0.0.1:{self._answer()['port']}"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def reset(self, seed: int) -> None:
        """Count from zero; the next connection is the first, and `seed` says which ones are slow."""
        self._ask("reset", seed)

    def stats(self) -> dict[str, float]:
        """`bytes` to the client, `connections`, and `first`: the clock after FIRST bytes (0: not yet)."""
        return self._ask("stats")

    def pace(self, speed: float) -> None:
        """Another `speed` for the connections that come."""
        self._ask("pace", speed)

    def _ask(self, *words: object) -> dict[str, float]:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 20)[0]:
            raise RuntimeError("the proxy does not answer")
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer


class _Pace:
    """Bytes let through at a speed: by one connection, or by all that share it."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._ready = 0.0

    def draw(self, length: int, now: float) -> float:
        """When so many bytes have passed, if they come now."""
        if not self.speed:
            return now
        self._ready = max(self._ready, now - CREDIT) + length / self.speed
        return self._ready


class _Server:
    """The child side. Connections are numbered from the last reset."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.speed = settings.speed
        self.all = _Pace(settings.total_speed)
        self.reset(0)

    def reset(self, seed: int) -> None:
        self.seed, self.connections, self.bytes, self.first = seed, 0, 0, 0.0

    def count(self, size: int) -> None:
        self.bytes += size
        if not self.first and self.bytes >= FIRST:
            self.first = time.monotonic()

    def is_slow(self, number: int) -> bool:
        """Which ones are slow depends on the seed alone: every client of one run meets the same."""
        block, place = divmod(number, self.settings.slow_every)
        chosen = random.Random(f"{self.seed}-{block}").randrange(self.settings.slow_within)
        return bool(self.settings.slow_speed) and place == chosen

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speed = self.settings.slow_speed if self.is_slow(self.connections) else self.speed
        self.connections += 1
        delay = self.settings.round_trip / 2
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.settings.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, server_writer, delay, (), lambda _: None))
                both.create_task(_pump(server_reader, writer, delay, (_Pace(speed), self.all), self.count))
        except* (OSError, EOFError):
            pass
        finally:
            server_writer.close()
            writer.close()

    def obey(self, line: str) -> dict[str, float]:
        word, _, value = line.strip().partition(" ")
        if word == "reset":
            self.reset(int(value))
        if word == "pace":
            self.speed = float(value)
        return {"bytes": self.bytes, "connections": self.connections, "first": self.first}


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    delay: float,
    paces: tuple[_Pace, ...],
    count: Callable[[int], None],
) -> None:
    """Bytes one way until the end of the stream; EOFError then, so that the other way ends as well.

    Connections that share a pace come to it in turn, a chunk each, so each gets the same of it.
    """
    # Bounded: a client that does not read must slow the server down, not fill this process.
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1024)

    async def take() -> None:
        while True:
            chunk = await reader.read(CHUNK)
            now = time.monotonic()
            ready = max([now, *(pace.draw(len(chunk), now) for pace in paces)])
            await queue.put((ready + delay, chunk))
            if not chunk:
                return
            if ready > now:
                await asyncio.sleep(ready - now)

    async def give() -> None:
        while True:
            due, chunk = await queue.get()
            if due > (now := time.monotonic()):
                await asyncio.sleep(due - now)
            if not chunk:
                raise EOFError
            writer.write(chunk)
            count(len(chunk))
            await writer.drain()

    async with asyncio.TaskGroup() as halves:
        halves.create_task(take())
        halves.create_task(give())


async def _main(settings: Settings) -> None:
    server = _Server(settings)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=4 * CHUNK)
    print(json.dumps({"port": listening.sockets[0].getsockname()[1]}), flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        print(json.dumps(server.obey(line.decode())), flush=True)
    listening.close()


if __name__ == "__main__":
    asyncio.run(_main(Settings(**json.loads(sys.argv[1]))))
