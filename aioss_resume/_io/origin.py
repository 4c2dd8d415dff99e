"""One bucket as requests reach it: its signer and its proxy."""

from typing import Any

from aioss_resume._io.session import proxy_for
from aioss_resume._io.sign import Signer


class Origin:
    """What all requests for one oss2.Bucket have in common.

    Attributes:
        bucket: The oss2.Bucket. Any: oss2 has no types.
        signer: Signs for it; holds its keys and the offset of OSS's clock.
        proxy: The proxy's address; None: no proxy.
        has_answered: Whether any request was answered.
    """

    def __init__(self, bucket: Any, signer: Signer, *, is_own_session: bool) -> None:
        self.bucket: Any = bucket
        self.signer = signer
        self.has_answered = False
        self.proxy = proxy_for(bucket.endpoint, bucket.proxies, is_own_session=is_own_session)
