"""A local OSS for tests: `LocalOSS` with its faults and its list of requests, and `ChaosProxy`, a bad network.

Each name is imported when it is first used, because pytest always imports the plugin in this package.
"""

from typing import TYPE_CHECKING, Final

from aioss_resume._lazy import attach

if TYPE_CHECKING:
    from aioss_resume.testing.faults.fault import Fault
    from aioss_resume.testing.faults.faults import Faults
    from aioss_resume.testing.faults.hostile import HOSTILE_BODIES, HOSTILE_RETRY_AFTERS
    from aioss_resume.testing.network.chaos_proxy import ChaosProxy
    from aioss_resume.testing.network.recorder import Recorder
    from aioss_resume.testing.server.contents import BytesContent, FileContent, GeneratedContent
    from aioss_resume.testing.server.ledger import RequestRecord
    from aioss_resume.testing.server.local_oss import LocalOSS
    from aioss_resume.testing.server.store import StoredObject

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

__all__ = [
    "HOSTILE_BODIES",
    "HOSTILE_RETRY_AFTERS",
    "BytesContent",
    "ChaosProxy",
    "Fault",
    "Faults",
    "FileContent",
    "GeneratedContent",
    "GiB",
    "KiB",
    "LocalOSS",
    "MiB",
    "Recorder",
    "RequestRecord",
    "StoredObject",
]

_HOMES: Final = {
    "faults.fault": ("Fault",),
    "faults.faults": ("Faults",),
    "faults.hostile": ("HOSTILE_BODIES", "HOSTILE_RETRY_AFTERS"),
    "network.chaos_proxy": ("ChaosProxy",),
    "network.recorder": ("Recorder",),
    "server.contents": ("BytesContent", "FileContent", "GeneratedContent"),
    "server.ledger": ("RequestRecord",),
    "server.local_oss": ("LocalOSS",),
    "server.store": ("StoredObject",),
}

__getattr__, __dir__ = attach(__name__, _HOMES)
