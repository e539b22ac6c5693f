"""Deploying bundles, and rolling back to earlier versions.

A deploy reads the archive, packs its files into a blob, and then, in one transaction, stores the
blob (unless it is stored already) and the version. A failure before the commit changes nothing.
The worker's row is locked only at the end of the transaction, because submits wait for that lock.

A version is `building` until its dependencies are installed and its code was imported in a sandbox, by an
executor (loops/builder.py); without both it is ready and active at once. Deploying the files and the
entrypoint of the active version creates nothing and returns that version. The first code of a worker that was
created without any is its version 1.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import IO, Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError
from runwright.core.ids import WorkerId
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import Caller
from runwright.db.pool import Database, PoolConnection
from runwright.tenants.audit import record
from runwright.tenants.key_store import fetch_key_name
from runwright.tenants.quotas import Quota
from runwright.workers.bundles.blobs import insert_blob
from runwright.workers.bundles.reader import BundleReader, ExaminedBundle, bundled_version
from runwright.workers.model import DeployNote, ImportCheck, Version, VersionStatus, Worker
from runwright.workers.service import no_worker, require_open
from runwright.workers.store import fetch_worker, update_worker
from runwright.workers.unused_code import GONE
from runwright.workers.versions import (
    fetch_build_log,
    fetch_version,
    free_first_number,
    insert_version,
    list_versions,
    next_version,
    no_version,
    settle_versions,
)

FIRST_LOOK_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 1.0
"""How often a request that waits for a build reads its status; more often in the beginning."""


class Deployed(msgspec.Struct, frozen=True):
    """The result of a deploy. `created` is False where the active version is the same already."""

    version: Version
    created: bool
    check_only: bool = False
    """Whether it becomes ready as soon as its code is imported."""


class _Code(msgspec.Struct, frozen=True):
    """What a deploy brings."""

    bundle: ExaminedBundle
    runtime_version: str | None | msgspec.UnsetType

    def line(self, current: str | None) -> str | None:
        """Return the release line of its runtime; the current one where it names none."""
        return current if self.runtime_version is msgspec.UNSET else self.runtime_version

    def is_in(self, active: Version) -> bool:
        """Return whether a version has this code, and the runtime that is wanted."""
        wanted = (self.bundle.digest, self.bundle.entrypoint, self.line(active.runtime_version))
        return (active.digest, active.entrypoint, active.runtime_version) == wanted


class Deployments:
    """Deploys, lists and rolls back versions of workers."""

    def __init__(
        self,
        db: Database,
        reader: BundleReader,
        *,
        clock: Clock,
        on_building: Callable[[], None] = lambda: None,
        quota: Quota | None = None,
        check_imports: bool = False,
    ) -> None:
        """`on_building` is called after a version was stored that is not ready yet. `quota`: of stored bytes.

        `check_imports`: versions are imported before they become ready, unless a deploy asks for no check.
        """
        self._check_imports = check_imports
        self._waits_over = asyncio.Event()
        self._quota = quota
        self._db = db
        self._reader = reader
        self._clock = clock
        self._on_building = on_building

    async def require_open(self, tenant_id: str, worker_id: WorkerId) -> Worker:
        """Return a worker that can be deployed to; raises as a deploy does."""
        return require_open(await fetch_worker(self._db, tenant_id=tenant_id, worker_id=worker_id), worker_id)

    async def deploy(
        self,
        caller: Caller,
        worker_id: WorkerId,
        archive: IO[bytes],
        entrypoint: str | None,
        note: DeployNote | None = None,
        *,
        runtime_version: str | None | msgspec.UnsetType = msgspec.UNSET,
        check: bool = True,
    ) -> Deployed:
        """Create a version from an archive. InvalidError is about `bundle` or `entrypoint`.

        Without an entrypoint the worker's current one is used, and so with `runtime_version`. Without
        `check` its code is not imported before it serves.
        """
        check = check and self._check_imports
        worker = await self.require_open(caller.tenant_id, worker_id)
        entrypoint = entrypoint or worker.entrypoint
        async with self._reader.packed(archive, runtime=worker.runtime, entrypoint=entrypoint) as read:
            examined, blob = read
            code = _Code(examined, runtime_version)
            if self._quota is not None and not await self._serves(worker, code):
                await self._quota.take(caller.tenant_id, examined.size_bytes)
            async with self._db.acquire() as db, db.transaction():
                await insert_blob(db, blob, now=self._clock())
                deployed = await self._add(db, caller, worker_id, code, note or DeployNote(), check=check)
        if deployed.version.status is VersionStatus.BUILDING:
            self._on_building()
        return deployed

    async def _serves(self, worker: Worker, code: _Code) -> bool:
        """Return whether the active version has these files: deploying them again stores nothing."""
        return code.is_in(await self._find(self._db, worker.tenant_id, worker.id, worker.version))

    async def wait_built(self, tenant_id: str, version: Version, seconds: float) -> Version:
        """Return the version when it is ready or has failed; still building when `seconds` have passed.

        Also when `end_waits` is called.
        """
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + seconds, FIRST_LOOK_SECONDS
        while version.status is VersionStatus.BUILDING and not self._waits_over.is_set():
            if (left := deadline - loop.time()) <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._waits_over.wait(), min(left, pause))
            pause = min(1.5 * pause, LOOK_SECONDS)
            version = await self.get(tenant_id, WorkerId(version.worker_id), version.version)
        return version

    def end_waits(self) -> None:
        """End all waits, now and later: they return the version as it is."""
        self._waits_over.set()

    async def _add(
        self,
        db: PoolConnection,
        caller: Caller,
        worker_id: WorkerId,
        code: _Code,
        note: DeployNote,
        *,
        check: bool,
    ) -> Deployed:
        worker = await self._lock(db, caller.tenant_id, worker_id)
        active = await self._find(db, caller.tenant_id, worker_id, worker.version)
        if code.is_in(active):
            await settle_versions(db, worker_id=worker_id)
            return Deployed(active, created=False)
        now = max(self._clock(), worker.updated_at)
        await free_first_number(db, worker_id=worker_id)
        number = await next_version(db, worker_id=worker_id)
        new = bundled_version(
            worker_id,
            number,
            code.bundle,
            created_by=caller.user_id,
            now=now,
            runtime_version=code.line(worker.runtime_version),
            check=check,
        )
        author = note.author or await fetch_key_name(db, caller)
        await insert_version(db, msgspec.structs.replace(new, message=note.message, author=author))
        if new.status is VersionStatus.READY:
            await update_worker(
                db,
                msgspec.structs.replace(
                    worker,
                    version=number,
                    entrypoint=new.entrypoint,
                    runtime_version=new.runtime_version,
                    updated_at=now,
                ),
            )
        made = await self._find(db, caller.tenant_id, worker_id, number)
        await record(db, caller, "worker.deploy", worker_id, before=active, after=made, now=now)
        return Deployed(made, created=True, check_only=new.import_check is ImportCheck.ONLY)

    async def list(self, tenant_id: str, worker_id: WorkerId, page: PageRequest) -> Listing[Version]:
        """Return a page of a worker's versions, newest first, without their source."""
        listing = await list_versions(self._db, tenant_id=tenant_id, worker_id=worker_id, page=page)
        if not listing.total:
            raise no_worker(worker_id)
        return listing

    async def get(self, tenant_id: str, worker_id: WorkerId, version: int) -> Version:
        """Return one version."""
        return await self._find(self._db, tenant_id, worker_id, version)

    async def build_log(self, tenant_id: str, worker_id: WorkerId, version: int) -> tuple[Version, str]:
        """Return a version with the output of the installer of its dependencies so far."""
        found = await self._find(self._db, tenant_id, worker_id, version)
        return found, await fetch_build_log(self._db, worker_id=worker_id, version=version) or ""

    async def rollback(self, caller: Caller, worker_id: WorkerId, version: int) -> Worker:
        """Make an earlier or later version active; versions that are being built will not replace it."""
        async with self._db.acquire() as db, db.transaction():
            worker = await self._lock(db, caller.tenant_id, worker_id)
            target = await self._find(db, caller.tenant_id, worker_id, version)
            if target.status is not VersionStatus.READY:
                reason = f" {target.error}" if target.error == GONE else ""
                raise ConflictError(
                    f"Version {version} is {target.status}; only a ready one can serve.{reason}"
                )
            before, now = worker, max(self._clock(), worker.updated_at)
            if not target.active:
                worker = msgspec.structs.replace(
                    worker,
                    version=version,
                    entrypoint=target.entrypoint,
                    runtime_version=target.runtime_version,
                    source_code=target.source_code,
                    updated_at=now,
                )
                await update_worker(db, worker)
            await record(db, caller, "worker.rollback", worker_id, before=before, after=worker, now=now)
            await settle_versions(db, worker_id=worker_id)
            return worker

    async def _lock(self, db: PoolConnection, tenant_id: str, worker_id: WorkerId) -> Worker:
        worker = await fetch_worker(db, tenant_id=tenant_id, worker_id=worker_id, lock=True)
        return require_open(worker, worker_id)

    async def _find(
        self, db: Database | PoolConnection, tenant_id: str, worker_id: WorkerId, version: int
    ) -> Version:
        found = await fetch_version(db, tenant_id=tenant_id, worker_id=worker_id, version=version)
        if found is None:
            raise no_version()
        return found
