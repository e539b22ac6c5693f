"""Creating, reading, changing and deprecating workers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, InvalidError, NotFoundError
from runwright.core.ids import WorkerId, new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import Caller
from runwright.core.struct_fields import set_fields
from runwright.db.batching import REQUEST_SECONDS, retry_transient
from runwright.db.pool import Database, PoolConnection
from runwright.secrets.model import WORKER_SECRETS_BYTES
from runwright.secrets.store import measure_secrets
from runwright.tenants.audit import record
from runwright.tenants.quotas import Quota
from runwright.workers.bundles.reader import BundleReader, ExaminedBundle, bundled_version
from runwright.workers.input_schemas import InputSchemas, raise_problems
from runwright.workers.model import (
    NewVersion,
    NewWorker,
    RuntimeName,
    Worker,
    WorkerChanges,
    WorkerFilter,
    WorkerStatus,
)
from runwright.workers.store import fetch_worker, find_by_name, insert_worker, list_workers, update_worker
from runwright.workers.versions import fetch_version, insert_version, next_version

DEFAULT_ENTRYPOINTS: Final = {
    RuntimeName.NODEJS: "index.js",
    RuntimeName.PYTHON: "main.py",
    RuntimeName.DENO: "main.ts",
    RuntimeName.SHELL: "main.sh",
    RuntimeName.WASM: "main.wasm",
}


class Workers:
    """Creates, changes and deprecates workers. Every call returns after its changes are committed."""

    def __init__(  # noqa: PLR0913  one argument for each thing that is checked, and each that is notified
        self,
        db: Database,
        bundles: BundleReader,
        *,
        clock: Clock,
        on_deprecated: Callable[[], Awaitable[None]],
        on_building: Callable[[], None] = lambda: None,
        on_event: Callable[[], None] = lambda: None,
        on_defined: Callable[[str], None] = lambda _: None,
        schemas: InputSchemas | None = None,
        quota: Quota | None = None,
    ) -> None:
        """`on_deprecated` is awaited after a worker was deprecated, to cancel its queued jobs.

        `on_building` is called after a version with dependencies was stored, `on_event` after an event was
        appended, `on_defined` with the id of a worker that was created or changed. `quota`: of
        stored bytes.
        """
        self._quota = quota
        self._schemas = schemas or InputSchemas(db)
        self._on_defined = on_defined
        self._on_event = on_event
        self._db = db
        self._bundles = bundles
        self._clock = clock
        self._on_deprecated = on_deprecated
        self._on_building = on_building

    async def create(self, caller: Caller, new: NewWorker) -> Worker:
        """Create a worker, active, at version 1. QuotaError where its code exceeds the quota."""
        await self._take_bytes(caller, new.source_code)
        if new.input_schema is not None:
            await self._schemas.require_valid(caller.tenant_id, new.input_schema)
        now = self._clock()
        values = {name: getattr(new, name) for name in NewWorker.__struct_fields__}
        values["entrypoint"] = new.entrypoint or DEFAULT_ENTRYPOINTS[new.runtime]
        worker = Worker(
            **values,
            id=WorkerId(new_id("wkr", now)),
            tenant_id=caller.tenant_id,
            status=WorkerStatus.ACTIVE,
            version=1,
            created_by=caller.user_id,
            created_at=now,
            updated_at=now,
        )
        async with self._db.acquire() as db, db.transaction():
            await _check_secrets(db, worker.tenant_id, worker.secrets)
            await insert_worker(db, worker)
            await record(db, caller, "worker.create", worker.id, after=worker, now=now)
        self._on_event()
        self._on_defined(worker.id)
        return worker

    async def check(self, tenant_id: str, new: NewWorker) -> None:
        """Raise InvalidError where `create` would, but for the schema, and create nothing."""
        async with self._db.acquire() as db:
            await _check_secrets(db, tenant_id, new.secrets)

    async def check_schema(self, tenant_id: str, schema: Mapping[str, Any]) -> None:
        """Raise InvalidError where inputs cannot be checked by a schema."""
        await self._schemas.require_valid(tenant_id, schema)

    async def check_input(self, tenant_id: str, schema: Mapping[str, Any], text: bytes) -> None:
        """Raise InvalidError where an input does not match a schema, which need not be a worker's yet."""
        raise_problems(await self._schemas.problems(tenant_id, schema, text))

    async def get(self, tenant_id: str, worker_id: WorkerId) -> Worker:
        """Return one worker of the tenant, also a deprecated one."""
        worker = await fetch_worker(self._db, tenant_id=tenant_id, worker_id=worker_id)
        if worker is None:
            raise no_worker(worker_id)
        return worker

    async def list(
        self, tenant_id: str, which: WorkerFilter, page: PageRequest, *, payloads: bool = True
    ) -> Listing[Worker]:
        """Return a page of the tenant's workers, newest first; without `payloads` their source is None."""
        return await list_workers(self._db, tenant_id=tenant_id, which=which, page=page, payloads=payloads)

    async def named(self, tenant_id: str, name: str, limit: int) -> Sequence[str]:
        """Return the ids of up to `limit` workers with this name or id: of those in use, if there are any."""
        return await find_by_name(self._db, tenant_id=tenant_id, name=name, limit=limit)

    async def change(
        self,
        caller: Caller,
        worker_id: WorkerId,
        changes: WorkerChanges,
        *,
        check: Callable[[Worker], None] = lambda _worker: None,
    ) -> Worker:
        """Change a worker. A new source, entrypoint or runtime version creates a version.

        The next attempts use it; one whose dependencies are installed first serves when they are.

        `check` is called with the changed worker and may raise. Raises ConflictError for a
        deprecated worker, QuotaError where new code exceeds the quota.
        """
        if isinstance(changes.source_code, str):
            serving = (await self.get(caller.tenant_id, worker_id)).source_code
            await self._take_bytes(caller, None if changes.source_code == serving else changes.source_code)
        if isinstance(changes.input_schema, dict):
            await self._schemas.require_valid(caller.tenant_id, changes.input_schema)
        examined = await self._examine(caller.tenant_id, worker_id, changes)
        async with self._db.acquire() as db, db.transaction():
            worker = await fetch_worker(db, tenant_id=caller.tenant_id, worker_id=worker_id, lock=True)
            worker = require_open(worker, worker_id)
            changed = _apply(worker, changes)
            check(changed)
            if changed == worker:
                return worker
            changed = msgspec.structs.replace(changed, updated_at=max(self._clock(), worker.updated_at))
            if changed.secrets != worker.secrets:
                await _check_secrets(db, changed.tenant_id, changed.secrets)
            if _code_of(changed) != _code_of(worker):
                changed = await self._add_version(db, caller, worker, changed, examined)
            await update_worker(db, changed)
            now = changed.updated_at
            await record(db, caller, "worker.change", worker_id, before=worker, after=changed, now=now)
        self._on_event()
        self._on_defined(worker.id)
        if examined is not None and examined.needs_layer:
            self._on_building()
        return changed

    async def _take_bytes(self, caller: Caller, source_code: str | None) -> None:
        if self._quota is not None and source_code is not None:
            await self._quota.take(caller.tenant_id, len(source_code.encode()))

    async def _examine(
        self, tenant_id: str, worker_id: WorkerId, changes: WorkerChanges
    ) -> ExaminedBundle | None:
        """Read the active bundle where a version of it is to be made; it must have the entrypoint."""
        if changes.source_code is not msgspec.UNSET:
            return None
        if changes.entrypoint is msgspec.UNSET and changes.runtime_version is msgspec.UNSET:
            return None
        worker = await self.get(tenant_id, worker_id)
        changed = _apply(worker, changes)
        active = await fetch_version(
            self._db, tenant_id=tenant_id, worker_id=worker_id, version=worker.version
        )
        if active is None or active.digest is None or _code_of(changed) == _code_of(worker):
            return None
        return await self._bundles.stored(
            active.digest, runtime=worker.runtime, entrypoint=changed.entrypoint
        )

    async def _add_version(
        self,
        db: PoolConnection,
        caller: Caller,
        worker: Worker,
        changed: Worker,
        examined: ExaminedBundle | None,
    ) -> Worker:
        """Create a version of the changed code; return the worker, with it unless it has yet to be built."""
        number = await next_version(db, worker_id=worker.id)
        active = await fetch_version(
            db, tenant_id=worker.tenant_id, worker_id=worker.id, version=worker.version
        )
        if active is None or active.digest is None or changed.source_code is not None:
            inline = NewVersion(
                worker_id=worker.id,
                version=number,
                entrypoint=changed.entrypoint,
                runtime_version=changed.runtime_version,
                source_code=changed.source_code,
                created_by=caller.user_id,
                created_at=changed.updated_at,
            )
            await insert_version(db, inline)
            return msgspec.structs.replace(changed, version=number)
        if examined is None or examined.digest != active.digest:
            raise ConflictError("Another bundle was deployed meanwhile; try again.")
        bundled = bundled_version(
            worker.id,
            number,
            examined,
            created_by=caller.user_id,
            now=changed.updated_at,
            runtime_version=changed.runtime_version,
        )
        await insert_version(db, bundled)
        if examined.needs_layer:
            return msgspec.structs.replace(
                changed, entrypoint=worker.entrypoint, runtime_version=worker.runtime_version
            )
        return msgspec.structs.replace(changed, version=number)

    async def deprecate(self, caller: Caller, worker_id: WorkerId) -> Worker:
        """Deprecate a worker: it accepts no more jobs, and its history is kept. Idempotent."""
        worker = await retry_transient(lambda: self._deprecate(caller, worker_id), seconds=REQUEST_SECONDS)
        self._on_event()
        await self._on_deprecated()
        return worker

    async def _deprecate(self, caller: Caller, worker_id: WorkerId) -> Worker:
        async with self._db.acquire() as db, db.transaction():
            worker = await fetch_worker(db, tenant_id=caller.tenant_id, worker_id=worker_id, lock=True)
            if worker is None:
                raise no_worker(worker_id)
            if worker.status is WorkerStatus.DEPRECATED:
                return worker
            changed = msgspec.structs.replace(
                worker, status=WorkerStatus.DEPRECATED, updated_at=max(self._clock(), worker.updated_at)
            )
            await update_worker(db, changed)
            now = changed.updated_at
            await record(db, caller, "worker.deprecate", worker_id, before=worker, after=changed, now=now)
            return changed


