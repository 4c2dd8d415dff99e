"""A network that exists in numbers only: what a transfer takes over connections of known speed, without any I/O.

Time goes in steps of 10 ms. As in SpanScheduler, a free slot looks for work when a flight has landed, and all slots do
so each 0.1 s, when stragglers are looked for too.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aioss_resume._core.flight import Flight
from aioss_resume._core.transfer import Transfer

STEP = 0.01
LOOK_SECONDS = 0.1

Sender = Callable[[float], float]
"""Bytes that the server has sent, so many seconds after the request reached it. Never decreases."""


def steady(speed: float) -> Sender:
    return lambda seconds: speed * seconds


def in_bursts(speed: float, pause: float = 1.0) -> Sender:
    """The bytes of `pause` seconds at once, then a pause: nginx does so with `limit_rate`, for a second."""
    return lambda seconds: speed * pause * (1 + seconds // pause)


def stalling(speed: float, at: float, seconds: float) -> Sender:
    """Steady, but for a pause of `seconds` that begins `at` seconds after the request."""
    return lambda elapsed: speed * (min(elapsed, at) + max(0.0, elapsed - at - seconds))


@dataclass
class Request:
    """One flight's request. It is over when the flight was interrupted or has all its bytes."""

    flight: Flight
    began: float
    send: Sender
    is_interrupted: bool = False

    def on_shortened(self) -> None:
        self.is_interrupted = not self.flight.remaining


@dataclass(frozen=True)
class Ended:
    """What a transfer took, and how many flights it gave up."""

    seconds: float
    requests: int
    given_up: int


def fetch(
    size: int,
    slots: int,
    sender: Callable[[int, int], Sender],
    *,
    part_size: int,
    latency: float = 0.0,
    link: float = float("inf"),
    most_seconds: float = 600.0,
) -> Ended:
    """Fetch an object of `size` bytes.

    Args:
        sender: The server's speed for a request, from the request's number and the number of its slot.
        latency: Seconds from a request to its first byte.
        link: Bytes per second of all connections together.
    """
    transfer = Transfer(size, part_size=part_size)
    requests: dict[int, Request] = {}
    count, given_up, now, look_at = 0, 0, 0.0, 0.0
    while not transfer.is_complete:
        assert now < most_seconds, "the transfer does not end"
        if now >= look_at:
            given_up += transfer.give_up_straggler(now)
            look_at = now + LOOK_SECONDS
            for slot in range(slots):
                if slot not in requests and (flight := transfer.claim() or transfer.claim_share(now)):
                    request = requests[slot] = Request(flight, now, sender(count, slot))
                    flight.on_shortened = request.on_shortened
                    flight.begin(now)
                    count += 1
        now += STEP
        room = int(min(link, size / STEP) * STEP / max(1, len(requests)))
        for slot, request in list(requests.items()):
            flight, elapsed = request.flight, now - request.began - latency
            if elapsed >= 0 and not request.is_interrupted:
                if flight.reach == flight.start:
                    transfer.note_latency(now - request.began)
                sent = int(request.send(elapsed)) - (flight.reach - flight.start)
                if length := min(flight.remaining, sent, room):
                    flight.receive(length, now)
                    flight.write(flight.reach, 0)
                flight.wait(now)
            if request.is_interrupted or not flight.remaining:
                flight.write(flight.reach, 0)
                transfer.land(flight, now)
                del requests[slot]
                look_at = now
    assert sum(span.stop - span.start for span in transfer.spans()) == size
    return Ended(now, count, given_up)
