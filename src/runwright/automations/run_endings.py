"""End attempts of runs: schedule a retry, or end the run.

A run ends in one transaction with its event (`automation.run.completed` and so on) and with the events in the
answer of its agent. All of them carry the ancestry of the run and its automation, which bounds loops of
automations that fire each other.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.agents.completion_callbacks import EndedExecution
from runwright.agents.model import ExecutionStatus
from runwright.automations.event_subscriptions import workspace_subject
from runwright.automations.model import AutomationKind, RetryStrategy, Run, RunStatus
from runwright.automations.store.queue import LiveRun, end_run, lock_running, schedule_retry
from runwright.core.job_state import JobStatus, Trigger
from runwright.cron.go_durations import parse_duration
from runwright.db.pool import PoolConnection
from runwright.events.publish import PAYLOAD_LIMIT_BYTES, EventScope, publish_event, type_problem
from runwright.jobs.completion_callbacks import EndedJob

CALLBACK_HANDLER: Final = "automation"
"""The handler of the completion callbacks of runs."""

CANCELLED: Final = "canceled by request"
LONGEST_DELAY: Final = timedelta(hours=1)
MOST_EVENTS: Final = 20
"""In one answer."""

_LONGEST_ERROR: Final = 4_096
_DOUBLINGS: Final = 40


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an attempt; `answer` is JSON text."""

    status: RunStatus
    error: str | None = None
    answer: msgspec.Raw | None = None
    warnings: tuple[str, ...] = ()
    job_id: str | None = None
    """The last job of the agent: the next attempt continues its conversation."""


_NO_FIELDS: Final = msgspec.Raw(b"{}")


class AnswerEvent(msgspec.Struct, frozen=True):
    """An event in the answer of an agent."""

    event: str
    payload: msgspec.Raw = _NO_FIELDS
    """A JSON object."""


class _Answer(msgspec.Struct, frozen=True):
    """The part of an answer that is interpreted."""

    events: list[AnswerEvent] = []


async def end_jobs(db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], now: datetime) -> None:
    """Handle the completion of jobs that were started for runs; see jobs/completion_callbacks.py.

    An attempt has one job with a callback at a time and ends with it, so the job is the one that the run
    waits for.
    """
    jobs = dict(ends)
    for live in await lock_running(db, ids=list(jobs)):
        await end_attempt(db, live, _outcome_of(jobs[live.run.id]), now)


async def end_executions(
    db: PoolConnection, ends: Sequence[tuple[str, EndedExecution]], now: datetime
) -> None:
    """Handle the completion of executions that were opened for runs; see agents/completion_callbacks.py."""
    executions = dict(ends)
    for live in await lock_running(db, ids=list(executions)):
        execution = executions[live.run.id]
        if execution.status is ExecutionStatus.COMPLETED:
            outcome = RunOutcome(status=RunStatus.COMPLETED, answer=execution.response)
        else:
            error = execution.error or f"the agent's execution has {execution.status.value}"
            outcome = RunOutcome(status=RunStatus.FAILED, error=error)
        await end_attempt(db, live, outcome, now)


def _outcome_of(job: EndedJob) -> RunOutcome:
    if job.status is JobStatus.COMPLETED:
        return RunOutcome(status=RunStatus.COMPLETED, answer=job.output)
    error = None if job.error is None else f"{job.error.code.value}: {job.error.message}"
    if job.status is JobStatus.CANCELLED:
        return RunOutcome(status=RunStatus.CANCELLED, error=error)
    return RunOutcome(status=RunStatus.FAILED, error=error or "the agent failed", job_id=job.id)


