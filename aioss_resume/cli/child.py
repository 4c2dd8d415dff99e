"""One download in a process of its own, which the demo kills: `python -m aioss_resume.cli.child`.

It uses only the public interface. The keys come from OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET in the environment,
because arguments are visible to every user of the machine. Ctrl-C, SIGTERM and the like cancel the download, which
flushes its checkpoint; the exit code is 128 and the signal's number, as in a shell. A second signal ends the process
at once.
"""

import argparse
import asyncio
import logging
import sys

import oss2
from oss2.credentials import EnvironmentVariableCredentialsProvider

import aioss_resume
from aioss_resume.cli.reports import Ended, Failed, Progressed, Report, Warned, encode
from aioss_resume.cli.signals import cancel_on_end_signals


class _WarningsAsReports(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _tell(Warned(record.getMessage()))


def main() -> int:
    """Run the download given by the arguments, and return the exit code."""
    logging.getLogger("aioss_resume").addHandler(_WarningsAsReports(logging.WARNING))
    return asyncio.run(_download(_arguments()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m aioss_resume.cli.child", description="One download.")
    for name in ("endpoint", "region", "bucket", "key", "path"):
        parser.add_argument(name)
    parser.add_argument("--part-size", type=int)
    parser.add_argument("--multiget-threshold", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    return parser.parse_args()


async def _download(arguments: argparse.Namespace) -> int:
    received = cancel_on_end_signals()
    auth = oss2.ProviderAuthV4(EnvironmentVariableCredentialsProvider())
    bucket = oss2.Bucket(auth, arguments.endpoint, arguments.bucket, region=arguments.region)
    try:
        result = await aioss_resume.download(
            bucket,
            arguments.key,
            arguments.path,
            part_size=arguments.part_size,
            multiget_threshold=arguments.multiget_threshold,
            concurrency=arguments.concurrency,
            progress_callback=lambda consumed, total: _tell(Progressed(consumed, total)),
        )
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]
    except aioss_resume.AiossError as error:
        _tell(Failed(f"{type(error).__name__}: {error}"))
        return 1
    _tell(
        Ended(
            size=result.size,
            crc64=result.crc64,
            verified=result.verified,
            resumed_bytes=result.resumed_bytes,
            fetched_bytes=result.fetched_bytes,
            requests=result.requests,
            attempts=result.attempts,
            elapsed=result.elapsed,
        )
    )
    return 0


def _tell(report: Report) -> None:
    print(encode(report), flush=True)


if __name__ == "__main__":
    sys.exit(main())
