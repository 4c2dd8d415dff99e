"""Names of part files, checkpoints and locks.

All are hidden files. The part file and the lock are beside the destination, so that the rename is atomic and every
process finds the lock in the same place. The checkpoint is also there, or in a store.
"""

from hashlib import sha256
from typing import Final

from aioss_resume._core.objects import ObjectMeta, http_date
from aioss_resume.errors import ObjectName

NAME_MOST: Final = 255
"""Bytes of a file's name on the file systems of Linux (NAME_MAX)."""

_SUFFIX_MOST: Final = 5  # ".new", ".mode": what is written beside a hidden file has its name and this

_DIGEST_LENGTH: Final = 24  # hex digits: 96 bits, so that no two names meet by chance


def part_name(destination_name: str, name: ObjectName, meta: ObjectMeta) -> str:
    """The part file's name, which depends on the object, its version and its content.

    So two runs that download different content never write to the same file, even where locks do not work.
    """
    modified = http_date(meta.last_modified) if meta.last_modified else None
    content = (meta.version_id, meta.size, meta.etag, meta.crc64, modified)
    # A long name is cut below, so the digest contains all of it.
    digest = _digest(destination_name, name.bucket, name.key, *content)
    return _hidden(destination_name, digest, "part")


def temporary_name(destination_name: str, token: str) -> str:
    """A unique name for the part file of a download that is never resumed."""
    return _hidden(destination_name, token, "part")


def checkpoint_name(destination: str, name: ObjectName, version_id: str | None) -> str:
    """The checkpoint's name, from the object and the absolute path of its destination."""
    separator = "/" if destination.startswith("/") else "\\"  # a backslash is part of a name on POSIX systems
    return _hidden(
        destination.rpartition(separator)[2], _digest(name.bucket, name.key, version_id, destination), "checkpoint"
    )


def destination_name(hidden_name: str) -> str:
    """The name of the destination that a hidden file is for. Its end is missing if it is long."""
    return hidden_name.rpartition(".")[0].rpartition(".")[0][1:]


def lock_name(destination_name: str) -> str:
    """The lock's name: one for all objects that go to that destination."""
    return _hidden(destination_name, _digest(destination_name), "lock")


def may_be_lock_of(name: str, checkpoint_name: str) -> bool:
    """Whether a file of that name may be the lock of the destination that a checkpoint is for.

    A lock's name has more of a long destination's name than a checkpoint's, so any lock whose name goes on may be it.
    """
    if not name.endswith(".lock"):
        return False
    found, known = destination_name(name), destination_name(checkpoint_name)
    longer = known + "four"  # no character takes more bytes
    is_cut = destination_name(_hidden(longer, "digest".ljust(_DIGEST_LENGTH), "checkpoint")) != longer
    return found == known or (is_cut and found.startswith(known))


def _digest(*fields: object) -> str:
    return sha256(ascii(fields).encode()).hexdigest()[:_DIGEST_LENGTH]


def _hidden(destination_name: str, digest: str, kind: str) -> str:
    tail = f".{digest}.{kind}"
    room = NAME_MOST - _SUFFIX_MOST - len(tail) - 1
    # Cut between characters, never within one: half a character is a name that some file systems refuse.
    stem = destination_name.encode("utf-8", "surrogateescape")[:room].decode("utf-8", "ignore")
    return f".{stem}{tail}"
