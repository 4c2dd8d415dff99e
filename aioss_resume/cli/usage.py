"""Help texts that all commands share."""

from typing import Final

EPILOG: Final = """\b
Exit codes:
  0    done, or nothing to do
  1    some of many failed
  2    usage
  3    not found
  4    denied, or no credentials
  5    network or service, after all attempts; what was written is kept
  6    integrity: the bytes are not the object's
  7    the object changed
  8    local disk
  9    another process has the destination
  10   the deadline has passed
  130  Ctrl-C
  143  SIGTERM
"""
