"""ossfs, the file system of fsspec for OSS, writes, appends, copies, lists, reads and removes."""

import os

from ossfs import OSSFileSystem

fs = OSSFileSystem(
    endpoint=os.environ["OSS_ENDPOINT"],
    key=os.environ["OSS_ACCESS_KEY_ID"],
    secret=os.environ["OSS_ACCESS_KEY_SECRET"],
)
BIG = b"0123456789" * 800_000

fs.pipe_file("examplebucket/d/small", b"abc")
assert fs.cat_file("examplebucket/d/small") == b"abc"
with fs.open("examplebucket/d/big", "wb") as file:
    file.write(BIG)
with fs.open("examplebucket/d/big", "rb") as file:
    file.seek(5_000_000)
    assert file.read(10) == b"0123456789"
assert fs.info("examplebucket/d/big")["size"] == len(BIG)
fs.copy("examplebucket/d/big", "examplebucket/d/copy")
assert fs.cat_file("examplebucket/d/copy") == BIG
assert sorted(fs.ls("examplebucket/d", detail=False)) == [
    f"examplebucket/d/{name}" for name in ("big", "copy", "small")
]
assert fs.exists("examplebucket/d/small")
assert not fs.exists("examplebucket/d/missing")
fs.rm("examplebucket/d", recursive=True)
fs.invalidate_cache()
assert not fs.exists("examplebucket/d/small")
