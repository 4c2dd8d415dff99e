"""An OSS on this machine to test against: `LocalOSS`, its faults and its ledger; and a bad network, `ChaosProxy`."""

from aioss_resume.testing.chaos import ChaosProxy
from aioss_resume.testing.contents import BytesContent, FileContent, GeneratedContent
from aioss_resume.testing.fault import Fault
from aioss_resume.testing.faults import Faults
from aioss_resume.testing.hostile import HOSTILE_BODIES, HOSTILE_RETRY_AFTERS
from aioss_resume.testing.ledger import RequestRecord
from aioss_resume.testing.recorder import Recorder
from aioss_resume.testing.server import LocalOSS
from aioss_resume.testing.store import StoredObject

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