def _code_of(worker: Worker) -> tuple[str | None, str, str | None]:
    """Return what makes a version: a change of it creates one."""
    return worker.source_code, worker.entrypoint, worker.runtime_version


def _apply(worker: Worker, changes: WorkerChanges) -> Worker:
    values = set_fields(changes)
    if "config" in values:
        merged = worker.config | values["config"]
        values["config"] = {key: value for key, value in merged.items() if value is not None}
    return msgspec.structs.replace(worker, **values)


def require_open(worker: Worker | None, worker_id: WorkerId) -> Worker:
    """Return a worker that can be changed: it exists and is not deprecated."""
    if worker is None:
        raise no_worker(worker_id)
    if worker.status is WorkerStatus.DEPRECATED:
        raise ConflictError("The worker is deprecated and cannot be changed any more.")
    return worker


def no_worker(worker_id: WorkerId) -> NotFoundError:
    """Return the error for an id that the tenant has no worker of."""
    return NotFoundError(f"There is no worker {worker_id}.")


async def _check_secrets(db: PoolConnection, tenant_id: str, secrets: Sequence[str]) -> None:
    """Raise InvalidError where the secrets that a worker lists have too many bytes together, as set now."""
    size = await measure_secrets(db, tenant_id, secrets) if secrets else 0
    if size > WORKER_SECRETS_BYTES:
        raise InvalidError(
            {"secrets": [f"Must have at most {WORKER_SECRETS_BYTES} bytes together; have {size}."]}
        )
