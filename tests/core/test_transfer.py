"""The spans of one object, driven through any history, beside a model that is nothing but bytes."""

import random
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aioss_resume._core.checkpoint import Checkpoint, decode, encode
from aioss_resume._core.crc64 import EMPTY, crc64
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.paths import part_name
from aioss_resume._core.spans import Done
from aioss_resume._core.stragglers import SHARE_LEAST
from aioss_resume._core.transfer import Transfer, choose_part_size
from aioss_resume.errors import ObjectName

KiB, MiB, GiB, TiB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
CONTENT = random.Random(1).randbytes(MiB)
NAME = ObjectName("examplebucket", "exampledir/exampleobject.txt")

fractions = st.sampled_from([1.0, 0.5, 0.3, 0.01, 0.0])


class Histories(RuleBasedStateMachine):
    """Any order of claiming, receiving, writing, landing, sharing, proving and crashing."""

    @initialize(
        size=st.sampled_from([MiB, 300 * KiB, 70_001, 1, 0]), part_size=st.sampled_from([MiB, 200 * KiB, 33_333])
    )
    def begin(self, size, part_size):
        self.size, self.part_size = size, part_size
        self.disk = bytearray(size)
        self.now = 0.0
        self.flushed = []
        self.take_up([])

    def take_up(self, kept):
        self.transfer = Transfer(self.size, part_size=self.part_size, kept=kept)
        self.flights = []
        self.interrupted = set()
        self.is_written = bytearray(self.size)  # by a flight of this run, or kept from an earlier run
        for span in kept:
            self.is_written[span.start : span.stop] = b"\1" * (span.stop - span.start)

    def took_off(self, flight):
        assert flight.start == flight.offset == flight.reach < flight.stop
        flight.on_shortened = lambda: flight.remaining or self.interrupted.add(flight)
        flight.begin(self.now)
        self.flights.append(flight)

    def put(self, flight, offset):
        start = flight.offset
        assert not any(self.is_written[start:offset]), "a byte was written twice"
        self.is_written[start:offset] = b"\1" * (offset - start)
        self.disk[start:offset] = CONTENT[start:offset]
        flight.write(offset, crc64(CONTENT[start:offset], flight.crc64))

    @rule(most=st.none() | st.integers(1, MiB))
    def claim(self, most):
        taken = bytearray(self.is_written)
        for each in [*self.flights, *self.transfer.unproven]:
            taken[each.start : each.stop] = b"\1" * (each.stop - each.start)
        had_waiting = self.transfer.has_waiting
        flight = self.transfer.claim(most)
        assert (flight is not None) == had_waiting == (b"\0" in taken)
        if flight is not None:
            assert flight.start == taken.index(b"\0")
            assert flight.stop - flight.start <= (most or self.part_size)
            self.took_off(flight)

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), fraction=fractions)
    def receive(self, data, fraction):
        flight = data.draw(st.sampled_from(self.flights))
        flight.receive(int(flight.remaining * fraction), self.now)

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), fraction=fractions)
    def write(self, data, fraction):
        flight = data.draw(st.sampled_from(self.flights))
        self.put(flight, flight.offset + int((flight.reach - flight.offset) * fraction))

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), fraction=fractions)
    def receive_and_write(self, data, fraction):
        flight = data.draw(st.sampled_from(self.flights))
        flight.receive(int(flight.remaining * fraction), self.now)
        self.put(flight, flight.reach)

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def try_again(self, data):
        flight = data.draw(st.sampled_from(self.flights))
        flight.begin(self.now)
        assert flight.reach == flight.offset

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def land(self, data):
        flight = data.draw(st.sampled_from(self.flights))
        before = self.transfer.consumed
        self.transfer.land(flight, self.now)
        self.flights.remove(flight)
        assert self.transfer.consumed == before

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 30.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(seconds=st.floats(0, 1))
    def an_answer_comes(self, seconds):
        self.transfer.note_latency(seconds)

    @rule()
    def share(self):
        is_possible = self.transfer.can_share(self.now)
        before = {flight: flight.stop for flight in self.flights}
        flight = self.transfer.claim_share(self.now)
        assert (flight is not None) == is_possible
        shortened = [other for other, stop in before.items() if other.stop != stop]
        if flight is None:
            assert not shortened
            return
        (victim,) = shortened
        assert not self.transfer.has_waiting
        assert (victim.stop, before[victim]) == (flight.start, flight.stop)
        assert victim.remaining == 0 or min(victim.remaining, flight.remaining) >= SHARE_LEAST
        assert (victim in self.interrupted) or victim.remaining > 0
        self.took_off(flight)

    @rule()
    def give_up_straggler(self):
        before = {flight: flight.stop for flight in self.flights}
        had_waiting = self.transfer.has_waiting
        was_found = self.transfer.give_up_straggler(self.now)
        shortened = [flight for flight, stop in before.items() if flight.stop != stop]
        assert len(shortened) == was_found
        for flight in shortened:
            assert had_waiting
            assert flight.remaining == 0
            assert flight.given_up < 3
            assert flight in self.interrupted

    @precondition(lambda self: self.transfer.unproven)
    @rule(data=st.data())
    def prove(self, data):
        span = data.draw(st.sampled_from(self.transfer.unproven))
        holds = crc64(self.disk[span.start : span.stop]) == span.crc64
        self.transfer.prove(span, matches=holds)
        if not holds:
            self.is_written[span.start : span.stop] = bytes(span.stop - span.start)

    @rule()
    def flush(self):
        self.flushed = self.transfer.spans()

    @rule(is_flushed=st.booleans(), damage=st.none() | st.floats(0, 1, exclude_max=True))
    def crash_and_resume(self, is_flushed, damage):
        if is_flushed:
            self.flush()
            lost = sum(flight.reach - flight.offset for flight in self.flights)
            received = self.transfer.consumed + lost
        kept = [Done(*span) for span in self.flushed]
        for start, stop in self.gaps(kept):
            self.disk[start:stop] = b"\0" * (stop - start)
        if damage is not None and kept:
            self.disk[kept[int(damage * len(kept))].start] ^= 1
        self.take_up(kept)
        if is_flushed:
            assert self.transfer.consumed == received - lost, "more was lost than was flying"

    def gaps(self, spans):
        edge = 0
        for span in spans:
            yield edge, span.start
            edge = span.stop
        yield edge, self.size

    @invariant()
    def the_whole_object_is_covered_once(self):
        transfer = self.transfer
        # A flight that was given up at once has no bytes.
        flying = [flight for flight in transfer._flying if flight.stop > flight.start]
        pieces = [*transfer._waiting, *flying, *transfer._unproven, *transfer._done]
        edge = 0
        for piece in sorted(pieces, key=lambda piece: (piece.start, piece.stop)):
            assert piece.start == edge
            assert piece.start < piece.stop
            edge = piece.stop
        assert edge == self.size
        for a, b in pairwise(transfer._waiting):
            assert a.stop < b.start or (a.stop == b.start and a.given_up != b.given_up)
        assert all(a.stop < b.start for a, b in pairwise(transfer._done))
        assert all(f.start <= f.offset <= f.reach <= f.stop for f in transfer._flying)

    @invariant()
    def spans_are_what_is_written_and_nothing_else(self):
        spans = self.transfer.spans()
        said = bytearray(self.size)
        edge = -1
        for span in spans:
            assert edge < span.start < span.stop, "neighbours are joined"
            assert span.crc64 == crc64(CONTENT[span.start : span.stop])
            said[span.start : span.stop] = b"\1" * (span.stop - span.start)
            edge = span.stop
        assert said == self.is_written
        assert self.transfer.consumed == said.count(1)

    @invariant()
    def complete_means_the_object_is_there(self):
        assert self.transfer.is_complete == (not (self.transfer.has_waiting or self.flights or self.transfer.unproven))
        if self.transfer.is_complete:
            assert self.transfer.crc64 == crc64(CONTENT[: self.size])
            assert self.disk == CONTENT[: self.size]

    def teardown(self):
        if not hasattr(self, "transfer"):
            return
        while self.flights:
            self.transfer.land(self.flights.pop(), self.now)
        for span in self.transfer.unproven:
            holds = crc64(self.disk[span.start : span.stop]) == span.crc64
            self.transfer.prove(span, matches=holds)
            if not holds:
                self.is_written[span.start : span.stop] = bytes(span.stop - span.start)
        while flight := self.transfer.claim():
            flight.begin(self.now)
            flight.receive(flight.remaining, self.now)
            self.put(flight, flight.stop)
            self.transfer.land(flight, self.now)
        assert self.transfer.is_complete
        self.complete_means_the_object_is_there()
        whole = [Done(0, self.size, crc64(CONTENT[: self.size]))] if self.size else []
        assert self.transfer.spans() == whole


