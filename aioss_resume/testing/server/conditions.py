"""The conditions and the range of a GET."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from aioss_resume.testing.server.answers import RefusedError
from aioss_resume.testing.server.calls import parse_range
from aioss_resume.testing.server.store import StoredObject


class Selected(NamedTuple):
    """The selected range `[start, stop)` of the object. If it is not partial, the status is 200."""

    start: int
    stop: int
    is_partial: bool


def check_conditions(stored: StoredObject, headers: Mapping[str, str]) -> None:
    """Raise RefusedError with 412 or 304 if a condition does not hold."""
    if "If-Match" in headers and not _matches(headers["If-Match"], stored.etag):
        raise _failed("If-Match")
    unmodified = _date(headers.get("If-Unmodified-Since"))
    if unmodified is not None and stored.last_modified > unmodified:
        raise _failed("If-Unmodified-Since")
    if "If-None-Match" in headers:
        if _matches(headers["If-None-Match"], stored.etag):
            raise _not_modified(stored)
        return
    modified = _date(headers.get("If-Modified-Since"))
    if modified is not None and stored.last_modified <= modified:
        raise _not_modified(stored)


def select(stored: StoredObject, headers: Mapping[str, str]) -> Selected:
    """Apply the Range header: by OSS's own rules, or with `x-oss-range-behavior: standard` by HTTP's."""
    size = stored.content.size
    whole = Selected(0, size, is_partial=False)
    asked = parse_range(headers.get("Range", ""))
    is_folder = stored.key.endswith("/") and stored.headers.get("Content-Type") == "application/x-directory"
    if asked is None or is_folder:
        return whole
    is_standard = headers.get("x-oss-range-behavior", "").lower() == "standard"
    start, stop = asked
    if start < 0:
        if -start > size and not is_standard:
            return whole
        start, stop = max(size + start, 0), size
    if start >= size:
        if is_standard:
            raise _invalid_range(headers["Range"], size)
        return whole
    if stop is None:
        stop = size
    if stop > size and not is_standard:
        return whole
    return Selected(start, min(stop, size), is_partial=True)


def _matches(header: str, etag: str) -> bool:
    return any(tag.strip().strip('"') in ("*", etag) for tag in header.split(","))


def _date(text: str | None) -> float | None:
    """Parse an HTTP date, in seconds since 1970. A malformed one counts as none."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None


def _failed(condition: str) -> RefusedError:
    message = "At least one of the pre-conditions you specified did not hold."
    return RefusedError(412, "PreconditionFailed", message, details={"Condition": condition})


def _not_modified(stored: StoredObject) -> RefusedError:
    return RefusedError(304, "NotModified", "Not Modified", headers={"ETag": f'"{stored.etag}"'})


def _invalid_range(asked: str, size: int) -> RefusedError:
    return RefusedError(
        416,
        "InvalidRange",
        "The requested range cannot be satisfied.",
        details={"ActualObjectSize": str(size), "RangeRequested": asked},
        headers={"Content-Range": f"bytes */{size}"},
    )
