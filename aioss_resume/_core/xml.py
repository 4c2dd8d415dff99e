"""Parsing of the XML body of an OSS error."""

from typing import Final
from xml.parsers import expat

MOST_ERROR_BYTES: Final = 64 * 1024
"""An error's body is read no further than this; OSS's own have a few hundred bytes."""

_SHOWN: Final = frozenset(
    {
        *("Code", "Message", "RequestId", "HostId", "EC", "Key", "Bucket", "BucketName", "Condition", "ServerTime"),
        *("Endpoint", "Region"),  # the right ones, for a bucket of another region
    }
)
# Not shown: StringToSign, SignatureProvided, OSSAccessKeyId and whatever else OSS echoes of the request's secrets.

_MOST_TEXT: Final = 2000  # characters of one element


class _Refused(Exception):
    """The document contains something that documents of OSS never contain."""


def read_error(body: bytes) -> dict[str, str]:
    """Read the elements of an error's XML that may be shown. Returns {} if the body is not such an error.

    A truncated body yields the elements before the cut. A DTD, and so every entity, is refused.
    """
    found: dict[str, str] = {}
    path: list[str] = []

    def opened(tag: str, _attributes: dict[str, str]) -> None:
        path.append(tag)
        if path[0] != "Error" or len(path) > 16:
            raise _Refused

    def closed(_tag: str) -> None:
        path.pop()

    def text(characters: str) -> None:
        if len(path) == 2 and path[1] in _SHOWN:
            found[path[1]] = (found.get(path[1], "") + characters)[:_MOST_TEXT]

    def refuse(*_: object) -> None:
        raise _Refused

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    try:
        parser.Parse(body[:MOST_ERROR_BYTES], True)
    except (expat.ExpatError, LookupError, ValueError):  # LookupError: an encoding that Python does not know
        pass
    except _Refused:
        return {}
    return {tag: value.strip() for tag, value in found.items()}
