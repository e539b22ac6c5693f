"""A day of jobs for the demonstration, written at once instead of run.

None of them ran, and each says so: it was triggered by SAMPLE, and its log has one line that explains it.
They are ended jobs with counts and, for a schedule, ticks; no events, so no subscriber hears of them.
"""

import math
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from runwright.core.ids import JobId, ScheduleId, WorkerId, id_of_number
from runwright.core.job_state import ErrorCode, JobStatus, Trigger
from runwright.db.pool import Database
from runwright.db.rows import columns_of
from runwright.jobs.model import JobError

SAMPLE: Final = "demonstration (sample)"
_LOG_LINE: Final = "A sample of the demonstration: this job was written into the history and did not run."
_DAY: Final = timedelta(days=1)
_SEED: Final = 17
_RANDOM_BITS: Final = 80
"""Of an id, beside its time."""
_QUIETEST: Final = 0.25
"""The share of jobs at night, where those at noon are 1."""
_SLOWEST: Final = 1.8
"""Of a log-normal distribution: how wide run times are."""


class SampleWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, and what a day of its jobs looks like."""

    worker_id: WorkerId
    schedule_id: ScheduleId | None = None
    every: timedelta
    """How far apart its jobs are at noon, or always where a schedule makes them."""
    runs: timedelta
    """How long half of its jobs take at most."""
    failing: float = 0.0
    """The share of its jobs that fail."""
    error: str = ""
    inputs: tuple[dict[str, Any], ...] = ({},)


class SampleJob(msgspec.Struct, frozen=True, kw_only=True):
    """An ended job; the order of the fields is that of the statement's columns."""

    id: JobId
    worker_id: WorkerId
    trigger: Trigger
    status: JobStatus
    created_at: datetime
    started_at: datetime
    ended_at: datetime
    input: bytes
    output: bytes | None
    error: bytes | None
    schedule_id: ScheduleId | None
    lines: bytes


_WRITE: Final = """
WITH sample AS (
    -- the jobs
    SELECT *, round(extract(epoch FROM ended_at - started_at) * 1000)::integer AS duration_ms
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
                $8::timestamptz[], $9::json[], $10::json[], $11::json[], $12::text[], $13::json[])
         AS s (id, worker_id, trigger, status, created_at, started_at, ended_at, input, output, error,
               schedule_id, lines)
),
-- as they were submitted
job AS (
    INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by, max_retries,
                      worker_version, created_at, schedule_id)
    SELECT $1::text, id, worker_id, trigger, 5, input, $14::text, 0, 1, created_at, schedule_id FROM sample
),
-- how they ended
result AS (
    INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, worker_version, started_at,
                             completed_at, duration_ms, output, error)
    SELECT $1::text, id, worker_id, status, 1, 1, started_at, ended_at, duration_ms, output, error FROM sample
),
-- the line that says what they are
line AS (
    INSERT INTO job_log_chunks (job_id, first_seq, last_seq, attempt, lines)
    SELECT id, 1, 1, 1, lines FROM sample
),
-- the firings of schedules
tick AS (
    INSERT INTO ticks (schedule_id, scheduled_for, due_at, status, job_id, decided_at)
    SELECT schedule_id, created_at, created_at, 'fired', id, created_at
    FROM sample WHERE schedule_id IS NOT NULL
    ON CONFLICT DO NOTHING
)
-- rows for the analytics rollup
INSERT INTO job_count_deltas (tenant_id, worker_id, day, trigger, status, code, bucket, jobs, duration_ms)
SELECT $1::text, worker_id, (ended_at AT TIME ZONE 'UTC')::date, trigger, status,
       coalesce(error ->> 'code', ''), duration_bucket(duration_ms), count(*), sum(duration_ms)
FROM sample GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


async def write_sample_day(
    db: Database, *, tenant_id: str, workers: Sequence[SampleWorker], now: datetime
) -> int:
    """Write the jobs of the day before `now` in one statement; return how many."""
    jobs = sample_day(workers, now)
    await db.execute(_WRITE, tenant_id, *columns_of(jobs, len(SampleJob.__struct_fields__)), SAMPLE)
    return len(jobs)


def sample_day(workers: Sequence[SampleWorker], now: datetime) -> list[SampleJob]:
    """Return the jobs of the day before `now`, always the same ones for the same time."""
    chance = random.Random(_SEED)  # noqa: S311  no secret
    return [_job(worker, at, chance) for worker in workers for at in _times(worker, now, chance)]


def _times(worker: SampleWorker, now: datetime, chance: random.Random) -> Iterator[datetime]:
    """Yield when jobs were submitted: by a schedule on its grid, by people more at noon than at night."""
    step = worker.every
    at = now - _DAY
    if worker.schedule_id is not None:
        at += step - (at - datetime.min.replace(tzinfo=at.tzinfo)) % step
    while at < now - worker.runs * 4:
        yield at.replace(microsecond=at.microsecond // 1000 * 1000)
        at += step if worker.schedule_id is not None else step * chance.expovariate(_activity(at))


def _activity(at: datetime) -> float:
    hour = at.hour + at.minute / 60
    return _QUIETEST + (1 - _QUIETEST) * (1 - math.cos(2 * math.pi * hour / 24)) / 2


def _job(worker: SampleWorker, at: datetime, chance: random.Random) -> SampleJob:
    started = at + timedelta(milliseconds=chance.randint(2, 40))
    ran = worker.runs * min(chance.lognormvariate(0, _SLOWEST / 4), 4)
    ended = started + timedelta(milliseconds=max(1, round(ran / timedelta(milliseconds=1))))
    failed = chance.random() < worker.failing
    error = msgspec.json.encode(JobError(ErrorCode.HANDLER_ERROR, worker.error)) if failed else None
    return SampleJob(
        id=JobId(id_of_number("job", at, chance.getrandbits(_RANDOM_BITS))),
        worker_id=worker.worker_id,
        trigger=Trigger.MANUAL if worker.schedule_id is None else Trigger.SCHEDULED,
        status=JobStatus.FAILED if failed else JobStatus.COMPLETED,
        created_at=at,
        started_at=started,
        ended_at=ended,
        input=msgspec.json.encode(chance.choice(worker.inputs)),
        output=None if failed else b'{"sample": true}',
        error=error,
        schedule_id=worker.schedule_id,
        lines=msgspec.json.encode([[started, "info", _LOG_LINE]]),
    )
