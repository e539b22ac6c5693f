"""Starting, following and cancelling bulk operations, and the steps that carry them out."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from runwright.bulk import store
from runwright.bulk.model import BulkAction, BulkOperation, BulkStatus, RetryVersion
from runwright.bulk.store import (
    TABLE,
    LockedOperation,
    Progress,
    count_running_operations,
    defer_operation,
)
from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError, QuotaError
from runwright.core.ids import OperationId, floor_id, new_id
from runwright.core.job_state import LIVE, TERMINAL, JobStatus
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import Caller
from runwright.db.errors import invalid, may_be_one_items, transient
from runwright.db.pool import Database, PoolConnection
from runwright.job_views.model import JobFilter
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.read import fetch_jobs
from runwright.jobs.store.submit import (
    Rejection,
    Submission,
    insert_jobs,
    record_retries,
    repeat_of,
)
from runwright.tenants.audit import record
from runwright.tenants.idempotency import Idempotency, reserve_key
from runwright.tenants.quotas import Quota
from runwright.workers.versions import ready_versions

MOST_RUNNING: Final = 5
"""Bulk operations of one tenant at a time."""

STEP_JOBS: Final = {BulkAction.CANCEL: 200, BulkAction.RETRY: 25}
"""Jobs in one transaction: so few that no other statement waits for it and their inputs fit in memory."""

TRIES: Final = 3
"""How often a job is tried before an error that need not be its fault counts as its failure."""

PUT_OFF: Final = timedelta(seconds=5)
"""How long an operation waits that could not take its step."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_DEFAULT_STATUSES: Final = {BulkAction.CANCEL: LIVE, BulkAction.RETRY: frozenset({JobStatus.FAILED})}


def selection_for(action: BulkAction, which: JobFilter) -> JobFilter:
    """Return the filter of the jobs that the action applies to.

    By default `cancel` applies to queued and running jobs and `retry` to failed ones, or to all that have
    ended where they are named by ids; never to jobs that were retried already.
    """
    possible = LIVE if action is BulkAction.CANCEL else TERMINAL
    default = _DEFAULT_STATUSES[action] if which.ids is None else possible
    statuses = default if which.statuses is None else which.statuses
    which = msgspec.structs.replace(which, statuses=statuses & possible)
    return msgspec.structs.replace(which, retried=False) if action is BulkAction.RETRY else which


