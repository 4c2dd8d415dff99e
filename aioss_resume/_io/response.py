"""An accepted response, whose body is received with limits on stalls and on low speed."""

import aiohttp

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import Range
from aioss_resume._io.body import OnReceived, body_of
from aioss_resume._io.clock import Clock
from aioss_resume._io.translate import request_error
from aioss_resume.errors import AiossError, ObjectName, RequestError
from aioss_resume.options import READ_MOST, Timeouts


class AcceptedResponse:
    """An accepted response whose body has not been received yet. The caller must close it.

    Attributes:
        meta: The object as this response describes it.
        range: The range of the object in the body; None if the object was processed by OSS.
        length: Bytes of that range; None if unknown.
        latency: Seconds from the request to this response.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        name: ObjectName,
        meta: ObjectMeta,
        range_: Range | None,
        length: int | None,
        timeouts: Timeouts,
        clock: Clock,
        *,
        skip: int = 0,
    ) -> None:
        self.meta, self.range, self.length = meta, range_, length
        self.latency = 0.0
        self._body = body_of(response, None if length is None else skip + length, timeouts.stall, clock)
        self._name = name
        self._timeouts = timeouts
        self._clock = clock
        self._came = 0
        self._skip = skip  # bytes at the beginning of the body that nobody asked for
        self._on_received: OnReceived = _want_all
        self._window_came, self._window_waited = 0, 0.0

    async def fill(self, buffer: memoryview, on_received: OnReceived) -> bool:
        """Receive at least one byte; until the buffer is full, or WRITE_SECONDS have passed, or no more are wanted.

        When this raises or is cancelled, too, `on_received` was told of every byte that is in the buffer.

        Returns:
            False when all of the body had been received before.

        Raises:
            RequestError: The body was cut short, stalled, or came too slowly for too long.
        """
        while self._skip:
            await self._receive_some(memoryview(bytearray(min(self._skip, READ_MOST))), self._count_skipped)
        return await self._receive_some(buffer, on_received)

    async def _receive_some(self, buffer: memoryview, on_received: OnReceived) -> bool:
        before, came = self._clock.now(), self._came
        self._on_received = on_received
        try:
            await self._body.fill(buffer, self._receive)
        except EOFError:
            if self.length is None or self._came == self.length:
                return self._came > came
            text = f"{self._name}: the body was cut short after {self._came} of {self.length} bytes"
            problem: AiossError = RequestError(text, name=self._name)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = request_error(error, self._name, self._timeouts.stall)
        else:
            self._window_waited += self._clock.now() - before
            if self._window_waited < self._timeouts.min_speed_window or not self._is_too_slow():
                return True
            problem = RequestError(
                f"{self._name}: less than {self._timeouts.min_speed:g} bytes a second came"
                f" over {self._timeouts.min_speed_window:g} s",
                name=self._name,
            )
        raise problem

    def trim(self, length: int) -> None:
        """Let the running call of fill(), if there is one, receive `length` more bytes at most; 0 ends it."""
        self._body.trim(length)

    async def discard(self) -> None:
        """Receive and drop a body of a few bytes, so that the connection can be reused."""
        await self.fill(memoryview(bytearray(self.length or 1)), _want_all)

    def close(self) -> None:
        """Release the connection. It can be reused if the body was read to its end."""
        self._body.close()

    def _count_skipped(self, length: int, _now: float) -> bool:
        self._skip -= length
        self._came -= length
        return True

    def _receive(self, length: int, now: float) -> bool:
        self._came += length
        self._window_came += length
        return self._on_received(length, now)

    def _is_too_slow(self) -> bool:
        speed = self._window_came / self._window_waited
        self._window_came, self._window_waited = 0, 0.0
        return speed < self._timeouts.min_speed


def _want_all(_length: int, _now: float) -> bool:
    return True
