"""How services' values become the shapes of the wire."""

from runwright.http.ava.wire import (
    AttemptWire,
    ExplanationWire,
    JobLogsWire,
    JobWire,
    LogLineWire,
    ReasonWire,
    SecretWire,
    VersionWire,
    WorkerWire,
)
from runwright.http.times import time_or_none, time_wire
from runwright.jobs.model import Attempt, Explanation, Job, JobLogs, LogLine
from runwright.secrets.model import SecretInfo
from runwright.workers.model import Version, Worker


def worker_wire(worker: Worker) -> WorkerWire:
    values = {name: getattr(worker, name) for name in Worker.__struct_fields__}
    values |= {"created_at": time_wire(worker.created_at), "updated_at": time_wire(worker.updated_at)}
    return WorkerWire(**values)


def version_wire(version: Version) -> VersionWire:
    values = {name: getattr(version, name) for name in Version.__struct_fields__}
    return VersionWire(**values | {"created_at": time_wire(version.created_at)})


def secret_wire(secret: SecretInfo) -> SecretWire:
    return SecretWire(name=secret.name, updated_at=time_wire(secret.updated_at))


def job_wire(job: Job) -> JobWire:
    return JobWire(
        id=job.id,
        worker_id=job.worker_id,
        tenant_id=job.tenant_id,
        status=job.status,
        trigger=job.trigger,
        priority=job.priority,
        input=job.input,
        triggered_by=job.triggered_by,
        created_at=time_wire(job.created_at),
        started_at=time_or_none(job.started_at),
        completed_at=time_or_none(job.completed_at),
        duration_ms=job.duration_ms,
        output=job.output,
        error=job.error,
        worker_version=job.worker_version,
        attempt=job.attempt,
        max_retries=job.max_retries,
        scheduled_at=time_or_none(job.scheduled_at),
        cancel_requested_at=time_or_none(job.cancel_requested_at),
        retry_of=job.retry_of,
        schedule_id=job.schedule_id,
    )


def attempt_wire(attempt: Attempt) -> AttemptWire:
    return AttemptWire(
        attempt=attempt.attempt,
        status=attempt.status,
        worker_version=attempt.worker_version,
        executor_id=attempt.executor_id,
        started_at=time_or_none(attempt.started_at),
        completed_at=time_or_none(attempt.completed_at),
        duration_ms=attempt.duration_ms,
        error=attempt.error,
    )


def line_wire(line: LogLine) -> LogLineWire:
    return LogLineWire(time_wire(line.ts), line.level, line.msg, line.seq, line.attempt)


def logs_wire(logs: JobLogs) -> JobLogsWire:
    lines = [line_wire(line) for line in logs.logs]
    return JobLogsWire(job_id=logs.job_id, job_status=logs.job_status, logs=lines, next_after=logs.next_after)


def explanation_wire(why: Explanation) -> ExplanationWire:
    reasons = [ReasonWire(reason.code, reason.message, reason.details) for reason in why.reasons]
    return ExplanationWire(job_id=why.job_id, status=why.status, summary=why.summary, reasons=reasons)
