"""A process that downloads with another tool: what is killed half-way, and what it leaves.

    python others.py TOOL ENDPOINT REGION PATH

The keys are in the environment. The object is "dir/key" of "examplebucket", in parts of 100 KiB.
"""

import asyncio
import os
import sys

PART = 100 * 1024
BUCKET, KEY = "examplebucket", "dir/key"


def oss2_download(endpoint: str, region: str, path: str) -> None:
    import oss2

    auth = oss2.AuthV4(os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"])
    bucket = oss2.Bucket(auth, endpoint, BUCKET, region=region)
    oss2.resumable_download(bucket, KEY, path, multiget_threshold=PART, part_size=PART, num_threads=2)


def aiooss2_download(endpoint: str, region: str, path: str) -> None:
    import aiooss2

    auth = aiooss2.Auth(os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"])

    async def main() -> None:
        async with aiooss2.AioBucket(auth, endpoint, BUCKET) as bucket:
            await aiooss2.resumable_download(bucket, KEY, path, multiget_threshold=PART, part_size=PART, num_threads=2)

    asyncio.run(main())


def oss_v2_download(endpoint: str, region: str, path: str) -> None:
    import alibabacloud_oss_v2 as v2

    keys = v2.credentials.StaticCredentialsProvider(
        os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"]
    )
    config = v2.Config(region=region, endpoint=endpoint, use_path_style=True, credentials_provider=keys)
    downloader = v2.Client(config).downloader(
        part_size=PART, parallel_num=2, use_temp_file=True, enable_checkpoint=True, verify_data=True
    )
    downloader.download_file(v2.GetObjectRequest(bucket=BUCKET, key=KEY), path)


TOOLS = {"oss2": oss2_download, "aiooss2": aiooss2_download, "oss-v2": oss_v2_download}

if __name__ == "__main__":
    tool, *arguments = sys.argv[1:]
    TOOLS[tool](*arguments)
