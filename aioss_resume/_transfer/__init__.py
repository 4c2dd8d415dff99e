"""The bytes of one object over many requests, into a sink that the caller brings."""
