"""Fixtures of whole downloads. oss2 itself runs in these tests, and leaves connections open: nobody counts them."""

from flow.conftest import anyio_backend, bucket, content, nothing_blocks_the_loop, oss  # noqa: F401