TestAnyHistoryEndsWithTheObject = Histories.TestCase
TestAnyHistoryEndsWithTheObject.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)


def test_empty_object_is_complete_from_the_start():
    transfer = Transfer(0, part_size=MiB)
    assert (transfer.is_complete, transfer.crc64, transfer.spans(), transfer.claim()) == (True, EMPTY, [], None)


def test_kept_spans_are_not_claimed():
    kept = [Done(0, 10, crc64(CONTENT[:10])), Done(20, 30, crc64(CONTENT[20:30]))]
    transfer = Transfer(30, part_size=MiB, kept=reversed(kept))
    flight = transfer.claim()
    assert flight is not None
    assert (flight.start, flight.stop) == (10, 20)
    assert transfer.claim() is None
    assert (transfer.consumed, transfer.unproven) == (20, tuple(kept))


def test_neighbours_that_wait_again_are_one_request():
    transfer = Transfer(3 * MiB, part_size=3 * MiB)
    flights = [transfer.claim(MiB) for _ in range(3)]
    for flight in (flights[0], flights[2], flights[1]):
        transfer.land(flight, 0.0)
    again = transfer.claim()
    assert (again.start, again.stop) == (0, 3 * MiB)
    assert not transfer.has_waiting


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_neighbours_that_are_done_are_one_span(order):
    transfer = Transfer(1000, part_size=250)
    flights = [transfer.claim() for _ in order]
    for flight in (flights[at] for at in order):
        flight.receive(250, 0.0)
        flight.write(flight.stop, crc64(CONTENT[flight.start : flight.stop]))
        transfer.land(flight, 0.0)
    assert list(transfer._done) == transfer.spans() == [Done(0, 1000, crc64(CONTENT[:1000]))]


