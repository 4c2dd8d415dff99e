"""LocalOSS: an OSS on 127.0.0.1 to test against.

This module has more than 300 lines, and its class more than 15 methods, because it is the server's public interface.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import anyio.to_thread
import oss2
import requests.adapters

from aioss_resume.testing.faults.faults import Faults
from aioss_resume.testing.server.authority import Authority
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.contents import BytesContent, Content, FileContent, GeneratedContent
from aioss_resume.testing.server.ledger import RequestRecord
from aioss_resume.testing.server.operations import key_refusal
from aioss_resume.testing.server.serving import ServerThread, Service
from aioss_resume.testing.server.store import StoredObject

ACCESS_KEY_ID = "local-access-key-id"
ACCESS_KEY_SECRET = "local-access-key-secret"  # noqa: S105 - opens nothing but this


class LocalOSS:
    """A real local HTTP server that behaves like OSS. Used with `with` or `async with`.

    It runs in its own thread, so that blocking clients in the same process can use it. Methods may be called from any
    thread.
    """

    def __init__(
        self,
        *,
        region: str = "cn-hangzhou",
        access_key_id: str = ACCESS_KEY_ID,
        access_key_secret: str = ACCESS_KEY_SECRET,
        tls: ssl.SSLContext | tuple[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        strict_faults: bool = False,
    ) -> None:
        """Set up, without listening yet.

        Args:
            region: The region that version 4 signatures must name.
            access_key_id: The key id of the credentials that `bucket` uses.
            access_key_secret: The secret of these credentials.
            tls: A context for https, or a certificate chain and its key, both PEM files.
            host: The address to listen on.
            port: The port to listen on; 0 for a free one.
            strict_faults: Whether leaving `with` calls `faults.check()`, unless there is an exception.
        """
        self.region = region
        self.access_key_id = access_key_id
        self.access_key_secret = access_key_secret
        self.clock_offset = 0.0
        """Seconds by which the server's clock is ahead."""
        self._host = host
        self._tls = _context(tls)
        authority = Authority(region)
        authority.add(access_key_id, access_key_secret, None, None)
        self._service = Service(authority, self._now)
        self._port = port
        self._strict_faults = strict_faults
        self._thread: ServerThread | None = None
        self._session: oss2.Session | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._session is not None:
            self._session.session.close()
        if self._strict_faults and kind is None:
            self.faults.check()

    async def __aenter__(self) -> Self:
        return await anyio.to_thread.run_sync(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, kind, error, trace)

    def start(self) -> None:
        """Start the server, on the same port as before `stop`. Called by `with`.

        Raises:
            RuntimeError: It is started already.
            OSError: The port is taken.
        """
        if self._thread is not None:
            raise RuntimeError("this LocalOSS is started already")
        thread = ServerThread(self._service, _World(self), self._host, self._port, self._tls)
        thread.start()
        self._thread, self._port = thread, thread.port

    def stop(self) -> None:
        """Close the port and all connections. Objects, faults and ledger are kept. Called when leaving `with`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def drop_connections(self) -> None:
        """Close all connections, like a short network failure."""
        if self._thread is not None:
            self._thread.drop_connections()

    @property
    def port(self) -> int:
        """The port, which stays the same after `stop`.

        Raises:
            RuntimeError: It has not been started, so the port is not known yet.
        """
        if self._port == 0:
            raise RuntimeError("this LocalOSS has no port yet: start it with `with` or start()")
        return self._port

    @property
    def endpoint(self) -> str:
        """The endpoint for oss2.Bucket. Raises RuntimeError like `port`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self.port}"

    @property
    def _scheme(self) -> str:
        return "http" if self._tls is None else "https"

    # oss2.Bucket ships no types: its arguments and the result are Any.
    def bucket(
        self, name: str, *, auth: Any = None, cname: bool = False, endpoint: str | None = None, **options: Any
    ) -> Any:
        """Make an `oss2.Bucket` for a bucket on this server, which is created if it does not exist.

        Args:
            name: The bucket's name.
            auth: The auth object; None for version 4 with the server's credentials.
            cname: Whether the endpoint is the bucket's own domain, which is added.
            endpoint: Another name for the server, such as `http://oss.localhost`. The bucket's own session always
                connects to this server; other clients need a resolver.
            options: Passed on to `oss2.Bucket`.
        """
        self.create_bucket(name)
        if endpoint is None:
            endpoint = f"{self._scheme}://{name}.cname.localhost:{self.port}" if cname else self.endpoint
        if cname:
            self.add_cname(urlsplit(endpoint).hostname or "", name)
        if auth is None:
            auth = oss2.AuthV4(self.access_key_id, self.access_key_secret)
        if self._session is None:
            self._session = oss2.Session(adapter=_ToHere(urlsplit(self.endpoint).netloc))
        options = {"region": self.region, "session": self._session, "is_cname": cname, **options}
        return oss2.Bucket(auth, endpoint, name, **options)

    def create_bucket(self, name: str) -> None:
        """Create a bucket, unless it exists."""
        self._service.store.create_bucket(name, int(self._now()))

    def make_public(self, bucket: str) -> None:
        """Make the bucket's objects readable for everybody."""
        self.create_bucket(bucket)
        self._service.store.make_public(bucket)

    def enable_versioning(self, bucket: str) -> None:
        """Enable versioning for the bucket."""
        self.create_bucket(bucket)
        self._service.store.enable_versioning(bucket)

    def add_cname(self, host: str, bucket: str) -> None:
        """Map a domain (without a port) to a bucket."""
        self._service.cnames[host.lower()] = bucket

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes | None = None,
        *,
        size: int | None = None,
        seed: int = 0,
        file: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
        storage_class: str = "Standard",
        object_type: str | None = None,
        etag: str | None = None,
        crc64: int | None = None,
        no_crc: bool = False,
        last_modified: float | None = None,
    ) -> StoredObject:
        """Store an object from bytes, from a file, or with generated bytes. The bucket is created if it does not exist.

        Args:
            bucket: The name of the bucket.
            key: The key of the object.
            data: The bytes.
            size: Instead of data: a number of repeatable bytes, `GeneratedContent(size, seed)`.
            seed: Selects the generated bytes.
            file: Instead of data: a file, which must not change.
            headers: `Content-Type`, `Content-Encoding`, `x-oss-meta-...` to store.
            storage_class: Objects of "Archive" and similar classes cannot be read.
            object_type: "Normal", "Multipart", "Appendable", "Symlink"; None to derive it from the ETag.
            etag: Another ETag, without quotes.
            crc64: Another CRC-64.
            no_crc: Whether to send no CRC-64.
            last_modified: Seconds since 1970; None for now.

        Raises:
            ValueError: OSS does not allow such a key.
        """
        if not key or (reason := key_refusal(key)):
            raise ValueError(f"key {key!r}: {reason if key else 'an object has a name'}")
        content = _content(data, size, seed, file)
        self.create_bucket(bucket)
        stored = StoredObject(
            key=key,
            content=content,
            etag=content.etag if etag is None else etag,
            last_modified=int(self._now() if last_modified is None else last_modified),
            headers=dict(headers or {}),
            storage_class=storage_class,
            object_type=object_type or ("Normal" if content.md5 is not None else "Multipart"),
            crc64=crc64,
            no_crc=no_crc,
        )
        return self._service.store.put(bucket, stored)

    def find(self, bucket: str, key: str, version_id: str | None = None) -> StoredObject:
        """The stored object. Raises `RefusedError` if there is none."""
        return self._service.store.find(bucket, key, version_id)

    def delete(self, bucket: str, key: str, version_id: str | None = None) -> StoredObject | None:
        """Delete an object or a version. Returns the deleted version, or the new delete marker."""
        return self._service.store.delete(bucket, key, version_id, int(self._now()))

    def add_credentials(
        self, access_key_id: str, secret: str, token: str | None = None, expires_at: float | None = None
    ) -> None:
        """Accept these credentials. With a token, they expire at `expires_at` (seconds since 1970)."""
        self._service.authority.add(access_key_id, secret, token, expires_at)

    def expire(self, access_key_id: str) -> None:
        """Expire these credentials now. Raises ValueError if they are not known."""
        self._service.authority.expire(access_key_id)

    def remove_credentials(self, access_key_id: str) -> None:
        """Remove these credentials. Raises ValueError if they are not known."""
        self._service.authority.remove(access_key_id)

    @property
    def faults(self) -> Faults:
        return self._service.faults

    @property
    def requests(self) -> list[RequestRecord]:
        """The ledger: a snapshot with a record for each request that has arrived."""
        return self._service.ledger.snapshot()

    def clear_requests(self) -> None:
        """Clear the ledger, and reset `peak_in_flight`."""
        self._service.ledger.clear()

    @property
    def peak_in_flight(self) -> int:
        """The largest number of GETs in flight at the same time.

        Small responses are sent immediately: delay them (`faults.delay`, `faults.slow`) to see how many requests a
        client keeps in flight. A request whose client has received all bytes does not count.
        """
        return self._service.ledger.peak_in_flight

    def wait_for_bytes(self, n: int, timeout: float = 30.0) -> None:
        """Block until n bytes of bodies were sent for the requests in the ledger.

        Raises:
            TimeoutError: That took longer than `timeout` seconds.
        """
        if not self._service.ledger.wait_for_bytes(n, timeout):
            raise TimeoutError(f"{self._service.ledger.bytes_sent} of {n} bytes were sent within {timeout} seconds")

    def wait_for_requests(self, n: int, timeout: float = 30.0) -> None:
        """Block until the ledger contains n requests.

        Raises:
            TimeoutError: That took longer than `timeout` seconds.
        """
        if not self._service.ledger.wait_for_requests(n, timeout):
            raise TimeoutError(f"{len(self.requests)} of {n} requests arrived within {timeout} seconds")

    def _now(self) -> float:
        return time.time() + self.clock_offset


