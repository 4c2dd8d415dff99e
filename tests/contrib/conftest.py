"""The fixtures of whole downloads, for the bridges."""

from flow.conftest import anyio_backend, bucket, content, oss  # noqa: F401
