"""A file system that describes its files in another way than the one below it."""

import os

from aioss_resume._io.storage import Storage, StrPath

_UNNUMBERED = ("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_blocks")
# The fields that a stat_result has by name only.


class ChangedStats(Storage):
    def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> os.stat_result:
        return self._changed(super().stat(path, follow_symlinks=follow_symlinks))

    def fstat(self, descriptor: int) -> os.stat_result:
        return self._changed(super().fstat(descriptor))

    def _changed(self, found: os.stat_result) -> os.stat_result:
        return os.stat_result(self.fields(found), {name: getattr(found, name) for name in _UNNUMBERED})

    def fields(self, found: os.stat_result) -> tuple[int, ...]:
        """The first ten fields of the changed stat result."""
        raise NotImplementedError
