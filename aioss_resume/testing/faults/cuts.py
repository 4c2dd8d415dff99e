"""Faults that cut off a response or prevent it."""

from typing import Literal, Unpack

from aioss_resume.testing.faults.fault import Fault, Scope, World
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer, Cut, Then
from aioss_resume.testing.server.calls import Call

_Framing = Literal["length", "chunked", "close"]


class CutFaults(FaultSet):
    """Connections that end early, or never end."""

    def reset_after(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """Reset the connection (RST) after n bytes of the body; with 0, after the headers."""
        return self._cut("reset_after", Cut(n, "reset"), scope)

    def truncate(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """Close the connection normally (FIN) after n bytes of the body."""
        return self._cut("truncate", Cut(n, "truncate"), scope)

    def stall(self, n: int = 0, seconds: float | None = None, **scope: Unpack[Scope]) -> Fault:
        """Send n bytes of the body and then nothing for so many seconds; None for until the client disconnects."""
        return self._cut("stall", Cut(n, "stall", seconds), scope)

    def reset_before(self, **scope: Unpack[Scope]) -> Fault:
        """Reset the connection instead of responding."""

        def act(_call: Call, _world: World) -> Answer:
            return Answer(0, cut=Cut(-1, "reset"))

        return self._early("reset_before", act, scope)

    def close_before(self, **scope: Unpack[Scope]) -> Fault:
        """Close the connection normally (FIN) instead of responding."""
        return self._unanswered("close_before", "close", scope)

    def never_answer(self, **scope: Unpack[Scope]) -> Fault:
        """Accept the request and never respond. The connection stays open until the client disconnects."""
        return self._unanswered("never_answer", "hang", scope)

    def close_idle(self, how: Then = "close", **scope: Unpack[Scope]) -> Fault:
        """Respond completely, promise to keep the connection alive, and close it: it is stale for the next request."""

        def act(answer: Answer) -> bool:
            answer.then = how
            return answer.cut is None

        return self._late("close_idle", act, scope)

    def cut_chunked(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """Send the body in chunks, and close the connection (FIN) after n bytes instead of sending the last chunk."""
        return self._cut("cut_chunked", Cut(n, "truncate"), scope, framing="chunked")

    def cut_unannounced(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """Send no length, and close the connection (FIN) after n bytes, so that the truncated body looks complete."""
        return self._cut("cut_unannounced", Cut(n, "truncate"), scope, framing="close")

    def cut_tls(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """Like `cut_unannounced`, but without TLS's close_notify."""
        return self._cut("cut_tls", Cut(n, "unsaid"), scope, framing="close")

    def _unanswered(self, name: str, then: Then, scope: Scope) -> Fault:
        def act(_call: Call, _world: World) -> Answer:
            return Answer(0, raw=b"", then=then, is_foreign=True)

        return self._early(name, act, scope)

    def _cut(self, name: str, cut: Cut, scope: Scope, *, framing: _Framing | None = None) -> Fault:
        if cut.after < 0:
            raise ValueError(f"{name}(): it must be after 0 bytes or more, not {cut.after}")

        def act(answer: Answer) -> bool:
            never_gets_there = cut.after and cut.after >= answer.length
            if answer.cut is not None or not answer.is_success or never_gets_there:
                return False
            answer.cut = cut
            answer.framing = framing or answer.framing
            return True

        return self._late(name, act, scope)
