"""Progress bars for `progress_callback`. Extras: `rich` and `tqdm`."""

from collections.abc import Callable
from typing import Any

from aioss_resume.contrib._extras import extra

Callback = Callable[[int, int | None], None]


def rich_progress(progress: Any, description: str = "downloading") -> Callback:
    """A task of a rich.progress.Progress that follows one download.

    Call it for each download; one Progress shows all of them.

    Args:
        progress: A rich.progress.Progress of the caller's, who starts and stops it. Any: the package is an extra.
        description: What the task is called.

    Raises:
        ConfigError: rich is not installed.
    """
    extra("rich.progress", "rich")
    task = progress.add_task(description, total=None)

    def callback(consumed: int, total: int | None) -> None:
        progress.update(task, completed=consumed, total=total)

    return callback


def tqdm_progress(bar: Any = None, **options: Any) -> Callback:
    """A tqdm bar that follows one download, or adds it to a bar that several share.

    Args:
        bar: A bar of the caller's, shared by several downloads: its total grows by the size of each. None: a new bar
            for one download, which is closed at its end. Any: the package is an extra.
        options: For a new bar, as tqdm has them. Sizes are shown in binary units unless these say otherwise.

    Raises:
        ConfigError: tqdm is not installed.
    """
    tqdm = extra("tqdm", "tqdm").tqdm
    is_own = bar is None
    shown = tqdm(**{"unit": "B", "unit_scale": True, "unit_divisor": 1024, **options}) if is_own else bar
    before, counted = 0, 0

    def callback(consumed: int, total: int | None) -> None:
        nonlocal before, counted
        if total is not None and total != counted:
            shown.total = (shown.total or 0) + total - counted
            counted = total
        shown.update(consumed - before)
        before = consumed
        if is_own and consumed == total:
            shown.close()

    return callback
