"""A file system in memory behind the library's Storage, with a journal of what was done to it and in which order."""

import errno
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from aioss_resume._io.storage import Storage, StrPath

UMASK: Final = 0o022


@dataclass(eq=False, slots=True)
class Inode:
    """A file, with its bytes, or a directory, with the names in it."""

    number: int
    mode: int
    data: bytearray = field(default_factory=bytearray)
    names: "dict[str, Inode]" = field(default_factory=dict)
    holder: int | None = None
    """The descriptor that holds its lock."""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """Bytes were put into a file."""

    of: Inode
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Truncate:
    """A file got a length."""

    of: Inode
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A name in a directory became a file's (or None's: it was removed); with `was`, that name went, as in a rename."""

    of: Inode
    name: str
    to: Inode | None
    was: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sync:
    """All that was done to a file or directory before is on the disk."""

    of: Inode


@dataclass(frozen=True, slots=True, eq=False)
class Returned:
    """download() returned its result."""

    of: None = None


Step = Write | Truncate | Link | Sync | Returned

Image = Mapping[str, tuple[int, bytes | None]]
"""What is on a disk: by absolute path the inode's number and, of a file, its bytes."""


class Disk(Storage):
    """The double. Its descriptors are real ones, of /dev/null, so that a leak shows and FileIO takes them.

    Attributes:
        journal: What was done, in order.
    """

    __slots__ = ("_descriptors", "_lock", "_newest", "_root", "journal")

    def __init__(self, image: Image | None = None) -> None:
        self._lock = threading.RLock()  # guards all of it: the library's threads come side by side
        self._newest = 0
        self._descriptors: dict[int, Inode] = {}
        self._root = self._new(stat.S_IFDIR | 0o755)
        self.journal: list[Step] = []
        known: dict[int, Inode] = {}
        for path, (number, data) in sorted((image or {}).items()):
            inode = known.get(number)
            if inode is None:
                inode = known[number] = self._new(stat.S_IFDIR | 0o755 if data is None else stat.S_IFREG | 0o600)
                inode.data += data or b""
            directory, name = self._at(path)
            directory.names[name] = inode

    def image(self) -> Image:
        """What is there, with all that is not on the disk yet."""
        return dict(sorted(walk(self._root)))

    def read(self, path: StrPath) -> bytes | None:
        """A file's bytes; None when there is none."""
        found = self.image().get(str(path))
        return found and found[1]

    def files(self) -> list[str]:
        return [path for path, (_, data) in self.image().items() if data is not None]

    @property
    def root(self) -> Inode:
        return self._root

    @property
    def open_descriptors(self) -> int:
        return len(self._descriptors)

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        with self._lock:
            directory, name = self._at(path)
            inode = directory.names.get(name) if name else directory  # the root has no name
            if inode is None:
                if not flags & os.O_CREAT:
                    raise OSError(errno.ENOENT, "no such file", str(path))
                inode = directory.names[name] = self._new(stat.S_IFREG | mode & ~UMASK)
                self.journal.append(Link(directory, name, inode))
            elif flags & os.O_EXCL:
                raise OSError(errno.EEXIST, "it exists", str(path))
            if inode.is_directory != bool(flags & os.O_DIRECTORY):
                raise OSError(errno.EISDIR if inode.is_directory else errno.ENOTDIR, "of another kind", str(path))
            descriptor = os.open(os.devnull, os.O_RDWR)
            self._descriptors[descriptor] = inode
            return descriptor

    def close(self, descriptor: int) -> None:
        with self._lock:
            inode = self._descriptors.pop(descriptor)
            if inode.holder == descriptor:
                inode.holder = None
            os.close(descriptor)

    def write_at(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        with self._lock:
            step = Write(self._descriptors[descriptor], offset, b"".join(buffers))
            put(step.of.data, step.offset, step.data)
            self.journal.append(step)
            return len(step.data)

    def read_at(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        with self._lock:
            data = self._descriptors[descriptor].data[offset : offset + len(buffer)]
            buffer[: len(data)] = data
            return len(data)

    def ftruncate(self, descriptor: int, size: int) -> None:
        with self._lock:
            inode = self._descriptors[descriptor]
            resize(inode.data, size)
            self.journal.append(Truncate(inode, size))

    def fchmod(self, descriptor: int, mode: int) -> None:
        with self._lock:
            inode = self._descriptors[descriptor]
            inode.mode = stat.S_IFMT(inode.mode) | mode

    def fsync(self, descriptor: int) -> None:
        with self._lock:
            self.journal.append(Sync(self._descriptors[descriptor]))

    def lock(self, descriptor: int) -> bool:
        with self._lock:
            inode = self._descriptors[descriptor]
            if inode.holder not in (None, descriptor):
                return False
            inode.holder = descriptor
            return True

    def room(self, descriptor: int) -> int | None:
        return 1 << 40

    def fstat(self, descriptor: int) -> os.stat_result:
        with self._lock:
            return self._stat(self._descriptors[descriptor])

    def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> os.stat_result:
        with self._lock:
            return self._stat(self._found(path))

    def access(self, path: StrPath, wanted: int) -> bool:
        with self._lock:
            try:
                return self._found(path).is_directory
            except OSError:
                return False

    def replace(self, path: StrPath, becomes: StrPath) -> None:
        with self._lock:
            inode = self._found(path)
            directory, name = self._at(path)
            target, wanted = self._at(becomes)
            assert directory is target, "a rename between directories is not what a commit is made of"
            if target.names.get(wanted) is inode:
                return  # POSIX rename(2): two names of one file both stay, and that counts as success
            del directory.names[name]
            target.names[wanted] = inode
            self.journal.append(Link(target, wanted, inode, was=name))

    def unlink(self, path: StrPath) -> None:
        with self._lock:
            self._found(path)
            directory, name = self._at(path)
            del directory.names[name]
            self.journal.append(Link(directory, name, None))

    def mkdir(self, path: StrPath, mode: int = 0o777) -> None:
        with self._lock:
            directory, name = self._at(path)
            if name in directory.names:
                raise OSError(errno.EEXIST, "it exists", str(path))
            inode = directory.names[name] = self._new(stat.S_IFDIR | mode & ~UMASK)
            self.journal.append(Link(directory, name, inode))

    def rmdir(self, path: StrPath) -> None:
        with self._lock:
            if self._found(path).names:
                raise OSError(errno.ENOTEMPTY, "it is not empty", str(path))
            self.unlink(path)

    def _new(self, mode: int) -> Inode:
        self._newest += 1
        return Inode(self._newest, mode)

    def _at(self, path: StrPath) -> tuple[Inode, str]:
        """The directory that a path is in, and its name there."""
        whole = PurePosixPath(path)
        return self._found(whole.parent), whole.name

    def _found(self, path: StrPath) -> Inode:
        inode = self._root
        for name in PurePosixPath(path).parts[1:]:
            if not inode.is_directory:
                raise OSError(errno.ENOTDIR, "no directory", str(path))
            if name not in inode.names:
                raise OSError(errno.ENOENT, "no such file", str(path))
            inode = inode.names[name]
        return inode

    def _stat(self, inode: Inode) -> os.stat_result:
        links = 1 if inode.is_directory else _links(self._root, inode)
        size = len(inode.data)
        fields = (inode.mode, inode.number, 1, links, os.geteuid(), 0, size, 0, 0, 0)
        return os.stat_result(fields, {"st_blocks": -(-size // 512)})


def walk(directory: Inode, above: str = "") -> Iterator[tuple[str, tuple[int, bytes | None]]]:
    """The image of a directory."""
    for name, inode in directory.names.items():
        path = f"{above}/{name}"
        yield path, (inode.number, None if inode.is_directory else bytes(inode.data))
        if inode.is_directory:
            yield from walk(inode, path)


def put(data: bytearray, offset: int, taken: bytes | memoryview) -> None:
    """Write into a file's bytes; a gap before it is zeros."""
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(taken)] = taken


def resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


def _links(directory: Inode, sought: Inode) -> int:
    return sum((inode is sought) + _links(inode, sought) for inode in directory.names.values())
