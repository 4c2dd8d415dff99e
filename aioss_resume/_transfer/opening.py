"""The first response for an object. It describes the object, so no HEAD is needed."""

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import Range, Suffix
from aioss_resume._io.clock import Clock
from aioss_resume._io.fetch import Source
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._transfer.reporting import Reporter
from aioss_resume._transfer.retrying import with_retries
from aioss_resume.errors import ProtocolError, ServiceError
from aioss_resume.options import RetryPolicy

FIRST_BYTE = Range(0, 1)


class Opener:
    """Opens the first response for an object, with retries."""

    def __init__(self, source: Source, policy: RetryPolicy, clock: Clock, report: Reporter) -> None:
        self._source = source
        self._policy = policy
        self._clock = clock
        self._report = report

    async def open(self, wanted: Range | Suffix, pinned: ObjectMeta | None = None) -> tuple[AcceptedResponse, Range]:
        """Open the response. Returns it and the range that it contains, which is empty for an empty object.

        Args:
            pinned: The required version of the object; None for any.

        Raises:
            ServiceError: Status 416 if the range does not begin at 0 and is beyond the end; or another error of OSS.
            AiossError: As for Source.open_range().
        """

        async def attempt() -> tuple[AcceptedResponse, Range]:
            try:
                response = await self._source.open_range(wanted, pinned)
            except ServiceError as error:
                if error.status != 416 or pinned is not None or wanted.within(0) != Range(0, 0):
                    raise
            else:
                assert response.range is not None
                return response, response.range
            response = await self._source.open_whole()  # it is empty, so every range is out of bounds
            if response.length != 0:
                response.close()
                raise ProtocolError(
                    f"{self._source.name}: no range fits it, yet it is not empty", name=self._source.name
                )
            return response, Range(0, 0)

        return await with_retries(attempt, self._policy, self._clock, self._report)

    async def fetch_meta(self) -> ObjectMeta:
        """Fetch the object's metadata with a GET of one byte. The caller must have a slot."""
        response, _ = await self.open(FIRST_BYTE)
        try:
            await response.discard()
            return response.meta
        finally:
            response.close()
