"""Entries of a manifest, and whether an entry shows that a file need not be downloaded again."""

from dataclasses import dataclass
from typing import NamedTuple

from aioss_resume._core.objects import ObjectMeta


class FileState(NamedTuple):
    """The attributes of a file that change when it is replaced or written to.

    Attributes:
        size: Bytes.
        modified: Nanoseconds since 1970.
        inode: Its number in the file system.
    """

    size: int
    modified: int
    inode: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, and the object that it was downloaded from.

    Attributes:
        path: Relative to the directory.
        etag: The object's, without quotes.
        crc64: The object's; None if it was not verified by it.
        file: How the file looked when it was known to be right.
        is_synced: Whether it was on the disk by then, or at least no power cut came between.
    """

    path: str
    bucket: str
    key: str
    etag: str
    crc64: int | None
    file: FileState
    is_synced: bool

    def shows_unchanged(self, bucket: str, meta: ObjectMeta, found: FileState | None) -> bool:
        """Whether the file still has the content of the listed object.

        Args:
            found: How the file looks now; None: there is no regular file.
        """
        is_same_object = (self.bucket, self.key, self.etag, self.file.size) == (bucket, meta.key, meta.etag, meta.size)
        return self.is_synced and bool(self.etag) and is_same_object and found == self.file


def too_many_to_delete(extra: int, known: int) -> bool:
    """Whether so many of the files would be deleted that the listing, or its prefix, is probably wrong."""
    return extra * 2 > known
