"""An OSS on this machine to test against: `LocalOSS`, its faults and its ledger."""

from aioss_resume.testing.contents import BytesContent, FileContent, GeneratedContent
from aioss_resume.testing.fault import Fault
from aioss_resume.testing.faults import Faults
from aioss_resume.testing.ledger import RequestRecord
from aioss_resume.testing.server import LocalOSS
from aioss_resume.testing.store import StoredObject

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

__all__ = [
    "BytesContent",
    "Fault",
    "Faults",
    "FileContent",
    "GeneratedContent",
    "GiB",
    "KiB",
    "LocalOSS",
    "MiB",
    "RequestRecord",
    "StoredObject",
]
