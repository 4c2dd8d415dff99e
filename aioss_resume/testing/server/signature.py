"""OSS signature version 4.

It was written from the description and not from oss2, so that each checks the other.
Source: the OSS help pages on signature version 4, and a vector on which oss2 and the second SDK agree.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import quote

ALGORITHM = "OSS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_ALWAYS_SIGNED = {"content-type", "content-md5"}


@dataclass(frozen=True, slots=True)
class Credential:
    """The parts of `key id/date/region/product/aliyun_v4_request`."""

    access_key_id: str
    date: str
    region: str
    product: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.product}/aliyun_v4_request"


def parse_credential(text: str) -> Credential | None:
    parts = text.split("/")
    if len(parts) != 5 or parts[4] != "aliyun_v4_request":
        return None
    return Credential(*parts[:4])


def parse_authorization(header: str) -> dict[str, str]:
    """Parse the fields after the algorithm's name, in any order and spacing. Names become lower case."""
    _, _, rest = header.strip().partition(" ")
    pairs = (field.partition("=") for field in rest.split(","))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def canonical_request(
    *,
    method: str,
    bucket: str,
    key: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    additional: Collection[str] = (),
    payload: str = UNSIGNED_PAYLOAD,
) -> str:
    """The text whose digest is signed. `query` must not contain `x-oss-signature`; header names may be in any case."""
    path = f"/{bucket}/{key}" if bucket else "/"
    lowered = {name.lower(): value for name, value in headers.items()}
    additional = sorted({name for name in additional if name in lowered and not _is_always_signed(name)})
    signed = sorted(name for name in lowered if _is_always_signed(name) or name in additional)
    lines = "".join(f"{name}:{lowered[name].strip()}\n" for name in signed)
    pairs = sorted((_encode(name), _encode(value)) for name, value in query.items())
    asked = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    return "\n".join((method, _encode(path, "/"), asked, lines, ";".join(additional), payload))


def string_to_sign(canonical: str, *, date_time: str, scope: str) -> str:
    digest = hashlib.sha256(_bytes(canonical)).hexdigest()
    return f"{ALGORITHM}\n{date_time}\n{scope}\n{digest}"


def sign(text: str, *, secret: str, credential: Credential) -> str:
    """The signature of a string to sign: 64 lower-case hexadecimal digits."""
    key = f"aliyun_v4{secret}".encode()
    for part in (credential.date, credential.region, credential.product, "aliyun_v4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, _bytes(text), hashlib.sha256).hexdigest()


def _is_always_signed(name: str) -> bool:
    return name.startswith("x-oss-") or name in _ALWAYS_SIGNED


def _encode(text: str, safe: str = "") -> str:
    return quote(_bytes(text), safe=safe + "-_.~")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
