"""The command checkpoints: list the unfinished downloads below a directory, or remove them."""

import time
from pathlib import Path

import click

from aioss_resume._core.checkpoint import MOST_BYTES, Checkpoint, Unusable, decode
from aioss_resume._core.paths import destination_name, may_be_lock_of
from aioss_resume._io.lock import PathLock
from aioss_resume.cli.exits import BUSY, DONE, on_stderr
from aioss_resume.cli.showing import print_json
from aioss_resume.cli.sizes import in_words
from aioss_resume.errors import printable


def checkpoints(directory: str, *, clean: bool, as_json: bool) -> int:
    """List the unfinished downloads below a directory, or remove those that no process continues at the moment."""
    found = busy = 0
    for file in sorted(Path(directory).rglob(".*.checkpoint")):
        try:
            with file.open("rb") as opened:
                checkpoint = decode(opened.read(MOST_BYTES))
            age = time.time() - file.stat().st_mtime
        except (OSError, Unusable) as error:
            on_stderr(f"{printable(str(file))}: {error}")
            continue
        destination = file.with_name(destination_name(file.name))
        if clean and not _remove(file, file.with_name(checkpoint.part_file)):
            busy += 1
            on_stderr(f"{printable(str(destination))}: left, because a process is downloading it")
            continue
        found += 1
        _show(checkpoint, file, destination, age, as_json=as_json)
    if not as_json:
        on_stderr(f"{found} {'removed' if clean else 'unfinished'}" if found or busy else "nothing is unfinished")
    return BUSY if busy else DONE


def _show(checkpoint: Checkpoint, file: Path, destination: Path, age: float, *, as_json: bool) -> None:
    name, done, size = checkpoint.name, sum(span.stop - span.start for span in checkpoint.spans), checkpoint.meta.size
    if as_json:
        fields = {"bucket": name.bucket, "key": name.key, "size": size, "done": done, "age": round(age)}
        print_json(**fields, path=str(destination), checkpoint=str(file))
    else:
        percent = 100 * done // max(1, size)
        click.echo(
            f"{percent:3} %  {in_words(done)} of {in_words(size)}, last written {_ago(age)} ago: "
            f"{printable(str(destination))} from {name}"
        )


def _remove(file: Path, part: Path) -> bool:
    """Remove a checkpoint, its part file, and the lock that a killed process left. False if a process has the lock."""
    locks = [PathLock(path) for path in file.parent.glob(".*.lock") if may_be_lock_of(path.name, file.name)]
    try:
        if not all(lock.try_lock() for lock in locks):
            return False
        part.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        return True
    finally:
        for lock in locks:
            lock.release()


def _ago(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"
