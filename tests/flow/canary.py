"""A watch over everything that is said and written, for secrets that must show in none of it."""

import logging
import pickle
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aioss_resume import AiossError
from aioss_resume.testing import LocalOSS

TOKEN = "canary-security-token-9d1f"
TEMPORARY_ID = "canary-temporary-id-52ab"
TEMPORARY_SECRET = "canary-temporary-secret-77c0"


@dataclass
class Caught:
    """The error that a `with watch.raises(...)` ended with."""

    error: Any = None  # Any: each test expects another class


@dataclass
class Watch:
    """What was logged, raised and left in files."""

    directory: Path
    secrets: set[str] = field(default_factory=set)
    servers: list[LocalOSS] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)

    @contextmanager
    def raises(self, *kinds: type[BaseException]) -> Iterator[Caught]:
        """As pytest.raises(); the error must pickle, and all that hangs on it is searched for secrets."""
        caught = Caught()
        with pytest.raises(kinds) as found:
            yield caught
        caught.error = found.value
        self.search(found.value)
        if isinstance(found.value, AiossError):
            assert_pickles(found.value)

    def search(self, error: BaseException) -> None:
        """Search an error, its causes and contexts included, also those that a traceback would leave out."""
        seen: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            link = pending.pop()
            if link is None or id(link) in seen:
                continue
            seen.add(id(link))
            pending += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]
            self.raised += [str(link), repr(link), repr(link.args), repr(vars(link))]
            self.raised += traceback.format_exception(link)

    def check(self) -> None:
        """Fail if a secret shows anywhere."""
        secrets = {secret for secret in self.secrets if secret}
        for server in self.servers:
            secrets |= {server.access_key_id, server.access_key_secret}
            for record in server.requests:
                secrets |= sent_secrets(record.headers)
        said = {
            "log": "\n".join(self.logged),
            "error": "\n".join(self.raised),
        }
        for path in self.directory.rglob("*"):
            said[f"name {path.name}"] = path.name
            if path.is_file() and path.stat().st_size < 16 << 20:
                said[f"file {path.name}"] = path.read_bytes().decode("latin-1")
        # Searching thousands of files for thousands of secrets is slow. Most files have no run of such characters.
        characters = re.escape("".join({*"".join(secrets)}))
        like_a_secret = re.compile(f"[{characters}]{{{min(map(len, secrets))}}}")
        for where, text in said.items():
            if len(secrets) < 100 or like_a_secret.search(text):
                shown = [secret for secret in secrets if secret in text]
                assert not shown, f"{where} shows a secret"


def sent_secrets(headers: Any) -> set[str]:
    """The signature and the token of a request, and whoever it was signed by."""
    authorization = headers.get("Authorization", "")
    found = {headers.get("x-oss-security-token", "")}
    found |= {
        part for part in re.split(r"[\s,]|Signature[=:]|Credential=|AccessKeyId:", authorization) if len(part) > 20
    }
    return found - {""}


def assert_pickles(error: AiossError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert repr(again) == repr(error)
    assert (again.bucket, again.key, again.hint) == (error.bucket, error.key, error.hint)


class _Listener(logging.Handler):
    def __init__(self, watch: Watch) -> None:
        super().__init__(level=1)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if record.name == "oss2.auth" and said.startswith("Init "):
            return  # oss2 logs the access key id of each auth that a test creates
        if record.exc_info:
            said += "".join(traceback.format_exception(*record.exc_info))
        self._watch.logged.append(said)


@pytest.fixture(name="watch", autouse=True)
def watching(tmp_path: Path, oss: LocalOSS) -> Iterator[Watch]:
    """Listens to every logger at every level, and looks through it all in the end. Autouse where it is imported."""
    watch = Watch(tmp_path, secrets={TOKEN, TEMPORARY_ID, TEMPORARY_SECRET}, servers=[oss])
    listener = _Listener(watch)
    known = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    loggers = [logging.root, *known, logging.getLogger("oss2.auth"), logging.getLogger("aioss_resume")]
    levels = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(1)
    logging.root.addHandler(listener)
    try:
        yield watch
    finally:
        logging.root.removeHandler(listener)
        for logger, level in levels:
            logger.setLevel(level)
    watch.check()
