"""Where objects come from, as requests reach it: a bucket, or a presigned address."""

from typing import Any, Protocol

from aioss_resume._io.address import AddressSigner
from aioss_resume._io.session import proxy_for
from aioss_resume._io.sign import RequestSigner, Signer


class Origin(Protocol):
    """What all requests to one place have in common.

    Attributes:
        signer: Signs requests, or leaves them as they are.
        proxy: The proxy's address; None: no proxy.
        has_answered: Whether any request was answered.
        can_verify: Whether CRC-64s may be compared.
        is_presigned: Whether nothing may be sent that would have to be signed.
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
    """What all requests for one oss2.Bucket have in common.

    Attributes:
        bucket: The oss2.Bucket. Any: oss2 has no types.
        signer: Signs for it; holds its keys and the offset of OSS's clock.
        proxy: The proxy's address; None: no proxy.
        has_answered: Whether any request was answered.
        can_verify: Whether the bucket lets CRC-64s be compared (its `enable_crc`).
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
    """What all requests for one presigned address have in common.

    Attributes:
        signer: Holds the address, which is replaced when it has expired.
        proxy: The proxy's address; None: no proxy.
        has_answered: Whether any request was answered.
    """

    is_presigned = True
    can_verify = True

    def __init__(self, signer: AddressSigner, url: str, *, is_own_session: bool) -> None:
        self.signer = signer
        self.has_answered = False
        self.proxy = proxy_for(url, None, is_own_session=is_own_session)
