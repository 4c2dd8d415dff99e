"""torch's DataLoader with workers of each kind over the file system, and a model's tensors that read_into() fills.

Run it: `python -m tests.clients.with_torch`, in an environment with torch; `nox -s torch` makes one.
"""

import asyncio
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from aioss_resume.contrib.fsspec import OSSResumeFileSystem
from aioss_resume.testing import LocalOSS

HOW_TO: Final = Path(__file__).parents[2] / "docs" / "how-to" / "model-files.md"
COUNT: Final = 40
WORKERS: Final = 2
CONTENTS: Final = [random.Random(number).randbytes(1000 * number) for number in range(COUNT)]


class Samples(Dataset[tuple[int, bytes, int]]):
    """A map-style dataset, as docs/how-to/pandas-pyarrow-torch.md has it. Each sample says which process read it."""

    def __init__(self, options: dict[str, str]) -> None:
        self.filesystem = OSSResumeFileSystem(**options)
        self.paths = sorted(self.filesystem.find("examplebucket/samples"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[int, bytes, int]:
        return number, self.filesystem.cat_file(self.paths[number]), os.getpid()


class Lines(IterableDataset[bytes]):
    """An iterable dataset: each worker streams its share of one object's lines."""

    def __init__(self, options: dict[str, str]) -> None:
        self.options = options

    def __iter__(self) -> Iterator[bytes]:
        worker = get_worker_info()
        number, of = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        with OSSResumeFileSystem(**self.options).open("examplebucket/lines") as file:
            yield from (line for at, line in enumerate(file) if at % of == number)


def check_loader(samples: Samples, lines: Lines, start: str | None) -> None:
    """Two epochs of samples and one of lines. `start` is a start method of multiprocessing; None: no workers."""
    more: dict[str, Any] = {}  # Any: arguments of DataLoader
    if start is not None:
        more = {"num_workers": WORKERS, "multiprocessing_context": start}
    loader = DataLoader(samples, batch_size=4, shuffle=True, collate_fn=list, persistent_workers=bool(more), **more)
    readers: set[int] = set()
    for _ in range(2):
        found = [sample for batch in loader for sample in batch]
        assert sorted((number, content) for number, content, _ in found) == list(enumerate(CONTENTS))
        readers |= {process for _, _, process in found}
    assert len(readers) == (WORKERS if start is not None else 1)
    assert (os.getpid() in readers) == (start is None)
    found_lines = [line for batch in DataLoader(lines, batch_size=100, collate_fn=list, **more) for line in batch]
    assert sorted(found_lines) == sorted(b"%d\n" % number for number in range(100_000))


async def check_model(oss: LocalOSS) -> None:
    """A file of the safetensors package is loaded by the code of docs/how-to/model-files.md."""
    tensors = {
        "weights": torch.randn(1000, 3000),
        "bfloat16": torch.randn(300, 300).to(torch.bfloat16),
        "float8": torch.randn(300, 300).to(torch.float8_e4m3fn),
        "mask": torch.randn(300) > 0,
        "none": torch.empty(0, 5),
    }
    oss.put("examplebucket", "models/model.safetensors", save(tensors, metadata={"format": "pt"}))
    code = re.search(r"^```python\n(.*?)^```", HOW_TO.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert code is not None
    page: dict[str, Any] = {"bucket": oss.bucket("examplebucket")}  # Any: what the code of the page defines
    exec(compile(code[1], HOW_TO, "exec"), page)
    found = await page["main"]()
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        loaded = torch.from_numpy(found[name]).view(tensor.dtype)
        assert loaded.shape == tensor.shape
        assert torch.equal(loaded.float(), tensor.float()), name


def main() -> None:
    with LocalOSS() as oss:
        os.environ |= {"OSS_ACCESS_KEY_ID": oss.access_key_id, "OSS_ACCESS_KEY_SECRET": oss.access_key_secret}
        options = {"endpoint": oss.endpoint, "region": oss.region}
        for number, content in enumerate(CONTENTS):
            oss.put("examplebucket", f"samples/{number:03}", content)
        oss.put("examplebucket", "lines", b"".join(b"%d\n" % number for number in range(100_000)))
        samples, lines = Samples(options), Lines(options)
        for start in (None, "fork", "spawn", "forkserver"):  # None first: the parent's connections exist before a fork
            check_loader(samples, lines, start)
            print(f"{start or 'no workers'}: right", flush=True)
        asyncio.run(check_model(oss))
        print(f"torch {torch.__version__}: right, after {len(oss.requests)} requests")


if __name__ == "__main__":
    sys.exit(main())
