"""The credentials that the server knows, and the check of signatures.

This module has more than 300 lines because OSS accepts six ways to sign.
"""

import hmac
import threading
from calendar import timegm
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from time import gmtime, strftime, strptime

from aioss_resume.testing.server import legacy_signature, signature
from aioss_resume.testing.server.answers import RefusedError
from aioss_resume.testing.server.calls import Call

_MAX_SKEW = 15 * 60
_MAX_EXPIRES = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class _Known:
    secret: str
    token: str | None
    expires_at: float | None


class Authority:
    """The credentials, by access key id. Methods may be called from any thread."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._lock = threading.Lock()  # guards _known
        self._known: dict[str, _Known] = {}

    def add(self, access_key_id: str, secret: str, token: str | None, expires_at: float | None) -> None:
        with self._lock:
            self._known[access_key_id] = _Known(secret, token, expires_at)

    def expire(self, access_key_id: str) -> None:
        with self._lock:
            self._check_known(access_key_id)
            self._known[access_key_id] = replace(self._known[access_key_id], expires_at=0.0)

    def remove(self, access_key_id: str) -> None:
        with self._lock:
            self._check_known(access_key_id)
            del self._known[access_key_id]

    def expire_signer(self, call: Call) -> None:
        """Expire the credentials that a request names, if they are known."""
        access_key_id = _named(call)
        with self._lock:
            if access_key_id in self._known:
                self._known[access_key_id] = replace(self._known[access_key_id], expires_at=0.0)

    def _check_known(self, access_key_id: str) -> None:
        if access_key_id not in self._known:
            raise ValueError(f"no access key id {access_key_id!r} is known: add_credentials() makes it known")

    def check(self, call: Call, now: float) -> str | None:
        """The access key id that signed the call, None when nobody did; raises when it is signed wrongly."""
        authorization = call.headers.get("Authorization")
        if authorization is not None:
            scheme = authorization.strip().partition(" ")[0]
            if scheme == signature.ALGORITHM:
                return self._check_v4_header(call, authorization, now)
            if scheme == "OSS2":
                return self._check_v2_header(call, authorization, now)
            if scheme == "OSS":
                return self._check_v1_header(call, authorization, now)
            raise RefusedError(400, "InvalidArgument", "Unsupported Authorization Type")
        version = call.query.get("x-oss-signature-version")
        if version == signature.ALGORITHM:
            return self._check_v4_url(call, now)
        if version == "OSS2":
            return self._check_v2_url(call, now)
        if "OSSAccessKeyId" in call.query:
            return self._check_v1_url(call, now)
        return None

    def _check_v4_header(self, call: Call, authorization: str, now: float) -> str:
        fields = signature.parse_authorization(authorization)
        if fields.get("additionalheaders") == "":
            raise RefusedError(400, "InvalidArgument", "AdditionalHeaders is empty", ec="0002-00000209")
        date_time = call.headers.get("x-oss-date", "")
        if not date_time:
            raise RefusedError(400, "InvalidArgument", "x-oss-date is missing")
        if abs(_v4_time(date_time) - now) > _MAX_SKEW:
            raise _too_skewed(date_time, now)
        return self._check_v4(
            call,
            credential=fields.get("credential", ""),
            date_time=date_time,
            additional=fields.get("additionalheaders", ""),
            provided=fields.get("signature", ""),
            payload=call.headers.get("x-oss-content-sha256", ""),
            token=call.headers.get("x-oss-security-token"),
            now=now,
        )

    def _check_v4_url(self, call: Call, now: float) -> str:
        query = call.query
        if "x-oss-expires" not in query:
            raise RefusedError(400, "InvalidArgument", "x-oss-expires is missing", ec="0002-00000215")
        expires = query["x-oss-expires"]
        if not expires.isdigit() or not 0 < int(expires) <= _MAX_EXPIRES:
            raise RefusedError(400, "InvalidArgument", "x-oss-expires is out of bounds")
        date_time = query.get("x-oss-date", "")
        begin = _v4_time(date_time)
        if begin - now > _MAX_SKEW:
            raise _too_skewed(date_time, now)
        if now > begin + int(expires):
            raise _request_expired(begin + int(expires), now)
        return self._check_v4(
            call,
            credential=query.get("x-oss-credential", ""),
            date_time=date_time,
            additional=query.get("x-oss-additional-headers", ""),
            provided=query.get("x-oss-signature", ""),
            payload=signature.UNSIGNED_PAYLOAD,
            token=query.get("x-oss-security-token"),
            now=now,
        )

    def _check_v4(
        self,
        call: Call,
        *,
        credential: str,
        date_time: str,
        additional: str,
        provided: str,
        payload: str,
        token: str | None,
        now: float,
    ) -> str:
        parsed = signature.parse_credential(credential)
        if parsed is None or parsed.date != date_time[:8]:
            raise RefusedError(400, "InvalidArgument", "Invalid Credential in Authorization")
        secret = self._secret(parsed.access_key_id, token, now)
        if parsed.region != self.region and parsed.product != "oss-cloudbox":
            raise RefusedError(
                400,
                "InvalidArgument",
                "Invalid signing region in Authorization header",
                ec="0002-00000226",
                details={"Region": self.region},
            )
        canonical = signature.canonical_request(
            method=call.method,
            bucket=call.bucket,
            key=call.key,
            query={name: value for name, value in call.query.items() if name != "x-oss-signature"},
            headers=call.headers,
            additional=[name.strip().lower() for name in additional.split(";") if name.strip()],
            payload=payload,
        )
        text = signature.string_to_sign(canonical, date_time=date_time, scope=parsed.scope)
        expected = signature.sign(text, secret=secret, credential=parsed)
        _compare(expected, provided, text, parsed.access_key_id, canonical)
        return parsed.access_key_id

    def _check_v2_header(self, call: Call, authorization: str, now: float) -> str:
        _, _, rest = authorization.strip().partition(" ")
        pairs = (field.partition(":") for field in rest.split(","))
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        access_key_id = fields.get("accesskeyid", "")
        additional = [name for name in fields.get("additionalheaders", "").lower().split(";") if name]
        return self._check_v2(call, access_key_id, additional, _http_date(call, now), fields.get("signature", ""), now)

    def _check_v2_url(self, call: Call, now: float) -> str:
        expires = call.query.get("x-oss-expires", "")
        _check_expires(expires, now)
        additional = [name for name in call.query.get("x-oss-additional-headers", "").lower().split(";") if name]
        access_key_id = call.query.get("x-oss-access-key-id", "")
        provided = call.query.get("x-oss-signature", "")
        return self._check_v2(call, access_key_id, additional, expires, provided, now)

    def _check_v2(
        self, call: Call, access_key_id: str, additional: list[str], date: str, provided: str, now: float
    ) -> str:
        token = call.headers.get("x-oss-security-token") or call.query.get("security-token")
        secret = self._secret(access_key_id, token, now)
        text = legacy_signature.string_to_sign_v2(
            method=call.method,
            bucket=call.bucket,
            key=call.key,
            query={name: value for name, value in call.query.items() if name != "x-oss-signature"},
            headers=call.headers,
            date=date,
            additional=additional,
        )
        _compare(legacy_signature.sign_v2(text, secret), provided, text, access_key_id)
        return access_key_id

    def _check_v1_header(self, call: Call, authorization: str, now: float) -> str:
        access_key_id, _, provided = authorization.strip().partition(" ")[2].strip().partition(":")
        token = call.headers.get("x-oss-security-token")
        return self._check_v1(call, access_key_id, _http_date(call, now), provided, token, now)

    def _check_v1_url(self, call: Call, now: float) -> str:
        expires = call.query.get("Expires", "")
        _check_expires(expires, now)
        provided = call.query.get("Signature", "")
        token = call.query.get("security-token")
        return self._check_v1(call, call.query["OSSAccessKeyId"], expires, provided, token, now)

    def _check_v1(self, call: Call, access_key_id: str, date: str, provided: str, token: str | None, now: float) -> str:
        secret = self._secret(access_key_id, token, now)
        text = legacy_signature.string_to_sign_v1(
            method=call.method,
            bucket=call.bucket,
            key=call.key,
            query=call.query,
            headers=call.headers,
            date=date,
        )
        _compare(legacy_signature.sign_v1(text, secret), provided, text, access_key_id)
        return access_key_id

    def _secret(self, access_key_id: str, token: str | None, now: float) -> str:
        with self._lock:
            known = self._known.get(access_key_id)
        if known is None or (known.token is not None and not token):
            raise RefusedError(
                403,
                "InvalidAccessKeyId",
                "The OSS Access Key Id you provided does not exist in our records.",
                details={"OSSAccessKeyId": access_key_id},
            )
        if known.expires_at is not None and now >= known.expires_at:
            raise RefusedError(403, "SecurityTokenExpired", "The security token you provided has expired.")
        if token and token != known.token:
            raise RefusedError(403, "InvalidSecurityToken", "The security token you provided is invalid.")
        return known.secret


def _named(call: Call) -> str:
    """The access key id that a request names, in any of the six ways to sign."""
    scheme, _, rest = call.headers.get("Authorization", "").strip().partition(" ")
    if scheme == signature.ALGORITHM:
        return signature.parse_authorization(scheme + " " + rest).get("credential", "").partition("/")[0]
    if scheme == "OSS2":
        return rest.partition("AccessKeyId:")[2].partition(",")[0].strip()
    if scheme == "OSS":
        return rest.strip().partition(":")[0]
    query = call.query
    credential = query.get("x-oss-credential", "").partition("/")[0]
    return credential or query.get("x-oss-access-key-id") or query.get("OSSAccessKeyId", "")


def iso_time(seconds: float) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S.000Z", gmtime(seconds))


def _compare(expected: str, provided: str, text: str, access_key_id: str, canonical: str | None = None) -> None:
    if hmac.compare_digest(expected.encode(), provided.encode("utf-8", "replace")):
        return
    details = {"OSSAccessKeyId": access_key_id, "SignatureProvided": provided, "StringToSign": text}
    if canonical is not None:
        details["CanonicalRequest"] = canonical
    raise RefusedError(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        details=details,
    )


def _v4_time(text: str) -> float:
    try:
        return timegm(strptime(text, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise RefusedError(400, "InvalidArgument", "Invalid x-oss-date") from None


def _http_date(call: Call, now: float) -> str:
    text = call.headers.get("x-oss-date", "") or call.headers.get("Date", "")
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except ValueError:
        raise RefusedError(403, "AccessDenied", "OSS authentication requires a valid Date.", ec="") from None
    if abs(moment - now) > _MAX_SKEW:
        raise _too_skewed(text, now)
    return text


def _check_expires(expires: str, now: float) -> None:
    if not expires.isdigit():
        raise RefusedError(403, "AccessDenied", "Invalid date (should be seconds since epoch).", ec="")
    if now > int(expires):
        raise _request_expired(int(expires), now)


def _request_expired(expires_at: float, now: float) -> RefusedError:
    details = {"Expires": iso_time(expires_at), "ServerTime": iso_time(now)}
    return RefusedError(403, "AccessDenied", "Request has expired.", ec="0002-00000069", details=details)


def _too_skewed(request_time: str, now: float) -> RefusedError:
    details = {
        "MaxAllowedSkewMilliseconds": str(_MAX_SKEW * 1000),
        "RequestTime": request_time,
        "ServerTime": iso_time(now),
    }
    message = "The difference between the request time and the current time is too large."
    return RefusedError(403, "RequestTimeTooSkewed", message, details=details)
