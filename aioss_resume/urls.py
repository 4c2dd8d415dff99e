"""SignedURL: the address of an object that somebody else presigned."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aioss_resume.errors import ConfigError, ObjectName

Refresh: TypeAlias = Callable[[str], str | Awaitable[str]]
"""Called with the address that has expired; returns a new one of the same object."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SignedURL:
    """An address of an object, presigned (V1 or V4) or public. Its repr shows neither query nor signature.

    Args:
        url: http or https. Path and query are sent byte for byte; a fragment is not sent.
        refresh: Called with the old address when it has expired, once for all tasks that wait for it, and returns a
            new one of the same scheme, host and path. A plain function is called in a thread. None: an expired address
            ends in AccessDeniedError.

    Raises:
        ConfigError: It is no such address.
    """

    url: str = field(repr=False)
    refresh: Refresh | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", checked_url(self.url))
        if self.refresh is not None and not callable(self.refresh):
            raise ConfigError(f"refresh must be callable, not {type(self.refresh).__name__}")

    @property
    def name(self) -> ObjectName:
        """The parts that may be stored, logged and shown: scheme and host as the bucket, the path as the key."""
        return url_name(self.url)

    def __repr__(self) -> str:
        return f"SignedURL({str(self.name)!r})"

    __str__ = __repr__


def checked_url(url: Any) -> str:  # Any: it is checked here
    """Check an address and remove its fragment. Raises ConfigError, which does not contain the query."""
    if not isinstance(url, str):
        raise ConfigError(f"url must be a string, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # ValueError if it is no port
    except ValueError:
        is_complete = False
    if not is_complete:
        raise ConfigError("url must be a whole address that begins with http:// or https://")
    if "@" in parts.netloc:
        raise ConfigError(f"url must have no user name and no password before its host, {parts.hostname!r}")
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ConfigError(
            f"url of {parts.hostname!r} has characters that must be escaped in an address",
            hint="pass it as it was signed: with %20 for a blank, and so on",
        )
    return url.partition("#")[0]


def url_name(url: str) -> ObjectName:
    """The scheme and host of an address, and its path, as they are written there."""
    parts = urlsplit(url)
    return ObjectName(f"{parts.scheme}://{parts.netloc.lower()}", parts.path or "/")
