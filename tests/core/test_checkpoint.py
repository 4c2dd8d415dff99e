"""A checkpoint comes back as it was or not at all."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.checkpoint import MOST_BYTES, Checkpoint, TooNew, Unusable, _dumped, decode, encode
from aioss_resume._core.crc64 import crc64
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.paths import part_name
from aioss_resume._core.spans import Done
from aioss_resume.errors import ObjectName

NAME = ObjectName("b", "k")
META = ObjectMeta("k", 1000, "A1", 7, "v1", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), content_encoding="gzip")
SMALL = Checkpoint(NAME, "v1", META, ".k.part", [Done(0, 10, 1), Done(20, 1000, (1 << 64) - 1)])

texts = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates too: they stand for other bytes
header_texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"'), max_size=40)
crcs = st.integers(0, (1 << 64) - 1)


@st.composite
def checkpoints(draw):
    edges = sorted(draw(st.lists(st.integers(0, 1 << 50), max_size=20, unique=True)))
    spans = [Done(a, b, draw(crcs)) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    meta = ObjectMeta(
        key=draw(texts),
        size=draw(st.integers(edges[-1] if edges else 0, 1 << 50)),
        etag=draw(header_texts),
        crc64=draw(st.none() | crcs),
        version_id=draw(st.none() | texts),
        last_modified=draw(st.none() | st.integers(0, 1 << 37).map(lambda s: datetime.fromtimestamp(s, UTC))),
        content_encoding=draw(st.none() | texts),
    )
    return Checkpoint(ObjectName(draw(texts), meta.key), draw(st.none() | texts), meta, draw(texts), spans)


def forged(**changes):
    """SMALL with its content changed by someone who knows how to sum it."""
    content = json.loads(encode(SMALL))["checkpoint"]
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = content
        for parent in parents:
            target = target[parent]
        target[last] = value
    return summed(content)


def summed(content):
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    return f'{{"check":"{crc64(text.encode()):016x}","checkpoint":{text}}}'.encode()


@given(checkpoints())
def test_checkpoint_is_decoded_as_it_was_encoded(checkpoint):
    assert decode(encode(checkpoint)) == checkpoint


def test_checkpoint_of_an_earlier_release_is_read():
    """Whoever changes what stands here changes VERSION, so that no checkpoint is taken for what it is not."""
    written = (
        b'{"check":"7538aea279f10c91","checkpoint":{"bucket":"b","format":"aioss-resume checkpoint","key":"k",'
        b'"object":{"content_encoding":"gzip","crc64":"0000000000000007","etag":"A1",'
        b'"last_modified":"Fri, 02 Jan 2026 03:04:05 GMT","size":1000,"version_id":"v1"},"part_file":".k.part",'
        b'"spans":[[0,10,"0000000000000001"],[20,1000,"ffffffffffffffff"]],"version":1,"version_id":"v1"}}\n'
    )
    assert decode(written) == SMALL
    assert encode(SMALL) == written


def test_checkpoint_is_one_line_of_json():
    data = encode(SMALL)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    assert data.isascii()
    assert json.loads(data)["checkpoint"]["spans"] == [[0, 10, f"{1:016x}"], [20, 1000, "f" * 16]]


@pytest.mark.parametrize("length", range(len(encode(SMALL))))
def test_cut_checkpoint_is_unusable_or_the_same(length):
    with suppress(Unusable):
        assert decode(encode(SMALL)[:length]) == SMALL


@pytest.mark.parametrize("at", range(len(encode(SMALL))))
def test_flipped_checkpoint_is_unusable_or_the_same(at):
    for bit in range(8):
        data = bytearray(encode(SMALL))
        data[at] ^= 1 << bit
        with suppress(Unusable):
            assert decode(bytes(data)) == SMALL


@given(st.data())
def test_mixture_of_two_checkpoints_never_decodes_to_a_third(data):
    one, two = encode(SMALL), encode(replace(SMALL, spans=[Done(0, 1000, 5)]))
    at = data.draw(st.integers(0, len(one)))
    with suppress(Unusable):
        assert decode(two[:at] + one[at:]).spans in (SMALL.spans, [Done(0, 1000, 5)])


def test_forged_checkpoint_without_changes_is_valid():
    assert decode(forged()) == SMALL


@pytest.mark.parametrize("version", [2, 0, -1, "1", None, 10**30])
def test_checkpoint_of_another_format_version_is_refused_with_its_number(version):
    with pytest.raises(Unusable, match=rf"version {version!r}, .* reads 1") as caught:
        decode(forged(version=version))
    assert isinstance(caught.value, TooNew) == (version in (2, 10**30))


@pytest.mark.parametrize("version", [1e400, [1]])
def test_invalid_version_is_refused(version):
    with pytest.raises(Unusable):
        decode(forged(version=version))


def test_reason_distinguishes_torn_damaged_foreign_and_invalid_checkpoints():
    reasons = {
        "torn": encode(SMALL)[:-9],
        "CRC-64": encode(SMALL).replace(b'"size":1000', b'"size":1001'),
        "no checkpoint": forged(format="other"),
        "no sense .*TypeError": forged(part_file=None),
    }
    for reason, data in reasons.items():
        with pytest.raises(Unusable, match=reason):
            decode(data)


def test_order_of_fields_does_not_matter():
    def turned(value):
        return {name: turned(value[name]) for name in reversed(value)} if isinstance(value, dict) else value

    assert decode(json.dumps(turned(json.loads(encode(SMALL)))).encode()) == SMALL


def test_every_digit_of_a_crc64_is_read():
    checkpoint = replace(SMALL, spans=[Done(0, 10, 0x0123456789ABCDEF)])
    assert decode(encode(checkpoint)) == checkpoint


@pytest.mark.parametrize("format_", ["", "other", None, 1, {}])
def test_foreign_document_is_refused(format_):
    with pytest.raises(Unusable):
        decode(forged(format=format_))


@pytest.mark.parametrize("number", [-1, 1.0, 10.0, True, None, "10", 1e400, float("nan"), 1 << 51, 10**4000, [10], {}])
@pytest.mark.parametrize("where", ["start", "stop", "size"])
def test_invalid_number_is_refused(where, number):
    spans = {"start": [[number, 1000, "0" * 16]], "stop": [[0, number, "0" * 16]], "size": []}[where]
    size = number if where == "size" else 1000
    if where == "stop" and number is True:
        size = 1
    with pytest.raises(Unusable):
        decode(forged(spans=spans, object__size=size))


@pytest.mark.parametrize(
    "spans",
    [
        [[0, 10, "0" * 16], [5, 20, "0" * 16]],  # overlap
        [[20, 30, "0" * 16], [0, 10, "0" * 16]],  # out of order
        [[5, 5, "0" * 16]],
        [[6, 5, "0" * 16]],
        [[0, 1001, "0" * 16]],  # beyond the object
        [[0, 10]],
        [[0, 10, "0" * 16, 1]],
        [[]],
        [None],
        ["abc"],
        {"0": 1},
        None,
        7,
    ],
)
def test_invalid_spans_are_refused(spans):
    with pytest.raises(Unusable):
        decode(forged(spans=spans))


def test_checkpoint_with_the_most_spans_is_read():
    most = [[2 * n, 2 * n + 1, "0" * 16] for n in range(20_000)]
    assert len(decode(forged(spans=most, object__size=100_000)).spans) == len(most)
    with pytest.raises(Unusable):
        decode(forged(spans=[*most, [50_000, 50_001, "0" * 16]], object__size=100_000))


@pytest.mark.parametrize(
    "crc",
    ["", "0", "0" * 15, "0" * 17, "g" * 16, "-" + "0" * 15, "+" + "0" * 15, "0x" + "0" * 14, " " + "1" * 15,
     "1_" * 8, "١" * 16, "F" * 16 + "\n", 7, -1, 1.5, None, True, ["0" * 16]],
)  # fmt: skip
def test_invalid_crc64_is_refused(crc):
    with pytest.raises(Unusable):
        decode(forged(spans=[[0, 10, crc]]))
    if crc is not None:
        with pytest.raises(Unusable):
            decode(forged(object__crc64=crc))


@pytest.mark.parametrize(
    "etag", ["A\r\nX-Evil: 1", "A\nB", "A\rB", "A\0", 'A", "*', "Ä", "\x7f", "\x1b[31m", None, 7, ["A"]]
)
def test_etag_that_cannot_be_sent_in_a_header_is_refused(etag):
    with pytest.raises(Unusable):
        decode(forged(object__etag=etag))


@pytest.mark.parametrize("field", ["bucket", "key", "part_file"])
@pytest.mark.parametrize("value", [None, 7, 1.5, True, [], {}])
def test_name_that_is_not_a_string_is_refused(field, value):
    with pytest.raises(Unusable):
        decode(forged(**{field: value}))


@pytest.mark.parametrize("field", ["version_id", "object__version_id", "object__last_modified"])
@pytest.mark.parametrize("value", [7, 1.5, True, [], {}])
def test_optional_field_that_is_not_a_string_is_refused(field, value):
    with pytest.raises(Unusable):
        decode(forged(**{field: value}))


def test_impossible_date_is_none():
    assert (
        decode(forged(object__last_modified="Fri, 02 Jan 99999999999999999999 03:04:05 GMT")).meta.last_modified is None
    )


@pytest.mark.parametrize("field", ["bucket", "key", "version_id", "object", "part_file", "spans", "format", "version"])
def test_missing_field_is_refused(field):
    content = json.loads(encode(SMALL))["checkpoint"]
    del content[field]
    with pytest.raises(Unusable):
        decode(summed(content))


@pytest.mark.parametrize("trick", ["../../etc/passwd", "/etc/passwd", "..", "", ".k.part\0", "a/b", "~/.ssh/id"])
def test_path_that_leads_elsewhere_is_never_the_name_of_a_part_file(trick):
    # A run goes on from a checkpoint only if its part_file is the name that it computes itself.
    assert decode(forged(part_file=trick)).part_file != part_name("k", NAME, META)


@pytest.mark.parametrize(
    "data",
    [
        b"", b" ", b"\0" * 100, b"null", b"[]", b"7", b'"x"', b"{}", b'{"check":1}', b'{"checkpoint":{}}',
        b'{"check":null,"checkpoint":null}', b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 50_000,
        b'{"check":' + b"[" * 100_000, b'{"check":"0","checkpoint":' + b"9" * 100_000 + b"}",
        b'{"check":"0","checkpoint":NaN}', b'{"check":"0","checkpoint":1e400}', b'{"op_type":"ResumableDownload"}',
    ],
    ids=lambda data: repr(data[:20]).replace("\\", "%"),  # pytest finds no test by a name with a backslash of ours
)  # fmt: skip
def test_file_that_is_not_a_checkpoint_is_unusable(data):
    with pytest.raises(Unusable):
        decode(data)


@pytest.mark.parametrize("content", [None, 7, [], "x", {}, {"format": []}, [["format", 1]]])
def test_content_with_a_right_checksum_that_is_no_checkpoint_is_unusable(content):
    with pytest.raises(Unusable):
        decode(summed(content))


def test_duplicate_fields_of_a_checkpoint_are_refused():
    other = encode(replace(SMALL, spans=[])).decode().rstrip()[1:-1].partition(",")[2]
    data = encode(SMALL).decode().rstrip()
    with pytest.raises(Unusable):
        decode(f"{data[:-1]},{other}}}".encode())


def test_too_large_file_is_unusable():
    with pytest.raises(Unusable, match="larger"):
        decode(encode(SMALL) + b" " * MOST_BYTES)


def test_largest_file_is_read():
    assert decode(encode(SMALL).ljust(MOST_BYTES)) == SMALL
    with pytest.raises(Unusable, match="larger"):
        decode(encode(SMALL).ljust(MOST_BYTES + 1))


@given(st.binary(max_size=300) | st.recursive(st.none() | st.integers() | texts, st.lists).map(lambda x: summed(x)))
def test_arbitrary_content_is_unusable(data):
    with pytest.raises(Unusable):
        decode(data)


def test_checkpoint_holds_the_identity_and_nothing_more():
    content = json.loads(encode(SMALL))["checkpoint"]
    assert set(content) == {"format", "version", "bucket", "key", "version_id", "object", "part_file", "spans"}
    assert set(content["object"]) == {
        "size", "etag", "crc64", "version_id", "last_modified", "content_encoding"
    }  # fmt: skip


def test_user_metadata_and_addresses_are_not_kept():
    meta = replace(META, user_metadata={"token": "SECRET"}, content_type="SECRET")
    data = encode(replace(SMALL, meta=meta))
    assert b"SECRET" not in data
    assert b"http" not in data
    assert decode(data).meta.user_metadata == {}


def test_invalid_numbers_are_never_written():
    with pytest.raises(ValueError):
        _dumped({"a": float("nan")})
