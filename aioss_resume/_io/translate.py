"""Translation of aiohttp's errors into ours.

Their text is never used: it may contain a signed address, headers, or a proxy's password.
"""

import os
import re
import ssl
from typing import Final

import aiohttp
from yarl import URL

from aioss_resume._core.endpoints import has_bucket_twice
from aioss_resume.errors import AiossError, ObjectName, ProtocolError, RequestError

PLAIN_TO_TLS: Final = b"plain HTTP request was sent to HTTPS port"
"""What nginx, and so OSS's own server, answers to a plain request on a port that speaks TLS."""

_TLS_ALERT: Final = "\\x15\\x03"  # as repr() shows the first bytes of a TLS alert. Source: RFC 8446, section 5.1
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})
# OpenSSL's reasons when the other side does not speak TLS at all.

_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")

_CHECK_PROXY: Final = "check the bucket's proxies, or HTTP_PROXY and HTTPS_PROXY of the environment"

_PRIVATE_CA: Final = (
    "where TLS is inspected, or the certificate authority is private, set SSL_CERT_FILE to the authority's "
    "certificate, or pass session= with a connector that trusts it; otherwise check the endpoint"
)


def request_error(
    error: BaseException, name: ObjectName, seconds: float, url: URL | None = None, *, has_answered: bool = True
) -> AiossError:
    """Translate an error of aiohttp.

    Args:
        seconds: The time limit to name for a TimeoutError.
        url: The address of the request; None while a body was being received.
        has_answered: Whether the server has responded to an earlier request.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
        return permanent(f"{name}: the server's certificate was refused ({reason})", name, _PRIVATE_CA)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return proxy_error(error.status, name)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RequestError(f"{name}: could not connect in time", name=name, hint="check the endpoint and the network")
    if isinstance(error, TimeoutError):
        return RequestError(f"{name}: nothing came for {seconds:g} s", name=name)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connect_error(error, name, url)
    if isinstance(error, aiohttp.InvalidURL):
        return permanent(f"{name}: the bucket's endpoint makes no valid address", name, "check the endpoint")
    if isinstance(error, aiohttp.ClientResponseError):
        hint = use_tls_hint(url) if _TLS_ALERT in error.message else None
        return ProtocolError(f"{name}: got something that is no HTTP", name=name, hint=hint)
    if isinstance(error, ValueError):
        hint = "its settings contradict a signed request: pass another session, or none"
        return permanent(f"{name}: the session refused to send the request ({type(error).__name__})", name, hint)
    lost = RequestError(f"{name}: the connection was lost ({_reason(error)})", name=name)
    if isinstance(error, aiohttp.ServerDisconnectedError) and not has_answered:
        lost.hint = use_tls_hint(url)
    return lost


def use_tls_hint(url: URL | None) -> str | None:
    """The hint for a plain HTTP request to a server that may require TLS; None for a TLS request."""
    if url is None or url.scheme != "http":
        return None
    return f"if the server speaks TLS, the endpoint must begin with https://, not {_address(url)}"


def proxy_error(status: int, name: ObjectName) -> RequestError:
    """The error for a proxy that responds instead of OSS."""
    error = RequestError(f"{name}: the proxy answered {status}", name=name, hint=_CHECK_PROXY)
    error.permanent = status == 407
    return error


def permanent(text: str, name: ObjectName, hint: str) -> RequestError:
    error = RequestError(text, name=name, hint=hint)
    error.permanent = True
    return error


def _connect_error(error: aiohttp.ClientConnectorError, name: ObjectName, url: URL | None) -> RequestError:
    where, system_error = f"{error.host}:{error.port}", error.os_error
    is_proxy = isinstance(error, aiohttp.ClientProxyConnectionError) or (url is not None and error.host != url.raw_host)
    if not is_proxy and isinstance(system_error, ssl.SSLError) and system_error.reason in _NOT_TLS:
        return permanent(
            f"{name}: the server at {where} does not speak TLS ({_reason(system_error)})",
            name,
            f"if it speaks plain HTTP, pass the endpoint as http://{where}; otherwise check host and port",
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        reason, hint = "no such host", "check the endpoint and the name resolution of this machine"
        if has_bucket_twice(error.host, name.bucket):
            scheme, port = ("https", None) if url is None else (url.scheme, url.explicit_port)
            endpoint = error.host.removeprefix(f"{name.bucket}.{name.bucket}.") + (f":{port}" if port else "")
            hint = f"the endpoint must not contain the bucket's name: pass {scheme}://{endpoint}"
    else:
        reason, hint = _reason(system_error), "check the endpoint's host and port, and that its server is running"
    if is_proxy:
        where, hint = f"the proxy {where}", _CHECK_PROXY
    failed = RequestError(f"{name}: could not connect to {where} ({reason})", name=name, hint=hint)
    failed.errno = _errno(system_error)
    return failed


def _address(url: URL) -> str:
    return f"{url.scheme}://{url.host}:{url.port}"


def _reason(error: BaseException) -> str:
    """The reason in our own words, without any text from the network."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    number = _errno(error) if isinstance(error, OSError) else None
    if not number or number < 0:
        return type(error).__name__
    words = os.strerror(number)
    return words[:1].lower() + words[1:]


def _errno(error: OSError) -> int | None:
    """The error number; that of the first error if several addresses were tried."""
    if error.errno is not None:
        return error.errno
    found = _ERRNO.search(str(error))
    return int(found[1]) if found else None
