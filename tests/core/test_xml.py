"""An error's body: what may be shown of it, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.xml import MOST_ERROR_BYTES, read_error

BODY = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error>
  <Code>SignatureDoesNotMatch</Code>
  <Message>It does not match.</Message>
  <RequestId>5C1B138A109F4E405B2D8AEF</RequestId>
  <HostId>b.oss-cn-hangzhou.aliyuncs.com</HostId>
  <OSSAccessKeyId>SECRET-id</OSSAccessKeyId>
  <SignatureProvided>SECRET-signature</SignatureProvided>
  <StringToSign>SECRET-string</StringToSign>
  <StringToSignBytes>SECRET-bytes</StringToSignBytes>
  <CanonicalRequest>SECRET-request</CanonicalRequest>
  <SecurityToken>SECRET-token</SecurityToken>
  <EC>0002-00000040</EC>
</Error>"""


def test_secrets_echoed_in_an_error_are_not_shown():
    assert read_error(BODY) == {
        "Code": "SignatureDoesNotMatch",
        "Message": "It does not match.",
        "RequestId": "5C1B138A109F4E405B2D8AEF",
        "HostId": "b.oss-cn-hangzhou.aliyuncs.com",
        "EC": "0002-00000040",
    }


@pytest.mark.parametrize("stop", range(0, len(BODY), 3))
def test_error_that_was_cut_yields_what_stood_before_the_cut(stop):
    whole, found = read_error(BODY), read_error(BODY[:stop])
    assert "SECRET" not in str(found)
    assert all(whole[tag].startswith(value) for tag, value in found.items())


@pytest.mark.parametrize("secret", ["StringToSign", "SignatureProvided", "OSSAccessKeyId", "Anything"])
def test_element_within_a_secret_one_is_not_shown(secret):
    assert read_error(f"<Error><{secret}><Code>SECRET</Code></{secret}></Error>".encode()) == {}


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE Error SYSTEM "file:///etc/passwd"><Error><Code>A</Code></Error>',
        b'<!DOCTYPE Error [<!ENTITY x SYSTEM "file:///etc/passwd">]><Error><Code>&x;</Code></Error>',
        b'<!DOCTYPE Error [<!ENTITY % x SYSTEM "http://127.0.0.1:1/"> %x;]><Error><Code>A</Code></Error>',
        b"<!DOCTYPE l [<!ENTITY a0 'ha'>"
        + b"".join(b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
        + b"]><Error><Message>&a11;</Message></Error>",
        b"<Error><Code>A</Code></Error>".replace(b"<Error>", b"<!DOCTYPE x []><Error>"),
    ],
)
def test_dtd_is_refused_with_all_its_entities(body):
    assert read_error(body) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"\0" * 100, b"no xml", b"{}", b"<html><body><Code>NoSuchKey</Code></body></html>",
        b"<ListBucketResult><Code>A</Code></ListBucketResult>", b"<Error/>", b"<Error></Error>",
        b"<a><Error><Code>A</Code></Error></a>", b"<x:Error xmlns:x='y'><Code>A</Code></x:Error>",
        b"<Error>" * 1000, b"<Error>" + b"<x>" * 30_000, b'<?xml version="1.0" encoding="klingon"?><Error/>',
        "<Error><Code>A</Code></Error>".encode("utf-32"), b"<Error><Code>&x;</Code></Error>",
    ],
)  # fmt: skip
def test_body_that_is_not_an_error_of_oss_yields_nothing(body):
    assert read_error(body) in ({}, {"Code": ""})


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "iso-8859-1"])
def test_declared_charset_is_followed(charset):
    body = f'<?xml version="1.0" encoding="{charset}"?><Error><Message>Grüße</Message></Error>'.encode(charset)
    assert read_error(body) == {"Message": "Grüße"}


def test_invalid_bytes_in_the_declared_charset_end_the_parsing():
    assert read_error(b"<Error><Code>A</Code><Message>\xff\xfe</Message></Error>").get("Code") == "A"


def test_long_text_is_cut():
    assert len(read_error(b"<Error><Message>" + b"a" * 60_000)["Message"]) == 2000


def test_nothing_is_read_beyond_the_limit():
    body = b"<Error><Code>A</Code>" + b" " * MOST_ERROR_BYTES + b"<EC>late</EC></Error>"
    assert read_error(body) == {"Code": "A"}


@given(st.binary(max_size=200) | st.text(alphabet="<>/!&;[]ErorCde ").map(lambda t: b"<Error>" + t.encode()))
def test_arbitrary_body_raises_nothing(body):
    assert set(read_error(body)) <= {"Code", "Message", "RequestId", "HostId", "EC", "Key", "Bucket"}
