"""A server that repeats to us all that we sent: none of our secrets gets from there into an error, a log or a file."""

import asyncio
import base64
import pickle
import socketserver
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import oss2
import pytest
from canary import TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, Watch, assert_pickles, sent_secrets, watching  # noqa: F401
from flow.threaded_server import ThreadedServer
from ranged import PART, RANGED, SIZE, begins_at

import aioss_resume
from aioss_resume import AiossError, CredentialsError, Downloader
from aioss_resume._io.clock import Clock
from aioss_resume._io.credentials import KeyRing, Keys
from aioss_resume._io.sign import Signer
from aioss_resume._io.threads import Threads
from aioss_resume.errors import ObjectName
from aioss_resume.testing import LocalOSS
from aioss_resume.testing.server import signature

pytestmark = pytest.mark.anyio

TOTAL = 3 * PART


class OwnSigner:
    """A signer of no class of oss2's, with temporary keys; it logs nothing, as oss2's own do."""

    def _sign_request(self, request: Any, bucket_name: str, key: str) -> None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        credential = signature.Credential(TEMPORARY_ID, now[:8], request.region, "oss")
        request.headers |= {
            "x-oss-date": now,
            "x-oss-security-token": TOKEN,
            "x-oss-content-sha256": signature.UNSIGNED_PAYLOAD,
        }
        canonical = signature.canonical_request(
            method=request.method, bucket=bucket_name, key=key, query=request.params, headers=request.headers
        )
        text = signature.string_to_sign(canonical, date_time=now, scope=credential.scope)
        signed = signature.sign(text, secret=TEMPORARY_SECRET, credential=credential)
        request.headers["AUTHORIZATION"] = (
            f"{signature.ALGORITHM} Credential={TEMPORARY_ID}/{credential.scope},Signature={signed}"
        )


AUTHS: dict[str, Callable[[], Any]] = {
    "v1": lambda: oss2.Auth(TEMPORARY_ID, TEMPORARY_SECRET),
    "v2": lambda: oss2.AuthV2(TEMPORARY_ID, TEMPORARY_SECRET),
    "v4": lambda: oss2.AuthV4(TEMPORARY_ID, TEMPORARY_SECRET),
    "sts v1": lambda: oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version="v1"),
    "sts v2": lambda: oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version="v2"),
    "sts v4": lambda: oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version="v4"),
    "own": OwnSigner,
}


@dataclass(frozen=True)
class Request:
    """A request as the hostile server got it."""

    number: int
    head: str

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case names."""
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return {name.strip().lower(): value.strip() for name, _, value in lines if name}

    @property
    def line(self) -> str:
        """The secrets, as one line that a header can hold."""
        headers = self.headers
        return " ".join(headers.get(name, "") for name in ("authorization", "x-oss-security-token")).strip()

    @property
    def secrets(self) -> set[str]:
        named = {"Authorization": "authorization", "x-oss-security-token": "x-oss-security-token"}
        found = sent_secrets({name: self.headers.get(lower, "") for name, lower in named.items()})
        return {secret for secret in found if not secret.startswith("AdditionalHeaders")}

    def part(self, **spoilt: str) -> bytes:
        """The 206 that was asked for, with some headers spoilt; underscores in their names are hyphens."""
        first, _, last = self.headers.get("range", "bytes=0-0").removeprefix("bytes=").partition("-")
        body = bytes(int(last) + 1 - int(first))
        headers = {
            "Content-Range": f"bytes {first}-{last}/{TOTAL}",
            "ETag": '"etag"',
            "x-oss-request-id": "0" * 24,
            **{name.replace("_", "-"): value for name, value in spoilt.items()},
        }
        return answer(206, headers, body)


Answers = Callable[[Request], bytes]


def answer(status: int, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([*lines, "", ""]).encode() + body


def error_xml(elements: dict[str, str]) -> bytes:
    lines = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in elements.items())
    return f"<?xml version='1.0' encoding='UTF-8'?><Error>{lines}</Error>".encode()


def refusal(status: int, *, code: str = "") -> Answers:
    """An error whose every element repeats the request's head."""
    names = ("Message", "RequestId", "HostId", "EC", "Key", "Bucket", "BucketName", "Condition", "ServerTime")
    others = ("StringToSign", "SignatureProvided", "OSSAccessKeyId", "CanonicalRequest", "Whatever")

    def act(request: Request) -> bytes:
        elements = {"Code": code or request.line, **dict.fromkeys((*names, *others), request.head)}
        return answer(status, {"x-oss-request-id": request.line, "x-oss-ec": request.line}, error_xml(elements))

    return act


