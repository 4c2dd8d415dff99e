"""Whether a process handles a signal."""

import re
import signal
import subprocess
from pathlib import Path
from typing import Any


def is_caught(process: subprocess.Popen[Any], number: signal.Signals) -> bool:
    """Whether the process has a handler for that signal. Any: text or bytes. Only Linux tells."""
    found = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return bool(int(found[1], 16) >> (number - 1) & 1)
