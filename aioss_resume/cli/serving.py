"""serve: serve a folder as a local OSS, optionally with faults."""

import re
import threading
from pathlib import Path
from typing import Any, Final

import click

from aioss_resume.cli.exits import DONE
from aioss_resume.cli.sizes import parse_size
from aioss_resume.errors import ConfigError
from aioss_resume.testing import KiB, LocalOSS

_FAULT: Final = re.compile(r"([a-z0-9]+)(?::([0-9.]+[a-zA-Z]*))??(?::([0-9.]+)%)?")
_KINDS: Final = "reset, truncate, stall, flip, 503, delay:0.2, slow:1MiB"


def serve(directory: str, bucket: str, port: int, faults: tuple[str, ...]) -> int:
    """Serve the files below a directory as objects, until Ctrl-C."""
    root = Path(directory)
    with LocalOSS(port=port) as oss:
        count = 0
        oss.create_bucket(bucket)
        for file in sorted(root.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                oss.put(bucket, file.relative_to(root).as_posix(), file=file)
                count += 1
        for fault in faults:
            set_fault(oss, fault)
        click.echo(f"export OSS_ENDPOINT={oss.endpoint} OSS_REGION={oss.region}")
        click.echo(f"export OSS_ACCESS_KEY_ID={oss.access_key_id} OSS_ACCESS_KEY_SECRET={oss.access_key_secret}")
        click.echo(f"serving {count} files as oss://{bucket}/ on {oss.endpoint}; Ctrl-C ends it", err=True)
        threading.Event().wait()
    return DONE


def set_fault(oss: LocalOSS, text: str) -> None:
    """Set a fault by its name, as in "reset:5%" or "slow:1MiB".

    Raises:
        ConfigError: The fault is unknown.
    """
    found = _FAULT.fullmatch(text)
    if found is None:
        raise ConfigError(f"--fault {text!r}: there is none like it", hint=f"there are {_KINDS}, each also with :5%")
    kind, value, percent = found.groups()
    scope: dict[str, Any] = {"times": None}  # Any: of many types
    if percent is not None:
        scope["probability"] = float(percent) / 100
    try:
        if kind == "reset":
            oss.faults.reset_after(parse_size(value or "64KiB"), **scope)
        elif kind == "truncate":
            oss.faults.truncate(parse_size(value or "64KiB"), **scope)
        elif kind == "stall":
            oss.faults.stall(parse_size(value or "64KiB"), **scope)
        elif kind == "flip":
            oss.faults.flip_bit(8 * KiB, **scope)
        elif kind == "503":
            oss.faults.status(503, **scope)
        elif kind == "delay":
            oss.faults.delay(float(value or "0.2"), **scope)
        elif kind == "slow":
            oss.faults.slow(parse_size(value or "1MiB"), **scope)
        else:
            raise ConfigError(f"--fault {text!r}: there is no {kind!r}", hint=f"there are {_KINDS}, each also with :5%")
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"--fault {text!r}: {error}") from None