def test_bytes_written_by_a_flight_count_before_it_lands():
    transfer = Transfer(MiB, part_size=MiB)
    flight = transfer.claim()
    assert flight is not None
    flight.receive(1000, 0.0)
    flight.write(600, crc64(CONTENT[:600]))
    assert transfer.spans() == [Done(0, 600, crc64(CONTENT[:600]))]
    assert (transfer.consumed, transfer.received) == (600, 1000)


def test_flight_is_complete_when_all_of_it_is_written():
    flight = Transfer(1000, part_size=1000).claim()
    assert flight is not None
    flight.receive(1000, 0.0)
    assert not flight.is_complete
    flight.write(1000, crc64(CONTENT[:1000]))
    assert flight.is_complete


def test_crc64_of_an_object_of_several_spans_is_that_of_its_bytes():
    content = memoryview(CONTENT * 65)
    transfer = Transfer(len(content), part_size=33 * MiB)
    while flight := transfer.claim():
        flight.receive(flight.remaining, 0.0)
        flight.write(flight.stop, crc64(content[flight.start : flight.stop]))
        transfer.land(flight, 0.0)
    assert len(transfer.spans()) == 2  # together they would be longer than a span may be
    assert transfer.crc64 == crc64(content)


def test_kept_bytes_are_not_complete_until_they_are_proven():
    span = Done(0, MiB, crc64(CONTENT))
    transfer = Transfer(MiB, part_size=MiB, kept=[span])
    assert not transfer.is_complete
    transfer.prove(span, matches=True)
    assert transfer.crc64 == crc64(CONTENT)


