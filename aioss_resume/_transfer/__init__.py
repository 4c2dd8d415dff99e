"""The bytes of one object over many requests, into a sink of the caller's."""
