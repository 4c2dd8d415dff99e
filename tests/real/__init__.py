"""A check against a real account: `nox -s real -- oss://bucket/prefix`."""
