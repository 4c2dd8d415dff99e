"""Unmodified clients of OSS against LocalOSS, each in an environment of its own."""
