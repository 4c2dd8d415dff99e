"""Presigned addresses, as oss2 makes them. It logs what it signs, which the watch over secrets would find."""

import logging
from typing import Any


def presigned(bucket: Any, key: str = "key", seconds: int = 3600, **options: Any) -> str:
    """The address of a GET that expires after so many seconds."""
    logger = logging.getLogger("oss2.auth")
    logger.disabled = True
    try:
        url: str = bucket.sign_url("GET", key, seconds, **options)
    finally:
        logger.disabled = False
    return url
