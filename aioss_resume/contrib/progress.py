"""Progress bars for `progress_callback`. Extras: `rich` and `tqdm`."""

from collections.abc import Callable
from typing import Any

from aioss_resume.contrib._extras import extra

Callback = Callable[[int, int | None], None]


def rich_progress(progress: Any, description: str = "downloading") -> Callback:
    """Show one download as a task of a rich.progress.Progress. Returns the progress callback.

    Call it once for each download; one Progress can show many. For a batch, advance one bar by each outcome instead.

    Args:
        progress: The caller's rich.progress.Progress, which the caller starts and stops. Any: the package is an extra.
        description: The description of the task.

    Raises:
        ConfigError: rich is not installed.
    """
    extra("rich.progress", "rich")
    task = progress.add_task(description, total=None)

    def callback(consumed: int, total: int | None) -> None:
        progress.update(task, completed=consumed, total=total)

    return callback


def tqdm_progress(bar: Any = None, **options: Any) -> Callback:
    """Show one download on a tqdm bar of its own, or on a shared one. Returns the progress callback.

    Args:
        bar: The caller's bar, shared by several downloads; its total grows by the size of each. None for a new bar for
            one download, which is closed at its end. Any: the package is an extra.
        options: tqdm's options for a new bar. Sizes are shown in binary units by default.

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
