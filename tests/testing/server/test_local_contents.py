"""Laws of made-up bytes."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioss_resume._core import crc64
from aioss_resume.testing import FileContent, GeneratedContent, GiB, MiB

sizes = st.one_of(
    st.integers(0, 40),
    st.integers(0, 4 * MiB),
    st.sampled_from([MiB - 1, MiB, MiB + 1, MiB + 7, 2 * MiB, 3 * MiB + 8]),
)
few = settings(max_examples=40, deadline=None)


@few
@given(sizes, st.integers(-3, 3))
def test_crc64_is_that_of_the_bytes(size: int, seed: int) -> None:
    content = GeneratedContent(size, seed)
    data = content.read(0, size)
    assert len(data) == size
    assert content.crc64 == crc64.crc64(data)


@few
@given(sizes, st.data())
def test_range_is_a_slice_of_the_whole(size: int, data: st.DataObject) -> None:
    content = GeneratedContent(size, 1)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size + 10))
    assert content.read(start, stop) == content.read(0, size)[start:stop]


def test_crc64_of_many_blocks_is_that_of_the_bytes() -> None:
    content = GeneratedContent(37 * MiB + 12345, 5)
    value = crc64.EMPTY
    for start in range(0, content.size, MiB):
        value = crc64.crc64(content.read(start, start + MiB), value)
    assert content.crc64 == value


def test_cut_object_has_the_joined_crc64() -> None:
    whole, head = GeneratedContent(33 * MiB + 5, 2), GeneratedContent(20 * MiB, 2)
    rest = crc64.crc64(whole.read(head.size, whole.size))
    assert whole.crc64 == crc64.join(head.crc64, rest, whole.size - head.size)


def test_terabytes_are_read_and_summed_at_once() -> None:
    content = GeneratedContent(5000 * GiB + 3, 1)
    assert len(content.read(4999 * GiB, 4999 * GiB + 100)) == 100
    assert 0 < content.crc64 < 2**64


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 4095, MiB - 1, MiB])
def test_content_of_one_seed_begins_alike_for_every_size(size: int) -> None:
    smaller, larger = GeneratedContent(size, 7), GeneratedContent(3 * MiB, 7)
    assert smaller.read(0, size) == larger.read(0, size)


def test_blocks_and_seeds_differ() -> None:
    content = GeneratedContent(3 * MiB, 1)
    blocks = {content.read(start, start + MiB) for start in range(0, content.size, MiB)}
    blocks.add(GeneratedContent(MiB, 2).read(0, MiB))
    assert len(blocks) == 4


def test_file_content_is_the_file(tmp_path: Path) -> None:
    data = GeneratedContent(MiB + 17, 3).read(0, MiB + 17)
    path = tmp_path / "file"
    path.write_bytes(data)
    content = FileContent(path)
    assert content.crc64 == crc64.crc64(data)
    assert content.read(5, 50) == data[5:50]
