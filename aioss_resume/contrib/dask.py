"""Download a prefix with the workers of a Dask cluster. Extra: `dask`.

    async with Client(address, asynchronous=True) as client:
        config = BucketConfig("https://oss-cn-hangzhou.aliyuncs.com", "examplebucket", "cn-hangzhou")
        async with download_prefix_on(client, config, "datasets/v3/", "/data/v3", shared_directory=True) as outcomes:
            async for outcome in outcomes:
                print(outcome.key, outcome.action)

Keys are never sent: a worker takes them from its own environment, or from the provider that the BucketConfig names.

This module has more than 300 lines because it is all that runs beside the client; `_dask_worker` runs on the workers.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Unpack

import anyio

from aioss_resume._arguments import checked_names, checked_options, checked_path, refuse_other_meanings
from aioss_resume._batch.batch import Work
from aioss_resume._batch.outcomes import PrefixOutcome
from aioss_resume._batch.prefix import PrefixBatch
from aioss_resume._batch.recording import Recording
from aioss_resume._batch.steps import Candidate, Steps
from aioss_resume._core.checkpoint import Checkpoint
from aioss_resume._core.grouping import Allowance, Budget, Groups, ranges_of
from aioss_resume._core.objects import ObjectMeta, difference
from aioss_resume._core.ranges import Range
from aioss_resume._core.spans import Done, DoneSpans
from aioss_resume._file.destination import Destination
from aioss_resume._io.manifest import Manifest
from aioss_resume._io.tree import Tree
from aioss_resume.contrib import _dask_worker as worker
from aioss_resume.contrib._buckets import BucketConfig
from aioss_resume.contrib._extras import extra
from aioss_resume.downloader import Downloader
from aioss_resume.errors import AiossError, ConfigError, ObjectName, RequestError
from aioss_resume.options import CONCURRENCY_OF_ALL, DownloadOptions, PrefixKeywords, PrefixOptions, checked_rate

__all__ = ["BucketConfig", "download_prefix_on"]

_OWN: Final = ("shared_directory", "concurrency", "max_bytes_per_second")
_STAYS: Final = ("progress_callback", "store")  # options that only have a meaning in this process
_THREADS_SECONDS: Final = 2.0  # how soon workers that join or leave are noticed


def download_prefix_on(  # type: ignore[misc]  # concurrency is that of the cluster here
    client: Any,
    bucket_config: BucketConfig,
    prefix: str,
    directory: str,
    *,
    shared_directory: bool = False,
    concurrency: int = CONCURRENCY_OF_ALL,
    max_bytes_per_second: float | None = None,
    **keywords: Unpack[PrefixKeywords],
) -> "ClusterDownload":
    """Download a prefix with the workers of a cluster: `async with`, `async for`, like download_prefix().

    Objects are grouped into tasks of a few seconds each. If a worker is lost, another one repeats its group; files that
    are already complete are not fetched again if the directory is shared.

    Args:
        client: A distributed.Client with asynchronous=True. Any: the package is an extra.
        bucket_config: Describes how each worker, and this process, opens the bucket.
        directory: A directory on the workers. A relative path is relative to the working directory of this process.
        shared_directory: Whether all workers and this process share the directory. Then objects of 512 MiB and more
            (less if workers are slow) are split among workers, and the manifest and `delete_extra` can be used.
        concurrency: Most range requests in flight in the whole cluster.
        max_bytes_per_second: Limit of the whole cluster; None for no limit.
        keywords: As for Downloader.download_prefix(), except progress_callback and store.

    Raises:
        ConfigError: An argument is invalid.
        LocalFileError: On Windows, the directory's name has a special meaning.
    """
    distributed = extra("distributed", "dask")
    if not isinstance(client, distributed.Client) or not client.asynchronous:
        raise ConfigError(
            f"client must be a distributed.Client with asynchronous=True, not {type(client).__name__}",
            hint="await Client(address, asynchronous=True)",
        )
    if client.status in ("closed", "closing"):
        raise ConfigError("client is closed", hint="keep it open until the block has ended")
    if not isinstance(bucket_config, BucketConfig):
        raise ConfigError(
            f"bucket_config must be a BucketConfig, not {type(bucket_config).__name__}",
            hint="it travels to the workers, and an oss2.Bucket holds keys",
        )
    options = checked_options(PrefixOptions, "download_prefix_on", keywords, *_OWN)
    checked_names(prefix=prefix)
    directory = checked_path(directory, "directory")
    refuse_other_meanings(directory, ObjectName(bucket_config.bucket, prefix))
    for name in _STAYS:
        if getattr(options, name) is not None:
            raise ConfigError(f"{name} cannot be used on a cluster: leave it out")
    if not shared_directory and (options.delete_extra or options.manifest is not None):
        raise ConfigError("delete_extra and manifest need shared_directory=True: this process must see the files")
    limits = Budget(concurrency, checked_rate(max_bytes_per_second))
    downloader = Downloader(bucket_config.open(), concurrency=concurrency, max_bytes_per_second=max_bytes_per_second)
    return ClusterDownload(client, bucket_config, prefix, directory, options, limits, downloader, shared_directory)


class ClusterDownload:
    """A download by a cluster, made by download_prefix_on(), and used with `async with`."""

    def __init__(
        self,
        client: Any,
        config: BucketConfig,
        prefix: str,
        directory: str,
        options: PrefixOptions,
        limits: Budget,
        downloader: Downloader,
        is_shared: bool,
    ) -> None:
        self._arguments = (client, config, prefix, directory, options, limits, downloader, is_shared)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "ClusterBatch":
        client, config, prefix, directory, options, limits, downloader, is_shared = self._arguments
        await self._stack.__aenter__()
        try:
            await self._stack.enter_async_context(downloader)
            batch = ClusterBatch(client, config, prefix, directory, options, limits, downloader, is_shared)
            return await self._stack.enter_async_context(batch)
        except BaseException:
            await self._stack.aclose()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)


class ClusterBatch(PrefixBatch):
    """The outcomes of a prefix that a cluster downloads, in the order in which groups end."""

    def __init__(
        self,
        cluster: Any,
        config: BucketConfig,
        prefix: str,
        directory: str,
        options: PrefixOptions,
        budget: Budget,
        downloader: Downloader,
        is_shared: bool,
    ) -> None:
        client = downloader._open_client()
        listing, download = downloader._prefix_parts(client, options)
        super().__init__(client, downloader._calls, config.bucket, prefix, directory, options, listing, download)
        self._cluster = cluster
        self._downloader = downloader
        self._budget = budget
        self._is_shared = is_shared
        self._threads = 0
        self._threads_at = -_THREADS_SECONDS
        self._given_back = asyncio.Event()
        self._groups = Groups()
        self._numbers = 0
        given = {field.name: getattr(options, field.name) for field in fields(DownloadOptions)}
        travelling = {name: value for name, value in given.items() if name not in _STAYS}
        self._job = worker.Job(client.clock.token(), worker.RELEASE, config, directory, travelling)
        self._most = 4 * CONCURRENCY_OF_ALL  # groups; the budget bounds them further

    async def _steps(self) -> AsyncGenerator[PrefixOutcome | Work[PrefixOutcome], None]:
        groups, group = self._groups, list[_Pending]()
        async with aclosing(super()._steps()) as steps:
            async for step in steps:
                self._job = replace(self._job, directory=self._directory)  # absolute by now
                if not isinstance(step, _Pending):
                    yield step
                elif self._is_shared and groups.is_split(step.candidate.meta.size):
                    yield partial(self._download_large, step.candidate, step.steps)
                else:
                    group.append(step)
                    if groups.is_full_with(step.candidate.meta.size):
                        yield partial(self._download_group, group)
                        group = []
        if group:
            yield partial(self._download_group, group)

    def _download_step(self, steps: Steps, candidate: Candidate) -> Work[PrefixOutcome]:
        return _Pending(candidate, steps)

    def _open_tree(self, dry_run: bool) -> Tree:
        return super()._open_tree(dry_run or not self._is_shared)

    async def _open_recording(self) -> Recording:
        if self._is_shared:
            return await super()._open_recording()
        manifest = await self._client.threads.run(Manifest, None, self._bucket_name)
        return Recording(manifest, self._client, self._report)

    async def _finish(self) -> None:
        """End everything that still runs on the workers, and close the job there."""
        try:
            with anyio.move_on_after(10, shield=True):
                await self._cluster.run(worker.end_job, self._job.token, on_error="ignore")
        except Exception as error:  # noqa: BLE001  # the scheduler may be gone, and with it what ran
            self._report.warning("the workers could not be told to end: %s", type(error).__name__)
        finally:
            await super()._finish()

    async def _download_group(self, group: Sequence["_Pending"]) -> list[PrefixOutcome]:
        steps, candidates = group[0].steps, [pending.candidate for pending in group]
        items = [(candidate.meta.key, candidate.path) for candidate in candidates]
        try:
            found: list[worker.Found]
            found, seconds = await self._submit(worker.download_group, items)
            self._groups.note(len(group), sum(candidate.meta.size for candidate in candidates), seconds)
        except AiossError as error:
            return [steps.outcome(candidate, "failed", error=error) for candidate in candidates]
        outcomes = []
        for candidate, (result, file, reason) in zip(candidates, found, strict=True):
            if result is not None:
                outcomes.append(await steps.downloaded(candidate, result, file))
            else:
                outcomes.append(steps.outcome(candidate, "failed", error=reason))
        return outcomes

    async def _download_large(self, candidate: Candidate, steps: Steps) -> list[PrefixOutcome]:
        """Let the workers fill the part file, then finish the download here, which proves and commits their bytes."""
        try:
            with steps.tree.storage() as storage:
                meta = await self._downloader.head(candidate.meta.key, headers=self._options.headers)
                path = f"{self._directory}/{candidate.path}"
                destination = Destination(
                    self._client, storage, ObjectName(self._bucket_name, meta.key), path, self._options
                )
                try:
                    existing = await destination.lock.try_lock()
                    if existing is None:
                        raise destination.lock.taken_error()
                    if not existing.has_file or await self._is_replaced(destination, meta):
                        await self._fill_part_file(destination, meta, candidate, existing.checkpoint)
                finally:
                    await destination.lock.release()
        except AiossError as error:
            self._report.warning("%s: the workers could not fetch all of it: %s", steps.name_of(candidate.meta), error)
        return await steps.download_one(candidate)

    async def _is_replaced(self, destination: Destination, meta: ObjectMeta) -> bool:
        """Whether the file at the destination will be replaced by the object."""
        if self._options.overwrite == "if_changed":
            return not await destination.has(meta)
        return self._options.overwrite == "always"

    async def _fill_part_file(
        self, destination: Destination, meta: ObjectMeta, candidate: Candidate, kept: Checkpoint | None
    ) -> None:
        name = ObjectName(self._bucket_name, meta.key)
        part_file = destination.part_file(meta)
        was_there = await part_file.create(meta.size)
        spans = DoneSpans(meta.size)
        if kept is not None and was_there and difference(kept.meta, meta) is None:
            for span in kept.spans:
                spans.add(span)
        part_path = str(Path(candidate.path).with_name(part_file.path.name))
        inode = part_file.identity[1] if part_file.identity is not None else None  # hosts differ in their devices

        async def fetch(range_: Range) -> None:
            wanted = meta, part_path, inode, tuple(range_)
            crc, seconds = await self._submit(worker.download_range, wanted)
            self._groups.note(1, range_.length, seconds)
            spans.add(Done(range_.start, range_.stop, crc))
            checkpoint = Checkpoint(name, self._options.version_id, meta, part_file.path.name, list(spans))
            await destination.checkpoint_file.flush(checkpoint)

        try:
            async with anyio.create_task_group() as tasks:
                for range_ in list(ranges_of(meta.size, [(s.start, s.stop) for s in spans], self._groups.bytes_most)):
                    tasks.start_soon(fetch, range_)
        except* AiossError as errors:
            problem = errors.exceptions[0]
        else:
            return
        raise problem

    async def _submit(self, function: Any, argument: Any) -> tuple[Any, float]:
        """Call a function in the cluster with its part of the limits. Returns its result and the seconds it took.

        Raises:
            RequestError: The cluster lost the task.
            AiossError: The function raised it.
        """
        allowance = await self._allowance()
        self._numbers += 1
        key = f"aioss-resume-{self._job.token}-{self._numbers}"
        try:
            future = self._cluster.submit(function, self._job, allowance, argument, key=key, pure=False)
            try:
                began = self._client.clock.now()
                return await future, self._client.clock.now() - began
            finally:
                future.release()
        except AiossError:
            raise
        except Exception as error:  # noqa: BLE001  # Dask's own errors are of many kinds
            problem = f"{type(error).__name__}: {error}"[:500]
        finally:
            self._budget.give_back(allowance)
            self._given_back.set()
        raise RequestError(
            f"{self._name}: the cluster lost a group of objects ({problem})",
            name=self._name,
            hint="run again: what is there is kept",
        )

    async def _allowance(self) -> Allowance:
        while True:
            if (allowance := self._budget.take(await self._threads_now())) is not None:
                return allowance
            self._given_back.clear()
            await self._given_back.wait()

    async def _threads_now(self) -> int:
        """The number of threads in the cluster."""
        now = self._client.clock.now()
        if now > self._threads_at + _THREADS_SECONDS:
            self._threads_at = now
            try:
                found = await self._cluster.nthreads()
                self._threads = sum(found.values())
            except Exception:  # noqa: BLE001  # the group itself will fail, and say why
                self._threads = 0
        return max(1, self._threads)


class _Pending:
    """A download that waits until its group is complete."""

    def __init__(self, candidate: Candidate, steps: Steps) -> None:
        self.candidate, self.steps = candidate, steps

    async def __call__(self) -> list[PrefixOutcome]:
        raise AssertionError
