"""Pages of a listing: parsing, and what shows that they are no listing, or never end.

Source: https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NoReturn
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree
from xml.parsers import expat

from aioss_resume._core.objects import ObjectMeta, unquoted

PAGE_KEYS_MOST: Final = 1000
"""Keys and common prefixes of one page: OSS's own most."""
PAGE_BYTES_MOST: Final = 8 * 1024 * 1024
"""Bytes of one page. A key has 1023 bytes at most, three times as many when they are all escaped."""
EMPTY_PAGES_MOST: Final = 100
"""Pages in a row without a name, of which each says that another follows."""

_TAGS_MOST: Final = 100 * PAGE_KEYS_MOST  # OSS's own pages have 20 for each object: opening and closing ones
_PROLOG_STEP: Final = 256  # bytes
_ENTRIES: Final = frozenset({"Contents", "CommonPrefixes"})


class MalformedPageError(ValueError):
    """The document is no page of the listing that was asked for. The text says why."""


@dataclass(slots=True)
class Page:
    """One page of a listing.

    Attributes:
        objects: In OSS's order, which is that of the bytes of their keys.
        prefixes: The common prefixes, in order.
        next_token: What the next page is asked for with; None: this one is the last.
    """

    objects: list[ObjectMeta] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_token: str | None = None


class PageParser:
    """Parses one page while it is received, with expat, through the part of ElementTree that is written in C."""

    def __init__(self) -> None:
        self._parser = ElementTree.XMLParser(encoding="utf-8")  # noqa: S314  # entities need a DTD, which is refused
        self._prolog: _Prolog | None = _Prolog()
        self._received = 0
        self._tags = 0

    def feed(self, data: bytes) -> None:
        """Parse some more of the page.

        Raises:
            MalformedPageError: It cannot be one.
        """
        self._received += len(data)
        if self._received > PAGE_BYTES_MOST:
            raise MalformedPageError(f"it has more than {PAGE_BYTES_MOST} bytes")
        self._tags += data.count(b"<")
        if self._tags > _TAGS_MOST:
            raise MalformedPageError(f"it has more than {_TAGS_MOST} tags")
        try:
            if self._prolog is not None and self._prolog.ends_within(data):
                self._prolog = None
            self._parser.feed(data)
        except (expat.ExpatError, ElementTree.ParseError) as error:
            problem = str(error)
        else:
            return
        raise MalformedPageError(f"it is no XML ({problem})")

    def finish(self) -> Page:
        """The page, when all of it was fed.

        Raises:
            MalformedPageError: It is incomplete, or its values cannot be.
        """
        try:
            root = self._parser.close()
        except ElementTree.ParseError as error:
            problem = str(error)
        else:
            return _page(root)
        raise MalformedPageError(f"it is no XML ({problem})")


class _Prolog:
    """What stands before the first element: the only place where a document type may be."""

    def __init__(self) -> None:
        self._has_ended = False
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse

    def ends_within(self, data: bytes) -> bool:
        for start in range(0, len(data), _PROLOG_STEP):
            self._parser.Parse(data[start : start + _PROLOG_STEP])
            if self._has_ended:
                return True
        return False

    def _end(self, tag: str, _attributes: dict[str, str]) -> None:
        if not self._has_ended and tag != "ListBucketResult":
            raise MalformedPageError(f"it is a {tag[:40]!r}")
        self._has_ended = True

    def _refuse(self, *_: object) -> NoReturn:
        raise MalformedPageError("it has a document type, which no answer of OSS has")


def _page(root: ElementTree.Element) -> Page:
    page, top = Page(), dict[str, str]()
    entries = []
    for element in root:
        tag = element.tag
        if tag in _ENTRIES:
            entries.append(element)
        else:
            top[tag] = element.text or ""
    if len(entries) > PAGE_KEYS_MOST:
        raise MalformedPageError(f"it has more than {PAGE_KEYS_MOST} entries")
    is_encoded = top.get("EncodingType") == "url"
    for element in entries:
        entry = {child.tag: child.text or "" for child in element}
        if element.tag == "Contents":
            page.objects.append(_object(entry, is_encoded=is_encoded))
        else:
            page.prefixes.append(_decoded(entry.get("Prefix", ""), is_encoded=is_encoded))
    is_truncated = top.get("IsTruncated", "").strip()
    if is_truncated not in ("true", "false"):
        raise MalformedPageError("it does not say whether another page follows")
    if is_truncated == "true":
        page.next_token = _decoded(top.get("NextContinuationToken", ""), is_encoded=is_encoded)
        if not page.next_token:
            raise MalformedPageError("another page follows, and it does not say which")
    return page


class PageOrder:
    """Checks that pages go forward, so that a listing ends, and that they are of the listing that was asked for.

    Args:
        prefix: What each name begins with.
        start_after: What each key comes after.
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
            MalformedPageError: It repeats something, or has names that were not asked for.
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
        for name in names:
            if not name.startswith(self._prefix):
                raise MalformedPageError(f"it has {name[:80]!a}, which does not begin with {self._prefix[:80]!a}")
            if (order := _order(name)) <= last:
                raise MalformedPageError(f"{name[:80]!a} does not come after {last.decode(errors='replace')[:80]!a}")
            last = order
        return last


def _object(entry: dict[str, str], *, is_encoded: bool) -> ObjectMeta:
    size = entry.get("Size", "").strip()
    if not (size.isascii() and size.isdigit() and len(size) < 20):
        raise MalformedPageError(f"{size[:40]!r} is no size")
    key = _decoded(entry.get("Key", ""), is_encoded=is_encoded)
    if not key:
        raise MalformedPageError("it has an object without a key")
    return ObjectMeta(
        key,
        int(size),
        unquoted(entry.get("ETag", "")),
        last_modified=_time(entry.get("LastModified", "")),
        storage_class=entry.get("StorageClass"),
        object_type=entry.get("Type"),
        restore=entry.get("RestoreInfo"),
    )


def _decoded(text: str, *, is_encoded: bool) -> str:
    if not is_encoded or "%" not in text:
        return text
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")  # twice as fast as unquote()


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _order(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
