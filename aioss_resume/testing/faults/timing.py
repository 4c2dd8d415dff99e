"""Late and slow responses."""

from typing import Unpack

from aioss_resume.testing.faults.fault import Fault, Scope
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer


class TimeFaults(FaultSet):
    """Correct responses that are late or slow."""

    def delay(self, seconds: float, **scope: Unpack[Scope]) -> Fault:
        """Wait before the headers."""

        def act(answer: Answer) -> bool:
            answer.delay += seconds
            return True

        return self._late("delay", act, scope)

    def slow(self, bytes_per_second: float, **scope: Unpack[Scope]) -> Fault:
        """Limit the speed of the body."""

        def act(answer: Answer) -> bool:
            answer.rate = bytes_per_second
            return answer.is_success

        return self._late("slow", act, scope)

    def drip_headers(self, bytes_per_second: float, **scope: Unpack[Scope]) -> Fault:
        """Send the headers byte by byte at that speed."""

        def act(answer: Answer) -> bool:
            answer.head_rate = bytes_per_second
            return True

        return self._late("drip_headers", act, scope)
