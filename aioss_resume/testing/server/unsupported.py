"""What OSS implements and this server does not: it is refused by name.

Source: the API reference of OSS, and the sub-resources that oss2 signs.
"""

from typing import Final

from aioss_resume.testing.server.answers import RefusedError
from aioss_resume.testing.server.calls import Call

SUB_RESOURCES: Final = frozenset(
    {
        # Of objects.
        "acl", "append", "asyncFetch", "callback", "callback-var", "cleanRestoredObject", "delete", "link",
        "objectInfo", "objectMeta", "partNumber", "position", "restore", "sealAppend", "sequential", "symlink",
        "tagging", "uploadId", "uploads", "versionId", "x-oss-async-process", "x-oss-process",
        "x-oss-write-get-object-response",
        # Of buckets.
        "accessPoint", "accessPointConfigForObjectProcess", "accessPointForObjectProcess", "accessPointPolicy",
        "accessPointPolicyForObjectProcess", "bucketArchiveDirectRead", "bucketInfo", "cname", "comp", "cors",
        "encryption", "group", "httpsConfig", "img", "inventory", "inventoryId", "lifecycle", "live", "location",
        "logging", "metaQuery", "overwriteConfig", "policy", "policyStatus", "publicAccessBlock", "qos", "qosInfo",
        "redundancyTransition", "referer", "replication", "replicationLocation", "replicationProgress",
        "requestPayment", "requesterQosInfo", "qosRequester", "resourceGroup", "resourcePool",
        "resourcePoolBuckets", "resourcePoolInfo", "rtc", "stat", "status", "style", "styleName",
        "transferAcceleration", "userDefinedLogFieldsConfig", "versioning", "versions", "vod", "website", "worm",
        "wormExtend", "wormId", "x-oss-redundancy-transition-taskid", "x-oss-target-redundancy-type",
        # Of the account.
        "regionList",
    }
)  # fmt: skip
"""Query parameters that ask for an operation of their own, or for a part of one. All others are options or ignored."""

_DONE: Final = {
    ("GET", "object"): frozenset({"objectMeta", "versionId", "x-oss-process"}),
    ("HEAD", "object"): frozenset({"objectMeta", "versionId"}),
    ("DELETE", "object"): frozenset({"versionId"}),
}
"""The sub-resources that the server does answer, by method."""

_OPERATIONS: Final = {
    "object": frozenset({"GET", "HEAD", "PUT", "DELETE"}),
    "bucket": frozenset({"GET", "PUT"}),
    "service": frozenset[str](),
}
"""The methods that the server answers. OSS has more: those of `_METHODS`."""

_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"})

_PUT_HEADERS: Final = (
    "x-oss-copy-source", "x-oss-symlink-target", "x-oss-object-acl", "x-oss-tagging", "x-oss-callback",
    "x-oss-callback-var", "x-oss-server-side-encryption", "x-oss-server-side-data-encryption",
    "x-oss-object-worm-mode", "x-oss-metadata-directive",
)  # fmt: skip
"""Headers that make another operation of a PUT, or an object that is stored in another way."""

_MOST_KEY_BYTES: Final = 1023


def check_supported(call: Call) -> None:
    """Raise RefusedError for what this server does not do, with its name.

    Raises:
        RefusedError: 501 NotImplemented; 405 MethodNotAllowed for a method that OSS does not know either; 400
            InvalidObjectName for a key that OSS does not take.
    """
    if reason := key_refusal(call.key):
        raise RefusedError(400, "InvalidObjectName", reason)
    level = "object" if call.key else "bucket" if call.bucket else "service"
    done = _DONE.get((call.method, level), frozenset[str]())
    for name in call.query:
        if name in SUB_RESOURCES and name not in done:
            raise not_implemented(f'the sub-resource "{name}" (a {call.method} of the {level})')
    if call.method == "PUT":
        for name in _PUT_HEADERS:
            if name in call.headers:
                raise not_implemented(f'the header "{name}"')
    if call.method not in _OPERATIONS[level]:
        if call.method in _METHODS:
            raise not_implemented(f"a {call.method} of the {level}")
        message = "The specified method is not allowed against this resource."
        raise RefusedError(405, "MethodNotAllowed", message, details={"Method": call.method})


def key_refusal(key: str) -> str | None:
    """Why OSS takes no object of that name; None when it does, or when there is no key."""
    if key.startswith(("/", "\\")):
        return "The specified object name must not begin with a slash or a backslash."
    if len(key.encode("utf-8", "surrogateescape")) > _MOST_KEY_BYTES:
        return f"The specified object name must not be longer than {_MOST_KEY_BYTES} bytes."
    return None


def not_implemented(what: str) -> RefusedError:
    return RefusedError(501, "NotImplemented", f"LocalOSS does not implement {what}.")
