"""aiohttp sessions and proxies: our own session, and checks of the caller's."""

import netrc
import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from aioss_resume._io.storage import home_directory
from aioss_resume.errors import ConfigError
from aioss_resume.options import READ_BUFFER, RESERVED_HEADERS

_KEEP_ALIVE_SECONDS: Final = 30.0  # OSS closes idle connections after about a minute; we close them first

_HARMLESS: Final = frozenset({"accept-encoding", "connection", "date"})
# Default headers that our requests replace, or that have no effect.


def new_session() -> aiohttp.ClientSession:
    """Make a session of our own. Its connections are limited by the slots."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),  # OSS sets no cookies, and those of a proxy do not concern us
        auto_decompress=False,
        read_bufsize=READ_BUFFER,
    )


def check_session(session: Any) -> None:
    """Raise ConfigError unless requests to OSS can be sent through this session. Any: it is checked here."""
    if session is None:
        return
    if not isinstance(session, aiohttp.ClientSession):
        raise ConfigError(f"session must be an aiohttp.ClientSession or None, not {type(session).__name__}")
    if session.auth is not None:
        raise ConfigError(
            "session has auth=..., which would replace the signature of each request",
            hint="make the session without auth: the bucket's own auth signs",
        )
    if _refuses_absolute_urls(session):
        raise ConfigError(
            f"session has base_url=..., with which aiohttp {aiohttp.__version__} sends no request to another address",
            hint="make the session without base_url",
        )
    for name in session.headers:
        if name.lower() in RESERVED_HEADERS - _HARMLESS:
            raise ConfigError(
                f"session has a default header {name!r}, which a download sets itself or must not send",
                hint="make the session without it",
            )


def _refuses_absolute_urls(session: aiohttp.ClientSession) -> bool:
    """Whether the session has a base_url and asserts that all addresses are relative to it, as aiohttp 3.11 does."""
    build_url = getattr(session, "_build_url", None)
    try:
        if build_url is not None:
            build_url("http://127.0.0.1/")
    except AssertionError:
        return True
    return False


def check_netrc(host: str) -> None:
    """Raise ConfigError if ~/.netrc has an entry for the host: a session with trust_env=True would send it.

    Reads a file; call it in a thread.
    """
    home = home_directory()
    path = os.environ.get("NETRC") or (home / ".netrc" if home is not None else None)
    if path is None:
        return
    try:
        found = netrc.netrc(path).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return
    if found is not None:
        raise ConfigError(
            f"session has trust_env=True, and {path} has a password for {host!r}, which would replace the signature",
            hint="make the session without trust_env, and name the proxy in the bucket's proxies",
        )


def with_signed_defaults(session: aiohttp.ClientSession, headers: Mapping[str, str]) -> dict[str, str]:
    """Add those default headers of the session that must be signed; aiohttp would add them after signing."""
    given = {name.lower() for name in headers}
    defaults = {
        name: value
        for name, value in session.headers.items()
        if (name.lower().startswith("x-oss-") or name.lower() in ("content-type", "content-md5"))
        and name.lower() not in given
    }
    return {**defaults, **headers}


def connection_limit(session: aiohttp.ClientSession | None) -> int:
    """The limit of connections to one host in the caller's session; 0 for no limit."""
    connector: Any = session.connector if session is not None else None  # Any: a connector may have no such limits
    limits = [getattr(connector, name, 0) or 0 for name in ("limit", "limit_per_host")]
    return min((limit for limit in limits if limit > 0), default=0)


def proxy_for(endpoint: str, proxies: Mapping[str, str] | None, *, is_own_session: bool) -> str | None:
    """The proxy for an endpoint, chosen like requests (and so oss2) does, or None.

    Args:
        proxies: The bucket's proxies.
        is_own_session: Whether to use the environment if the bucket names no proxy (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY,
            NO_PROXY, in upper or lower case).

    Raises:
        ConfigError: The proxy does not speak HTTP, or its address is invalid.
    """
    target = urlsplit(endpoint)
    if not proxies:
        if not is_own_session or not target.hostname or proxy_bypass(target.netloc):
            return None
        proxies = getproxies()
    for key in (f"{target.scheme}://{target.hostname}", target.scheme, f"all://{target.hostname}", "all"):
        if proxies.get(key):
            proxy = str(proxies[key])
            proxy = proxy if "://" in proxy else f"http://{proxy}"  # as requests reads it
            _check_proxy(proxy, f"{target.scheme}://{target.hostname}")
            return proxy
    return None


def _check_proxy(proxy: str, target: str) -> None:
    """Raise ConfigError unless that is the address of an HTTP proxy. It may contain a password, so it is not shown."""
    problem = None
    try:
        parts = urlsplit(proxy)
        if parts.scheme not in ("http", "https"):
            problem = f"has the scheme {parts.scheme!r}, not http or https"
        elif not (parts.hostname or "").strip() or parts.port == 0:
            problem = "has no valid host and port"
    except ValueError:
        problem = "has no valid host and port"
    if problem is not None:
        raise ConfigError(
            f"the proxy for {target} {problem}",
            hint="name an HTTP proxy in the bucket's proxies or the environment, or set NO_PROXY",
        )
