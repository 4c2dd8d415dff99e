"""The project's checks: `nox -s lint types tests`, and longer ones with a size knob."""

import shutil
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "docs", "build", "tests"]
nox.options.error_on_missing_interpreters = False  # every Python from 3.11 on that is there
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, and the floors of the house."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict; and mypy and pyright, both strict, from the side of a program that uses the library."""
    session.install("-e", ".[dev]")
    session.run("mypy")
    session.run("mypy", "--strict", "tests/typing/consumer.py")
    session.run("pyright", "--project", "tests/typing", "--pythonpath", _python(session))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite against the built wheel."""
    session.install(f"{_installed_wheel(session)}[test]")
    session.run("python", "-P", "-c", "import aioss_resume as a; assert 'site-packages' in a.__file__, a.__file__")
    _run_suite(session)


@nox.session
def quick(session: nox.Session) -> None:
    """The everyday part of the test suite: in one process, and no slow ones."""
    session.install("-e", ".[test]")
    session.run(
        "pytest",
        "-m",
        "not slow",
        "tests/core",
        "tests/io",
        "tests/transfer",
        "tests/file",
        "tests/flow",
        *session.posargs,
    )


@nox.session
def uvloop(session: nox.Session) -> None:
    """The tests of downloads, reads, streams and batches on uvloop."""
    _run_on_loop(session, "uvloop")


@nox.session(python=PYTHONS[1:])
def eager(session: nox.Session) -> None:
    """The same tests with asyncio.eager_task_factory, which is new in Python 3.12."""
    _run_on_loop(session, "eager")


def _run_on_loop(session: nox.Session, loop: str) -> None:
    session.install("-e", ".[test]")
    rooms = [
        "tests/flow",
        "tests/transfer",
        "tests/stream",
        "tests/compat",
        "tests/faults",
        "tests/file",
        "tests/batch",
    ]
    session.run("pytest", "-n", "auto", "-q", *(session.posargs or rooms), env={"TEST_LOOP": loop})


@nox.session
def oldest(session: nox.Session) -> None:
    """The test suite with the oldest releases that the dependencies' bounds allow."""
    session.install(f"{_installed_wheel(session)}[test]", *_OLDEST)
    _run_suite(session)


@nox.session
def newest(session: nox.Session) -> None:
    """The test suite with the newest releases of all dependencies, pre-releases included."""
    session.install("--pre", "--upgrade", "--upgrade-strategy", "eager", f"{_installed_wheel(session)}[test]")
    session.run("python", "-m", "pip", "list")
    _run_suite(session)


@nox.session
def adopting(session: nox.Session) -> None:
    """Downloads that other tools began, aiooss2 and the oldest oss2 among them, and 2000 records that were changed."""
    session.install("-e", ".[test]")
    others = Path(session.create_tmp()) / "aiooss2"
    session.run("python", "-m", "venv", str(others))
    python = others / "bin" / "python"
    session.run(str(python), "-m", "pip", "install", "--quiet", "aiooss2", external=True)
    session.run(
        "pytest",
        "tests/processes/test_adopting.py",
        *session.posargs,
        env={"AIOOSS2_PYTHON": str(python.resolve().parent / "python"), "MUTATED_RECORDS": "2000"},
    )


@nox.session
def clients(session: nox.Session) -> None:
    """Other clients of OSS against LocalOSS: aiooss2, ossfs, and the official one for JavaScript (needs node, npm)."""
    session.install("-e", ".[test]")
    folder = Path(session.create_tmp()).absolute()
    arguments = []
    # aiooss2 cannot upload with a newer aiohttp.
    for name, packages in (("aiooss2", ["aiooss2", "aiohttp<3.10"]), ("ossfs", ["ossfs"])):
        session.run("python", "-m", "venv", str(folder / name))
        python = str(folder / name / "bin" / "python")
        session.run(python, "-m", "pip", "install", "--quiet", *packages, external=True)
        arguments += [f"--{name}", python]
    session.run("npm", "install", "--silent", "--prefix", str(folder), "ali-oss@6", external=True)
    session.run("python", "-m", "tests.clients", *arguments, "--ali-oss", str(folder))


@nox.session
def torch(session: nox.Session) -> None:
    """torch's own DataLoader and safetensors' own files; `nox -s torch -- torch==X` for a release."""
    session.install("-e", ".[test]", "safetensors", *(session.posargs or ["torch"]))
    session.run("python", "-m", "tests.clients.with_torch")


@nox.session
def real(session: nox.Session) -> None:
    """What LocalOSS assumes, and the main jobs, in a bucket of an account: `nox -s real -- oss://bucket/prefix`."""
    if not session.posargs:
        session.skip("no bucket is named: nox -s real -- oss://bucket/prefix")
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.real", *session.posargs)


