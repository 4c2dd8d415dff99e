"""Pages of a listing: what is read from them, and what is refused."""

import copy
import pickle
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioss_resume._core.listing import (
    EMPTY_PAGES_MOST,
    PAGE_BYTES_MOST,
    PAGE_KEYS_MOST,
    MalformedPageError,
    Page,
    PageOrder,
    PageParser,
    _read_tree,
    _read_usual,
)
from aioss_resume._core.objects import ObjectMeta

ENTRY = (
    "<Contents><Key>{}</Key><LastModified>2020-05-18T05:45:43.000Z</LastModified><ETag>&quot;A1&quot;</ETag>"
    "<Type>Normal</Type><Size>{}</Size><StorageClass>Standard</StorageClass><Owner><ID>1</ID></Owner></Contents>"
)
USUAL_ENTRY = ENTRY.replace("<Owner><ID>1</ID></Owner>", "")
"""As OSS sends it; parsed by the fast parser."""
LAST = "<IsTruncated>false</IsTruncated>"


def page_of(inner: str) -> bytes:
    return f"<?xml version='1.0' encoding='UTF-8'?>\n<ListBucketResult>{inner}</ListBucketResult>".encode()


def parse(body: bytes, step: int = 1 << 20) -> Page:
    parser = PageParser()
    for start in range(0, len(body), step):
        parser.feed(body[start : start + step])
    return parser.finish()


@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_page_is_parsed_the_same_however_it_is_split(step):
    inner = f"<EncodingType>url</EncodingType>{ENTRY.format('a%2Fb%20%2B', 3)}{ENTRY.format('c', 0)}"
    inner += "<CommonPrefixes><Prefix>d%2F</Prefix></CommonPrefixes>"
    inner += "<IsTruncated>true</IsTruncated><NextContinuationToken>x%3D</NextContinuationToken>"
    page = parse(page_of(inner), step)
    modified = datetime(2020, 5, 18, 5, 45, 43, tzinfo=UTC)
    fields = {"etag": "A1", "last_modified": modified, "storage_class": "Standard", "object_type": "Normal"}
    assert page.objects == [ObjectMeta("a/b +", 3, **fields), ObjectMeta("c", 0, **fields)]
    assert (page.prefixes, page.next_token) == (["d/"], "x=")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_keys_are_returned_byte_for_byte(key):
    inner = f"<EncodingType>url</EncodingType>{ENTRY.format(escape(quote(key, safe='')), 1)}{LAST}"
    assert [found.key for found in parse(page_of(inner)).objects] == [key]


def test_key_that_is_no_utf8_keeps_its_bytes():
    inner = f"<EncodingType>url</EncodingType>{ENTRY.format('a%FF', 1)}{LAST}"
    assert parse(page_of(inner)).objects[0].key.encode("utf-8", "surrogateescape") == b"a\xff"


def test_plus_and_percent_are_themselves_without_an_encoding():
    assert parse(page_of(ENTRY.format("a+b%20", 1) + LAST)).objects[0].key == "a+b%20"


def test_restored_archived_object_does_not_count_as_archived():
    entry = ENTRY.format("k", 1).replace("<Owner>", '<RestoreInfo>ongoing-request="true"</RestoreInfo><Owner>')
    assert parse(page_of(entry + LAST)).objects[0].restore == 'ongoing-request="true"'


def mostly(usual: str, *others: str) -> st.SearchStrategy[str]:
    return st.one_of(st.just(usual), st.just(usual), st.sampled_from([usual, *others]))


WORDS = st.text(st.sampled_from('aZ09:.%+2F é"&<>'), max_size=12).map(escape)
DATES = mostly("2020-05-18T05:45:43.000Z", "2020-05-18T05:45:43", "2020-05-18T07:45:43+02:00", "ZZ", "")
ETAGS = mostly("&quot;A1&quot;", '"A1"', "A1", "&quot;A&amp;1&quot;", "W/&quot;A1&quot;", "")
RESTORES = mostly("", "<RestoreInfo/>", "<RestoreInfo>&quot;b&quot;</RestoreInfo>", "<RestoreInfo>&amp;</RestoreInfo>")
AROUND = mostly("{}", "{}<CommonPrefixes><Prefix>d%2F</Prefix></CommonPrefixes>", "<!-- {} -->", "<Contents/>{}", "x{}")


@st.composite
def entries(draw: st.DrawFn) -> str:
    key = draw(st.one_of(st.sampled_from(["a%2Fb", "c", "é"]), WORDS))
    kind, space = draw(st.one_of(st.just("Normal"), WORDS)), draw(mostly("", " ", "\n  "))
    fields = [f"<Key>{key}</Key>", f"<LastModified>{draw(DATES)}</LastModified>", f"<ETag>{draw(ETAGS)}</ETag>"]
    fields += [f"<Type>{kind}</Type>", f"<Size>{draw(st.integers(0, 10**19 - 1))}</Size>"]
    fields += ["<StorageClass>Standard</StorageClass>", draw(RESTORES)]
    return draw(AROUND).format(f"<Contents>{space.join(fields)}{space}</Contents>")


