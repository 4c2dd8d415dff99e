"""Signing of requests. Only this module uses oss2's signers.

oss2's signers read the machine's clock and log what they sign at DEBUG. So they are taken from a private copy of the
module oss2.auth, in which the clock can be set to OSS's time and the logger is disabled. The original module, which
the rest of the process uses, is not changed.
"""

import importlib.util
import logging
import platform
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from types import ModuleType, SimpleNamespace
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import oss2
import oss2.auth
from yarl import URL

from aioss_resume._core.endpoints import endpoint_mistake
from aioss_resume._core.retry import SKEWED_CLOCK, STALE_KEYS
from aioss_resume._io.credentials import SECRET_LEAST, KeyRing, Keys, provider_of
from aioss_resume._io.threads import Threads
from aioss_resume.errors import ConfigError, CredentialsError, ObjectName, ServiceError

USER_AGENT: Final = f"aioss-resume ({platform.system()}/{platform.release()}; {platform.python_version()})"

_ACCESS_KEY_ID: Final = re.compile(r"(?:Credential=|AccessKeyId:|^OSS )([^/,:\s]+)")

_DOTS_ALONE: Final = re.compile(r"(?:^|/)\.{1,2}(?:/|\Z)")  # a segment that is "." or ".."

_signing_at: ContextVar[datetime] = ContextVar("_signing_at")


class _SettableClock:
    """Replaces datetime in our copy of oss2.auth, which only calls utcnow()."""

    @staticmethod
    def utcnow() -> datetime:
        return _signing_at.get()


class _SettableUtils:
    """Replaces oss2.utils in our copy of oss2.auth: only http_date() differs."""

    @staticmethod
    def http_date(_timeval: object = None) -> str:
        return format_datetime(_signing_at.get(), usegmt=True)

    def __getattr__(self, name: str) -> Any:  # Any: oss2 has no types
        return getattr(oss2.utils, name)


@lru_cache(maxsize=1)
def _kinds() -> Mapping[str, Any]:  # Any: oss2 has no types
    """The signing classes of our copy, by signature version."""
    signers = _copy_of_signers()

    class RememberingV4(signers.ProviderAuthV4):  # type: ignore[misc, name-defined]
        """Caches the key for a day, region and product, which takes four of a signature's five HMACs."""

        _derived_for: tuple[object, ...] | None = None
        _derived = b""

        # The mangled name of __get_signing_key. If oss2 renames it, nothing is cached.
        def _ProviderAuthV4__get_signing_key(self, req: Any, credentials: Any, date_time: str) -> bytes:  # noqa: N802
            wanted = date_time[:8], req.region, req.cloudbox_id, req.product, credentials.get_access_key_secret()
            if self._derived_for != wanted:
                self._derived = super()._ProviderAuthV4__get_signing_key(req, credentials, date_time)
                self._derived_for = wanted
            return self._derived

    return {
        oss2.AUTH_VERSION_1: signers.ProviderAuth,
        oss2.AUTH_VERSION_2: signers.ProviderAuthV2,
        oss2.AUTH_VERSION_4: RememberingV4,
    }


def _copy_of_signers() -> ModuleType:
    spec = importlib.util.find_spec("oss2.auth")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    silent = logging.Logger("aioss_resume.silent")  # noqa: LOG001  # not below the root logger, so it has no handlers
    silent.disabled = True
    vars(module).update(datetime=_SettableClock, utils=_SettableUtils(), logger=silent)
    return module


class RequestSigner(Protocol):
    """Makes requests for one origin."""

    async def sign(
        self, method: str, name: ObjectName, headers: Mapping[str, str], params: Mapping[str, str], now: datetime
    ) -> "Signed":
        """Make the request for an object. `now` is this machine's time of day.

        Raises:
            CredentialsError: There are no usable keys.
        """

    async def cure(
        self, error: ServiceError, refused: "Signed", server_time: datetime | None, now: datetime
    ) -> str | None:
        """Replace what OSS refused, so that a retry may succeed. Returns what was replaced, or None.

        Args:
            server_time: The server's time of day in its response.
        """


