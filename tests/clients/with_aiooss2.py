"""aiooss2 stores, copies, appends, links, uploads in parts, lists, reads and deletes."""

import asyncio
import os

import aiooss2
import oss2


async def main() -> None:
    auth = oss2.Auth(os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"])
    async with aiooss2.AioBucket(auth, os.environ["OSS_ENDPOINT"], "examplebucket") as bucket:
        await bucket.put_object("d/ü", b"0123456789")
        async with await bucket.get_object("d/ü") as got:
            assert await got.read() == b"0123456789"
        async with await bucket.get_object("d/ü", byte_range=(3, 5)) as got:
            assert await got.read() == b"345"
        await bucket.append_object("log", 0, b"abc")
        assert (await bucket.append_object("log", 3, b"def")).next_position == 6
        await bucket.copy_object("examplebucket", "log", "copy")
        assert (await bucket.head_object("copy")).content_length == 6
        upload_id = (await bucket.init_multipart_upload("parts")).upload_id
        part = await bucket.upload_part("parts", upload_id, 1, b"x" * 1000)
        await bucket.complete_multipart_upload("parts", upload_id, [oss2.models.PartInfo(1, part.etag)])
        listed = await bucket.list_objects()
        assert [found.key for found in listed.object_list] == ["copy", "d/ü", "log", "parts"]
        await bucket.batch_delete_objects(["copy", "log"])
        await bucket.delete_object("d/ü")
        listed = await bucket.list_objects()
        assert [found.key for found in listed.object_list] == ["parts"]


asyncio.run(main())