@settings(max_examples=500)
@given(st.lists(entries(), max_size=4), mostly("<EncodingType>url</EncodingType>", ""))
def test_fast_parser_agrees_with_the_general_one(objects, encoding):
    text = page_of(encoding + "".join(objects) + LAST).decode()
    try:
        expected = _read_tree(text)
    except MalformedPageError as error:
        with pytest.raises(MalformedPageError, match=str(error)):
            _read_usual(text) or _read_tree(text)
    else:
        assert (_read_usual(text) or expected) == expected


def test_fast_parser_accepts_pages_as_oss_sends_them():
    restored = USUAL_ENTRY.replace(
        "</Contents>", "<RestoreInfo>ongoing-request=&quot;true&quot;</RestoreInfo></Contents>"
    )
    for entry in (USUAL_ENTRY, USUAL_ENTRY.replace("><", ">\n  <"), restored):
        text = page_of(f"<EncodingType>url</EncodingType>{entry.format('a%2Fb', 3)}{LAST}").decode()
        assert _read_usual(text) == _read_tree(text)


@pytest.mark.parametrize("entry", [ENTRY, USUAL_ENTRY])
def test_object_of_a_page_can_be_pickled_and_copied(entry):
    (found,) = parse(page_of(f"<EncodingType>url</EncodingType>{entry.format('k', 1)}{LAST}")).objects
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found
    assert found.user_metadata == {}


DEEP = "<a>" * 200_000 + "</a>" * 200_000
LAUGHS = '<!DOCTYPE l [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no XML"),
        (b"{}", "no XML"),
        (page_of(LAST)[:-5], "no XML"),
        (page_of(LAST) + b"<more/>", "no XML"),
        (b"<Error><Code>AccessDenied</Code></Error>", "'Error'"),
        (page_of(""), "whether another page follows"),
        (page_of("<IsTruncated>maybe</IsTruncated>"), "whether another page follows"),
        (page_of("<IsTruncated>true</IsTruncated>"), "does not say which"),
        (page_of(ENTRY.format("k", "-1") + LAST), "no size"),
        (page_of(ENTRY.format("k", "1e3") + LAST), "no size"),
        (page_of(ENTRY.format("k", "9" * 30) + LAST), "no size"),
        (page_of(ENTRY.format("k", "") + LAST), "no size"),
        (page_of(ENTRY.format("", 1) + LAST), "without a key"),
        (page_of(ENTRY.format("k", 1) * (PAGE_KEYS_MOST + 1) + LAST), "more than 1000 entries"),
        (page_of(LAST + " " * PAGE_BYTES_MOST), "more than 8388608 bytes"),
        (page_of(DEEP + LAST), "tags"),
        (LAUGHS.encode() + page_of("&b;" + LAST).partition(b"\n")[2], "document type"),
        (page_of("&unknown;" + LAST), "no XML"),
    ],
)  # fmt: skip
def test_document_that_is_not_a_page_is_refused(body, says):
    for step in (4096, 1 << 24):
        with pytest.raises(MalformedPageError, match=says):
            parse(body, step)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_no_other_error(body):
    for wrapped in (body, page_of(body.decode("latin-1"))):
        with suppress(MalformedPageError):
            parse(wrapped, 50)


def page(*keys: str, prefixes: tuple[str, ...] = (), token: str | None = None) -> Page:
    return Page([ObjectMeta(key, 1) for key in keys], list(prefixes), token)


def check(*pages: Page, prefix: str = "", start_after: str = "") -> None:
    order = PageOrder(prefix, start_after)
    for each in pages:
        order.check(each)


def test_pages_in_ascending_order_are_accepted():
    check(page("p/a", "p/b", token="1"), page("p/c", prefixes=("p/bb/",), token="2"), page("p/é"), prefix="p/")


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ([page("b", "a")], "come after"),
        ([page("a", "a")], "come after"),
        ([page("a", token="1"), page("a")], "come after"),
        ([page("b", token="1"), page("a")], "come after"),
        ([page(prefixes=("b/", "a/"))], "come after"),
        ([page("a", token="1"), page("b", token="1")], "followed by itself"),
        ([page(token=str(number)) for number in range(EMPTY_PAGES_MOST + 2)], "empty"),
    ],
)
def test_pages_that_never_end_are_refused(pages, says):
    with pytest.raises(MalformedPageError, match=says):
        check(*pages)


def test_names_that_were_not_asked_for_are_refused():
    with pytest.raises(MalformedPageError, match="begin with 'p/'"):
        check(page("q/a"), prefix="p/")
    with pytest.raises(MalformedPageError, match="begin with 'p/'"):
        check(page(prefixes=("q/",)), prefix="p/")
    with pytest.raises(MalformedPageError, match="come after"):
        check(page("a"), start_after="a")


@given(st.sets(st.text(min_size=1, max_size=5), max_size=20))
def test_keys_are_ordered_by_their_bytes(names):
    keys = sorted((name for name in names if name.isprintable()), key=lambda name: name.encode())
    check(page(*keys))
