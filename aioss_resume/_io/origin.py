"""Origins of objects: a bucket or a presigned address, with everything that requests to it share."""

from typing import Any, Protocol

from aioss_resume._io.address import AddressSigner
from aioss_resume._io.session import proxy_for
from aioss_resume._io.sign import RequestSigner, Signer


class Origin(Protocol):
    """The state that all requests to one place share.

    Attributes:
        signer: Signs requests, or leaves them unchanged.
        proxy: The proxy's address, or None.
        has_answered: Whether any request got a response.
        can_verify: Whether CRC-64s may be compared.
        is_presigned: Whether nothing may be added that must be signed.
    """

    proxy: str | None
    has_answered: bool

    @property
    def signer(self) -> RequestSigner: ...

    @property
    def can_verify(self) -> bool: ...

    @property
    def is_presigned(self) -> bool: ...


class BucketOrigin:
    """The state that all requests for one oss2.Bucket share.

    Attributes:
        bucket: The oss2.Bucket. Any: oss2 has no types.
        signer: Signs requests; has the keys and the offset of OSS's clock.
        proxy: The proxy's address, or None.
        has_answered: Whether any request got a response.
        can_verify: Whether CRC-64s may be compared (the bucket's `enable_crc`).
    """

    is_presigned = False

    @property
    def can_verify(self) -> bool:
        return bool(self.bucket.enable_crc)

    def __init__(self, bucket: Any, signer: Signer, *, is_own_session: bool) -> None:
        self.bucket: Any = bucket
        self.signer = signer
        self.has_answered = False
        self.proxy = proxy_for(bucket.endpoint, bucket.proxies, is_own_session=is_own_session)


class AddressOrigin:
    """The state that all requests for one presigned address share.

    Attributes:
        signer: Has the current address, and replaces it when it has expired.
        proxy: The proxy's address, or None.
        has_answered: Whether any request got a response.
    """

    is_presigned = True
    can_verify = True

    def __init__(self, signer: AddressSigner, url: str, *, is_own_session: bool) -> None:
        self.signer = signer
        self.has_answered = False
        self.proxy = proxy_for(url, None, is_own_session=is_own_session)
