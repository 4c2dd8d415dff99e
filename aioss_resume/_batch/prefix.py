"""A prefix into a directory: what is to be done for each listed object, and for files whose objects are gone."""

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aioss_resume._batch.batch import Batch, Work
from aioss_resume._batch.listing import ObjectListing
from aioss_resume._batch.many import DownloadInto, archived_error
from aioss_resume._batch.outcomes import Action, PrefixOutcome, PrefixSummary, Tally
from aioss_resume._batch.recording import Recording
from aioss_resume._core.globs import Selection
from aioss_resume._core.keys import KeyOrder, UnusableKeyError, folded, path_of_key
from aioss_resume._core.manifest import Entry, FileState, too_many_to_delete
from aioss_resume._core.objects import ObjectMeta, is_archived
from aioss_resume._io import manifest as manifests
from aioss_resume._io.manifest import Manifest, UnusableManifestError
from aioss_resume._io.storage import STORAGE
from aioss_resume._io.tree import Tree, state_of
from aioss_resume._transfer.calls import Calls
from aioss_resume._transfer.client import Client
from aioss_resume.errors import AiossError, ConfigError, LocalFileError, ObjectName, local_file_error, printable
from aioss_resume.events import DownloadResult
from aioss_resume.options import PrefixOptions


@dataclass(slots=True)
class Candidate:
    """A listed object that is wanted.

    Attributes:
        path: Relative to the directory.
        error: Why there can be no such file.
        file: How the file looks; None: there is none.
        entry: What the manifest knows of it.
    """

    meta: ObjectMeta
    path: str
    is_directory: bool = False
    error: AiossError | None = None
    file: FileState | None = None
    entry: Entry | None = None


