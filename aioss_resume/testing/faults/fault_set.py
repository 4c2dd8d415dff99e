"""The set of faults: which ones affect a request, and which ones never occurred."""

import threading
from collections.abc import Callable

from aioss_resume.testing.faults.fault import Early, Fault, Late, Scope, When, World
from aioss_resume.testing.server.answers import Answer
from aioss_resume.testing.server.calls import Call


class FaultSet:
    """The faults, in the order in which they were set. Methods may be called from any thread."""

    def __init__(self) -> None:
        # Guards the list and all faults in it. Reentrant, because the function of a scope may read `hits`.
        self._lock = threading.RLock()
        self._set: list[Fault] = []

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            for fault in self._set:
                fault.cancel()
            self._set.clear()

    def unmet(self) -> list[Fault]:
        """The faults that never occurred and were not cancelled."""
        with self._lock:
            return [fault for fault in self._set if not fault.hits and not fault.is_cancelled]

    def check(self) -> None:
        """Fail if any fault never occurred.

        Raises:
            AssertionError: Names these faults.
        """
        unmet = self.unmet()
        if unmet:
            raise AssertionError(f"faults were set and nobody met them: {', '.join(map(repr, unmet))}")

    def met_by(self, call: Call) -> list[Fault]:
        """The faults that affect this request, in the order in which they were set. Counts the request for each."""
        with self._lock:
            return [fault for fault in self._set if fault.meets(call)]

    def act_early(self, met: list[Fault], call: Call, world: World, fired: Callable[[str], None]) -> Answer | Call:
        """Apply the early faults. Returns the response of the first one that makes one, or else the call."""
        for fault in met:
            if fault.early is None or not self._claim(fault, call, world):
                continue
            fired(fault.name)
            outcome = fault.early(call, world)
            if isinstance(outcome, Answer):
                return outcome
            call = outcome or call
        return call

    def act_late(self, met: list[Fault], answer: Answer, fired: Callable[[str], None]) -> None:
        """Apply the late faults to a response, as far as they fit it."""
        for fault in met:
            with self._lock:
                if fault.late is None or fault.is_over or not fault.late(answer):
                    continue
                fault.count()
            fired(fault.name)

    def _claim(self, fault: Fault, call: Call, world: World) -> bool:
        with self._lock:
            if fault.is_over or (fault.when is not None and not fault.when(call, world)):
                return False
            fault.count()
            return True

    def _early(self, name: str, act: Early, scope: Scope, *, when: When | None = None) -> Fault:
        return self._add(Fault(name, scope, self._lock, early=act, when=when))

    def _late(self, name: str, act: Late, scope: Scope) -> Fault:
        return self._add(Fault(name, scope, self._lock, late=act))

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._set.append(fault)
        return fault
