"""`rw.workers`: workers, their versions and their code."""

from collections.abc import Sequence
from typing import Final, Literal, Unpack

from runwright.client.bundles import BundleSource, read_bundle
from runwright.client.dual_mode import DualMode, M, call
from runwright.client.messages import UploadProgress
from runwright.client.models.workers import (
    FileContentInfo,
    FileListInfo,
    StateInfo,
    VersionDiffInfo,
    VersionInfo,
    VersionLogInfo,
    WorkerInfo,
    WorkerListing,
    WorkerOptions,
    WorkerUpdate,
)
from runwright.client.pagination import PAGE_ROWS, PageSource, Results, filters
from runwright.client.polling import deadline_in, poll_until
from runwright.client.worker_names import find_worker, worker_id, worker_ids

Runtime = Literal["python", "nodejs", "deno", "shell", "wasm"]

_LONGEST_WAIT: Final = 60.0
_LONGEST_PAUSE: Final = 1.0
_BUILDING: Final = "building"


class WorkersApi(DualMode[M]):
    """The workers of the tenant. Where a method takes a `worker`, it is a name or an id."""

    def list(self, **listing: Unpack[WorkerListing]) -> Results[M, WorkerInfo]:
        """Return workers, newest first."""
        source = PageSource(into=WorkerInfo, route="GET /v1/ava/workers", query=filters(listing))
        return Results(self._session, source)

    @call
    async def get(self, worker: str) -> WorkerInfo:
        """Return a worker."""
        return await find_worker(self._session, worker)

    @call
    async def create(self, name: str, runtime: Runtime, **options: Unpack[WorkerOptions]) -> WorkerInfo:
        """Create a worker."""
        body = {"name": name, "runtime": runtime, **options}
        return await self._session.read(WorkerInfo, "POST /v1/ava/workers", json=body)

    @call
    async def update(self, worker: str, **changes: Unpack[WorkerUpdate]) -> WorkerInfo:
        """Change the given fields of a worker."""
        return await self._change(worker, changes)

    @call
    async def pause(self, worker: str) -> WorkerInfo:
        """Pause a worker: it takes no new jobs, and those that are queued wait."""
        return await self._change(worker, {"status": "paused"})

    @call
    async def resume(self, worker: str) -> WorkerInfo:
        """Let a paused worker work again."""
        return await self._change(worker, {"status": "active"})

    @call
    async def delete(self, worker: str) -> WorkerInfo:
        """Deprecate a worker for good: its queued jobs are cancelled, its record and its jobs are kept."""
        chosen = await worker_id(self._session, worker)
        return await self._session.read(WorkerInfo, "DELETE /v1/ava/workers/{worker_id}", chosen)

    @call
    async def deploy(
        self,
        worker: str,
        bundle: BundleSource,
        *,
        wait: float | None = None,
        entrypoint: str | None = None,
        runtime_version: str | None = None,
        message: str | None = None,
        author: str | None = None,
        progress: UploadProgress | None = None,
    ) -> VersionInfo:
        """Upload code as a new version, and return it when it is ready or has failed.

        `bundle` is an archive (`.zip` or `.tar.gz`), its path, or a mapping of names to contents. With
        `runtime_version` it runs on that release line, or on the server's `default`. After `wait` seconds
        the version is returned as it is then; None: there is no limit.
        """
        chosen = await worker_id(self._session, worker)
        packed = read_bundle(bundle)
        fields = {"entrypoint": entrypoint, "runtime_version": runtime_version, "message": message}
        deadline = deadline_in(wait)
        seconds = _LONGEST_WAIT if wait is None else max(0.0, min(wait, _LONGEST_WAIT))
        version = await self._session.read(
            VersionInfo,
            "POST /v1/ava/workers/{worker_id}/deploy",
            chosen,
            query={**fields, "author": author, "wait": seconds or None},
            body=packed.content,
            content_type=packed.content_type,
            wait=seconds,
            progress=progress,
        )
        return await poll_until(
            self._session,
            version,
            lambda: self._get_version(version.worker_id, version.version),
            ended=lambda seen: seen.status != _BUILDING,
            deadline=deadline,
            longest=_LONGEST_PAUSE,
        )

    def versions(self, worker: str) -> Results[M, VersionInfo]:
        """Return the versions of a worker, newest first, without their source."""
        source = PageSource(
            into=VersionInfo,
            route="GET /v1/ava/workers/{worker_id}/versions",
            ids=lambda: worker_ids(self._session, worker),
            query={"per_page": PAGE_ROWS},
        )
        return Results(self._session, source)

    @call
    async def version(self, worker: str, version: int) -> VersionInfo:
        """Return a version of a worker."""
        return await self._get_version(await worker_id(self._session, worker), version)

    @call
    async def version_log(self, worker: str, version: int) -> VersionLogInfo:
        """Return what the installer of a version's dependencies has printed so far."""
        chosen = await worker_id(self._session, worker)
        route = "GET /v1/ava/workers/{worker_id}/versions/{version}/log"
        return await self._session.read(VersionLogInfo, route, chosen, str(version))

    @call
    async def version_files(
        self, worker: str, version: int, *, after: str | None = None, limit: int = 500
    ) -> FileListInfo:
        """Return the files of a version, those whose path follows `after`."""
        chosen = await worker_id(self._session, worker)
        route = "GET /v1/ava/workers/{worker_id}/versions/{version}/files"
        query = {"after": after, "limit": limit}
        return await self._session.read(FileListInfo, route, chosen, str(version), query=query)

    @call
    async def version_file(self, worker: str, version: int, path: str) -> FileContentInfo:
        """Return a file of a version with the beginning of its content."""
        chosen = await worker_id(self._session, worker)
        route = "GET /v1/ava/workers/{worker_id}/versions/{version}/files/content"
        return await self._session.read(FileContentInfo, route, chosen, str(version), query={"path": path})

    @call
    async def diff(self, worker: str, old: int, new: int) -> VersionDiffInfo:
        """Return what differs between two versions."""
        chosen = await worker_id(self._session, worker)
        route = "GET /v1/ava/workers/{worker_id}/diff"
        return await self._session.read(VersionDiffInfo, route, chosen, query={"from": old, "to": new})

    @call
    async def rollback(self, worker: str, version: int) -> WorkerInfo:
        """Let another version serve, older or newer."""
        chosen = await worker_id(self._session, worker)
        route = "POST /v1/ava/workers/{worker_id}/rollback"
        return await self._session.read(WorkerInfo, route, chosen, json={"version": version})

    @call
    async def state(self, worker: str) -> Sequence[StateInfo]:
        """Return the values that jobs of a worker keep, by key."""
        chosen = await worker_id(self._session, worker)
        return await self._session.read_list(StateInfo, "GET /v1/ava/workers/{worker_id}/state", chosen)

    @call
    async def state_value(self, worker: str, key: str) -> StateInfo:
        """Return a value that jobs of a worker keep."""
        chosen = await worker_id(self._session, worker)
        return await self._session.read(StateInfo, "GET /v1/ava/workers/{worker_id}/state/{key}", chosen, key)

    @call
    async def clear_state(self, worker: str, key: str | None = None) -> None:
        """Delete a value that jobs of a worker keep, or all of them."""
        chosen = await worker_id(self._session, worker)
        if key is None:
            await self._session.send("DELETE /v1/ava/workers/{worker_id}/state", chosen)
        else:
            await self._session.send("DELETE /v1/ava/workers/{worker_id}/state/{key}", chosen, key)

    async def _change(self, worker: str, changes: WorkerUpdate) -> WorkerInfo:
        chosen = await worker_id(self._session, worker)
        return await self._session.read(WorkerInfo, "PATCH /v1/ava/workers/{worker_id}", chosen, json=changes)

    async def _get_version(self, chosen: str, version: int) -> VersionInfo:
        route = "GET /v1/ava/workers/{worker_id}/versions/{version}"
        return await self._session.read(VersionInfo, route, chosen, str(version))