def in_host(request: Request) -> str:
    """The secrets as labels of a host's name, each as the URL takes it."""
    return ".".join(quote(secret, safe="") for secret in sorted(request.secrets))


ANSWERS: dict[str, Answers] = {
    "400": refusal(400, code="InvalidArgument"),
    "403 with a code of its own": refusal(403),
    "403 AccessDenied": refusal(403, code="AccessDenied"),
    "403 SignatureDoesNotMatch": refusal(403, code="SignatureDoesNotMatch"),
    "403 SecurityTokenExpired": refusal(403, code="SecurityTokenExpired"),
    "403 RequestTimeTooSkewed": refusal(403, code="RequestTimeTooSkewed"),
    "403 archived": refusal(403, code="InvalidObjectState"),
    "404": refusal(404, code="NoSuchKey"),
    "407": refusal(407, code="AccessDenied"),
    "412": refusal(412, code="PreconditionFailed"),
    "429": refusal(429),
    "500": refusal(500),
    "503": refusal(503, code="ServiceUnavailable"),
    "a 500 of plain text": lambda request: answer(500, {"Content-Type": request.line}, request.head.encode()),
    "only in x-oss-request-id": lambda request: answer(400, {"x-oss-request-id": request.line}),
    "only in x-oss-ec": lambda request: answer(403, {"x-oss-ec": request.line}),
    "in Retry-After": lambda request: answer(503, {"Retry-After": request.line, "Date": request.line}),
    "204": lambda request: answer(204, {"Content-Type": request.line}),
    "a redirect's host": lambda request: answer(302, {"Location": f"http://{in_host(request)}.example/"}),
    "a redirect's user": lambda request: answer(302, {"Location": f"http://{in_host(request)}@example.com/"}),
    "a redirect's path": lambda request: answer(307, {"Location": f"http://example.com/{in_host(request)}"}),
    "a redirect's query": lambda request: answer(301, {"Location": f"http://example.com/?a={in_host(request)}"}),
    "a redirect's scheme": lambda request: answer(302, {"Location": f"{in_host(request)}://example.com/"}),
    "a redirect to no address": lambda request: answer(302, {"Location": f"http://[{request.line}"}),
    "Content-Range": lambda request: request.part(Content_Range=request.line),
    "Content-Range's total": lambda request: request.part(Content_Range=f"bytes 0-1/{request.line}"),
    "Content-Type without Content-Range": lambda request: request.part(Content_Range="", Content_Type=request.line),
    "Content-Type without OSS": lambda request: request.part(Content_Type=request.line, ETag="", x_oss_request_id=""),
    "ETag": lambda request: request.part(ETag=f'"{request.number} {request.line}"'),
    "ETag from the second on": lambda request: request.part(ETag=request.line if request.number else '"etag"'),
    "Content-Encoding": lambda request: request.part(Content_Encoding=f"{request.number} {request.line}"),
    "Content-Encoding from the second on": lambda request: request.part(
        Content_Encoding=request.line if request.number else ""
    ),
    "x-oss-hash-crc64ecma": lambda request: request.part(x_oss_hash_crc64ecma=request.line),
    "no HTTP": lambda request: request.head.encode(),
    "a bad header": lambda request: f"HTTP/1.1 200 OK\r\n{request.line}\r\n\r\n".encode(),
    "a bad length": lambda request: f"HTTP/1.1 200 OK\r\nContent-Length: {request.line}\r\n\r\n".encode(),
    "the reason": lambda request: f"HTTP/1.1 403 {request.line}\r\nContent-Length: 0\r\n\r\n".encode(),
}


class Hostile(ThreadedServer):
    """Answers each request as it likes, and knows what it was sent. One request a connection."""

    def __init__(self, answers: Answers) -> None:
        self.requests: list[Request] = []
        lock = threading.Lock()  # guards the numbers
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = b""
                while line := self.rfile.readline().strip(b"\r\n"):
                    head += line + b"\r\n"
                if not head:
                    return
                with lock:
                    request = Request(len(server.requests), head.decode("latin-1").rstrip("\r\n"))
                    server.requests.append(request)
                self.wfile.write(answers(request))

        super().__init__(Handler)

    def bucket(self, auth: Any) -> Any:
        return oss2.Bucket(auth, f"http://{self.where}", "examplebucket", region="cn-hangzhou")

    @property
    def secrets(self) -> set[str]:
        return {TEMPORARY_ID, TEMPORARY_SECRET, TOKEN}.union(*(request.secrets for request in self.requests))


