"""Whether an error is worth another attempt, and how long to wait before it."""

import errno
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from aioss_resume.errors import (
    AiossError,
    ProtocolError,
    RequestError,
    ServerFaultError,
    ServiceError,
    ThrottledError,
)
from aioss_resume.options import KiB, RetryPolicy

PROGRESS_THAT_COUNTS: Final = 64 * KiB
"""After this much progress the attempts of a span are counted from zero. Less may be a server that sends a little and
then fails, again and again."""

SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The errnos of a call that had no descriptor or no memory left. Others may give some back: nothing else is wrong."""

_PROTOCOL_ATTEMPTS: Final = 3
# A response that contradicts the request rarely improves; because of confused proxies it is worth two more attempts.

_AGAIN_CODES: Final = frozenset({"RequestTimeout"})  # 400 or 409: OSS waited too long for us

STALE_KEYS: Final = frozenset(
    {
        "SecurityTokenExpired",
        "InvalidAccessKeyId",
        "InvalidSecurityToken",
        "AccessKeyIdAndSecurityTokenNotMatch",
        "AccessKeyIdAndSecurityTokenNotMatchException",
        "SecurityTokenNotSupported",
    }
)
"""Codes that fresh keys may cure. Source: ali-oss #1363: an expired STS key can look unknown."""

SKEWED_CLOCK: Final = "RequestTimeTooSkewed"


@dataclass(slots=True)
class Attempts:
    """Counts the attempts since the last progress.

    `failed` counts the tries since the last progress that counts, and `contradicted` those of them that ended with a
    ProtocolError; neither exceeds the policy's attempts.
    """

    policy: RetryPolicy
    failed: int = 0
    contradicted: int = 0
    total: int = 0

    def wait_after(self, error: AiossError, *, progress: int, chance: float) -> float | None:
        """Seconds to wait before the next attempt, or None when `error` is final.

        Args:
            error: What ended the last attempt.
            progress: Bytes that this attempt brought.
            chance: Uniform in [0, 1): full jitter, so that many clients do not come back together.
                Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        if progress >= PROGRESS_THAT_COUNTS:
            self.failed = self.contradicted = 0
        self.failed += 1
        self.contradicted += isinstance(error, ProtocolError)
        self.total += 1
        if not may_help(error) or self.failed >= self.policy.attempts or self.contradicted >= _PROTOCOL_ATTEMPTS:
            return None
        doubled = self.policy.wait_initial * 2.0 ** min(self.failed - 1, 1000)  # 2.0**1024 overflows
        wait = chance * min(self.policy.wait_max, doubled)
        asked = getattr(error, "retry_after", None)
        return min(max(wait, asked), self.policy.wait_max) if asked is not None else wait


def may_help(error: AiossError) -> bool:
    """Whether another attempt may succeed after `error`."""
    if isinstance(error, RequestError):
        return not error.permanent
    if isinstance(error, ServiceError):
        return isinstance(error, ThrottledError | ServerFaultError) or error.code in _AGAIN_CODES
    return isinstance(error, ProtocolError)


def read_retry_after(header: str | None, now: datetime) -> float | None:
    """Parse `Retry-After` as seconds, at least 0. Returns None if it is malformed.

    Both forms of RFC 9110, section 10.2.3: seconds, and a date. The caller must limit it.
    """
    if not header:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        moment = parsedate_to_datetime(header)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a time zone
        return None
