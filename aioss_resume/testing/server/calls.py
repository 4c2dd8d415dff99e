"""One parsed request: its bucket, key and range."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_plus

from multidict import CIMultiDictProxy

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_ENDPOINT = re.compile(r"oss-[a-z0-9-]+|s3\.oss-[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed request. The key is exactly the one that was sent, without normalisation."""

    method: str
    host: str
    raw_path: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str]
    body: bytes
    request_id: str

    @property
    def range(self) -> tuple[int, int | None] | None:
        """What was asked for, half-open: `(5, None)` is `bytes=5-`, `(-5, None)` is `bytes=-5`."""
        return parse_range(self.headers.get("Range", ""))

    @property
    def version_id(self) -> str | None:
        return self.query.get("versionId")

    @property
    def encoding(self) -> dict[str, str]:
        """The EncodingType element of the response; none if the client did not ask for an encoding."""
        return {"EncodingType": self.query["encoding-type"]} if "encoding-type" in self.query else {}

    def encoded(self, name: str) -> str:
        """A name for the XML of the response, in the encoding that the client asked for."""
        return quote(name) if self.query.get("encoding-type") == "url" else name


def parse_range(header: str) -> tuple[int, int | None] | None:
    """Parse a Range header with a single range of bytes. Returns None for anything else."""
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None:
        return None
    first, last = found.groups()
    if not first:
        return (-int(last), None) if last and int(last) else None
    if not last:
        return (int(first), None)
    return (int(first), int(last) + 1) if int(first) <= int(last) else None


def parse_query(raw_query: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in raw_query.split("&") if pair)
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}


def address(host: str, raw_path: str, cnames: Mapping[str, str]) -> tuple[str, str]:
    """The bucket and the key in a Host header and a raw path without its query. Either may be empty."""
    name = _host_name(host)
    path = raw_path.removeprefix("/")
    if name in cnames:
        return cnames[name], unquote(path, errors="surrogateescape")
    first_label, _, _ = name.partition(".")
    if _is_ip(name) or "." not in name or _ENDPOINT.fullmatch(first_label):
        bucket, _, key = path.partition("/")
        return unquote(bucket), unquote(key, errors="surrogateescape")
    return first_label, unquote(path, errors="surrogateescape")


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
