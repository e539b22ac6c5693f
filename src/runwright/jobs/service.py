"""Submitting, cancelling and retrying jobs, and waiting for their ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import JobId, WorkerId
from runwright.core.job_state import TERMINAL, JobStatus
from runwright.core.roles import Caller
from runwright.db.batching import REQUEST_SECONDS, Batcher, retry_transient
from runwright.db.pool import Database
from runwright.jobs.input_checks import FieldOf, checked_inputs
from runwright.jobs.model import ClaimedAttempt, Job
from runwright.jobs.notifications import EndWatch, JobNotifications
from runwright.jobs.store.cancel import Cancellation, CancelResult, cancel_job
from runwright.jobs.store.read import fetch_job, fetch_jobs
from runwright.jobs.store.submit import (
    Accepted,
    Rejection,
    Submission,
    accepted_job,
    insert_jobs,
    record_retries,
    repeat_of,
    started_attempt,
)
from runwright.tenants.audit import record
from runwright.tenants.idempotency import Idempotency, charge_quota, reserve_key
from runwright.tenants.quotas import Quota
from runwright.workers.input_schemas import InputSchemas

WAIT_LOOK_SECONDS: Final = 2.0
"""How often a waiting request reads the job, in case a notification between processes was lost."""


_CHECKS: Final = 3
"""How often inputs are checked for one request, where the input schema changes meanwhile."""


class _UncheckedInputError(Exception):
    """Jobs were not accepted because their inputs are to be checked first."""


class _PriorJobs(msgspec.Struct, frozen=True):
    """The jobs that an earlier request with the same idempotency key has made."""

    ids: Sequence[str]


class DirectStarter(Protocol):
    """An executor of this process that may run a job in the transaction that accepts it.

    This saves the claim. An executor reserves a slot only while it has capacity and no jobs seem to
    be waiting, so others are overtaken for at most as long as a lost notification is noticed late;
    the statement itself checks the worker, the lease and that no `max_concurrency` applies.
    """

    @property
    def id(self) -> str:
        """Its id now; it changes when a lease is lost."""

    @property
    def runtimes(self) -> Sequence[str]:
        """The runtimes that it offers."""

    def reserve(self, submission: Submission) -> bool:
        """Reserve a slot for a job that is about to be accepted; False where there is none.

        It is not known yet whether the worker exists and belongs to the tenant.
        """

    def release(self, job_id: JobId) -> None:
        """End the reservation; unknown ids are ignored."""

    def begin(self, attempt: ClaimedAttempt, executor_id: str) -> None:
        """Run a job that was accepted as running here; ignored where the executor has another id now."""


async def _do_nothing() -> None:
    """Do nothing."""


class Jobs:
    """Submits, reads and ends jobs. Every call returns after its changes are committed."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        notifications: JobNotifications,
        submits: Database | None = None,
        starter: DirectStarter | None = None,
        quota: Quota | None = None,
        schemas: InputSchemas | None = None,
    ) -> None:
        """`submits`: a separate pool for the most frequent statement (see `open_pool`, `by_key`).

        `quota`: of queued jobs.
        """
        self._db = db
        self._starter = starter
        self._quota = quota
        self._schemas = schemas or InputSchemas(db)
        self._waits_over = False
        self._submit_db = submits or db
        self._clock = clock
        self._notifications = notifications
        self._submits: Batcher[Submission, Accepted | Rejection] = Batcher(
            self._insert, max_in_flight=2, size_of=lambda submission: len(submission.input)
        )

    async def stop(self) -> None:
        """Accept no more jobs; return when the accepted ones are committed."""
        await self._submits.stop()

    async def submit(self, submission: Submission, idempotency: Idempotency | None = None) -> Job:
        """Accept one job and return it; where the key was used before, the job that it named then.

        A job with another id than the submission's was accepted by an earlier request. Raises
        NotFoundError (no such worker), InvalidError (the input does not match the worker's input
        schema), ConflictError (worker not active, or the key was used with another body), QuotaError,
        UnavailableError.
        """
        await self._charge(submission.tenant_id, 1, idempotency)
        if idempotency is not None:
            items, tenant_id = [submission], submission.tenant_id
            return (await self._submit_keyed(tenant_id, items, idempotency, lambda _: "input"))[0]
        submission = self._marked(submission)
        answer = await self._submits.add(submission)
        for _ in range(_CHECKS):
            if answer is not Rejection.INPUT_UNCHECKED:
                break
            [submission] = await checked_inputs(self._schemas, [submission], lambda _: "input")
            answer = await self._submits.add(submission)
        job = accepted_job(submission, answer)
        if isinstance(answer, Accepted) and not answer.started:
            self._notifications.jobs_ready(submission.scheduled_at)
        return job

    async def submit_and_wait(
        self,
        submission: Submission,
        idempotency: Idempotency | None,
        seconds: float,
        *,
        on_accepted: Callable[[], Awaitable[None]] = _do_nothing,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Job:
        """Accept one job as `submit` does; return it when it has ended or `seconds` have passed.

        `on_accepted` is called before the wait, which ends early once `is_over`.
        """
        submission = msgspec.structs.replace(submission, awaited=True)
        with self._notifications.watching(submission.id) as watch:
            job = await self.submit(submission, idempotency)
            await on_accepted()
            if job.id == submission.id:
                return await self._until_ended(job, watch, seconds, is_over)
        return await self.wait(job.tenant_id, job.id, seconds, is_over)

    async def submit_batch(
        self, tenant_id: str, submissions: Sequence[Submission], idempotency: Idempotency | None = None
    ) -> Sequence[Job]:
        """Accept all of these jobs or none; errors and earlier requests as for `submit`."""
        await self._charge(tenant_id, len(submissions), idempotency)
        return await self._submit_keyed(
            tenant_id, submissions, idempotency, lambda index: f"jobs.{index}.input"
        )

    async def wait(
        self, tenant_id: str, job_id: JobId, seconds: float, is_over: Callable[[], bool] = lambda: False
    ) -> Job:
        """Return the job when it has ended; unfinished after `seconds`, or when `end_waits` is called.

        Also soon after it `is_over`.
        """
        with self._notifications.watching(job_id) as watch:
            return await self._until_ended(await self.get(tenant_id, job_id), watch, seconds, is_over)

    def end_waits(self) -> None:
        """End all waits, now and later: they return the job unfinished."""
        self._waits_over = True
        self._notifications.wake_all()

    async def _until_ended(
        self, job: Job, watch: EndWatch, seconds: float, is_over: Callable[[], bool]
    ) -> Job:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while job.status not in TERMINAL and (left := deadline - loop.time()) > 0:
            if self._waits_over or is_over():
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, WAIT_LOOK_SECONDS)):
                    await watch.woken.wait()
            if watch.end is not None:
                return watch.end.applied_to(job)
            watch.woken.clear()
            job = await self.get(job.tenant_id, job.id)
        return job

    async def get(self, tenant_id: str, job_id: JobId) -> Job:
        """Return one job of the tenant."""
        job = await fetch_job(self._db, tenant_id=tenant_id, job_id=job_id)
        if job is None:
            raise no_job(job_id)
        return job

    async def cancel(self, caller: Caller, job_id: JobId) -> Job:
        """Cancel a queued job, or request it from the executor; ConflictError when it has ended."""
        now, tries = self._clock(), 0

        async def cancel() -> Cancellation:
            nonlocal tries
            tries += 1
            return await self._cancel(caller, job_id, now)

        done = await retry_transient(cancel, seconds=REQUEST_SECONDS)
        if done.result is CancelResult.NOT_FOUND:
            raise no_job(job_id)
        job = await self.get(caller.tenant_id, job_id)
        # A try whose answer was lost may have cancelled it, at this very time.
        before = tries > 1 and job.status is JobStatus.CANCELLED and job.completed_at == now
        if done.result is CancelResult.ALREADY_ENDED and not before:
            message = (
                f"The job has already ended ({job.status}); only queued or running jobs can be cancelled."
            )
            raise ConflictError(message)
        if done.executor_id is not None:
            self._notifications.cancel_requested(done.executor_id)
        elif before or done.result is CancelResult.CANCELLED:
            self._notifications.jobs_ended([job_id])
            if done.awaited:
                self._notifications.announce_ended([job_id])
        return job

    async def retry(self, caller: Caller, job_id: JobId) -> Job:
        """Submit a new job with the input of one that has ended, and name that one in it."""
        old = await self.get(caller.tenant_id, job_id)
        if old.status not in TERMINAL:
            message = f"The job is still {old.status}; only a job that has ended can be retried."
            raise ConflictError(message)
        again = repeat_of(old, triggered_by=caller.user_id, now=self._clock())
        await self._charge(caller.tenant_id, 1, None)
        answer = await retry_transient(lambda: self._insert_retry(again), seconds=REQUEST_SECONDS)
        self._notifications.jobs_ready()
        return accepted_job(again, answer)

    async def _charge(self, tenant_id: str, jobs: int, idempotency: Idempotency | None) -> None:
        if self._quota is not None:
            key, now = None if idempotency is None else idempotency.key, self._clock()
            await charge_quota(self._quota, self._db, key, tenant_id=tenant_id, now=now, amount=jobs)

    async def _insert(self, items: Sequence[Submission]) -> Sequence[Accepted | Rejection]:
        starter = self._starter
        if starter is None:
            return await insert_jobs(self._submit_db, items)
        starting = frozenset(i.id for i in items if i.scheduled_at is None and starter.reserve(i))
        executor_id = starter.id if starting else None
        runtimes = starter.runtimes if starting else ()
        try:
            answers = await insert_jobs(
                self._submit_db, items, starting=starting, executor_id=executor_id, runtimes=runtimes
            )
            for item, answer in zip(items, answers, strict=True):
                if isinstance(answer, Accepted) and answer.started and executor_id is not None:
                    starter.begin(started_attempt(item, answer), executor_id)
            return answers
        finally:
            for job_id in starting:
                starter.release(job_id)

    async def _submit_keyed(
        self,
        tenant_id: str,
        items: Sequence[Submission],
        idempotency: Idempotency | None,
        field_of: FieldOf,
    ) -> Sequence[Job]:
        items = [self._marked(item) for item in items]
        for _ in range(_CHECKS):
            try:
                return await self._submit_together(tenant_id, items, idempotency)
            except _UncheckedInputError:
                items = await checked_inputs(self._schemas, items, field_of)
        return await self._submit_together(tenant_id, items, idempotency)

    def _marked(self, item: Submission) -> Submission:
        """Return a submission with the revision for which its input is known to be valid."""
        if item.schema_revision is None:
            return item
        revision = self._schemas.known_revision(item.tenant_id, WorkerId(item.worker_id), item.input)
        return item if revision is None else msgspec.structs.replace(item, schema_revision=revision)

    async def _submit_together(
        self, tenant_id: str, items: Sequence[Submission], idempotency: Idempotency | None
    ) -> Sequence[Job]:
        answer = await retry_transient(
            lambda: self._insert_together(tenant_id, items, idempotency), seconds=REQUEST_SECONDS
        )
        if isinstance(answer, _PriorJobs):
            return await fetch_jobs(self._db, tenant_id=tenant_id, job_ids=answer.ids)
        jobs = [accepted_job(item, accepted) for item, accepted in zip(items, answer, strict=True)]
        self._notifications.jobs_ready(min((i.run_at for i in items), default=None))
        return jobs

    async def _insert_together(
        self, tenant_id: str, items: Sequence[Submission], idempotency: Idempotency | None
    ) -> _PriorJobs | Sequence[Accepted | Rejection]:
        async with self._db.acquire() as db, db.transaction():
            if idempotency is not None:
                ids, now = [item.id for item in items], self._clock()
                prior = await reserve_key(db, idempotency, tenant_id=tenant_id, ids=ids, now=now)
                if prior is not None:
                    return _PriorJobs(prior)
            answers = await insert_jobs(db, items)
            if Rejection.INPUT_UNCHECKED in answers:
                raise _UncheckedInputError
            for item, answer in zip(items, answers, strict=True):
                accepted_job(item, answer)  # raises for a rejected one, which rolls all of them back
            return answers

    async def _insert_retry(self, again: Submission) -> Accepted | Rejection:
        async with self._db.acquire() as db, db.transaction():
            (answer,) = await insert_jobs(db, [again])
            if isinstance(answer, Accepted):
                await record_retries(db, again.tenant_id, [again], again=True)
            return answer

    async def _cancel(self, caller: Caller, job_id: JobId, now: datetime) -> Cancellation:
        async with self._db.acquire() as db, db.transaction():
            done = await cancel_job(db, tenant_id=caller.tenant_id, job_id=job_id, now=now)
            if done.result in {CancelResult.CANCELLED, CancelResult.REQUESTED}:
                await record(db, caller, "job.cancel", job_id, now=now)
            return done


def no_job(job_id: JobId) -> NotFoundError:
    """Return the error for a job that the tenant does not have."""
    return NotFoundError(f"There is no job {job_id}.")