class PrefixBatch(Batch[PrefixOutcome]):
    """The outcomes of a prefix, as they end. Made by `Downloader.download_prefix()`.

    Args:
        list_prefix: Lists the objects that begin with a prefix.
        download: Downloads one of them.
    """

    def __init__(
        self,
        client: Client,
        calls: Calls,
        bucket_name: str,
        prefix: str,
        directory: str,
        options: PrefixOptions,
        list_prefix: Callable[[str], ObjectListing],
        download: DownloadInto,
    ) -> None:
        super().__init__(
            ObjectName(bucket_name, prefix),
            self._steps(),
            calls,
            most=client.slots.limit,
            stop_on_error=options.stop_on_error,
        )
        self._client = client
        self._bucket_name = bucket_name
        self._prefix = prefix
        self._directory = directory  # absolute from the first step on, as the next one
        self._manifest_path = os.fspath(options.manifest or f"{directory}/{manifests.NAME}")
        self._options = options
        self._list = list_prefix
        self._download = download
        self._report = client.reporter(self._name)
        self._selection = Selection(options.include, options.exclude)
        self._order = KeyOrder()
        self._tally = Tally()
        self._tree: Tree | None = None
        self._recording: Recording | None = None

    def summary(self) -> PrefixSummary:
        """What has become of the objects so far; after the last outcome: of all."""
        return self._tally.summary()

    async def _finish(self) -> None:
        try:
            if self._recording is not None:
                await self._recording.close()
        finally:
            if self._tree is not None:
                self._tree.close()
            self._report.info("%s into %s: %s", self._name, printable(self._directory), self.summary())

    def _note(self, outcome: PrefixOutcome) -> None:
        self._tally.add(outcome)

    async def _steps(self) -> AsyncGenerator[PrefixOutcome | Work[PrefixOutcome], None]:
        """Go through the listing, and then through what it lacks.

        Raises:
            AiossError: The listing, the directory or the manifest cannot be used.
        """
        tree = self._tree = await self._client.threads.run(self._open_tree)
        recording = self._recording = await self._open_recording()
        prefix = self._prefix = await self._directory_prefix()
        async with self._list(prefix) as listing:
            while (page := await listing.next_page()) is not None:
                if self._options.delete_extra:
                    await recording.note_listed([meta.key for meta in page])
                for candidate in await self._candidates(page, tree, recording):
                    yield self._step(candidate, tree, recording)
        if self._options.delete_extra:
            async for outcome in self._delete_extra(tree, recording):
                yield outcome

    def _open_tree(self) -> Tree:
        options = self._options
        self._directory = os.path.abspath(self._directory)  # noqa: PTH100  # a Path costs more, here and below
        self._manifest_path = os.path.abspath(self._manifest_path)  # noqa: PTH100
        try:
            return Tree(self._directory, dry_run=options.dry_run, fsync=options.fsync, token=self._client.clock.token())
        except OSError as error:
            problem = local_file_error("use the directory", error, self._directory, name=self._name)
        raise problem

    async def _open_recording(self) -> Recording:
        """The manifest; one in memory if there can be none, or not now."""
        make = partial(Manifest, self._manifest_path, self._bucket_name, read_only=self._options.dry_run)
        try:
            manifest = await self._client.threads.run(make)
        except UnusableManifestError as error:
            problem = str(error)
            if (error.is_mistake and self._options.manifest is not None) or self._options.delete_extra:
                raise ConfigError(
                    f"the manifest cannot be used: {problem}",
                    name=self._name,
                    hint="choose another file for it, or wait for the other run",
                ) from None
            self._report.warning("no manifest (%s): files are compared with their objects instead", problem)
            manifest = await self._client.threads.run(Manifest, None, self._bucket_name)
        return Recording(manifest, self._client, self._report)

    async def _directory_prefix(self) -> str:
        """The prefix, with a slash at its end if that is how a directory of objects is called."""
        prefix = self._prefix
        if not prefix or prefix.endswith("/"):
            return prefix
        async with self._list(f"{prefix}/") as listing:
            async for _ in listing:
                return f"{prefix}/"
        return prefix

    async def _candidates(self, page: Sequence[ObjectMeta], tree: Tree, recording: Recording) -> list[Candidate]:
        """The wanted ones of some objects, and what is known of their files."""
        candidates = [candidate for meta in page if (candidate := self._candidate(meta)) is not None]
        files = [candidate for candidate in candidates if candidate.error is None and not candidate.is_directory]
        paths = [candidate.path for candidate in files]
        if not paths:
            return candidates
        if tree.ignores_case or tree.ignores_form:
            taken = await recording.claim(paths, case=tree.ignores_case, form=tree.ignores_form)
            for candidate in files:
                if candidate.path in taken:
                    candidate.error = self._config_error(candidate.meta, "the file system takes it for an earlier one")
        entries = await recording.entries(paths) if self._options.overwrite == "if_changed" else {}
        states = await self._client.threads.run(tree.states, paths)
        for candidate, state in zip(files, states, strict=True):
            candidate.file, candidate.entry = state, entries.get(candidate.path)
        return candidates

    def _candidate(self, meta: ObjectMeta) -> Candidate | None:
        """The object, if it is wanted."""
        below = meta.key[len(self._prefix) :]
        if not self._selection.has(below):
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
        if (earlier := self._order.file_in_the_way(below)) is not None:
            candidate.error = self._config_error(meta, f"{self._prefix + earlier!a} is a file, and no directory")
        elif self._is_manifest(path):
            candidate.error = self._config_error(meta, "the manifest has that name")
        return candidate

    def _is_manifest(self, path: str) -> bool:
        """Whether a file of that relative path would be the manifest, or its journal."""
        assert self._tree is not None
        fold = partial(folded, case=self._tree.ignores_case, form=self._tree.ignores_form)
        return fold(f"{self._directory}/{path}").removesuffix("-journal") == fold(self._manifest_path)

    def _step(self, candidate: Candidate, tree: Tree, recording: Recording) -> PrefixOutcome | Work[PrefixOutcome]:
        """What is to be done for an object; or the outcome, if nothing is."""
        meta, options = candidate.meta, self._options
        if candidate.error is not None:
            return self._outcome(candidate, "failed", error=candidate.error)
        if candidate.is_directory:
            return lambda: self._make_directory(candidate, tree)
        if candidate.entry is not None and candidate.entry.shows_unchanged(self._bucket_name, meta, candidate.file):
            return self._outcome(candidate, "unchanged")
        if is_archived(meta):
            error = archived_error(ObjectName(self._bucket_name, meta.key), meta)
            return self._outcome(candidate, "failed", error=error)
        if options.dry_run:
            return self._outcome(candidate, "would_download")
        return self._download_step(candidate, tree, recording)

    def _download_step(self, candidate: Candidate, tree: Tree, recording: Recording) -> Work[PrefixOutcome]:
        return lambda: self._download_one(candidate, tree, recording)

    async def _make_directory(self, candidate: Candidate, tree: Tree) -> list[PrefixOutcome]:
        options = self._options
        call = partial(tree.make_directory, candidate.path, fsync=options.fsync, dry_run=options.dry_run)
        new: Action = "would_download" if options.dry_run else "downloaded"
        try:
            is_new = await self._client.threads.run(call)
        except OSError as error:
            problem = local_file_error("make the directory", error, name=self._object(candidate.meta))
        else:
            return [self._outcome(candidate, new if is_new else "unchanged")]
        return [self._outcome(candidate, "failed", error=problem)]

    async def _download_one(self, candidate: Candidate, tree: Tree, recording: Recording) -> list[PrefixOutcome]:
        try:
            with tree.storage() as storage:
                path = f"{self._directory}/{candidate.path}"
                result, committed = await self._download(candidate.meta.key, path, self._options, storage)
        except Exception as error:  # noqa: BLE001  # what the caller's callback raises, too
            return [self._outcome(candidate, "failed", error=error)]
        file = state_of(committed) if committed is not None else await self._compared_file(candidate, tree)
        return [await self._downloaded(candidate, result, file, recording)]

    async def _downloaded(
        self, candidate: Candidate, result: DownloadResult, file: FileState | None, recording: Recording
    ) -> PrefixOutcome:
        """The outcome of a download; its file is remembered, if it is known how it looks."""
        if file is not None and result.etag:
            entry = Entry(
                candidate.path,
                self._bucket_name,
                candidate.meta.key,
                result.etag,
                result.crc64 if result.verified else None,
                file,
                is_synced=self._options.fsync and not result.skipped,
            )
            await recording.record(entry)
        return self._outcome(candidate, "unchanged" if result.skipped else "downloaded", result=result)

    async def _compared_file(self, candidate: Candidate, tree: Tree) -> FileState | None:
        """A file that was compared with its object, if it looks as it did before; otherwise None."""
        (now,) = await self._client.threads.run(tree.states, [candidate.path])
        return now if now == candidate.file else None

    async def _delete_extra(self, tree: Tree, recording: Recording) -> AsyncGenerator[PrefixOutcome, None]:
        """Delete the files of objects that the listing lacks: those that the manifest knows and nobody has changed.

        Raises:
            ConfigError: There are so many that the prefix, or the bucket, is probably the wrong one.
        """
        extra, known = await recording.unlisted(self._prefix)
        if too_many_to_delete(len(extra), known) and self._options.delete_extra != "force":
            raise ConfigError(
                f"{self._name}: {len(extra)} of {known} files would be deleted from {self._directory!r}, "
                "which is more than half: nothing was deleted",
                name=self._name,
                hint='check the prefix and the bucket; delete_extra="force" deletes them',
            )
        for entry in extra:
            outcome = partial(PrefixOutcome, None, entry.key, Path(self._directory, entry.path), size=entry.file.size)
            if self._options.dry_run:
                yield outcome("would_delete")
                continue
            try:
                is_deleted = await self._client.threads.run(tree.delete, entry.path, entry.file)
            except FileNotFoundError:
                await recording.forget([entry.path])
            except OSError as error:
                yield outcome("failed", error=local_file_error("delete the file", error, name=self._name))
            else:
                if is_deleted:
                    await recording.forget([entry.path])
                    yield outcome("deleted")
                else:
                    yield outcome("failed", error=self._changed_error(entry))

    def _changed_error(self, entry: Entry) -> LocalFileError:
        return LocalFileError(
            f"{self._directory}/{entry.path} was changed since it was downloaded: it is not deleted",
            name=ObjectName(self._bucket_name, entry.key),
            hint="its object is gone: delete the file yourself, or move it away",
        )

    def _outcome(
        self,
        candidate: Candidate,
        action: Action,
        *,
        result: DownloadResult | None = None,
        error: Exception | None = None,
    ) -> PrefixOutcome:
        meta = candidate.meta
        path = Path(self._directory, candidate.path)
        size = meta.size if result is None else result.size
        return PrefixOutcome(meta, meta.key, path, action, size, result, error)

    def _object(self, meta: ObjectMeta) -> ObjectName:
        return ObjectName(self._bucket_name, meta.key)

    def _config_error(self, meta: ObjectMeta, reason: str) -> ConfigError:
        name = self._object(meta)
        return ConfigError(
            f"{name}: it can be no file below {self._directory!r}: {reason}",
            name=name,
            hint="download it on its own, to a path of your choice",
        )
