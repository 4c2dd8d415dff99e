"""aiohttp's errors as ours.

Nothing of their text is taken: it may hold a signed address, headers, or a proxy's password.
"""

import ssl

import aiohttp

from aioss_resume.errors import AiossError, ObjectName, ProtocolError, RequestError


def request_error(error: BaseException, name: ObjectName, seconds: float) -> AiossError:
    """Ours for one of aiohttp's; `seconds` is the time limit that a TimeoutError speaks of."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
        return permanent(f"{name}: the server's certificate was refused ({reason})", name, "check the endpoint")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        refused = RequestError(
            f"{name}: the proxy answered {error.status}", name=name, hint="check the bucket's proxies"
        )
        refused.permanent = error.status == 407
        return refused
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RequestError(f"{name}: could not connect in time", name=name, hint="check the endpoint and the network")
    if isinstance(error, TimeoutError):
        return RequestError(f"{name}: nothing came for {seconds:g} s", name=name)
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = "no such host" if isinstance(error, aiohttp.ClientConnectorDNSError) else _os_reason(error.os_error)
        where = f"{error.host}:{error.port}"
        failed = RequestError(f"{name}: could not connect to {where} ({reason})", name=name)
        failed.errno = error.os_error.errno
        return failed
    if isinstance(error, aiohttp.InvalidURL):
        return permanent(f"{name}: the bucket's endpoint makes no valid address", name, "check the endpoint")
    if isinstance(error, aiohttp.ClientResponseError):
        return ProtocolError(f"{name}: got something that is no HTTP", name=name)
    reason = _os_reason(error) if isinstance(error, OSError) else type(error).__name__
    return RequestError(f"{name}: the connection was lost ({reason})", name=name)


def proxy_error(status: int, name: ObjectName) -> RequestError:
    """The error for a proxy that answers instead of OSS."""
    error = RequestError(f"{name}: the proxy answered {status}", name=name, hint="check the bucket's proxies")
    error.permanent = status == 407
    return error


def permanent(text: str, name: ObjectName, hint: str) -> RequestError:
    error = RequestError(text, name=name, hint=hint)
    error.permanent = True
    return error


def _os_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    return type(error).__name__ if error.errno is None else f"errno {error.errno}"
