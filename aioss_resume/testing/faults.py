"""Faults by name: what goes wrong, in the order it was asked for."""

from aioss_resume.testing.faults_content import ContentFaults
from aioss_resume.testing.faults_cut import CutFaults
from aioss_resume.testing.faults_error import ErrorFaults
from aioss_resume.testing.faults_header import HeaderFaults
from aioss_resume.testing.faults_list import ListFaults
from aioss_resume.testing.faults_load import LoadFaults
from aioss_resume.testing.faults_time import TimeFaults
from aioss_resume.testing.faults_wire import WireFaults
from aioss_resume.testing.faults_world import WorldFaults


class Faults(
    CutFaults, ErrorFaults, LoadFaults, ContentFaults, HeaderFaults, WireFaults, TimeFaults, WorldFaults, ListFaults
):
    """The faults that are set, in that order; every method may be called from any thread.

    A fault that ends an answer (an error status, a cut) leaves those after it to the next request.
    """