@pytest.mark.parametrize(("length", "reach", "wants_more"), [(5, 9, True), (6, 10, False), (7, 10, False)])
def test_flight_never_receives_beyond_its_stop(length, reach, wants_more):
    flight = Transfer(10, part_size=10).claim()
    assert flight is not None
    assert flight.receive(4, 0.0)
    assert flight.receive(length, 0.0) is wants_more
    assert flight.reach == reach


@given(st.integers(0, 50 * TiB), st.integers(1, 1000))
def test_part_size_is_whole_mebibytes_and_bounded(size, concurrency):
    part_size = choose_part_size(size, concurrency)
    assert isinstance(part_size, int)
    assert part_size % MiB == 0
    assert MiB <= part_size <= 64 * MiB
    requests = -(-size // part_size)
    assert requests <= 4 * concurrency or part_size == 64 * MiB
    assert part_size == MiB or (part_size - MiB) * 4 * concurrency < size  # no larger than that needs


@pytest.mark.parametrize("seed", range(3))
def test_checkpoint_of_a_tebibyte_with_64_flights_stays_small(seed):
    dice = random.Random(seed)
    name = ObjectName("b" * 63, "é" * 511)
    meta = ObjectMeta(name.key, TiB, "A" * 64 + "-16384", (1 << 64) - 1, "V" * 64)
    part_file = part_name("文" * 85, name, meta)
    transfer = Transfer(TiB, part_size=choose_part_size(TiB, 64))
    flights, most_spans, most_bytes, landed, now = [], 0, 0, 0, 0.0
    while not transfer.is_complete:
        now += 0.01
        while len(flights) < 64 and (flight := transfer.claim() or transfer.claim_share(now)):
            flight.begin(now)
            flights.append(flight)
        flight = flights[min(dice.randrange(64), dice.randrange(64)) % len(flights)]
        is_cut = dice.random() < 0.2
        flight.receive(flight.remaining // 3 if is_cut else flight.remaining, now)
        flight.write(flight.reach, dice.getrandbits(64))
        if dice.random() < 0.8 or flight.is_complete:
            transfer.land(flight, now)
            flights.remove(flight)
            landed += 1
        if landed % 50 == 0:
            spans = transfer.spans()
            most_spans = max(most_spans, len(spans))
            most_bytes = max(most_bytes, len(encode(Checkpoint(name, None, meta, part_file, spans))))
    assert landed > 16384
    assert most_spans <= 3 * 64
    assert most_bytes <= 16 * KiB


@given(st.lists(st.integers(1, MiB - 1), max_size=12, unique=True).map(sorted))
def test_run_continues_from_the_checkpoint_of_the_last(edges):
    spans = [Done(a, b, crc64(CONTENT[a:b])) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    checkpoint = Checkpoint(NAME, None, ObjectMeta(NAME.key, MiB, "A1", 7), "p", spans)
    transfer = Transfer(MiB, part_size=MiB, kept=decode(encode(checkpoint)).spans)
    assert transfer.spans() == spans


def test_lost_page_costs_no_more_than_64_mib_of_a_large_object():
    """Done spans are joined, but not into one: what is not on the disk is fetched again by whole spans."""
    size = 1024 * MiB
    transfer = Transfer(size, part_size=16 * MiB)
    while flight := transfer.claim():
        flight.begin(0.0)
        flight.receive(flight.remaining, 1.0)
        flight.write(flight.stop, 0)
        transfer.land(flight, 1.0)
    assert transfer.is_complete
    assert {span.stop - span.start for span in transfer.spans()} == {64 * MiB}