async def end_attempt(db: PoolConnection, live: LiveRun, outcome: RunOutcome, now: datetime) -> bool:
    """End an attempt of a run whose row is locked; return whether the run has ended.

    If cancellation was requested, the run is cancelled, whatever the result of its agent.
    """
    if live.cancel_requested and outcome.status is not RunStatus.CANCELLED:
        outcome = RunOutcome(status=RunStatus.CANCELLED, error=CANCELLED, warnings=outcome.warnings)
    error = None if outcome.error is None else outcome.error[:_LONGEST_ERROR]
    retry = live.plan.retry
    if (
        outcome.status is RunStatus.FAILED
        and retry.strategy == RetryStrategy.BACKOFF
        and live.run.attempt <= retry.max_retries
    ):
        wait = delay_before_next(live.run.id, live.run.attempt, parse_duration(retry.base_delay))
        await schedule_retry(
            db, live, error=error or "", due_at=now + wait, now=now, last_job_id=outcome.job_id
        )
        return False
    warnings = [*live.run.warnings, *outcome.warnings]
    if outcome.status is RunStatus.COMPLETED and outcome.answer is not None:
        warnings += await _publish_answer_events(db, live, outcome.answer, now)
    late = live.cause is Trigger.SCHEDULED and outcome.status is RunStatus.FAILED
    ended = msgspec.structs.replace(
        live.run,
        status=outcome.status,
        ended_at=now,
        error=error,
        delivery_error=error if late else None,
        delivery_error_at=now if late else None,
        warnings=tuple(warnings),
    )
    await end_run(db, ended)
    await publish_run_end(db, live, ended, outcome.answer, now)
    return True


def delay_before_next(run_id: str, attempt: int, base: timedelta) -> timedelta:
    """Return the delay after the n-th attempt: the base, doubled n-1 times, at most an hour.

    A jitter of up to a quarter is subtracted. It is a function of the attempt, so it is stable.
    """
    doubled = min(base.total_seconds() * 2.0 ** min(attempt - 1, _DOUBLINGS), LONGEST_DELAY.total_seconds())
    digest = hashlib.blake2b(f"{run_id} {attempt}".encode(), digest_size=4).digest()
    return timedelta(seconds=doubled * (1 - int.from_bytes(digest) / 2**32 / 4))


async def publish_run_end(
    db: PoolConnection, live: LiveRun, run: Run, answer: msgspec.Raw | None, now: datetime
) -> None:
    """Publish the event of the end of a run."""
    data: dict[str, object] = {
        "run_id": run.id,
        "job_id" if run.kind is AutomationKind.JOB else "trigger_id": run.automation_id,
        "name": live.plan.name,
        "agent_name": live.plan.agent_name,
        "workspace_id": live.plan.workspace_id,
        "status": run.status.value,
        "attempt": run.attempt,
        "session_id": run.session_id,
        "error": run.error,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "answer": None,
    }
    if answer is not None:
        fits = len(bytes(answer)) <= PAYLOAD_LIMIT_BYTES
        data |= {"answer": answer} if fits else {"answer_omitted": True}
    type = f"automation.run.{run.status.value}"
    scope = EventScope(subject_id=run.id)
    await publish_event(db, run.tenant_id, type, data, now, ancestry=live.child_ancestry, scope=scope)


async def _publish_answer_events(
    db: PoolConnection, live: LiveRun, answer: msgspec.Raw, now: datetime
) -> Sequence[str]:
    """Publish the events in an answer; return warnings about those that are invalid."""
    try:
        events = msgspec.json.decode(answer, type=_Answer).events
    except msgspec.ValidationError as error:
        has_events = bytes(answer).lstrip().startswith(b"{") and b'"events"' in bytes(answer)
        return [f"events of the answer are not published: {error}"] if has_events else []
    warnings = []
    if len(events) > MOST_EVENTS:
        warnings.append(f"only {MOST_EVENTS} of {len(events)} events of the answer are published")
    scope = EventScope(subject_id=workspace_subject(live.plan.workspace_id))
    for one in events[:MOST_EVENTS]:
        problem = type_problem(one.event)
        payload = msgspec.json.format(bytes(one.payload), indent=-1)
        if problem is None and not payload.startswith(b"{"):
            problem = "The payload must be an object."
        if problem is None and len(payload) > PAYLOAD_LIMIT_BYTES:
            problem = f"It has more than {PAYLOAD_LIMIT_BYTES} bytes."
        if problem is not None:
            warnings.append(f"the event {one.event[:100]!r} of the answer is not published: {problem}")
            continue
        await publish_event(
            db,
            live.run.tenant_id,
            one.event,
            msgspec.Raw(payload),
            now,
            ancestry=live.child_ancestry,
            scope=scope,
        )
    return warnings
