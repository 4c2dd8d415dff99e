"""The step for each listed object of a prefix, and for each file whose object no longer exists."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aioss_resume._batch.batch import Work
from aioss_resume._batch.many import DownloadInto, archived_error
from aioss_resume._batch.outcomes import Action, PrefixOutcome
from aioss_resume._batch.recording import Recording
from aioss_resume._core.globs import Selection
from aioss_resume._core.keys import KeyOrder, UnusableKeyError, folded, path_of_key
from aioss_resume._core.manifest import Entry, FileState, too_many_to_delete
from aioss_resume._core.objects import ObjectMeta, is_archived
from aioss_resume._io.storage import STORAGE
from aioss_resume._io.tree import Tree, state_of
from aioss_resume._transfer.client import Client
from aioss_resume.errors import AiossError, ConfigError, LocalFileError, ObjectName, local_file_error
from aioss_resume.events import DownloadResult
from aioss_resume.options import PrefixOptions


@dataclass(slots=True)
class Candidate:
    """A listed object that matches the patterns.

    Attributes:
        path: Relative to the directory.
        error: Why the object cannot be mapped to a file.
        file: Size, times and inode of the existing file; None if there is none.
        entry: The manifest's entry for it.
    """

    meta: ObjectMeta
    path: str
    is_directory: bool = False
    error: AiossError | None = None
    file: FileState | None = None
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """Chooses the step for each object of a listing, while the directory and the manifest are open.

    Attributes:
        name: The bucket and the prefix.
        directory: An absolute path, like manifest_path.
        download: Downloads one of the objects.
        work: Makes the work for an object that must be downloaded.
        selection: The patterns that keys must match.
        order: Detects a file that is in the way of a directory.
    """

    client: Client
    name: ObjectName
    directory: str
    manifest_path: str
    options: PrefixOptions
    download: DownloadInto
    tree: Tree
    recording: Recording
    work: Callable[["Steps", Candidate], Work[PrefixOutcome]]
    selection: Selection
    order: KeyOrder = field(default_factory=KeyOrder)

    async def candidates(self, page: Sequence[ObjectMeta]) -> list[Candidate]:
        """The objects of a page that match the patterns, with the state of their files."""
        candidates = [candidate for meta in page if (candidate := self._candidate(meta)) is not None]
        files = [candidate for candidate in candidates if candidate.error is None and not candidate.is_directory]
        paths = [candidate.path for candidate in files]
        if not paths:
            return candidates
        if self.tree.ignores_case or self.tree.ignores_form:
            taken = await self.recording.claim(paths, case=self.tree.ignores_case, form=self.tree.ignores_form)
            for candidate in files:
                if candidate.path in taken:
                    candidate.error = self._config_error(candidate.meta, "the file system takes it for an earlier one")
        entries = await self.recording.entries(paths) if self.options.overwrite == "if_changed" else {}
        states = await self.client.threads.run(self.tree.states, paths)
        for candidate, state in zip(files, states, strict=True):
            candidate.file, candidate.entry = state, entries.get(candidate.path)
        return candidates

    def _candidate(self, meta: ObjectMeta) -> Candidate | None:
        """The object as a candidate, or None if it does not match the patterns."""
        below = meta.key[len(self.name.key) :]
        if not self.selection.has(below):
            return None
        is_directory = not meta.size and (below.endswith("/") or not below)
        if not below and not is_directory:
            return Candidate(meta, "", error=self._config_error(meta, "it has no name below the prefix"))
        try:
            path = path_of_key(
                below if is_directory or not below.endswith("/") else f"{below}/", windows=STORAGE.has_windows_names
            )
        except UnusableKeyError as error:
            return Candidate(meta, "", error=self._config_error(meta, str(error)))
        candidate = Candidate(meta, path, is_directory)
        if (earlier := self.order.file_in_the_way(below)) is not None:
            candidate.error = self._config_error(meta, f"{self.name.key + earlier!a} is a file, and no directory")
        elif self._is_manifest(path):
            candidate.error = self._config_error(meta, "the manifest has that name")
        return candidate

    def _is_manifest(self, path: str) -> bool:
        """Whether that relative path is the manifest or its journal."""
        fold = partial(folded, case=self.tree.ignores_case, form=self.tree.ignores_form)
        return fold(f"{self.directory}/{path}").removesuffix("-journal") == fold(self.manifest_path)

    def step(self, candidate: Candidate) -> PrefixOutcome | Work[PrefixOutcome]:
        """The work for an object, or its outcome if there is nothing to do."""
        meta, options = candidate.meta, self.options
        if candidate.error is not None:
            return self.outcome(candidate, "failed", error=candidate.error)
        if candidate.is_directory:
            return partial(self._make_directory, candidate)
        if candidate.entry is not None and candidate.entry.shows_unchanged(self.name.bucket, meta, candidate.file):
            return self.outcome(candidate, "unchanged")
        if is_archived(meta):
            error = archived_error(ObjectName(self.name.bucket, meta.key), meta)
            return self.outcome(candidate, "failed", error=error)
        if options.dry_run:
            return self.outcome(candidate, "would_download")
        return self.work(self, candidate)

    async def _make_directory(self, candidate: Candidate) -> list[PrefixOutcome]:
        options = self.options
        call = partial(self.tree.make_directory, candidate.path, fsync=options.fsync, dry_run=options.dry_run)
        new: Action = "would_download" if options.dry_run else "downloaded"
        try:
            is_new = await self.client.threads.run(call)
        except OSError as error:
            problem = local_file_error("make the directory", error, name=self.name_of(candidate.meta))
        else:
            return [self.outcome(candidate, new if is_new else "unchanged")]
        return [self.outcome(candidate, "failed", error=problem)]

    async def download_one(self, candidate: Candidate) -> list[PrefixOutcome]:
        try:
            with self.tree.storage() as storage:
                path = f"{self.directory}/{candidate.path}"
                result, committed = await self.download(candidate.meta.key, path, self.options, storage)
        except Exception as error:  # noqa: BLE001  # what the caller's callback raises, too
            return [self.outcome(candidate, "failed", error=error)]
        file = state_of(committed) if committed is not None else await self._compared_file(candidate)
        return [await self.downloaded(candidate, result, file)]

    async def downloaded(self, candidate: Candidate, result: DownloadResult, file: FileState | None) -> PrefixOutcome:
        """The outcome of a download. The manifest gets an entry if the state of the file is known."""
        if file is not None and result.etag:
            entry = Entry(
                candidate.path,
                self.name.bucket,
                candidate.meta.key,
                result.etag,
                result.crc64 if result.verified else None,
                file,
                is_synced=self.options.fsync and not result.skipped,
            )
            await self.recording.record(entry)
        return self.outcome(candidate, "unchanged" if result.skipped else "downloaded", result=result)

    async def _compared_file(self, candidate: Candidate) -> FileState | None:
        """The state of a file that was compared with its object, if it has not changed since; otherwise None."""
        (now,) = await self.client.threads.run(self.tree.states, [candidate.path])
        return now if now == candidate.file else None

    async def delete_extra(self) -> AsyncGenerator[PrefixOutcome, None]:
        """Delete the files of objects that were not listed, if they are in the manifest and unmodified.

        Raises:
            ConfigError: So many files would be deleted that the prefix or the bucket is probably wrong.
        """
        extra, known = await self.recording.unlisted(self.name.key)
        if too_many_to_delete(len(extra), known) and self.options.delete_extra != "force":
            raise ConfigError(
                f"{self.name}: {len(extra)} of {known} files would be deleted from {self.directory!r}, "
                "which is more than half: nothing was deleted",
                name=self.name,
                hint='check the prefix and the bucket; delete_extra="force" deletes them',
            )
        for entry in extra:
            outcome = partial(PrefixOutcome, None, entry.key, Path(self.directory, entry.path), size=entry.file.size)
            if self.options.dry_run:
                yield outcome("would_delete")
                continue
            try:
                is_deleted = await self.client.threads.run(self.tree.delete, entry.path, entry.file)
            except FileNotFoundError:
                await self.recording.forget([entry.path])
            except OSError as error:
                yield outcome("failed", error=local_file_error("delete the file", error, name=self.name))
            else:
                if is_deleted:
                    await self.recording.forget([entry.path])
                    yield outcome("deleted")
                else:
                    yield outcome("failed", error=self._changed_error(entry))

    def _changed_error(self, entry: Entry) -> LocalFileError:
        return LocalFileError(
            f"{self.directory}/{entry.path} was changed since it was downloaded: it is not deleted",
            name=ObjectName(self.name.bucket, entry.key),
            hint="its object is gone: delete the file yourself, or move it away",
        )

    def outcome(
        self,
        candidate: Candidate,
        action: Action,
        *,
        result: DownloadResult | None = None,
        error: Exception | None = None,
    ) -> PrefixOutcome:
        meta = candidate.meta
        path = Path(self.directory, candidate.path)
        size = meta.size if result is None else result.size
        return PrefixOutcome(meta, meta.key, path, action, size, result, error)

    def name_of(self, meta: ObjectMeta) -> ObjectName:
        return ObjectName(self.name.bucket, meta.key)

    def _config_error(self, meta: ObjectMeta, reason: str) -> ConfigError:
        name = self.name_of(meta)
        return ConfigError(
            f"{name}: it can be no file below {self.directory!r}: {reason}",
            name=name,
            hint="download it on its own, to a path of your choice",
        )