@dataclass(frozen=True, slots=True)
class Signed:
    """A request that is ready to be sent. Its repr shows neither query nor headers, which contain the signature."""

    method: str
    url: URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    keys: Keys | None = field(repr=False)
    more_secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def is_echoed_in(self, text: str) -> bool:
        """Whether a text contains any of the secrets. It is called for every response, so it is kept cheap."""
        if self.keys is None:
            return any(secret in text for secret in self.secrets)
        if any(form in text for form in self.keys.as_echoed):
            return True
        # Each form of the authorization ends with the signature.
        value = self.headers.get("authorization", "")
        signature = value.rpartition("Signature=" if "Signature=" in value else ":")[2]
        return len(signature) >= SECRET_LEAST and (signature in text or quote(signature, safe="") in text)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The strings that must not be shown, longest first."""
        found = set(self.more_secrets)
        for name, value in self.headers.items():
            if name.lower() == "x-oss-security-token":
                found.add(value)
            elif name.lower() == "authorization":  # "...Signature=s" (V4), "...Signature:s" (V2), "OSS id:s" (V1)
                found |= {value, value.split()[-1], value.rpartition("Signature=")[2], value.rpartition(":")[2]}
                found |= set(_ACCESS_KEY_ID.findall(value))  # if a custom signer has the keys
        found |= {quote(each, safe="") for each in found}  # as they appear in an address
        if self.keys is not None:
            found |= self.keys.as_echoed
        return tuple(sorted((each for each in found if len(each) >= SECRET_LEAST), key=len, reverse=True))


class Signer:
    """Signs requests for one oss2.Bucket as the bucket itself would.

    `offset` is how far OSS's clock is ahead of ours, taken from a response. Signatures use OSS's time.
    """

    def __init__(self, bucket: Any, ring: KeyRing, threads: Threads) -> None:  # Any: oss2 has no types
        self._bucket = bucket
        self._ring = ring
        self._threads = threads
        self.offset = timedelta()
        _kinds()  # reads a file, for which there may be no descriptor left during a transfer
        self._auth: Any = None  # the signer for the keys and version in _auth_for. Any: oss2 has no types
        self._auth_for: tuple[Keys, str] | None = None
        agent = getattr(bucket, "app_name", "")
        self._user_agent = f"{USER_AGENT}/{agent}" if agent else USER_AGENT

    async def sign(
        self, method: str, name: ObjectName, headers: Mapping[str, str], params: Mapping[str, str], now: datetime
    ) -> Signed:
        """Make the request for an object. `now` is this machine's time of day.

        Raises:
            CredentialsError: The bucket's auth has no usable keys.
        """
        bucket = self._bucket
        request = SimpleNamespace(
            method=method,
            url=object_url(bucket, name),
            headers=dict(headers),
            params=dict(params),
            region=bucket.region,
            product=bucket.product,
            cloudbox_id=bucket.cloudbox_id,
        )
        auth, keys = bucket.auth, None
        if provider_of(auth) is not None:
            keys = await self._ring.keys()
            token = _signing_at.set((now + self.offset).astimezone(UTC))
            try:
                self._auth_with(keys, auth.auth_version())._sign_request(request, name.bucket, name.key)
            finally:
                _signing_at.reset(token)
        elif not isinstance(auth, oss2.AnonymousAuth):
            # A custom signer may use the network, so it runs in a thread. It uses its own clock.
            try:
                await self._threads.run(auth._sign_request, request, name.bucket, name.key)
            except Exception as error:  # noqa: BLE001  # a stranger's code; what it raises may hold anything
                problem = f"{type(auth).__name__} did not sign: it raised {type(error).__name__}"
            else:
                problem = ""
            if problem:
                raise CredentialsError(problem, name=name)
        sent = {name: value for name, value in request.headers.items() if value is not None}
        sent.setdefault("User-Agent", self._user_agent)
        return Signed(method, _with_query(request.url, request.params), sent, keys)

    def _auth_with(self, keys: Keys, version: str) -> Any:  # Any: oss2 has no types
        """The signer from our copy for these keys, cached."""
        if self._auth_for != (keys, version):
            self._auth, self._auth_for = _kinds()[version](keys), (keys, version)
        return self._auth

    async def cure(
        self, error: ServiceError, refused: Signed, server_time: datetime | None, now: datetime
    ) -> str | None:
        """Set the clock to OSS's time, or fetch new keys, if OSS refused these.

        Raises:
            CredentialsError: The provider returns no keys.
        """
        if refused.keys is None:
            return None
        if error.code == SKEWED_CLOCK:
            if server_time is None:
                return None
            self.offset = server_time - now.astimezone(UTC)
            return "clock"
        if error.code in STALE_KEYS and await self._ring.replace(refused.keys):
            return "expired keys" if error.code == "SecurityTokenExpired" else "keys"
        return None


def check_bucket(bucket: Any) -> None:
    """Raise ConfigError unless this is a bucket that can be downloaded from. Any: it is checked here."""
    missing = [name for name in ("auth", "endpoint", "bucket_name", "_make_url") if not hasattr(bucket, name)]
    if missing:
        raise ConfigError(
            f"bucket must be an oss2.Bucket, not {type(bucket).__name__} (it has no {', '.join(missing)})",
            hint="make one with oss2.Bucket(auth, endpoint, name, region=...)",
        )
    if isinstance(bucket, oss2.CryptoBucket):
        raise ConfigError(
            "bucket is an oss2.CryptoBucket: what would be downloaded is still encrypted",
            hint="this library does not decrypt: use CryptoBucket.get_object_to_file(), or an oss2.Bucket to get the "
            "bytes as they are stored",
        )
    if not bucket.bucket_name:
        raise ConfigError("the bucket has no name")
    if not callable(getattr(bucket.auth, "_sign_request", None)):
        raise ConfigError(f"the bucket's auth must be one of oss2's, not {type(bucket.auth).__name__}: it cannot sign")
    endpoint, request_host = urlsplit(bucket.endpoint), urlsplit(bucket._make_url(bucket.bucket_name, "key")).hostname
    path = endpoint.path + (f"?{endpoint.query}" if endpoint.query else "")
    host = endpoint.netloc.rpartition("@")[2]
    if mistake := endpoint_mistake(endpoint.scheme, host, path, request_host or "", bucket.bucket_name):
        raise ConfigError(mistake.text, hint=mistake.hint)
    if not isinstance(bucket.region or "", str):
        raise ConfigError(f"the bucket's region must be a string, not {bucket.region!r}")
    version = getattr(bucket.auth, "auth_version", str)()
    if version == oss2.AUTH_VERSION_4 and not (bucket.region or bucket.cloudbox_id):
        raise ConfigError("the bucket signs V4 and has no region", hint='pass region="cn-..." to oss2.Bucket')


def object_url(bucket: Any, name: ObjectName) -> str:
    """The object's address as oss2 makes it, in host, path or CNAME style, with the bytes of the key unchanged.

    If a key or one of its segments is "." or "..", its dots are escaped as well: otherwise a proxy that normalises
    addresses would request another object. The signature covers the unescaped key.
    """
    key = name.key
    url: str = bucket._make_url(name.bucket, key)
    if not _DOTS_ALONE.search(key):
        return url
    quoted = quote(key, safe="")
    base = url[: -len(quoted)]
    segments = (s.replace(".", "%2E") if s in (".", "..") else quote(s, safe="") for s in key.split("/"))
    return base + "%2F".join(segments)


def _with_query(url: str, params: Mapping[str, str]) -> URL:
    # encoded=True: otherwise yarl changes the key "a/../b", and the signature if it contains "%2B".
    if params:
        pairs = (f"{quote(k, safe='')}={quote(v, safe='')}" if v else quote(k, safe="") for k, v in params.items())
        url = f"{url}?{'&'.join(pairs)}"
    return URL(url, encoded=True)
