"""What tests of many objects share: a bucket, and watches that nothing blocks the loop or is left behind."""

from flow.conftest import (  # noqa: F401
    anyio_backend,
    bucket,
    nothing_blocks_the_loop,
    nothing_is_left_behind,
    oss,
)
