"""Hints that only the command can give: in its own terms, or after a look at the buckets of the account."""

import difflib
import shlex
from collections.abc import Callable
from typing import Any, Final

from aioss_resume._file.disk import USE_STREAM
from aioss_resume.cli.place import Place, auth_of
from aioss_resume.errors import (
    REQUESTER_PAYS,
    WRONG_REGION,
    AiossError,
    NoSuchBucketError,
    NoSuchKeyError,
    ServiceError,
)

_SECONDS: Final = 5.0  # timeout to connect, and to wait for data


def hint_for(error: AiossError, find_place: Callable[[], Place]) -> str | None:
    """What to do about an error; None if the error's own hint is the right one.

    Args:
        find_place: Finds the endpoint and the keys that the command has used.
    """
    bucket, key = error.bucket or "", error.key or ""
    is_presigned = "://" in bucket
    if isinstance(error, NoSuchBucketError) and not is_presigned:
        return _similar_bucket(bucket, find_place())
    if isinstance(error, NoSuchKeyError) and key.endswith("/") and not is_presigned:
        return (
            f"to download what is below a prefix: aioss-resume mirror {shlex.quote(f'oss://{bucket}/{key}')} DIRECTORY"
        )
    if isinstance(error, ServiceError):
        if error.ec == WRONG_REGION and (region := error.details.get("Region")):
            return f"pass --region {region}"
        if error.ec == REQUESTER_PAYS:
            return "you would pay for the requests: pass --requester-pays"
        if endpoint := error.details.get("Endpoint"):
            return f"the bucket is in another region: pass --endpoint https://{endpoint}, and its --region"
    if error.hint == USE_STREAM:
        return 'for standard output, write "-" as the path'
    return None


def _similar_bucket(name: str, place: Place) -> str | None:
    """Name the bucket of the account with the most similar name, if there is one and the buckets may be listed."""
    import oss2

    service = oss2.Service(auth_of(place), place.endpoint, connect_timeout=_SECONDS, region=place.region)
    try:
        buckets: dict[str, Any] = {bucket.name: bucket for bucket in service.list_buckets(max_keys=1000).buckets}
    except oss2.exceptions.OssError:
        return None
    near = difflib.get_close_matches(name, buckets, n=1)
    if not near:
        return None
    region = buckets[near[0]].location.removeprefix("oss-")
    return f"did you mean oss://{near[0]}, which is in {region}?"
