"""Nginx: the server of the benchmarks, made to look like OSS where the clients look."""

import os
import random
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from fastcrc import crc64

from benchmarks.job import BUCKET, MiB

MODULE = Path("/usr/lib/nginx/modules/ngx_http_headers_more_filter_module.so")
"""Where Debian's libnginx-mod-http-headers-more-filter puts it."""

CONFIG = """\
{user}
load_module {module};
daemon off;
# One worker: the server shall not take both cores of a small machine away from the client.
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    log_format wire '$bytes_sent $connection $request_method $status "$http_range"';
    access_log {folder}/wire.log wire;
    client_body_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
    sendfile on;
    tcp_nopush on;
    etag off;
    keepalive_requests 10000000;
    default_type application/octet-stream;
    # OSS says so in a 206 as well, and pypdl needs it there; nginx says so in a 200 only.
    map $http_range $ranges {{ "" ""; default bytes; }}
{draws}{pages}    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    ssl_protocols TLSv1.3;
    # OSS compares the ETag of its own; nginx would compare the one that it does not have.
    more_clear_input_headers If-Match If-Unmodified-Since;
    add_header Accept-Ranges $ranges;
    more_set_headers "x-oss-request-id: $request_id" "x-oss-object-type: Normal"
                     "x-oss-storage-class: Standard" "x-oss-server-time: 1";
    server {{
        listen 127.0.0.1:{port} backlog=511;
        listen 127.0.0.1:{tls_port} ssl backlog=511;
{locations}
    }}
    server {{
        # The virtual-host style, for clients that know no other.
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        server_name {bucket}.localhost;
{host_locations}
    }}
}}
"""

DRAW = """\
    split_clients "$connection$msec" $speed_of_{number} {{ 10% {slow}; * {fast}; }}
"""
"""Each request is slow with a chance of one in ten. nginx sends the share of a second at its beginning."""

PAGES = """\
    map $args $listed {{ default none; "~prefix=([a-z0-9-]+)" $1; }}
    map $args $page {{ default 0; "~continuation-token=([0-9]+)" $1; }}
"""
LISTING = """\
        location ~ ^/{bucket}/?$ {{
            root {folder}/pages;
            rewrite ^ /$listed/$page break;
            default_type application/xml;
        }}
"""
"""Pages of a listing, by the prefix and the token that are asked for."""

ENTRY = (
    "<Contents><Key>{prefix}%2F{number:06d}</Key><LastModified>2026-05-18T05:45:43.000Z</LastModified>"
    "<ETag>&quot;{etag}&quot;</ETag><Type>Normal</Type><Size>{size}</Size><StorageClass>Standard</StorageClass>"
    "</Contents>\n"
)
PAGE_KEYS = 1000

LOCATION = """\
        location {before}/{prefix} {{
            root {folder}/objects;
            rewrite ^ /{prefix} break;
{limit}            more_set_headers 'ETag: "{etag}"' "x-oss-hash-crc64ecma: {crc64}";
        }}
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that the server has; every key that begins with prefix is this one."""

    prefix: str
    size: int
    crc64: int
    speeds: tuple[int, int] | None = None
    """Bytes per second of nine requests in ten, and of the tenth; None: no limit."""