class BulkOperations:
    """Bulk operations as callers see them. `on_started` wakes the loop that carries them out."""

    def __init__(self, db: Database, *, clock: Clock, on_started: Callable[[], None] = lambda: None) -> None:
        self._db = db
        self._clock = clock
        self._on_started = on_started

    async def count(self, caller: Caller, action: BulkAction, which: JobFilter) -> int:
        """Return how many jobs an operation would act on now."""
        return await store.count_matching(self._db, caller.tenant_id, selection_for(action, which))

    async def start(
        self,
        caller: Caller,
        action: BulkAction,
        which: JobFilter,
        idempotency: Idempotency | None = None,
        version: RetryVersion = RetryVersion.LATEST,
    ) -> BulkOperation:
        """Start an operation on the jobs that exist now; where the key was used before, return that one.

        Raises ConflictError where MOST_RUNNING operations of the tenant are running, or the key was used
        with another body.
        """
        now = self._clock()
        operation_id = OperationId(new_id("blk", now))
        async with self._db.acquire() as db, db.transaction():
            if idempotency is not None:
                ids = [operation_id]
                prior = await reserve_key(db, idempotency, tenant_id=caller.tenant_id, ids=ids, now=now)
                if prior is not None:
                    return await self._prior(db, caller.tenant_id, OperationId(prior[0]))
            selection = selection_for(action, which)
            matched = await store.count_matching(db, caller.tenant_id, selection)
            await store.lock_starts(db, caller.tenant_id)
            if await count_running_operations(db, TABLE, caller.tenant_id) >= MOST_RUNNING:
                raise ConflictError(
                    f"{MOST_RUNNING} bulk operations are running; wait for one, or cancel it."
                )
            operation = BulkOperation(
                id=operation_id,
                tenant_id=caller.tenant_id,
                action=action,
                selection=selection,
                version=version,
                status=BulkStatus.RUNNING,
                matched=matched,
                created_by=caller.user_id,
                created_at=now,
                due_at=now,
            )
            await store.insert_operation(db, operation, next_id=floor_id("job", now + _MILLISECOND))
            await record(db, caller, f"job.bulk_{action}", operation_id, now=now, after=operation)
        self._on_started()
        return operation

    async def get(self, tenant_id: str, operation_id: OperationId) -> BulkOperation:
        """Return one operation of the tenant."""
        operation = await store.fetch_operation(self._db, tenant_id, operation_id)
        if operation is None:
            raise _no_operation(operation_id)
        return operation

    async def list(self, tenant_id: str, page: PageRequest) -> Listing[BulkOperation]:
        """Return a page of the tenant's operations, newest first."""
        return await store.list_operations(self._db, tenant_id, page)

    async def cancel(self, caller: Caller, operation_id: OperationId) -> BulkOperation:
        """End an operation; what it did stays. ConflictError when it has ended."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            cancelled = await store.cancel_operation(db, caller.tenant_id, operation_id, now=now)
            if cancelled:
                await record(db, caller, "job.bulk_stop", operation_id, now=now)
        operation = await self.get(caller.tenant_id, operation_id)
        if not cancelled:
            raise ConflictError(f"The operation has already ended ({operation.status}).")
        return operation

    async def _prior(self, db: PoolConnection, tenant_id: str, operation_id: OperationId) -> BulkOperation:
        operation = await store.fetch_operation(db, tenant_id, operation_id)
        if operation is None:
            raise ConflictError("This Idempotency-Key was used with another request.")
        return operation


class BulkSteps:
    """Carries out the operations of all tenants, in bounded steps that alternate between them."""

    def __init__(
        self, db: Database, *, clock: Clock, notifications: JobNotifications, quota: Quota | None = None
    ) -> None:
        """`quota`: of queued jobs; a bulk retry waits while the tenant is at its limit."""
        self._db = db
        self._clock = clock
        self._notifications = notifications
        self._quota = quota

    async def step(self) -> bool:
        """Carry out one step of the operation that waits longest; return False where none is due.

        An operation whose step fails, or that is at its quota, is put off, so that it delays no other. Where
        a job may be at fault, the jobs of the step are visited one by one; one that can never be cancelled
        or retried counts as failed.
        """
        locked: LockedOperation | None = None
        try:
            try:
                async with self._db.acquire() as db, db.transaction():
                    locked = await store.lock_next_operation(db, now=self._clock())
                    if locked is None:
                        return False
                    notify = await self._advance(db, locked)
                notify()
            except Exception as error:
                if locked is None or not may_be_one_items(error) or isinstance(error, QuotaError):
                    raise
                await self._step_singly(OperationId(locked.id))
        except QuotaError as error:
            await self._put_off(locked, error.message)
        except Exception:
            await self._put_off(locked, "A step failed; it is tried again.")
            raise
        return True

    async def _step_singly(self, operation_id: OperationId) -> None:
        failures = 0
        for _ in range(STEP_JOBS[BulkAction.RETRY]):
            try:
                async with self._db.acquire() as db, db.transaction():
                    locked = await store.lock_next_operation(db, now=self._clock(), only=operation_id)
                    if locked is None:
                        return  # it is over, or another process continues with it
                    notify = await self._advance(db, locked, limit=1)
                notify()
            except QuotaError:
                raise
            except Exception as error:
                failures += 1
                if transient(error):
                    raise
                if not invalid(error) and failures < TRIES:
                    continue  # it may have been the database's own
                if not await self._pass_over(operation_id):
                    raise
            failures = 0

    async def _pass_over(self, operation_id: OperationId) -> bool:
        """Count the next job of an operation as failed; False where there is none."""
        async with self._db.acquire() as db, db.transaction():
            locked = await store.lock_next_operation(db, now=self._clock(), only=operation_id)
            if locked is None:
                return False
            operation = locked.read()
            found = await store.next_jobs(db, operation, below=locked.next_id, limit=1)
            if found.job_ids:
                error = f"The job {found.job_ids[0]} could not be changed."
                progress = Progress(failed=1, error=error)
                await store.save_progress(
                    db, operation, progress, next_id=found.next_id, over=found.last, now=self._clock()
                )
        return bool(found.job_ids)

    async def _put_off(self, locked: LockedOperation | None, reason: str) -> None:
        if locked is not None:
            await defer_operation(self._db, TABLE, locked.id, reason, until=self._clock() + PUT_OFF)

    async def _advance(
        self, db: PoolConnection, locked: LockedOperation, *, limit: int | None = None
    ) -> Callable[[], None]:
        operation = locked.read()
        limit = limit or STEP_JOBS[operation.action]
        found = await store.next_jobs(db, operation, below=locked.next_id, limit=limit)
        act = self._cancel if operation.action is BulkAction.CANCEL else self._retry
        progress, notify = await act(db, operation, found.job_ids)
        await store.save_progress(
            db, operation, progress, next_id=found.next_id, over=found.last, now=self._clock()
        )
        return notify

    async def _cancel(
        self, db: PoolConnection, operation: BulkOperation, job_ids: Sequence[str]
    ) -> tuple[Progress, Callable[[], None]]:
        jobs = await store.cancel_jobs(db, tenant_id=operation.tenant_id, job_ids=job_ids, now=self._clock())
        done = len(jobs.cancelled) + len(jobs.requested)

        def notify() -> None:
            for executor_id in jobs.executor_ids:
                self._notifications.cancel_requested(executor_id)
            self._notifications.jobs_ended(jobs.cancelled)
            self._notifications.announce_ended(jobs.awaited)

        return Progress(done=done, skipped=len(job_ids) - done), notify

    async def _retry(
        self, db: PoolConnection, operation: BulkOperation, job_ids: Sequence[str]
    ) -> tuple[Progress, Callable[[], None]]:
        if self._quota is not None:
            await self._quota.take(operation.tenant_id, len(job_ids))
        jobs = await fetch_jobs(db, tenant_id=operation.tenant_id, job_ids=job_ids)
        pinned, now = operation.version is RetryVersion.ORIGINAL, self._clock()
        repeats = [repeat_of(job, triggered_by=operation.created_by, now=now, pinned=pinned) for job in jobs]
        first = await record_retries(db, operation.tenant_id, repeats, again=False)
        repeats = [item for item in repeats if item.retry_of in first]
        refused = await self._submit(db, repeats)
        await store.delete_retries(db, operation.tenant_id, [item for item, _ in refused])
        done = len(repeats) - len(refused)
        progress = Progress(
            done=done,
            failed=len(refused),
            skipped=len(job_ids) - len(repeats),
            error=refused[-1][1] if refused else None,
        )
        return progress, self._notifications.jobs_ready if done else lambda: None

    async def _submit(
        self, db: PoolConnection, repeats: Sequence[Submission]
    ) -> Sequence[tuple[Submission, str]]:
        """Submit the jobs that can run; return the others with the reasons."""
        pins = {(i.worker_id, i.pinned_version) for i in repeats if i.pinned_version is not None}
        ready = await ready_versions(db, pins) if pins else frozenset()
        able = [i for i in repeats if i.pinned_version is None or (i.worker_id, i.pinned_version) in ready]
        answers = await insert_jobs(db, able)
        missing = [
            (item, f"Version {item.pinned_version} of the worker {item.worker_id} cannot run.")
            for item in repeats
            if item not in able
        ]
        return missing + [
            (item, f"The worker {item.worker_id} is {answer}.")
            for item, answer in zip(able, answers, strict=True)
            if isinstance(answer, Rejection)
        ]


def _no_operation(operation_id: OperationId) -> NotFoundError:
    return NotFoundError(f"There is no bulk operation {operation_id}.")
