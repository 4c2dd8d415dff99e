"""The command `aioss-resume` and its options. Each command imports what it needs when it runs, so --help is fast.

This module has more than 300 lines because it is the one place where commands and options are declared.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from aioss_resume.cli.transferring import Asked

from aioss_resume.cli.sizes import parse_size
from aioss_resume.cli.usage import EPILOG

F = TypeVar("F", bound=Callable[..., Any])  # Any: every signature

_MIB: Final = 1 << 20
_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")


class _Group(click.Group):
    """A group of commands that suggests similar names for a mistyped one."""

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:  # Any: click's own
        name = args[0] if args else ""
        if self.get_command(context, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(context), n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            context.fail(f"there is no command {name!r}.{meant}")
        return super().resolve_command(context, args)


class _Size(click.ParamType):  # type: ignore[type-arg]  # it has no arguments in older releases
    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:  # Any: click's own
        try:
            return value if isinstance(value, int) else parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Parallel(click.ParamType):  # type: ignore[type-arg]
    name = "N|auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | str:  # Any: click's own
        if value != "auto" and not (str(value).isdecimal() and int(value) > 0):
            self.fail(f'{value!r} must be a whole number of at least 1, or "auto"', param, ctx)
        return "auto" if value == "auto" else int(value)


class _Seconds(click.ParamType):  # type: ignore[type-arg]
    name = "SECONDS"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:  # Any: click's own
        found = _SECONDS.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no time: write seconds, or a unit as in 90s, 15m or 2h", param, ctx)
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2] or "s"]


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_errors = _options(
    click.option("-v", "--verbose", is_flag=True, help="Also show request ids, ECs and where errors come from."),
    click.option("--debug", is_flag=True, help="Show tracebacks."),
)
_json = click.option("--json", "as_json", is_flag=True, help='Print JSON, one object a line, with "v": 1.')
_where = _options(
    click.option(
        "-e", "--endpoint", metavar="URL", help="OSS's endpoint; otherwise OSS_ENDPOINT, or made from the region."
    ),
    click.option("--region", metavar="REGION", help="The bucket's region, such as cn-hangzhou; otherwise OSS_REGION."),
    click.option("--profile", metavar="NAME", help="A profile of ossutil or the aliyun CLI."),
    click.option(
        "--config-file",
        metavar="FILE",
        help="Their configuration; otherwise ~/.ossutilconfig or ~/.aliyun/config.json.",
    ),
)
_requester_pays = click.option("--requester-pays", is_flag=True, help="Confirm that you pay for the requests.")
_transfer = _options(
    click.option("--part-size", type=_Size(), help="Bytes of one request; otherwise chosen from the object's size."),
    click.option(
        "-j",
        "--parallel",
        type=_Parallel(),
        metavar="N|auto",
        default="auto",
        show_default=True,
        help="Most requests in flight.",
    ),
    click.option("--limit-rate", type=_Size(), help="Most bytes a second, such as 10MiB."),
    click.option("--no-clobber", is_flag=True, help="Do not replace files that exist."),
    click.option("--if-changed", is_flag=True, help="Skip a file that has the object's size and CRC-64."),
    click.option(
        "--on-change",
        type=click.Choice(["restart", "fail"]),
        default="restart",
        help="What to do if the object is replaced meanwhile.",
    ),
    click.option(
        "--retries", type=click.IntRange(0), default=5, show_default=True, help="Attempts after a failed one."
    ),
    click.option("--deadline", type=_Seconds(), help="Most seconds for each object, or as in 15m."),
    click.option("--no-fsync", is_flag=True, help="Do not wait until files are on the disk."),
    click.option("--adopt", is_flag=True, help="Continue what oss2 or alibabacloud-oss-v2 left unfinished."),
    click.option(
        "--progress",
        type=click.Choice(["auto", "bar", "plain", "json", "none"]),
        default="auto",
        show_default=True,
        help="How to show progress.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print only errors."),
)
_version_id = click.option("--version-id", metavar="ID", help="Another version of the object.")


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Resumable downloads from Alibaba Cloud OSS: interrupted anywhere, never a wrong file.\n\n"
    "Keys come from OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET, or from the files of ossutil and the aliyun CLI; "
    "no flag takes a secret. The same line, typed again, goes on where it was interrupted.",
    epilog=EPILOG,
)
@click.version_option(version("aioss-resume"), prog_name="aioss-resume", message="%(prog)s %(version)s")
def app() -> None:
    pass


@app.command(short_help="Download an object, or a presigned address.")
@click.argument("source", required=False)
@click.argument("path", required=False)
@_where
@_requester_pays
@_transfer
@_version_id
@click.option("--restart", is_flag=True, help="Start from zero, whatever an earlier run has fetched.")
@click.option(
    "--from-file", "listed", metavar="LIST", help='Keys or addresses, one on each line; "-" is standard input.'
)
@_errors
@_json
def get(source: str | None, path: str | None, listed: str | None, **given: Any) -> None:
    """Download SOURCE (oss://BUCKET/KEY, or a presigned address) to PATH.

    PATH may be a directory, or "-" for standard output: in order, and verified before the last byte. With --from-file,
    SOURCE is oss://BUCKET/, or left out if the lines name the bucket, and PATH is a directory.
    """
    prepare = _get(source, path, given)
    if listed is not None:
        if path is None and source is not None and "://" not in source:
            source, path = None, source
        prepare = _get_listed(listed, source, path or ".", given)
    _finish(prepare, given)


def _get(source: str | None, path: str | None, given: dict[str, Any]) -> Callable[[], Any]:
    def prepare() -> Any:
        from aioss_resume.cli import transferring
        from aioss_resume.cli.place import file_name_of, is_url, key_of_url, parse_address
        from aioss_resume.cli.showing import showing
        from aioss_resume.errors import ConfigError, ObjectName
        from aioss_resume.urls import url_name

        if source is None:
            raise click.UsageError("say what to get: oss://BUCKET/KEY, or an address")
        asked = _asked(given)
        address = source if is_url(source) else parse_address(source)
        if path == "-" and given["as_json"]:
            raise ConfigError("--json and the object cannot both go to standard output")
        bucket = None if isinstance(address, str) else _bucket(address.bucket, given)
        target = _target(path, file_name_of(key_of_url(address) if isinstance(address, str) else address.key))
        is_there = target != "-" and os.path.exists(target)  # noqa: PTH110  # it raises nothing
        how, as_json, quiet = given["progress"], given["as_json"], given["quiet"] or path == "-"

        async def main() -> int:
            with showing(how, as_json=as_json, quiet=quiet) as shown:
                if asked.keywords["overwrite"] == "never" and is_there:
                    shown.line(f"{target} is there already")
                    return 0
                if given["restart"]:
                    name = url_name(address) if isinstance(address, str) else ObjectName(address.bucket, address.key)
                    await transferring.forget_checkpoint(name, asked.keywords["version_id"], target)
                return await transferring.get(bucket, address, target, asked, shown)

        return main

    return prepare


def _get_listed(path: str, source: str | None, directory: str, given: dict[str, Any]) -> Callable[[], Any]:
    def prepare() -> Any:
        from aioss_resume.cli import transferring
        from aioss_resume.cli.listed import read_list
        from aioss_resume.cli.place import parse_address
        from aioss_resume.cli.showing import showing
        from aioss_resume.errors import ConfigError

        asked = _asked(given)
        address = parse_address(source, needs_key=False) if source is not None else None
        if address is not None and address.key:
            raise ConfigError(f"{source} names an object, and --from-file others", hint="write oss://BUCKET/")
        if directory == "-":
            raise ConfigError("--from-file needs a directory, and not standard output")
        if given["restart"] or given["version_id"] is not None:
            raise ConfigError("--restart and --version-id are for one object, and not for --from-file")
        listed = read_list(path, address.bucket if address is not None else None, directory)
        bucket = _bucket(listed.bucket, given) if listed.bucket is not None else None

        async def main() -> int:
            with showing(given["progress"], as_json=given["as_json"], quiet=given["quiet"]) as shown:
                return await transferring.get_many(bucket, listed.items, asked, shown)

        return main

    return prepare


@app.command(short_help="Download a prefix into a directory.")
@click.argument("source")
@click.argument("directory")
@_where
@_requester_pays
@_transfer
@click.option("--include", multiple=True, metavar="GLOB", help="Only these keys; ** crosses slashes. May be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not these. May be repeated.")
@click.option("--delete", is_flag=True, help="Delete files whose objects are gone.")
@click.option("--delete-more-than-half", is_flag=True, help="Let --delete remove more than half of the files.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@_errors
@_json
def mirror(source: str, directory: str, **given: Any) -> None:
    """Download the prefix SOURCE (oss://BUCKET/PREFIX/) into DIRECTORY. Files that are unchanged are skipped."""

    def prepare() -> Any:
        from dataclasses import replace

        from aioss_resume.cli import transferring
        from aioss_resume.cli.place import parse_address
        from aioss_resume.cli.showing import showing

        asked = _asked(given)
        keywords = {name: value for name, value in asked.keywords.items() if name != "version_id"}
        keywords["overwrite"] = "never" if given["no_clobber"] else "if_changed"
        keywords |= {name: list(given[name]) for name in ("include", "exclude")}
        keywords |= {"dry_run": given["dry_run"], "delete_extra": given["delete"]}
        if given["delete_more_than_half"]:
            keywords["delete_extra"] = "force"
        address = parse_address(source, needs_key=False)
        bucket = _bucket(address.bucket, given)

        async def main() -> int:
            with showing(given["progress"], as_json=given["as_json"], quiet=given["quiet"]) as shown:
                return await transferring.mirror(bucket, address, directory, replace(asked, keywords=keywords), shown)

        return main

    _finish(prepare, given)


@app.command(short_help="List objects.")
@click.argument("source")
@_where
@_requester_pays
@click.option("-r", "--recursive", is_flag=True, help="List all levels, and no prefixes.")
@_errors
@_json
def ls(source: str, recursive: bool, **given: Any) -> None:
    """List the objects and prefixes below SOURCE (oss://BUCKET/PREFIX)."""
    _look("ls", source, given, needs_key=False, recursive=recursive, as_json=given["as_json"])


@app.command(short_help="Show the metadata of an object.")
@click.argument("source")
@_where
@_requester_pays
@_version_id
@_errors
@_json
def stat(source: str, version_id: str | None, **given: Any) -> None:
    """Show the metadata of SOURCE (oss://BUCKET/KEY)."""
    _look("stat", source, given, version_id=version_id, as_json=given["as_json"])


@app.command(short_help="Write an object to standard output.")
@click.argument("source")
@_where
@_requester_pays
@_version_id
@_errors
def cat(source: str, version_id: str | None, **given: Any) -> None:
    """Write SOURCE (oss://BUCKET/KEY) to standard output, in order, and verified before the last byte."""
    _look("cat", source, given, version_id=version_id)


@app.command(short_help="Compare a file with an object.")
@click.argument("path")
@click.argument("source")
@_where
@_requester_pays
@_version_id
@_errors
@_json
def verify(path: str, source: str, version_id: str | None, **given: Any) -> None:
    """Compare the file PATH with SOURCE (oss://BUCKET/KEY) by size and CRC-64. Nothing is downloaded."""
    _look("verify", source, given, path, version_id=version_id, as_json=given["as_json"])


@app.command(short_help="List or remove unfinished downloads.")
@click.argument("action", type=click.Choice(["list", "clean"]))
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@_errors
@_json
def checkpoints(action: str, directory: str, **given: Any) -> None:
    """List the unfinished downloads below DIRECTORY, how much of each is there and since when; or remove them."""
    from aioss_resume.cli.unfinished import checkpoints as show

    sys.exit(show(directory, clean=action == "clean", as_json=given["as_json"]))


@app.command(short_help="Check that this machine has what downloads need.")
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False))
@_where
@_errors
@_json
def doctor(directory: str, **given: Any) -> None:
    """Check versions, keys, endpoint, TLS and clock, and that locks and fsync work in DIRECTORY."""

    def prepare() -> Any:
        from aioss_resume.cli.examining import doctor as examine

        place = _place(given)
        return lambda: examine(place, directory, as_json=given["as_json"])

    _finish(prepare, given)


