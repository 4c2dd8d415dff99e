"""The fixtures of whole downloads, for the rooms of aioss_resume/_transfer."""

from flow.conftest import (  # noqa: F401
    anyio_backend,
    bucket,
    gate,
    nothing_blocks_the_loop,
    nothing_is_left_behind,
    oss,
    same_bytes,
)
