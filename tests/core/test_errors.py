"""The errors: what they are, what they say, and that they travel."""

import copy
import errno
import io
import os
import pickle
import traceback

import oss2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume import errors
from aioss_resume.errors import (
    AccessDeniedError,
    AiossError,
    ConfigError,
    IntegrityError,
    LocalFileError,
    NoSuchBucketError,
    NoSuchKeyError,
    ObjectArchivedError,
    ObjectChangedError,
    ObjectName,
    ObjectNotFoundError,
    ProtocolError,
    RequestError,
    ServerFaultError,
    ServiceError,
    SignatureError,
    ThrottledError,
    changed_error,
    local_file_error,
    plain,
    service_error,
)

NAME = ObjectName("b", "k")
PUBLIC = [getattr(errors, name) for name in errors.__all__]
OSS2_TABLE = sorted(oss2.exceptions._OSS_ERROR_TO_EXCEPTION)
ANSWERS = [
    *OSS2_TABLE,
    *[(status, code) for status in (304, 400, 403, 404, 409, 412, 416, 429, 500, 503) for code in ("", "Unheard")],
    (403, "InvalidObjectState"), (403, "InvalidAccessKeyId"), (404, "NoSuchVersion"), (503, "SlowDown"),
]  # fmt: skip


class FakeResponse:
    """What oss2's make_exception reads of a response."""

    def __init__(self, status, code):
        self.status = status
        self.headers = {"x-oss-request-id": "R"}
        body = f"<Error><Code>{code}</Code><Message>m</Message><EC>E</EC></Error>" if code else ""
        self._body = io.BytesIO(body.encode())

    def read(self, length):
        return self._body.read(length)


def service(status, code="", **details):
    return service_error(status, {"Code": code, "Message": "m", "RequestId": "R", **details}, name=NAME)


def assert_same(error, twin):
    assert type(twin) is type(error)
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
    assert twin.__dict__ == error.__dict__
    if isinstance(error, OSError):
        assert (twin.errno, twin.strerror, twin.filename) == (error.errno, error.strerror, error.filename)


def assert_travels(error):
    error.add_note("after 3 attempts")
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):  # below 3, pickle itself turns PermissionError to OSError
        assert_same(error, pickle.loads(pickle.dumps(error, protocol)))
    assert_same(error, copy.copy(error))
    assert_same(error, copy.deepcopy(error))
    assert "after 3 attempts" in "".join(traceback.format_exception(pickle.loads(pickle.dumps(error))))


@pytest.mark.parametrize("kind", PUBLIC)
def test_every_error_can_be_pickled(kind):
    error = kind("it went wrong", name=NAME, hint="mend it")
    assert (error.bucket, error.key, error.hint) == ("b", "k", "mend it")
    assert str(error) == "it went wrong; mend it"
    assert isinstance(error, AiossError)
    assert_travels(error)
    assert_travels(kind("it went wrong"))


@pytest.mark.parametrize(("status", "code"), ANSWERS)
def test_error_for_an_answer_is_what_oss2_would_raise(status, code):
    theirs = oss2.exceptions.make_exception(FakeResponse(status, code))
    ours = service(status, code, EC="E")
    assert isinstance(ours, type(theirs))
    assert isinstance(ours, ServiceError)
    assert (ours.status, ours.code, ours.request_id) == (theirs.status, theirs.code, theirs.request_id)
    assert (ours.message, ours.ec, ours.details["Code"]) == ("m", "E", code)
    assert type(ours).__name__ in errors.__all__
    assert_travels(ours)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", NoSuchKeyError), (404, "NoSuchBucket", NoSuchBucketError),
        (404, "NoSuchVersion", ObjectNotFoundError), (404, "", ObjectNotFoundError),
        (403, "AccessDenied", AccessDeniedError), (403, "InvalidAccessKeyId", AccessDeniedError),
        (403, "SecurityTokenExpired", AccessDeniedError), (403, "", AccessDeniedError), (401, "", AccessDeniedError),
        (403, "SignatureDoesNotMatch", SignatureError), (403, "InvalidObjectState", ObjectArchivedError),
        (429, "", ThrottledError), (503, "SlowDown", ThrottledError),
        (500, "InternalError", ServerFaultError), (502, "", ServerFaultError), (504, "", ServerFaultError),
        (400, "InvalidArgument", ServiceError), (416, "InvalidRange", ServiceError), (412, "", ServiceError),
        (500, "NoSuchKey", ServerFaultError),  # a code alone does not make a 5xx final
    ],
)  # fmt: skip
def test_error_response_maps_to_its_class(status, code, kind):
    places = [place for place in type(service(status, code)).__mro__ if place in PUBLIC]
    assert places[0] is kind


def test_code_written_for_oss2_keeps_working():
    with pytest.raises(oss2.exceptions.NoSuchKey):
        raise service(404, "NoSuchKey")
    with pytest.raises(oss2.exceptions.AccessDenied):
        raise service(403, "AccessDenied")
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch):
        raise service(403, "SignatureDoesNotMatch")
    with pytest.raises(oss2.exceptions.InconsistentError) as raised:
        raise IntegrityError("it differs")
    assert raised.value.status == oss2.exceptions.OSS_INCONSISTENT_ERROR_STATUS
    with pytest.raises(ValueError):
        raise ConfigError("it cannot be")