@app.command(short_help="Serve a folder as a local OSS.")
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@click.option("--bucket", default="examplebucket", show_default=True, help="The bucket's name.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; otherwise a free one.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Such as reset:5%, slow:1MiB or 503:10%.")
@_errors
def serve(directory: str, bucket: str, port: int, faults: tuple[str, ...], **given: Any) -> None:
    """Serve the files in DIRECTORY as objects of a local OSS, for any client, until Ctrl-C.

    The first two lines, on standard output, set the environment for clients.
    """
    from aioss_resume.cli.exits import fail
    from aioss_resume.cli.serving import serve as serve_files
    from aioss_resume.errors import AiossError

    try:
        sys.exit(serve_files(directory, bucket, port, faults))
    except AiossError as error:
        sys.exit(fail(error, verbose=given["verbose"], debug=given["debug"]))
    except KeyboardInterrupt:
        sys.exit(130)


@app.command(short_help="Kill a download half-way and resume it, on this machine.")
@click.option("--size", type=_Size(), default="256MiB", show_default=True, help="Of the object, from 1MiB.")
@click.option("--kills", type=click.IntRange(0, 100), default=1, show_default=True, help="How often SIGKILL is sent.")
@click.option("--directory", type=click.Path(path_type=Path), help="Keep the file there; otherwise it is removed.")
def demo(size: int, kills: int, directory: Path | None) -> None:
    """Serve an object from an OSS on this machine, download it in a process that is killed half-way, resume it.

    It says what was kept and what was fetched, and needs neither network nor account.
    """
    from aioss_resume.cli.demo import run_demo

    if size < _MIB:
        raise click.BadParameter("it is less than 1 MiB, the least that a demo makes sense with", param_hint="--size")
    sys.exit(run_demo(size, kills, directory))


