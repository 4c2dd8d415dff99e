"""Which answers fit which requests."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aioss_resume._core.answers import Accepted, accept_range, accept_whole, refuse_redirect
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import Range
from aioss_resume.errors import ObjectChangedError, ObjectName, ProtocolError

NAME = ObjectName("b", "k")
ASKED = Range(100, 200)
PINNED = ObjectMeta("k", 1000, "A1", 7)
FITS = {
    "Content-Range": "bytes 100-199/1000",
    "Content-Length": "100",
    "ETag": '"A1"',
    "x-oss-hash-crc64ecma": "7",
    "x-oss-request-id": "R",
}


def answer(**changes):
    """The answer that fits, with some headers changed or, by None, taken away; `_` stands for `-`.

    A plain dict: whatever the mapping, it is enough that it has the names as OSS writes them.
    """
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in {**FITS, **changed}.items() if value is not None}


@pytest.mark.parametrize("pinned", [None, PINNED])
def test_matching_response_is_accepted(pinned):
    accepted = accept_range(NAME, ASKED, pinned, 206, answer())
    meta = accepted.meta
    assert (accepted.range, meta.key, meta.size, meta.etag, meta.crc64) == (ASKED, "k", 1000, "A1", 7)


def test_header_names_are_case_insensitive_if_the_mapping_is():
    shouted = CIMultiDict({name.upper(): value for name, value in FITS.items()})
    assert accept_range(NAME, ASKED, PINNED, 206, shouted) == accept_range(NAME, ASKED, PINNED, 206, answer())


@given(st.integers(0, 1 << 50), st.integers(1, 1 << 50), st.integers(1, 1 << 50))
def test_range_is_accepted_up_to_the_end_of_the_object(start, length, size):
    asked, stop = Range(start, start + length), min(start + length, size)
    headers = answer(Content_Range=f"bytes {start}-{stop - 1}/{size}", Content_Length=str(stop - start))
    if start < size:
        assert accept_range(NAME, asked, None, 206, headers).range == Range(start, stop)
    else:
        with pytest.raises(ProtocolError):
            accept_range(NAME, asked, None, 206, headers)


@pytest.mark.parametrize(
    "changes",
    [
        {"Content_Length": None},  # chunked
        {"x_oss_hash_crc64ecma": None},  # dropped on the way: shows nothing
        {"x_oss_request_id": None},
        {"Content_Type": "text/html"},
        {"ETag": '"B2"'},  # changed by a CDN: the CRC-64 says that the object is the same
        {"ETag": 'W/"A1"'},
        {"ETag": None},
        {"ETag": None, "x_oss_hash_crc64ecma": None},  # the finished file is compared with the CRC-64
        {"Content_Range": "Bytes 100-199/1000"},
    ],
)
def test_response_without_optional_headers_is_accepted(changes):
    assert accept_range(NAME, ASKED, PINNED, 206, answer(**changes)).range == ASKED


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"Content_Range": None}, ProtocolError),
        ({"Content_Range": "bytes 100-199/*"}, ProtocolError),
        ({"Content_Range": "bytes 101-200/1000"}, ProtocolError),  # shifted
        ({"Content_Range": "bytes 99-198/1000"}, ProtocolError),
        ({"Content_Range": "bytes 0-99/1000"}, ProtocolError),
        ({"Content_Range": "bytes 100-198/1000", "Content_Length": "99"}, ProtocolError),  # shorter
        ({"Content_Range": "bytes 100-200/1000", "Content_Length": "101"}, ProtocolError),  # longer
        ({"Content_Range": "bytes 100-199/1001"}, ProtocolError),  # another size under the same ETag
        ({"Content_Range": "bytes 100-199/1001", "ETag": '"B2"'}, ObjectChangedError),
        ({"Content_Range": "bytes 200-299/1000"}, ProtocolError),
        ({"Content_Range": None, "Content_Type": "multipart/byteranges; boundary=x"}, ProtocolError),
        ({"Content_Length": "99"}, ProtocolError),
        ({"Content_Length": "101"}, ProtocolError),
        ({"Content_Length": "1" * 5000}, ProtocolError),
        ({"Content_Length": "-100"}, ProtocolError),
        ({"ETag": '"B2"', "x_oss_hash_crc64ecma": None}, ObjectChangedError),
        ({"x_oss_hash_crc64ecma": "8"}, ObjectChangedError),  # replaced under the same ETag
        ({"x_oss_hash_crc64ecma": "-1"}, ProtocolError),
        ({"x_oss_hash_crc64ecma": "soon"}, ProtocolError),
        ({"x_oss_hash_crc64ecma": str(1 << 64)}, ProtocolError),
        ({"Content_Encoding": "gzip"}, ProtocolError),
        ({"ETag": None, "x_oss_request_id": None}, ProtocolError),
    ],
)
def test_contradictory_response_is_refused(changes, error):
    with pytest.raises(error) as raised:
        accept_range(NAME, ASKED, PINNED, 206, answer(**changes))
    assert type(raised.value) is error
    assert (raised.value.bucket, raised.value.key) == NAME
    assert str(raised.value).startswith("oss://b/k")
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("status", [200, 201, 203, 204, 205, 207, 300, 304])
def test_other_status_than_206_is_refused(status):
    with pytest.raises(ProtocolError, match=f"status {status} instead of 206") as raised:
        accept_range(NAME, ASKED, PINNED, status, answer())
    assert (raised.value.bucket, raised.value.key) == NAME
    assert "ignores ranges" in raised.value.hint


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"Content_Range": "bytes 100-199/*"}, "bytes 100-199/*"),
        ({"Content_Range": "bytes 100-199/*", "Content_Type": "text/plain"}, "bytes 100-199/*"),
        ({"Content_Range": None, "Content_Type": "multipart/byteranges; boundary=x"}, "multipart/byteranges"),
        ({"Content_Range": "bytes 101-200/1000"}, "[101, 201)"),
        ({"Content_Length": "99"}, "99 bytes"),
        ({"x_oss_hash_crc64ecma": "soon"}, "'soon'"),
        ({"Content_Encoding": "gzip"}, "is 'gzip': something on the way"),
    ],
)
def test_error_for_a_refused_response_shows_what_was_found(changes, shown):
    with pytest.raises(ProtocolError) as raised:
        accept_range(NAME, ASKED, PINNED, 206, answer(**changes))
    assert shown in str(raised.value)


def test_changed_object_is_an_error_with_the_hint_to_run_again():
    with pytest.raises(ObjectChangedError, match='ETag "A1" is now "B2"') as raised:
        accept_range(NAME, ASKED, PINNED, 206, answer(ETag='"B2"', x_oss_hash_crc64ecma="8"))
    assert "run again" in raised.value.hint


def test_another_size_without_an_etag_is_another_object():
    pinned = ObjectMeta("k", 999, "", 7)
    with pytest.raises(ObjectChangedError):
        accept_range(NAME, ASKED, pinned, 206, answer(ETag=None))


def test_object_that_was_stored_encoded_stays_encoded():
    pinned = ObjectMeta("k", 1000, "A1", 7, content_encoding="gzip")
    assert accept_range(NAME, ASKED, pinned, 206, answer(Content_Encoding="gzip")).range == ASKED
    with pytest.raises(ProtocolError):  # something on the way decoded it
        accept_range(NAME, ASKED, pinned, 206, answer())


@given(st.integers(0, 3000), st.integers(1, 3000))
@example(1001, 1000)
@example(1000, 1000)
@example(0, 1)
def test_whole_object_is_accepted_for_its_first_range_only_if_no_longer(size, asked):
    headers = answer(Content_Range=None, Content_Length=str(size))
    if size <= asked:
        accepted = accept_range(NAME, Range(0, asked), None, 200, headers)
        assert (accepted.range, accepted.meta.size) == (Range(0, size), size)
    else:
        with pytest.raises(ProtocolError):
            accept_range(NAME, Range(0, asked), None, 200, headers)


@pytest.mark.parametrize("length", [None, "", "-1", "+5", "5.0", "٥", "1" * 20])
def test_whole_object_of_unknown_length_is_refused_as_a_range(length):
    with pytest.raises(ProtocolError):
        accept_range(NAME, Range(0, 1000), None, 200, answer(Content_Range=None, Content_Length=length))


@pytest.mark.parametrize(("asked", "pinned"), [(Range(1, 2000), None), (Range(0, 2000), PINNED)])
def test_whole_object_is_refused_from_the_middle_or_once_pinned(asked, pinned):
    with pytest.raises(ProtocolError):
        accept_range(NAME, asked, pinned, 200, answer(Content_Range=None, Content_Length="1000"))


@pytest.mark.parametrize("status", [200, 206])
def test_login_page_is_refused(status):
    page = CIMultiDict(
        {"Content-Type": "text/html", "Content-Length": "100", "Content-Range": "bytes 0-99/100", "Server": "portal"}
    )
    with pytest.raises(ProtocolError, match=r"not an answer of OSS.*'text/html'") as raised:
        accept_range(NAME, Range(0, 100), None, status, page)
    assert "login page" in raised.value.hint


@pytest.mark.parametrize("content_type", ["text/html", "Text/HTML; charset=utf-8"])
def test_login_page_with_an_etag_is_refused_too(content_type):
    changes = {"x_oss_request_id": None, "x_oss_hash_crc64ecma": None, "Content_Type": content_type}
    with pytest.raises(ProtocolError, match="not an answer of OSS"):
        accept_range(NAME, ASKED, None, 206, answer(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"Content_Type": "text/html"},  # an object that is a page: its CRC-64 is a header of OSS
        {"Content_Type": "text/html", "x_oss_hash_crc64ecma": None, "X_Oss_Object_Type": "Normal"},
        {"Content_Type": "image/png", "x_oss_hash_crc64ecma": None},  # a CDN took all of them out
        {"Content_Type": None, "x_oss_hash_crc64ecma": None},
    ],
)
def test_response_without_a_request_id_is_accepted_unless_it_may_be_a_login_page(changes):
    assert accept_range(NAME, ASKED, None, 206, answer(x_oss_request_id=None, **changes)).range == ASKED


def test_whole_response_gives_the_metadata_and_the_length():
    meta, length = accept_whole(NAME, 200, answer(Content_Range=None, Content_Length="12"))
    assert (meta.size, meta.etag, length) == (12, "A1", 12)


def test_chunked_whole_response_has_no_length():
    headers = answer(Content_Range=None, Content_Length=None, Transfer_Encoding="Chunked")
    meta, length = accept_whole(NAME, 200, headers)
    assert (meta.size, length) == (0, None)


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (206, {}),
        (204, {}),
        (200, {"Content_Length": None}),  # ends when the connection does: a cut looks the same
        (200, {"Content_Length": "-1"}),
        (200, {"Content_Length": "1" * 20}),  # more than any object has
        (200, {"ETag": None, "x_oss_request_id": None}),
        (200, {"x_oss_hash_crc64ecma": "x"}),
    ],
)
def test_contradictory_whole_response_is_refused(status, changes):
    with pytest.raises(ProtocolError) as raised:
        accept_whole(NAME, status, answer(**changes))
    assert (raised.value.bucket, raised.value.key) == NAME
    assert str(raised.value).startswith("oss://b/k")


def test_whole_response_with_another_status_is_refused():
    with pytest.raises(ProtocolError, match="status 206 instead of 200"):
        accept_whole(NAME, 206, answer())


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://evil.example/b/SECRETpath?Signature=SECRET#SECRET", "https://evil.example,"),
        ("http://SECRETuser:SECRET@evil.example:8080/x", "http://evil.example,"),
        ("http://169.254.169.254/SECRET", "http://169.254.169.254,"),
        ("file:///etc/SECRET", "nowhere,"),
        ("/SECRET?SECRET", "nowhere,"),
        ("http://[SECRET", "nowhere,"),
        ("", "nowhere,"),
    ],
)
def test_redirect_is_named_without_path_query_and_user(location, where):
    error = refuse_redirect(NAME, 302, {"Location": location})
    assert where in str(error)
    assert "302" in str(error)
    assert (error.bucket, error.key) == NAME
    assert "endpoint and region" in error.hint
    assert "SECRET" not in repr(error) + str(error.__dict__)


def test_error_for_a_redirect_to_a_very_long_name_is_short():
    assert len(str(refuse_redirect(NAME, 302, {"Location": "http://" + "a" * 10_000}))) < 500


def test_redirect_without_location_is_refused_too():
    assert "nowhere" in str(refuse_redirect(NAME, 307, {}))


@given(st.dictionaries(st.sampled_from(list(FITS)), st.text(max_size=40)), st.sampled_from([200, 206]), st.booleans())
def test_any_headers_are_accepted_within_the_range_or_refused(headers, status, is_pinned):
    try:
        found = accept_range(NAME, ASKED, PINNED if is_pinned else None, status, CIMultiDict(headers))
    except (ProtocolError, ObjectChangedError):
        return
    assert isinstance(found, Accepted)
    assert found.range == Range(100, min(200, found.meta.size))
