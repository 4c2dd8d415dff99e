"""The targets under Hypothesis: whole, cut, flipped and made-up inputs; and large ones, whose work is counted."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aioss_resume._core.checkpoint import FORMAT, MOST_BYTES, VERSION

from .seeds import SEEDS
from .targets import TARGETS, checkpoint, checkpoint_fields

LARGE = 64 * 1024


def near(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """The seeds cut anywhere, with something put in anywhere or a bit flipped; and any bytes."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        seed = bytearray(draw(st.sampled_from(seeds)))
        at = draw(st.integers(0, len(seed)))
        match draw(st.sampled_from(["cut", "put", "flip", "twice"])):
            case "cut":
                del seed[at:]
            case "put":
                seed[at:at] = draw(st.binary(max_size=20))
            case "flip" if at < len(seed):
                seed[at] ^= 1 << draw(st.integers(0, 7))
            case "twice":
                seed[at:at] = seed
        return bytes(seed)

    return st.one_of(changed(), st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode()))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_input_breaks_a_promise(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(near(SEEDS[name])))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_every_cut_and_flip_keep_the_promises(name: str) -> None:
    for seed in SEEDS[name]:
        for at in range(len(seed) + 1):
            TARGETS[name](seed[:at])
            for bit in range(8 if at < len(seed) else 0):
                TARGETS[name](seed[:at] + bytes([seed[at] ^ 1 << bit]) + seed[at + 1 :])


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=20),
        st.sampled_from(["../../x", "\r\nX: 1", "0" * 16, "f" * 16, "A1", "Fri, 31 Dec 9999 23:59:59 -2359"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=10,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changed=st.dictionaries(st.sampled_from(["bucket", "key", "version_id", "part_file", "spans", "object"]), JSON),
    described=st.dictionaries(
        st.sampled_from(["size", "etag", "crc64", "version_id", "last_modified", "content_encoding"]), JSON
    ),
    spans=st.lists(st.tuples(st.integers(-1, 10_001), st.integers(-1, 10_001), st.sampled_from(["0" * 16, "x"]))),
)
@example(changed={"spans": [[0, 1 << 60, "0" * 16]]}, described={}, spans=[])
@example(changed={"spans": [[0, True, "0" * 16]]}, described={"size": 1e400 if False else 10}, spans=[])
@example(changed={"spans": "ab"}, described={}, spans=[])
@example(changed={"spans": [{"a": 1, "b": 2, "c": 3}]}, described={"etag": "\ud800"}, spans=[])
def test_planted_checkpoint_with_a_right_sum_is_unusable_or_makes_sense(
    changed: dict[str, Any], described: dict[str, Any], spans: list[Any]
) -> None:
    meta = {"size": 10_000, "etag": "A1", "crc64": "0" * 16, "version_id": None}
    meta |= {"last_modified": None, "content_encoding": None}
    fields: dict[str, object] = {
        "format": FORMAT,
        "version": VERSION,
        "bucket": "examplebucket",
        "key": "key",
        "version_id": None,
        "object": meta | described,
        "part_file": "x",
        "spans": spans,
    }
    checkpoint(checkpoint_fields(fields | changed))


HOSTILE_LARGE: dict[str, Callable[[int], bytes]] = {
    "zeros": lambda size: b"0" * size,
    "digits": lambda size: b"9" * size,
    "blanks": lambda size: b" " * size,
    "open brackets": lambda size: b"[" * size,
    "open braces": lambda size: b'{"a":' * (size // 5),
    "elements": lambda size: b"<Error>" * (size // 7),
    "siblings": lambda size: b"<Error>" + b"<Code>a</Code>" * (size // 14),
    "one long text": lambda size: b"<Error><Message>" + b"a&amp;" * (size // 6),
    "attributes": lambda size: b"<Error " + b"".join(b"a%d='' " % n for n in range(size // 9)),
    "comments": lambda size: b"<Error>" + b"<!---->" * (size // 7),
    "commas": lambda size: b"Fri, " + b"," * size,
    "parentheses": lambda size: b"Fri, 31 Dec 1999 " + b"(" * size,
    "escaped": lambda size: b"Fri, 31 Dec 1999 " + b"\\(" * (size // 2),
    "words": lambda size: b"a " * (size // 2),
    "colons": lambda size: b"1:" * (size // 2),
    "range": lambda size: b"bytes " + b"0" * size + b"-1/2",
    "slashes": lambda size: b"b\nk\n" + b"../" * (size // 3),
    "lines": lambda size: b"a:b\n" * (size // 4),
    "bytes that are no text": lambda size: b"\xff" * size,
}


class _Steps:
    """Counts the lines of Python that run, as a measure of work that no other process disturbs."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "_Steps":
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *given: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> Any:  # Any: the form that settrace asks for
        self.count += 1
        return self._trace


@pytest.mark.parametrize("shape", HOSTILE_LARGE)
@pytest.mark.parametrize("name", TARGETS)
def test_large_input_costs_work_in_proportion_to_its_size(name: str, shape: str) -> None:
    """Twice the input, at most about twice the lines that run: never the square of it."""
    counts = []
    for size in (LARGE // 4, LARGE // 2):
        with _Steps() as steps:
            TARGETS[name](HOSTILE_LARGE[shape](size))
        counts.append(steps.count)
    TARGETS[name](HOSTILE_LARGE[shape](LARGE))
    small, large = counts
    assert large <= 2.2 * small + 1000, f"{small} lines ran for half of the input, {large} for all of it"


def test_checkpoint_beyond_the_limit_is_refused_unread() -> None:
    with _Steps() as steps:
        checkpoint(b"[" * (MOST_BYTES + 1))
    assert steps.count < 20


def test_every_target_has_seeds() -> None:
    assert SEEDS.keys() == TARGETS.keys()
    assert Path(__file__).with_name("__main__.py").exists()
