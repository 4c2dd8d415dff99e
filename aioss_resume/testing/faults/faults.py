"""All faults by name."""

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
    """The faults that are set, in that order; every method may be called from any thread.

    A fault that ends an answer (an error status, a cut) leaves those after it to the next request.
    """