@app.command(short_help="Print the completion for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what completes this command in SHELL: eval "$(aioss-resume completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(app, {}, "aioss-resume", "_AIOSS_RESUME_COMPLETE").source())


def _look(what: str, source: str, given: dict[str, Any], *before: Any, needs_key: bool = True, **options: Any) -> None:
    def prepare() -> Any:
        from aioss_resume.cli import looking
        from aioss_resume.cli.place import parse_address

        address = parse_address(source, needs_key=needs_key)
        bucket = _bucket(address.bucket, given)
        return lambda: getattr(looking, what)(bucket, *before, address, headers=_headers(given), **options)

    _finish(prepare, given)


def _finish(prepare: Callable[[], Any], given: dict[str, Any]) -> None:
    """Run a prepared command, and exit with its exit code."""
    from aioss_resume.cli.exits import fail
    from aioss_resume.cli.running import run
    from aioss_resume.errors import AiossError

    shown = {name: given.get(name, False) for name in ("verbose", "debug", "as_json")}
    try:
        main = prepare()
    except AiossError as error:
        sys.exit(fail(error, **shown))

    def hint_for(error: AiossError) -> str | None:
        from aioss_resume.cli import hints

        return hints.hint_for(error, lambda: _place(given))

    sys.exit(run(main, hint_for, **shown, resumes="progress" in given))


def _place(given: dict[str, Any]) -> Any:  # Any: a Place, which is imported late
    from aioss_resume.cli.place import find_place

    return find_place(given["endpoint"], given["region"], given["profile"], given["config_file"])


def _bucket(name: str, given: dict[str, Any]) -> Any:  # Any: oss2 has no types
    from aioss_resume.cli.place import open_bucket

    return open_bucket(_place(given), name)


def _headers(given: dict[str, Any]) -> dict[str, str] | None:
    return {"x-oss-request-payer": "requester"} if given["requester_pays"] else None


def _asked(given: dict[str, Any]) -> "Asked":
    from aioss_resume.cli.transferring import Asked
    from aioss_resume.options import CONCURRENCY_OF_ALL, RetryPolicy

    parallel = given["parallel"]
    overwrite = "never" if given["no_clobber"] else "if_changed" if given["if_changed"] else "always"
    keywords = {
        "version_id": given.get("version_id"),
        "part_size": given["part_size"],
        "concurrency": parallel,
        "overwrite": overwrite,
        "on_change": given["on_change"],
        "retry": RetryPolicy(attempts=given["retries"] + 1, deadline=given["deadline"]),
        "headers": _headers(given),
        "fsync": not given["no_fsync"],
        "adopt": given["adopt"],
    }
    concurrency = max(CONCURRENCY_OF_ALL, parallel) if isinstance(parallel, int) else CONCURRENCY_OF_ALL
    return Asked(keywords, concurrency, given["limit_rate"], given["verbose"], given["debug"])


def _target(path: str | None, name: str) -> str:
    """The destination of an object: in a directory, the file of that name."""
    if path == "-":
        return path
    if (path is None or path.endswith("/")) and not name:
        raise click.UsageError("the object has no name that a file could have: say where it goes")
    if path is None:
        return name
    return os.path.join(path, name) if path.endswith("/") or os.path.isdir(path) else path  # noqa: PTH112, PTH118  # it raises nothing