@dataclass
class Said:
    """What was said of a failed call, by place."""

    error: AiossError
    places: dict[str, str] = field(default_factory=dict)

    def assert_silent(self, secrets: set[str]) -> None:
        """None of the secrets, in whatever case or quoting, is in any place."""
        forms = {form.lower() for secret in secrets for form in (secret, quote(secret, safe=""), quote(secret))}
        for place, text in self.places.items():
            lowered = text.lower()
            shown = sorted(form for form in forms if form in lowered)
            around = [text[max(0, (at := lowered.index(form)) - 60) : at + 60] for form in shown]
            assert not shown, f"{place} shows a secret: {around}"


@contextmanager
def talkative_loop(loop: Any) -> Iterator[None]:
    """asyncio in debug mode, telling of each callback that it runs."""
    slow = loop.slow_callback_duration
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    try:
        yield
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = slow


async def said_of(watch: Watch, failing: Awaitable[Any]) -> Said:
    """What a call that must fail says, wherever it says it."""
    with talkative_loop(asyncio.get_running_loop()):
        try:
            result = await failing
        except AiossError as caught:
            error = caught
        else:
            pytest.fail(f"did not fail: {result}")
    watch.search(error)
    assert_pickles(error)
    places = {"error": "\n".join(watch.raised), "log": "\n".join(watch.logged)}
    places["pickle"] = pickle.dumps(error).decode("latin-1")
    places["notes"] = repr(getattr(error, "__notes__", []))
    for path in watch.directory.rglob("*"):
        places[f"name of {path.name}"] = path.name
        if path.is_file():
            places[f"file {path.name}"] = path.read_bytes().decode("latin-1")
    return Said(error, places)


def locals_of_ours(error: BaseException) -> dict[str, str]:
    """The locals of the library's own frames as error trackers render them, by file and name."""
    found = {}
    for frame in traceback.TracebackException.from_exception(error, capture_locals=True).stack:
        if "/aioss_resume/" in frame.filename and "/testing/" not in frame.filename:
            where = f"{Path(frame.filename).name}:{frame.name}"
            found |= {f"{where}:{name}": value for name, value in (frame.locals or {}).items()}
    return found


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("answers", ANSWERS)
async def test_no_response_makes_an_error_contain_secrets_of_the_request(
    tmp_path: Path, watch: Watch, auth: str, answers: str
) -> None:
    with Hostile(ANSWERS[answers]) as server:
        bucket = server.bucket(AUTHS[auth]())
        options = {**RANGED, "on_change": "fail", "concurrency": 2}
        said = await said_of(watch, aioss_resume.download(bucket, "key", tmp_path / "file", **options))
    assert server.requests
    said.places |= locals_of_ours(said.error)
    said.assert_silent(server.secrets)


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("status", [400, 403, 404, 412])
async def test_no_reason_in_the_header_of_a_head_is_repeated_with_what_was_sent(
    watch: Watch, auth: str, status: int
) -> None:
    def act(request: Request) -> bytes:
        body = error_xml({"Code": request.line, "Message": request.head, "RequestId": request.line, "EC": request.line})
        return answer(status, {"x-oss-err": base64.b64encode(body).decode()})

    with Hostile(act) as server:
        async with Downloader(server.bucket(AUTHS[auth]())) as downloader:
            said = await said_of(watch, downloader.head("key"))
    assert len(server.requests) == 1
    said.assert_silent(server.secrets)


async def test_secret_that_is_cut_off_by_a_limit_of_length_is_not_shown_in_part(tmp_path: Path, watch: Watch) -> None:
    token = "canary-" + "0123456789abcdef" * 20
    auth = oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, token, auth_version="v4")

    def act(request: Request) -> bytes:
        padded = "." * 1900 + request.headers["x-oss-security-token"]
        return answer(403, {}, error_xml({"Code": "AccessDenied", "Message": padded, "HostId": padded}))

    with Hostile(act) as server:
        said = await said_of(watch, aioss_resume.download(server.bucket(auth), "key", tmp_path / "file", **RANGED))
    said.assert_silent({token[:40], *server.secrets})


