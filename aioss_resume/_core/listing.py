"""Pages of a listing: parsing, and checks that they are valid and that the listing ends.

Source: https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2
"""

import operator
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NoReturn
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree
from xml.parsers import expat

from aioss_resume._core.objects import ObjectMeta, listed_metas, unquoted

PAGE_KEYS_MOST: Final = 1000
"""Most keys and common prefixes on one page; OSS's own limit."""
PAGE_BYTES_MOST: Final = 8 * 1024 * 1024
"""Most bytes of one page. A key has at most 1023 bytes, and three times as many if all are escaped."""
EMPTY_PAGES_MOST: Final = 100
"""Most consecutive pages without any name that announce another page."""

_TAGS_MOST: Final = 100 * PAGE_KEYS_MOST  # OSS's own pages have 20 for each object: opening and closing ones
_ENTRIES: Final = frozenset({"Contents", "CommonPrefixes"})
_USUAL: Final = re.compile(  # [^<]* takes three quarters of the time that [^<&]* takes
    r"<Contents>\s*<Key>([^<]*)</Key>"
    r"\s*<LastModified>([^<]*)</LastModified>"
    r"\s*<ETag>(?:&quot;|\")([^<&\"]*)(?:&quot;|\")</ETag>"
    r"\s*<Type>([^<]*)</Type>"
    r"\s*<Size>([0-9]{1,19})</Size>"
    r"\s*<StorageClass>([^<]*)</StorageClass>"
    r"\s*(?:<RestoreInfo>([^<]*)</RestoreInfo>\s*)?"
    r"</Contents>"
)


class MalformedPageError(ValueError):
    """The document is not a page of the requested listing. The text says why."""


@dataclass(slots=True)
class Page:
    """One page of a listing.

    Attributes:
        objects: In OSS's order: sorted by the bytes of their keys.
        prefixes: The common prefixes, sorted.
        next_token: The continuation token for the next page; None if this is the last page.
    """

    objects: list[ObjectMeta] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_token: str | None = None


