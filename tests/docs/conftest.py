"""The fixtures of whole downloads, for the documentation."""

from flow.conftest import anyio_backend, bucket, oss  # noqa: F401