@pytest.mark.parametrize("auth", AUTHS)
async def test_locals_of_our_frames_show_no_secret_of_a_request_that_was_refused(
    oss: LocalOSS, tmp_path: Path, watch: Watch, auth: str
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    said = await said_of(
        watch,
        aioss_resume.download(oss.bucket("examplebucket", auth=AUTHS[auth]()), "key", tmp_path / "file", **RANGED),
    )
    said.places = locals_of_ours(said.error)
    assert any(place.startswith("fetch.py") for place in said.places)
    said.assert_silent({TEMPORARY_ID, TEMPORARY_SECRET, TOKEN}.union(*(sent_secrets(r.headers) for r in oss.requests)))


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["reset_before", "reset_after", "stall"])
async def test_locals_of_our_frames_show_no_secret_of_a_request_that_was_lost(
    oss: LocalOSS, tmp_path: Path, watch: Watch, lost: str
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.add_credentials(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN)
    scope: dict[str, Any] = {"times": None, "range": begins_at(PART)}
    faults = oss.faults
    _ = faults.reset_before(**scope) if lost == "reset_before" else getattr(faults, lost)(1000, **scope)
    bucket = oss.bucket("examplebucket", auth=AUTHS["sts v4"]())
    options = {**RANGED, "timeouts": aioss_resume.Timeouts(stall=0.2)}
    said = await said_of(watch, aioss_resume.download(bucket, "key", tmp_path / "file", **options))
    said.places |= locals_of_ours(said.error)
    said.assert_silent({TEMPORARY_ID, TEMPORARY_SECRET, TOKEN}.union(*(sent_secrets(r.headers) for r in oss.requests)))


@pytest.mark.parametrize(
    "keys",
    [("", TEMPORARY_SECRET, TOKEN), (TEMPORARY_ID, "", TOKEN), (TEMPORARY_ID, None, TOKEN)],
    ids=["no id", "no secret", "None"],
)
async def test_locals_of_our_frames_show_none_of_the_keys_of_a_provider_that_lacks_one(
    oss: LocalOSS, tmp_path: Path, watch: Watch, keys: Any
) -> None:
    class Provider:
        def get_credentials(self) -> Any:
            return Keys(*keys)

    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(Provider()))
    said = await said_of(watch, aioss_resume.download(bucket, "key", tmp_path / "file", **RANGED))
    assert isinstance(said.error, CredentialsError)
    said.places |= locals_of_ours(said.error)
    assert any(place.startswith("credentials.py") for place in said.places)
    said.assert_silent({TEMPORARY_ID, TEMPORARY_SECRET, TOKEN})


@pytest.mark.parametrize("auth", AUTHS)
async def test_successful_download_logs_no_secret(oss: LocalOSS, tmp_path: Path, watch: Watch, auth: str) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.add_credentials(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN if "sts" in auth or auth == "own" else None)
    oss.faults.status(500, range=begins_at(PART))  # logged as a warning
    bucket = oss.bucket("examplebucket", auth=AUTHS[auth]())
    with talkative_loop(asyncio.get_running_loop()):
        async with Downloader(bucket) as downloader:
            result = await downloader.download("key", tmp_path / "file", **RANGED)
            watch.logged += [repr(downloader), str(downloader), repr(vars(downloader))]
            watch.logged += [repr(result), str(result), repr(await downloader.head("key"))]
    assert any("trying again" in line for line in watch.logged)
    assert any("Executing" in line for line in watch.logged)
    assert not [line for line in watch.logged if TEMPORARY_ID in line or TEMPORARY_SECRET in line or TOKEN in line]


@pytest.mark.parametrize("auth", AUTHS)
async def test_repr_of_signed_requests_and_signers_shows_no_secret(oss: LocalOSS, watch: Watch, auth: str) -> None:
    bucket = oss.bucket("examplebucket", auth=AUTHS[auth]())
    threads, clock = Threads(), Clock()
    ring = KeyRing(lambda: bucket.auth, threads, clock)
    signer = Signer(bucket, ring, threads)
    try:
        signed = await signer.sign("GET", ObjectName("examplebucket", "key"), {}, {"versionId": "v"}, clock.utc())
    finally:
        await threads.close()
    assert "authorization" in {name.lower() for name in signed.headers}
    shown = [repr(thing) for thing in (signed, signed.keys, ring, signer)] + [str(signed), f"{signed.keys}"]
    watch.secrets |= sent_secrets({name.title(): value for name, value in signed.headers.items()})
    watch.logged += shown
