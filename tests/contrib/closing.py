"""File systems of fsspec that tests have made: fsspec keeps each of them until it is told otherwise."""

import fsspec

from aioss_resume.contrib.fsspec import OSSResumeFileSystem


def close_file_systems() -> None:
    """Close all of them, and forget them."""
    for fs in list(OSSResumeFileSystem._cache.values()):
        if not fs.asynchronous:
            fsspec.asyn.sync(fs.loop, fs.close)
    OSSResumeFileSystem.clear_instance_cache()