class _ToHere(requests.adapters.HTTPAdapter):
    """Connects to the server regardless of the host in the URL, which is kept in the Host header."""

    def __init__(self, netloc: str) -> None:
        super().__init__()
        self._netloc = netloc

    # requests ships no types: what is passed on is Any.
    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        parts = urlsplit(request.url)
        request.headers["Host"] = parts.netloc
        request.url = urlunsplit(parts._replace(netloc=self._netloc))
        return super().send(request, *args, **options)


class _World:
    """The operations of faults on a LocalOSS."""

    def __init__(self, oss: LocalOSS) -> None:
        self._oss = oss

    def replace_content(
        self, call: Call, content: Content | None, *, same_etag: bool, stale_crc: bool, same_date: bool = False
    ) -> None:
        old = self._oss.find(call.bucket, call.key)
        new = content or GeneratedContent(old.content.size, seed=-1 - getattr(old.content, "seed", 0))
        stored = replace(
            old,
            content=new,
            etag=old.etag if same_etag else new.etag,
            last_modified=old.last_modified if same_date else int(self._oss._now()),
            object_type="Normal" if new.md5 is not None else "Multipart",
            crc64=old.told_crc64 if stale_crc else None,
        )
        self._oss._service.store.put(call.bucket, stored)

    def delete_object(self, call: Call) -> None:
        self._oss.delete(call.bucket, call.key)

    def expire_credentials(self, call: Call) -> None:
        self._oss._service.authority.expire_signer(call)

    def shift_clock(self, seconds: float) -> None:
        self._oss.clock_offset += seconds

    def is_under_way(self, call: Call) -> bool:
        return self._oss._service.ledger.is_under_way(call.request_id)


def _context(tls: ssl.SSLContext | tuple[str, str] | None) -> ssl.SSLContext | None:
    if tls is None or isinstance(tls, ssl.SSLContext):
        return tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    return context


def _content(data: bytes | None, size: int | None, seed: int, file: str | Path | None) -> Content:
    if (data is not None) + (size is not None) + (file is not None) != 1:
        raise ValueError("an object is made of data, of size or of file: give one of them")
    if isinstance(data, str):
        raise TypeError("data must be bytes, not str: encode it")
    if size is not None and size < 0:
        raise ValueError(f"size must be at least 0, not {size}")
    if data is not None:
        return BytesContent(bytes(data))
    if size is not None:
        return GeneratedContent(size, seed)
    assert file is not None
    return FileContent(Path(file))
