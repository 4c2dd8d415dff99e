"""Mistakes in an endpoint that can be detected before any request."""

from typing import Final, NamedTuple

_OSS_DOMAIN: Final = ".aliyuncs.com"
_CONSOLE_DOMAIN: Final = ".console.aliyun.com"
_FORM: Final = 'an endpoint looks like "https://oss-cn-hangzhou.aliyuncs.com"'


class EndpointMistake(NamedTuple):
    """What is wrong with an endpoint, and the hint that says what to do."""

    text: str
    hint: str


def endpoint_mistake(scheme: str, host: str, path: str, request_host: str, bucket_name: str) -> EndpointMistake | None:
    """The mistake in an endpoint, or None if it may be right.

    Args:
        scheme, host, path: The endpoint's parts; a query counts as part of the path.
        request_host: The host that requests for the bucket go to.
    """
    if host.endswith(_CONSOLE_DOMAIN):
        return EndpointMistake(f"{host!r} is the address of OSS's web console", _FORM)
    if path.strip("/"):
        return EndpointMistake(
            f"the endpoint has the path {path!r}: only scheme, host and port belong there",
            f"pass {scheme}://{host}; the key is an argument of its own",
        )
    if has_bucket_twice(request_host, bucket_name) and _is_oss_host(host.removeprefix(f"{bucket_name}.")):
        return EndpointMistake(
            f"the endpoint {host!r} contains the bucket's name, which is added to it",
            f"pass {scheme}://{host.removeprefix(f'{bucket_name}.')}",
        )
    return None


def has_bucket_twice(request_host: str, bucket_name: str) -> bool:
    """Whether the host begins with the bucket's name twice."""
    return request_host.startswith(f"{bucket_name}.{bucket_name}.")


def _is_oss_host(host: str) -> bool:
    return host.endswith(_OSS_DOMAIN) and host.startswith(("oss-", "s3.oss-", "oss."))
