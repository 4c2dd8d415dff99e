"""LocalOSS's assumptions about OSS, and the main jobs, checked in a bucket: `python -m tests.real oss://BUCKET/PREFIX`.

The account is named by OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET, OSS_SESSION_TOKEN, OSS_REGION and OSS_ENDPOINT. Some
80 MiB are stored below the prefix, in a folder of its own, and fetched a few times; at the end they are deleted.
"""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import oss2
from oss2.credentials import EnvironmentVariableCredentialsProvider

from tests.real.assumptions import ASSUMPTIONS
from tests.real.jobs import JOBS

NEEDED = ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_REGION")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("where", metavar="oss://BUCKET/PREFIX")
    where = parser.parse_args().where
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        print(f"skipped: no account is named: {', '.join(missing)} not set")
        return 0
    bucket_name, _, prefix = where.removeprefix("oss://").partition("/")
    region = os.environ["OSS_REGION"]
    endpoint = os.environ.get("OSS_ENDPOINT") or f"https://oss-{region}.aliyuncs.com"
    auth = oss2.ProviderAuthV4(EnvironmentVariableCredentialsProvider())
    bucket = oss2.Bucket(auth, endpoint, bucket_name, region=region)
    folder = f"{prefix.rstrip('/')}/".lstrip("/") + f"aioss-resume-{secrets.token_hex(8)}/"
    print(f"below oss://{bucket_name}/{folder} at {endpoint}")
    failed = 0
    try:
        print("\nAssumptions of LocalOSS:")
        for text, check in ASSUMPTIONS:
            failed += not _holds(text, lambda check=check: check(bucket, folder))  # type: ignore[misc]
        print("\nMain jobs:")
        with tempfile.TemporaryDirectory() as directory:
            for text, job in JOBS:
                failed += not _holds(
                    text,
                    lambda job=job: asyncio.run(job(bucket, folder, Path(directory))),  # type: ignore[misc]
                )
    finally:
        _delete(bucket, folder)
    count = len(ASSUMPTIONS) + len(JOBS)
    print(f"\n{count - failed} of {count} hold")
    return 1 if failed else 0


def _holds(text: str, check: Callable[[], object]) -> bool:
    try:
        check()
    except Exception:  # noqa: BLE001 - any failure is reported, and the other checks go on
        print(f"  NO   {text}")
        traceback.print_exc()
        return False
    print(f"  yes  {text}")
    return True


def _delete(bucket: oss2.Bucket, folder: str) -> None:
    keys = [found.key for found in oss2.ObjectIteratorV2(bucket, prefix=folder, max_keys=1000)]
    for start in range(0, len(keys), 1000):
        bucket.batch_delete_objects(keys[start : start + 1000])
    print(f"\ndeleted {len(keys)} objects")


sys.exit(main())
