"""Listings that do not end, or contain dangerous names."""

import re
from collections.abc import Iterable
from typing import Unpack

from aioss_resume.testing.faults.fault import Fault, Scope, World
from aioss_resume.testing.faults.fault_set import FaultSet
from aioss_resume.testing.server.answers import Answer, text_answer, xml_text
from aioss_resume.testing.server.calls import Call
from aioss_resume.testing.server.contents import BytesContent

_ENTRY = (
    "<Contents><Key>{}</Key><LastModified>2020-05-18T05:45:43.000Z</LastModified>"
    "<ETag>&quot;A1&quot;</ETag><Type>Normal</Type><Size>1</Size><StorageClass>Standard</StorageClass></Contents>"
)


class ListFaults(FaultSet):
    """Faults of ListObjects and ListObjectsV2. They affect requests for a bucket, not for a key."""

    def list_keys(self, keys: Iterable[str], **scope: Unpack[Scope]) -> Fault:
        """Respond to a list request with one page of these keys, in this order, whatever was requested."""
        lines = "".join(_ENTRY.format(xml_text(key)) for key in keys)
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{lines}</ListBucketResult>"
        body = page.encode("utf-8", "surrogateescape")

        def act(_call: Call, _world: World) -> Answer:
            return text_answer(200, body)

        return self._early("list_keys", act, _of_listings(scope))

    def list_loop(self, token: str = "", **scope: Unpack[Scope]) -> Fault:
        """Announce the same next page on every page; forever, unless `times` is given."""

        def act(answer: Answer) -> bool:
            body = bytes(answer.content.read(0, answer.content.size))
            if not answer.is_success or b"<ListBucketResult>" not in body:
                return False
            body = re.sub(rb"<(IsTruncated|NextContinuationToken|NextMarker)>.*?</\1>", b"", body)
            marks = "".join(f"<{name}>{xml_text(token)}</{name}>" for name in ("NextContinuationToken", "NextMarker"))
            marks = f"<IsTruncated>true</IsTruncated>{marks}</ListBucketResult>"
            answer.content = BytesContent(body.replace(b"</ListBucketResult>", marks.encode()))
            answer.start, answer.stop = 0, answer.content.size
            return True

        return self._late("list_loop", act, _of_listings({"times": None, **scope}))


def _of_listings(scope: Scope) -> Scope:
    return {"key": "", **scope}
