"""The plainest of clients: it sends a path as it is, reads what it gets and checks nothing."""

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


Fetch = Callable[..., Got]


def raw_fetch(port: int, path: str, method: str, headers: Mapping[str, str]) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as response:
            return Got(response.status, response.headers, response.read())
    finally:
        connection.close()
