"""OSS signature versions 1 and 2."""

import base64
import hmac
from collections.abc import Collection, Mapping
from urllib.parse import quote

# Query parameters that version 1 signs; it leaves all others out.
_SUBRESOURCES = frozenset(
    """
    acl append asyncFetch bucketInfo callback callback-var cname comp continuation-token cors delete
    encryption endTime group inventory inventoryId lifecycle link live location logging metaQuery
    objectInfo objectMeta partNumber policy position qos qosInfo referer replication replicationLocation
    replicationProgress requestPayment resourceGroup response-cache-control response-content-disposition
    response-content-encoding response-content-language response-content-type response-expires restore
    security-token sequential startTime stat status style styleName symlink tagging transferAcceleration
    uploadId uploads versionId versioning versions vod website worm wormExtend wormId
    x-oss-ac-forward-allow x-oss-ac-source-ip x-oss-ac-subnet-mask x-oss-ac-vpc-id x-oss-async-process
    x-oss-process x-oss-request-payer x-oss-traffic-limit x-oss-write-get-object-response
    """.split()  # noqa: SIM905 - a list of quoted words is no easier to read
)


def string_to_sign_v1(
    *, method: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], date: str
) -> str:
    """`date` is the `Date` header, or for a presigned URL its `Expires`."""
    asked = sorted((name, value) for name, value in query.items() if name in _SUBRESOURCES)
    resource = f"/{bucket}/{key}" if bucket else "/"
    if asked:
        resource += "?" + "&".join(f"{name}={value}" if value else name for name, value in asked)
    lowered = {name.lower(): value for name, value in headers.items()}
    oss_headers = "".join(f"{name}:{lowered[name]}\n" for name in sorted(lowered) if name.startswith("x-oss-"))
    return "\n".join(
        (
            method,
            lowered.get("content-md5", ""),
            lowered.get("content-type", ""),
            date,
            oss_headers + resource,
        )
    )


def string_to_sign_v2(
    *,
    method: str,
    bucket: str,
    key: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    date: str,
    additional: Collection[str] = (),
) -> str:
    """`date` is the `Date` header, or for a presigned URL its `x-oss-expires`."""
    pairs = sorted((_encode(name), _encode(value)) for name, value in query.items())
    resource = _encode(f"/{bucket}/{key}" if bucket else "/")
    if pairs:
        resource += "?" + "&".join(f"{name}={value}" if value else name for name, value in pairs)
    lowered = {name.lower(): value for name, value in headers.items()}
    signed = sorted(name for name in lowered if name.startswith("x-oss-") or name in additional)
    lines = "".join(f"{name}:{lowered[name]}\n" for name in signed)
    listed = ";".join(sorted(additional))
    md5, content_type = lowered.get("content-md5", ""), lowered.get("content-type", "")
    return f"{method}\n{md5}\n{content_type}\n{date}\n{lines}{listed}\n{resource}"


def sign_v1(text: str, secret: str) -> str:
    return _sign(text, secret, "sha1")


def sign_v2(text: str, secret: str) -> str:
    return _sign(text, secret, "sha256")


def _sign(text: str, secret: str, digest: str) -> str:
    mac = hmac.new(secret.encode(), _bytes(text), digest)
    return base64.b64encode(mac.digest()).decode()


def _encode(text: str) -> str:
    return quote(_bytes(text), safe="-_.~")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
