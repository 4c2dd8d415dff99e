"""Which operation a request asks for. Operations of OSS that are not implemented are refused by name.

Source: the API reference of OSS, and the sub-resources that oss2 signs.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from aioss_resume.testing.server.answers import Answer, RefusedError
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.store import Store

SUB_RESOURCES: Final = frozenset(
    {
        # Of objects:
        "acl", "append", "asyncFetch", "callback", "callback-var", "cleanRestoredObject", "delete", "link",
        "objectInfo", "objectMeta", "partNumber", "position", "restore", "sealAppend", "sequential", "symlink",
        "tagging", "uploadId", "uploads", "versionId", "x-oss-async-process", "x-oss-process",
        "x-oss-write-get-object-response",
        # Of buckets:
        "accessPoint", "accessPointConfigForObjectProcess", "accessPointForObjectProcess", "accessPointPolicy",
        "accessPointPolicyForObjectProcess", "bucketArchiveDirectRead", "bucketInfo", "cname", "comp", "cors",
        "encryption", "group", "httpsConfig", "img", "inventory", "inventoryId", "lifecycle", "live", "location",
        "logging", "metaQuery", "overwriteConfig", "policy", "policyStatus", "publicAccessBlock", "qos", "qosInfo",
        "redundancyTransition", "referer", "replication", "replicationLocation", "replicationProgress",
        "requestPayment", "requesterQosInfo", "qosRequester", "resourceGroup", "resourcePool",
        "resourcePoolBuckets", "resourcePoolInfo", "rtc", "stat", "status", "style", "styleName",
        "transferAcceleration", "userDefinedLogFieldsConfig", "versioning", "versions", "vod", "website", "worm",
        "wormExtend", "wormId", "x-oss-redundancy-transition-taskid", "x-oss-target-redundancy-type",
        # Of the account:
        "regionList",
    }
)  # fmt: skip
"""Query parameters that select an operation, or belong to one. All others are options, or ignored."""

_REFUSED_HEADERS: Final = (
    "x-oss-object-acl", "x-oss-callback", "x-oss-callback-var", "x-oss-server-side-encryption",
    "x-oss-server-side-data-encryption", "x-oss-object-worm-mode",
)  # fmt: skip
"""Headers that would change how an object is stored, or have another effect."""

_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"})

_MOST_KEY_BYTES: Final = 1023


class Operation(NamedTuple):
    """One implemented operation of OSS.

    Args:
        do: Executes a request.
        method, level: The requests that it is for. The level is "object", "bucket" or "service".
        name: The sub-resource that selects it; "" for none.
        companions: Other sub-resources that are allowed.
        header: The header that selects it; "" for none.
        is_public: Whether it is allowed without a signature in a public bucket.
    """

    do: Callable[[Store, Call, float], Answer]
    method: str
    level: str
    name: str = ""
    companions: frozenset[str] = frozenset()
    header: str = ""
    is_public: bool = False


def operation_of(call: Call, operations: Iterable[Operation]) -> Operation:
    """The operation that a request selects.

    Raises:
        RefusedError: 501 NotImplemented with its name, if it is not implemented; 405 MethodNotAllowed for a method
            that OSS does not have either; 400 InvalidObjectName for a key that OSS does not allow.
    """
    if reason := key_refusal(call.key):
        raise RefusedError(400, "InvalidObjectName", reason)
    level = "object" if call.key else "bucket" if call.bucket else "service"
    named = [name for name in call.query if name in SUB_RESOURCES]
    candidates = [known for known in operations if (known.method, known.level) == (call.method, level)]
    asked = [known for known in candidates if not known.name or known.name in named]
    # The most specific operation first: one with a sub-resource before one without, then one with a header.
    asked.sort(key=lambda known: (not known.name, not known.header))
    found = next((known for known in asked if not known.header or known.header in call.headers), None)
    for name in named:
        if found is None or name not in {found.name, *found.companions}:
            raise not_implemented(f'the sub-resource "{name}" (a {call.method} of the {level})')
    if found is None:
        if call.method in _METHODS:
            raise not_implemented(f"a {call.method} of the {level}")
        message = "The specified method is not allowed against this resource."
        raise RefusedError(405, "MethodNotAllowed", message, details={"Method": call.method})
    if call.method in ("PUT", "POST"):
        for name in _REFUSED_HEADERS:
            if name in call.headers:
                raise not_implemented(f'the header "{name}"')
    return found


def key_refusal(key: str) -> str | None:
    """Why OSS does not allow that key; None if it does, or if there is no key."""
    if key.startswith(("/", "\\")):
        return "The specified object name must not begin with a slash or a backslash."
    if len(key.encode("utf-8", "surrogateescape")) > _MOST_KEY_BYTES:
        return f"The specified object name must not be longer than {_MOST_KEY_BYTES} bytes."
    return None


def not_implemented(what: str) -> RefusedError:
    return RefusedError(501, "NotImplemented", f"LocalOSS does not implement {what}.")