@nox.session
def systems(session: nox.Session) -> None:
    """The library as on Windows and on macOS, on this system; `nox -s systems -- windows` for one of them.

    `nox -s systems -- ntfs`, as root and with ntfs-3g: the storage for Windows on an NTFS that ignores case.
    """
    session.install("-e", ".[test]")
    files = ["tests/io", "tests/file"]
    rooms = {"windows": [*files, "tests/transfer", "tests/flow", "tests/batch"], "macos": files}
    for storage in session.posargs or rooms:
        if storage == "ntfs":
            _on_ntfs(session, "tests/transfer", "tests/flow", "tests/batch")
            continue
        env = {"AIOSS_RESUME_STORAGE": storage}
        session.run("pytest", "-n", "auto", "-q", *rooms[storage], env=env)
        session.run("python", "-m", "tests.crash", "--kills", "5", env=env)


def _on_ntfs(session: nox.Session, *rooms: str) -> None:
    """Those that do not look at modes, owners and the case of names, which such a file system does not have."""
    folder = Path(session.create_tmp()).absolute()
    image, mounted = folder / "ntfs.img", folder / "ntfs"
    mounted.mkdir(exist_ok=True)
    with image.open("wb") as file:
        file.truncate(4 << 30)
    session.run("mkfs.ntfs", "--force", "--quick", "--quiet", str(image), external=True, silent=True)
    session.run("lowntfs-3g", "-o", "ignore_case", str(image), str(mounted), external=True)
    try:
        env = {"AIOSS_RESUME_STORAGE": "windows"}
        session.run("pytest", "-n", "auto", "-q", f"--basetemp={mounted / 'tests'}", *rooms, env=env)
    finally:
        session.run("umount", str(mounted), external=True)
        image.unlink()


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist: the same bytes twice, well-formed, and of use with the hard dependencies alone."""
    session.install("build", "twine", "check-wheel-contents")
    folder = Path(session.create_tmp()).absolute()
    shutil.rmtree(folder)
    for number in ("1", "2"):
        session.run("python", "-m", "build", "--outdir", str(folder / number), silent=True)
    built = sorted((folder / "1").iterdir())
    for path in built:
        if path.read_bytes() != (folder / "2" / path.name).read_bytes():
            session.error(f"two builds of {path.name} differ")
    sdist, wheel = sorted(built, key=lambda path: path.suffix)
    session.log(
        "%s: %d KB, %s: %d KB", wheel.name, wheel.stat().st_size // 1000, sdist.name, sdist.stat().st_size // 1000
    )
    if wheel.stat().st_size > _WHEEL_MOST:
        session.error(f"the wheel is larger than {_WHEEL_MOST} bytes")
    session.run("twine", "check", "--strict", *map(str, built))
    session.run("check-wheel-contents", str(wheel))
    session.run("python", "-m", "venv", "--clear", str(folder / "clean"))
    python = str(folder / "clean" / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    session.run(python, "-P", "-c", _WITHOUT_EXTRAS, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, in build/site; a link or an anchor that leads nowhere is an error."""
    session.install("-e", ".[docs]")
    shutil.rmtree("build/site", ignore_errors=True)
    session.run("zensical", "build", "--strict", "--config-file", ".zensical.toml")


@nox.session
def demo(session: nox.Session) -> None:
    """The main job, as the README shows it."""
    session.install(".[cli]")
    session.run("aioss-resume", "demo", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """SIGKILL at random moments: `nox -s crash -- --kills 200`."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.crash", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Hours of downloads with faults: `nox -s soak -- --seconds 3600`."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.soak", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Whether tests/core notices each small change to the rules: `nox -s mutants -- checkpoint paths`."""
    session.install("-e", ".[test]", "mutmut>=3.8,<4")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks against the rivals: `nox -s bench -- large --runs 3`."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)


_OLDEST = ["oss2==2.18.4", "aiohttp==3.11.0", "aiofiles==23.2.1", "anyio==4.4.0", "fastcrc==0.4.0", "filelock==3.30.0"]


_WHEEL_MOST = 378_000  # bytes; raise it only for a good reason

_WITHOUT_EXTRAS = """
from aioss_resume import *
from aioss_resume.testing import *
import asyncio, importlib, pkgutil, tempfile, aioss_resume
for module in pkgutil.walk_packages(aioss_resume.__path__, "aioss_resume."):
    if not module.name.startswith(("aioss_resume.cli", "aioss_resume.contrib.", "aioss_resume.testing.pytest")):
        importlib.import_module(module.name)
async def main():
    async with LocalOSS() as oss:
        oss.put("examplebucket", "key", size=20 * MiB)
        with tempfile.TemporaryDirectory() as directory:
            print(await download(oss.bucket("examplebucket"), "key", f"{directory}/file"))
asyncio.run(main())
"""


def _run_suite(session: nox.Session) -> None:
    # -P keeps the source tree off the path: what is tested is what is shipped.
    arguments = session.posargs or ["-n", "auto"]
    session.run("python", "-P", "-m", "pytest", *arguments, env={"PYTHONSAFEPATH": "1"})


def _python(session: nox.Session) -> str:
    return str(Path(session.bin) / "python")


def _installed_wheel(session: nox.Session) -> Path:
    """Build the wheel and install it, although an environment that is used again has one of the same version."""
    directory = Path(session.create_tmp()) / "wheel"
    shutil.rmtree(directory, ignore_errors=True)
    session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(directory), ".", silent=True)
    wheel = next(directory.glob("*.whl")).absolute()
    session.install("--force-reinstall", "--no-deps", str(wheel))
    return wheel
