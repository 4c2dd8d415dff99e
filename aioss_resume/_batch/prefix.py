"""download_prefix(): mirror a prefix into a directory."""

import os
from collections.abc import AsyncGenerator, Callable
from functools import partial

from aioss_resume._batch.batch import Batch, Work
from aioss_resume._batch.listing import ObjectListing
from aioss_resume._batch.many import DownloadInto
from aioss_resume._batch.outcomes import PrefixOutcome, PrefixSummary, Tally
from aioss_resume._batch.recording import Recording
from aioss_resume._batch.steps import Candidate, Steps
from aioss_resume._core.globs import Selection
from aioss_resume._io import manifest as manifests
from aioss_resume._io.manifest import Manifest, UnusableManifestError
from aioss_resume._io.tree import Tree
from aioss_resume._transfer.calls import Calls
from aioss_resume._transfer.client import Client
from aioss_resume.errors import NO_WORKING_DIRECTORY, ConfigError, ObjectName, local_file_error, printable
from aioss_resume.options import PrefixOptions


class PrefixBatch(Batch[PrefixOutcome]):
    """The outcomes of a prefix in the order in which they become ready. Made by `Downloader.download_prefix()`.

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
        self._directory = directory  # made absolute in the first step, like the next one
        self._manifest_path = os.fspath(options.manifest or f"{directory}/{manifests.NAME}")
        self._options = options
        self._list = list_prefix
        self._download = download
        self._report = client.reporter(self._name)
        self._selection = Selection(options.include, options.exclude)
        self._tally = Tally()
        self._tree: Tree | None = None
        self._recording: Recording | None = None

    def summary(self) -> PrefixSummary:
        """Counts and bytes of the outcomes so far; after the last outcome, of all objects."""
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
        """Yield the work for each listed object, then delete files whose objects no longer exist, if asked to.

        Raises:
            AiossError: The listing, the directory or the manifest cannot be used.
        """
        await self._client.threads.run(self._make_paths_absolute)
        name = ObjectName(self._bucket_name, await self._directory_prefix())
        async with self._list(name.key) as listing:
            page = await listing.next_page()  # before anything is created: a listing that fails leaves nothing
            tree = self._tree = await self._client.threads.run(self._open_tree, self._options.dry_run)
            recording = self._recording = await self._open_recording()
            steps = Steps(
                client=self._client,
                name=name,
                directory=self._directory,
                manifest_path=self._manifest_path,
                options=self._options,
                download=self._download,
                tree=tree,
                recording=recording,
                work=self._download_step,
                selection=self._selection,
            )
            while page is not None:
                if self._options.delete_extra:
                    await recording.note_listed([meta.key for meta in page])
                for candidate in await steps.candidates(page):
                    yield steps.step(candidate)
                page = await listing.next_page()
        if self._options.delete_extra:
            async for outcome in steps.delete_extra():
                yield outcome

    def _download_step(self, steps: Steps, candidate: Candidate) -> Work[PrefixOutcome]:
        return partial(steps.download_one, candidate)

    def _make_paths_absolute(self) -> None:
        try:
            self._directory = os.path.abspath(self._directory)  # noqa: PTH100  # a Path costs more, here and below
            self._manifest_path = os.path.abspath(self._manifest_path)  # noqa: PTH100
        except OSError as error:
            raise local_file_error(
                "use the directory", error, self._directory, name=self._name, hint=NO_WORKING_DIRECTORY
            ) from None

    def _open_tree(self, dry_run: bool) -> Tree:
        try:
            token = self._client.clock.token()
            return Tree(self._directory, dry_run=dry_run, fsync=self._options.fsync, token=token)
        except OSError as error:
            problem = local_file_error("use the directory", error, self._directory, name=self._name)
        raise problem

    async def _open_recording(self) -> Recording:
        """Open the manifest, or an empty one in memory if the file cannot be used."""
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
        """The prefix, with a slash appended if there are objects below `prefix/`."""
        prefix = self._prefix
        if not prefix or prefix.endswith("/"):
            return prefix
        async with self._list(f"{prefix}/") as listing:
            async for _ in listing:
                return f"{prefix}/"
        return prefix
