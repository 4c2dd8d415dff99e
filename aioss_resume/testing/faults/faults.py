"""All faults."""

from aioss_resume.testing.faults.content import ContentFaults
from aioss_resume.testing.faults.cuts import CutFaults
from aioss_resume.testing.faults.errors import ErrorFaults
from aioss_resume.testing.faults.headers import HeaderFaults
from aioss_resume.testing.faults.listings import ListFaults
from aioss_resume.testing.faults.load import LoadFaults
from aioss_resume.testing.faults.timing import TimeFaults
from aioss_resume.testing.faults.wire import WireFaults
from aioss_resume.testing.faults.world import WorldFaults


class Faults(
    CutFaults, ErrorFaults, LoadFaults, ContentFaults, HeaderFaults, WireFaults, TimeFaults, WorldFaults, ListFaults
):
    """The faults, in the order in which they were set. Methods may be called from any thread.

    After a fault that ends a response (an error status, a cut), the remaining ones wait for the next request.
    """
