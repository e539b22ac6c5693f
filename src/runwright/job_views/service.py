"""Lists, attempts, logs and explanations of jobs, for callers of one tenant."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime

from runwright.core.clock import Clock
from runwright.core.ids import JobId
from runwright.core.paging import PageRequest
from runwright.db.pool import Database
from runwright.job_views.explain import explain_job
from runwright.job_views.logs import LogFilter, TailPart, read_last_logs, read_logs, tail_log
from runwright.job_views.model import Explanation, JobAttempt, JobFilter, JobLogs, JobSeries, JobSort
from runwright.job_views.store.attempts import fetch_attempts
from runwright.job_views.store.listing import JobListing, list_jobs
from runwright.job_views.store.series import fetch_series
from runwright.jobs.model import Job
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.service import Jobs, no_job
from runwright.jobs.store.read import LIST_COLUMNS, SUMMARY_COLUMNS, fetch_jobs, fetch_live_state


class JobViews:
    """Reads jobs. A job of another tenant is a NotFoundError."""

    def __init__(
        self,
        db: Database,
        jobs: Jobs,
        *,
        clock: Clock,
        notifications: JobNotifications,
        running_limit_of: Callable[[str], int | None] = lambda _tenant_id: None,
    ) -> None:
        """`running_limit_of`: how many jobs of a tenant run at once, for `explain`."""
        self._db = db
        self._jobs = jobs
        self._clock = clock
        self._notifications = notifications
        self._running_limit_of = running_limit_of
        self._tails_over = False

    def end_tails(self) -> None:
        """End all tails, now and later."""
        self._tails_over = True
        self._notifications.wake_all()

    async def list(
        self,
        tenant_id: str,
        which: JobFilter,
        page: PageRequest,
        sort: JobSort = JobSort.NEWEST,
        *,
        payloads: bool = True,
    ) -> JobListing:
        """Return a page of the tenant's jobs, by default newest first and with their payloads.

        Large payloads are left out (`Job.left_out`): `with_payloads` reads them, some at a time.
        """
        columns = LIST_COLUMNS if payloads else SUMMARY_COLUMNS
        return await list_jobs(
            self._db, tenant_id=tenant_id, which=which, page=page, sort=sort, columns=columns
        )

    async def with_payloads(self, tenant_id: str, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Return jobs of a page with their large payloads, by id; those that are gone are left out."""
        jobs = await fetch_jobs(self._db, tenant_id=tenant_id, job_ids=job_ids)
        return {job.id: job for job in jobs}

    async def series(
        self,
        tenant_id: str,
        which: JobFilter,
        *,
        since: datetime,
        until: datetime,
        parts: int,
        by_worker: bool = False,
    ) -> JobSeries:
        """Return how many jobs were created in each part of a period, and how they went."""
        return await fetch_series(
            self._db,
            tenant_id=tenant_id,
            which=which,
            since=since,
            until=until,
            parts=parts,
            by_worker=by_worker,
        )

    async def attempts(self, tenant_id: str, job_id: JobId) -> Sequence[JobAttempt]:
        """Return the job's attempts, oldest first."""
        return await fetch_attempts(self._db, job=await self._jobs.get(tenant_id, job_id))

    async def logs(
        self,
        tenant_id: str,
        job_id: JobId,
        *,
        level: str | None,
        limit: int,
        after: int | None,
        before: int | None = None,
        text: str | None = None,
    ) -> JobLogs:
        """Return up to `limit` log lines after the line numbered `after`, oldest first.

        With `before`, the last ones before the line of that number. `text` selects lines with it in their
        message or in `name=value` of a field.
        """
        job = await self._jobs.get(tenant_id, job_id)
        which = LogFilter(level, text)
        if before is not None:
            return await read_last_logs(
                self._db, job_id=job.id, job_status=job.status, which=which, limit=limit, before=before
            )
        return await read_logs(
            self._db, job_id=job.id, job_status=job.status, which=which, limit=limit, after=after or 0
        )

    async def tail(
        self, tenant_id: str, job_id: JobId, *, level: str | None, after: int, text: str | None = None
    ) -> AsyncIterator[TailPart]:
        """Yield the job's log lines after the one numbered `after`, and its progress, until it has ended.

        Raises NotFoundError at the call. Ends early when `end_tails` is called.
        """
        if await fetch_live_state(self._db, tenant_id=tenant_id, job_id=job_id) is None:
            raise no_job(job_id)
        return tail_log(
            self._db,
            self._notifications,
            tenant_id=tenant_id,
            job_id=job_id,
            which=LogFilter(level, text),
            after=after,
            over=lambda: self._tails_over,
        )

    async def explain(self, tenant_id: str, job_id: JobId) -> Explanation:
        """Return the reasons why the job has its status."""
        job = await self._jobs.get(tenant_id, job_id)
        limit = self._running_limit_of(tenant_id)
        return await explain_job(self._db, job=job, now=self._clock(), running_limit=limit)
