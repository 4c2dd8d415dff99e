"""Faults on OSS's side, by name."""