class PageParser:
    """Checks one page with expat while it is received, and parses it when it is complete."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._received = 0
        self._tags = 0
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartDoctypeDeclHandler = _refuse_doctype

    def feed(self, data: bytes) -> None:
        """Check the next bytes of the page.

        Raises:
            MalformedPageError: The document cannot be a page.
        """
        self._received += len(data)
        if self._received > PAGE_BYTES_MOST:
            raise MalformedPageError(f"it has more than {PAGE_BYTES_MOST} bytes")
        self._tags += data.count(b"<")
        if self._tags > _TAGS_MOST:
            raise MalformedPageError(f"it has more than {_TAGS_MOST} tags")
        self._chunks.append(data)
        self._parse(data, is_last=False)

    def finish(self) -> Page:
        """Parse the page after all of it was passed to feed().

        Raises:
            MalformedPageError: The page is incomplete or contains invalid values.
        """
        self._parse(b"", is_last=True)
        text = b"".join(self._chunks).decode()  # expat has found it to be UTF-8
        page = _read_usual(text)
        return page if page is not None else _read_tree(text)

    def _parse(self, data: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(data, is_last)
        except expat.ExpatError as error:
            problem = str(error)
        else:
            return
        raise MalformedPageError(f"it is no XML ({problem})")


def _read_usual(text: str) -> Page | None:
    """Parse a page in the layout that OSS uses, ten times as fast as _read_tree(). Returns None for another layout.

    The document is known to be well-formed. Without comments and CDATA sections, each match is an element.
    """
    pieces = _USUAL.split(text)
    fields = _USUAL.groups + 1
    rest = "".join(pieces[::fields])
    if len(pieces) == 1 or "<!" in rest or "<Contents" in rest or "<EncodingType>url<" not in rest:
        return None
    keys, modified, etags, kinds, sizes, storage_classes, restores = (pieces[n::fields] for n in range(1, fields))
    restores = [restore and restore.replace("&quot;", '"') for restore in restores]
    if any("&" in "".join(filter(None, column)) for column in (keys, modified, kinds, storage_classes, restores)):
        return None
    page = _read_tree(rest, len(keys))
    page.objects += listed_metas(
        _all_decoded(keys),
        size=map(int, sizes),
        etag=etags,
        last_modified=_times(modified),
        storage_class=storage_classes,
        object_type=kinds,
        restore=restores,
    )
    return page


def _read_tree(text: str, objects_besides: int = 0) -> Page:
    """Parse a page in any layout. It is known to be well-formed and to have no document type.

    Args:
        objects_besides: Number of objects that were removed from the document before.
    """
    root = ElementTree.fromstring(text)  # noqa: S314  # entities need a document type
    if root.tag != "ListBucketResult":
        raise MalformedPageError(f"it is a {root.tag[:40]!r}")
    top = {element.tag: (element.text or "").strip() for element in root if element.tag not in _ENTRIES}
    entries = [element for element in root if element.tag in _ENTRIES]
    if len(entries) + objects_besides > PAGE_KEYS_MOST:
        raise MalformedPageError(f"it has more than {PAGE_KEYS_MOST} entries")
    is_encoded = top.get("EncodingType") == "url"
    page = Page()
    for element in entries:
        fields = {child.tag: child.text or "" for child in element}
        if element.tag == "Contents":
            page.objects.append(_object(fields, is_encoded=is_encoded))
        else:
            page.prefixes.append(_decoded(fields.get("Prefix", ""), is_encoded=is_encoded))
    is_truncated = top.get("IsTruncated")
    if is_truncated not in ("true", "false"):
        raise MalformedPageError("it does not say whether another page follows")
    if is_truncated == "true":
        page.next_token = _decoded(top.get("NextContinuationToken", ""), is_encoded=is_encoded)
        if not page.next_token:
            raise MalformedPageError("another page follows, and it does not say which")
    return page


def _refuse_doctype(*_: object) -> NoReturn:
    raise MalformedPageError("it has a document type, which no answer of OSS has")


class PageOrder:
    """Checks that pages are in order, so that the listing ends, and that they belong to the requested listing.

    Args:
        prefix: The prefix of every name.
        start_after: Every key must come after this one.
    """

    def __init__(self, prefix: str, start_after: str) -> None:
        self._prefix = prefix
        self._last_key = _order(start_after)
        self._last_prefix = b""
        self._token: str | None = None
        self._empty_pages = 0

    def check(self, page: Page) -> None:
        """Check the next page.

        Raises:
            MalformedPageError: The page repeats names, or contains names that were not requested.
        """
        self._last_key = self._checked([found.key for found in page.objects], self._last_key)
        self._last_prefix = self._checked(page.prefixes, self._last_prefix)
        if page.next_token is None:
            return
        if page.next_token == self._token:
            raise MalformedPageError("it says that it is followed by itself")
        self._token = page.next_token
        self._empty_pages = 0 if page.objects or page.prefixes else self._empty_pages + 1
        if self._empty_pages > EMPTY_PAGES_MOST:
            raise MalformedPageError(f"{EMPTY_PAGES_MOST} pages before it were empty, too")

    def _checked(self, names: list[str], last: bytes) -> bytes:
        if not names:
            return last
        keys: list[Any] = names  # strings of ASCII sort like their bytes
        if not "".join(names).isascii():
            keys = [_order(name) for name in names]
        if _order(names[0]) <= last:
            raise MalformedPageError(f"{names[0][:80]!a} does not come after {last.decode(errors='replace')[:80]!a}")
        if not all(map(operator.lt, keys, keys[1:])):
            raise MalformedPageError("its names are not in order: each must come after the one before it")
        # The names are sorted, so those between begin with what both ends begin with.
        for name in (names[0], names[-1]):
            if not name.startswith(self._prefix):
                raise MalformedPageError(f"it has {name[:80]!a}, which does not begin with {self._prefix[:80]!a}")
        return _order(names[-1])


def _object(fields: dict[str, str], *, is_encoded: bool) -> ObjectMeta:
    get = fields.get
    size = get("Size", "").strip()
    if not (size.isascii() and size.isdigit() and len(size) < 20):
        raise MalformedPageError(f"{size[:40]!r} is no size")
    return ObjectMeta(
        key=_decoded(get("Key", ""), is_encoded=is_encoded) or _no_key(),
        size=int(size),
        etag=unquoted(get("ETag", "")),
        last_modified=_time(get("LastModified", "").strip()),
        storage_class=get("StorageClass"),
        object_type=get("Type"),
        restore=get("RestoreInfo"),
    )


def _no_key() -> NoReturn:
    raise MalformedPageError("it has an object without a key")


def _decoded(text: str, *, is_encoded: bool) -> str:
    if not is_encoded or "%" not in text:
        return text
    text = text.replace("%2F", "/")  # most keys have no other escape, and a percent sign is always escaped itself
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape") if "%" in text else text


def _all_decoded(keys: Sequence[str]) -> Sequence[str]:
    """Like _decoded() for many encoded keys, but faster."""
    if not all(keys):
        _no_key()
    text = "\n".join(keys).replace("%2F", "/")  # an encoded key has no line break
    return [_decoded(key, is_encoded=True) for key in keys] if "%" in text else text.split("\n")


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _times(texts: Sequence[str]) -> Iterable[datetime | None]:
    """Like _time() for many texts, but faster if all are in UTC, as OSS's are."""
    if "".join(texts).count("Z") == len(texts):
        with suppress(ValueError):
            return list(map(datetime.fromisoformat, texts))
    return map(_time, texts)


def _order(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