def test_same_answer_has_the_same_class():
    assert type(service(404, "NoSuchKey")) is type(service(404, "NoSuchKey"))
    assert type(service(403, "AccessDenied")) is type(service(403, "AccessDenied"))


def test_error_for_an_answer_without_a_reason_says_what_is_known():
    assert str(service_error(500, {}, name=NAME)) == (
        "oss://b/k: OSS answered 500 an answer without a reason, request id unknown"
    )


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"Code": "AccessDenied"}, "RAM policy"),
        ({"Code": "AccessDenied", "EC": "0003-00000703"}, "requester pays"),
        ({"Code": "InvalidObjectState"}, "restore"),
        ({"Code": "RequestTimeTooSkewed"}, "clock"),
    ],
)
def test_error_says_what_to_do_about_it(details, words):
    error = service_error(403, details, name=NAME)
    assert words in error.hint
    assert words in str(error)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("dir/文 é.txt", "oss://b/dir/文 é.txt"),
        ("a\r\nb", "oss://b/a\\r\\nb"),
        ("\x1b[31m", "oss://b/\\x1b[31m"),
        ("a\0\x7f\x9b", "oss://b/a\\x00\\x7f\\x9b"),
        ("\u202egpj", "oss://b/\\u202egpj"),
        ("\udc80", "oss://b/\\udc80"),
        ("", "oss://b/"),
    ],
)
def test_control_characters_of_a_key_are_escaped(key, shown):
    assert str(ObjectName("b", key)) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_name_of_any_key_can_be_printed(key):
    shown = str(ObjectName("b", key))
    assert shown.isprintable()
    assert shown.encode()


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_local_error_is_also_the_builtin_of_its_errno(number):
    error = local_file_error("write", OSError(number, os.strerror(number)), "/data/f", name=NAME)
    assert isinstance(error, LocalFileError)
    assert isinstance(error, type(OSError(number, "")))
    assert (error.errno, error.strerror, error.filename) == (number, os.strerror(number), "/data/f")
    assert os.strerror(number) in str(error)
    assert "'/data/f'" in str(error)
    assert_travels(error)


@pytest.mark.parametrize(
    ("number", "builtin"),
    [
        (errno.EEXIST, FileExistsError),
        (errno.EISDIR, IsADirectoryError),
        (errno.ENOTDIR, NotADirectoryError),
        (errno.EACCES, PermissionError),
        (errno.EPERM, PermissionError),
        (errno.ENOENT, FileNotFoundError),
        (errno.ENOSPC, OSError),
    ],
)
def test_local_error_raised_by_the_library_is_also_the_builtin(number, builtin):
    error = local_file_error("write", number, "/data/f")
    assert isinstance(error, builtin)
    assert error.errno == number


def test_local_error_takes_the_path_of_its_cause():
    assert local_file_error("write", OSError(errno.ENOSPC, "full", "/data/g")).filename == "/data/g"
    assert local_file_error("write", OSError(errno.ENOSPC, "full", "/data/g"), "/data/f").filename == "/data/f"
    assert "free some space" in str(local_file_error("write", errno.ENOSPC))


def test_local_error_without_errno_keeps_the_words():
    error = local_file_error("write", OSError("strange"), "/data/f")
    assert "strange" in str(error)
    assert_travels(error)


@pytest.mark.parametrize(
    ("answer", "is_deleted", "theirs"),
    [
        (service(412, "PreconditionFailed"), False, oss2.exceptions.PreconditionFailed),
        (service(404, "NoSuchKey"), True, oss2.exceptions.NoSuchKey),
    ],
)
def test_changed_error_has_the_fields_of_the_response_that_showed_it(answer, is_deleted, theirs):
    error = changed_error("changed", name=NAME, answer=answer)
    assert isinstance(error, ObjectChangedError)
    assert isinstance(error, theirs)
    assert error.is_deleted is is_deleted
    assert (error.status, error.code, error.request_id) == (answer.status, answer.code, "R")
    assert_travels(error)


def test_changed_error_without_an_answer_is_no_error_of_oss2():
    error = changed_error("changed", name=NAME)
    assert not isinstance(error, oss2.exceptions.OssError)
    assert error.is_deleted is False


def test_plain_returns_a_single_error_unchanged():
    error = RequestError("x")
    assert plain(error) is error


@pytest.mark.parametrize("order", [1, -1])
def test_plain_returns_the_most_important_error_of_a_group(order):
    cut, full, changed = RequestError("cut"), LocalFileError("full"), ObjectChangedError("changed")
    for wanted, others in ((changed, [full, cut]), (full, [cut, ProtocolError("y")]), (cut, [OSError(), ValueError()])):
        group = ExceptionGroup("g", [ExceptionGroup("h", [*others, wanted][::order]), ValueError("v")][::order])
        assert plain(group) is wanted


def test_plain_returns_the_first_error_of_a_group_without_ours():
    first, second = ValueError("a"), KeyError("b")
    assert plain(BaseExceptionGroup("g", [ExceptionGroup("h", [first]), second])) is first


def test_drawn_tree_of_errors_matches_the_classes():
    for kind in PUBLIC:
        assert kind.__name__ in errors.__doc__
        assert kind.__doc__