class Nginx:
    """Put objects in, then `with` it. Between `start` and `stop` nothing can be put in.

    The objects are files below `folder`, so a tmpfs there keeps the disk out of the measurement.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, Stored] = {}
        self.port, self.tls_port = _free_port(), _free_port()
        self.authority = str(folder / "authority.pem")
        self._read = 0
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "objects").mkdir(parents=True)
        (folder / "tmp").mkdir()
        (folder / "pages").mkdir()

    @staticmethod
    def missing() -> str | None:
        if shutil.which("nginx", path=_path()) is None:
            return "nginx is not installed (Debian: apt-get install nginx)"
        if not MODULE.exists():
            return f"{MODULE} is missing (Debian: apt-get install libnginx-mod-http-headers-more-filter)"
        return None

    @staticmethod
    def version() -> str:
        answer = subprocess.run([_nginx(), "-v"], capture_output=True, text=True, check=True)
        return answer.stderr.strip().removeprefix("nginx version: ")

    def put(self, prefix: str, size: int, *, sparse: bool = False, speeds: tuple[int, int] | None = None) -> Stored:
        """Repeatable bytes; zeros that take no space when sparse."""
        path, checksum = self.folder / "objects" / prefix, 0
        with path.open("wb") as file:
            if sparse:
                file.truncate(size)
                checksum = _crc64_of_zeros(size)
            else:
                source = random.Random(prefix)
                for start in range(0, size, MiB):
                    chunk = source.randbytes(min(MiB, size - start))
                    checksum = crc64.xz(chunk, checksum)
                    file.write(chunk)
        stored = self.objects[prefix] = Stored(prefix, size, checksum, speeds)
        return stored

    def list_as(self, stored: Stored, count: int) -> None:
        """Answer listings of its prefix with so many keys below it."""
        folder = self.folder / "pages" / stored.prefix
        folder.mkdir()
        for start in range(0, count, PAGE_KEYS):
            stop = min(start + PAGE_KEYS, count)
            following = f"<NextContinuationToken>{stop // PAGE_KEYS}</NextContinuationToken>" if stop < count else ""
            entries = "".join(
                ENTRY.format(prefix=stored.prefix, number=number, etag=f"{stored.crc64:032X}", size=stored.size)
                for number in range(start, stop)
            )
            is_truncated = "true" if following else "false"
            (folder / str(start // PAGE_KEYS)).write_text(
                f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult><Name>{BUCKET}</Name>'
                f"<Prefix>{stored.prefix}%2F</Prefix><MaxKeys>{PAGE_KEYS}</MaxKeys><EncodingType>url</EncodingType>"
                f"<IsTruncated>{is_truncated}</IsTruncated>{following}<KeyCount>{stop - start}</KeyCount>"
                f"{entries}</ListBucketResult>\n"
            )

    def __enter__(self) -> "Nginx":
        self._certify()
        # The longest prefix wins in nginx, so "small-4" and "small-4096" cannot be mixed up.
        path_style, host_style = (
            "".join(
                LOCATION.format(
                    before=before,
                    prefix=s.prefix,
                    folder=self.folder,
                    etag=f"{s.crc64:032X}",
                    crc64=s.crc64,
                    limit=f"            limit_rate $speed_of_{number};\n" if s.speeds else "",
                )
                for number, s in enumerate(self.objects.values())
            )
            for before in (f"/{BUCKET}", "")
        )
        user = "user root;" if os.geteuid() == 0 else ""  # else the worker could not read a folder of mode 0700
        config = self.folder / "nginx.conf"
        config.write_text(
            CONFIG.format(
                user=user,
                module=MODULE,
                folder=self.folder,
                port=self.port,
                tls_port=self.tls_port,
                bucket=BUCKET,
                draws="".join(
                    DRAW.format(number=number, fast=s.speeds[0], slow=s.speeds[1])
                    for number, s in enumerate(self.objects.values())
                    if s.speeds
                ),
                pages=PAGES.format(),
                locations=path_style + LISTING.format(bucket=BUCKET, folder=self.folder),
                host_locations=host_style,
            )
        )
        self._process = subprocess.Popen([_nginx(), "-c", config, "-e", self.folder / "error.log"])
        for _ in range(100):
            if self._process.poll() is not None:
                raise RuntimeError(f"nginx ended: {(self.folder / 'error.log').read_text()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise RuntimeError("nginx did not listen within 5 s")

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def wire(self) -> tuple[int, int]:
        """Bytes sent (headers and bodies, without TLS's framing) and requests since the last call."""
        time.sleep(0.02)  # the last line is written after the client has its bytes
        with (self.folder / "wire.log").open() as file:
            file.seek(self._read)
            lines = file.readlines()
            self._read = file.tell()
        return sum(int(line.split()[0]) for line in lines), len(lines)

    def endpoint(self, *, tls: bool = False) -> str:
        return f"https://127.0.0.1:{self.tls_port}" if tls else f"http://127.0.0.1:{self.port}"

    def _certify(self) -> None:
        import trustme

        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost", f"{BUCKET}.localhost")
        authority.cert_pem.write_to_path(self.authority)
        (self.folder / "server.pem").write_bytes(b"".join(b.bytes() for b in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(self.folder / "server.key")


def _path() -> str:
    return os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"  # not on everyone's PATH


def _nginx() -> str:
    return shutil.which("nginx", path=_path()) or "nginx"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _crc64_of_zeros(size: int) -> int:
    """By doubling: reading a tebibyte of zeros would take minutes."""
    from aioss_resume._core.crc64 import join

    checksum, length = 0, 0
    power, power_length = crc64.xz(b"\0"), 1
    while power_length <= size:
        if size & power_length:
            checksum, length = join(checksum, power, power_length), length + power_length
        power, power_length = join(power, power, power_length), 2 * power_length
    assert length == size
    return checksum
