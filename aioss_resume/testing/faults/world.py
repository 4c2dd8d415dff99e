"""Changes just before a request is answered: of objects, credentials and the clock."""

from dataclasses import replace
from typing import Unpack

from multidict import CIMultiDict, CIMultiDictProxy

from aioss_resume.testing.faults.fault import Fault, Scope, World
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.contents import BytesContent, Content, GeneratedContent

_CONDITIONS = ("If-Match", "If-Unmodified-Since")


class WorldFaults(FaultSet):
    """What others do to the bucket while a client reads from it."""

    def replace_object(
        self,
        data: bytes | None = None,
        *,
        size: int | None = None,
        content_seed: int = 1,
        same_etag: bool = False,
        stale_crc: bool = False,
        **scope: Unpack[Scope],
    ) -> Fault:
        """Replace the object by data, by `size` made-up bytes, or by other bytes of the same length.

        same_etag: the ETag stays. stale_crc: the CRC-64 told stays that of the old bytes.
        """
        content: Content | None = None
        if data is not None:
            content = BytesContent(data)
        elif size is not None:
            content = GeneratedContent(size, content_seed)

        def act(call: Call, world: World) -> None:
            world.replace_content(call, content, same_etag=same_etag, stale_crc=stale_crc)

        return self._early("replace_object", act, scope)

    def delete_object(self, **scope: Unpack[Scope]) -> Fault:
        """Delete the object."""
        return self._early("delete_object", lambda call, world: world.delete_object(call), scope)

    def expire_credentials(self, **scope: Unpack[Scope]) -> Fault:
        """Expire the credentials that the request is signed with."""
        return self._early("expire_credentials", lambda call, world: world.expire_credentials(call), scope)

    def stealth_replace(self, data: bytes | None = None, *, stale_crc: bool = False, **scope: Unpack[Scope]) -> Fault:
        """Replace the object by data, or by other bytes of the same length; ETag and Last-Modified stay.

        stale_crc: the CRC-64 told stays as well.
        """
        content = None if data is None else BytesContent(data)

        def act(call: Call, world: World) -> None:
            world.replace_content(call, content, same_etag=True, stale_crc=stale_crc, same_date=True)

        return self._early("stealth_replace", act, scope)

    def ignore_if_match(self, **scope: Unpack[Scope]) -> Fault:
        """Answer as if the request had no If-Match and no If-Unmodified-Since."""

        def has_condition(call: Call, _world: World) -> bool:
            return any(name in call.headers for name in _CONDITIONS)

        def act(call: Call, _world: World) -> Call:
            headers = CIMultiDict(call.headers)
            for name in _CONDITIONS:
                headers.popall(name, None)
            return replace(call, headers=CIMultiDictProxy(headers))

        return self._early("ignore_if_match", act, scope, when=has_condition)

    def skew(self, seconds: float, **scope: Unpack[Scope]) -> Fault:
        """Put the server's clock forward by that much (negative: back), from this request on."""
        return self._early("skew", lambda _call, world: world.shift_clock(seconds), scope)

    # At the nth request in scope.

    def replace_at(self, n: int, data: bytes | None = None, **scope: Unpack[Scope]) -> Fault:
        """`replace_object` at the nth request."""
        scope["nth"] = n
        return self.replace_object(data, **scope)

    def delete_at(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """`delete_object` at the nth request."""
        scope["nth"] = n
        return self.delete_object(**scope)

    def expire_at(self, n: int, **scope: Unpack[Scope]) -> Fault:
        """`expire_credentials` at the nth request: it and those after it are signed with an expired token."""
        scope["nth"] = n
        return self.expire_credentials(**scope)
