"""Agents with a worker: an execution runs the worker as a job, whose return value is the decision.

The job is submitted in the transaction that deletes the row of the outbox, with a completion callback: so
there is one job, and its end decides once, whichever process dies. A job that does not complete, or returns
no valid `action`, fails the execution.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from runwright.agents.model import AgentCall, decision_of
from runwright.agents.store.calls import take_calls
from runwright.agents.store.deciding import ExecutionFailure, NewDecision, decide_executions, fail_executions
from runwright.core.job_state import JobStatus, Trigger
from runwright.db.pool import Database, PoolConnection
from runwright.events.completion import CompletionCallback, CompletionTarget, add_callbacks
from runwright.jobs.completion_callbacks import EndedJob, record_ancestry
from runwright.jobs.store.submit import Rejection, Submission, insert_jobs, new_submission

DECIDE_HANDLER: Final = "execution"
"""The name of the completion handler of the jobs."""


async def submit_jobs(
    db: Database, calls: Sequence[tuple[AgentCall, str]], body: Callable[[AgentCall], bytes], now: datetime
) -> int:
    """Submit a job for each (call, worker) with `body` as its input; return how many.

    Where the worker takes no jobs the execution fails.
    """
    async with db.acquire() as connection, connection.transaction():
        held = await take_calls(connection, [call for call, _ in calls])
        calls = [(call, worker_id) for call, worker_id in calls if call.execution.id in held]
        if not calls:
            return 0
        items = [_submission(call, worker_id, body(call), now) for call, worker_id in calls]
        answers = await insert_jobs(connection, items)
        refused: list[ExecutionFailure] = []
        callbacks: list[CompletionCallback] = []
        for (call, _), item, answer in zip(calls, items, answers, strict=True):
            if isinstance(answer, Rejection):
                refused.append(
                    ExecutionFailure(call.execution.id, f"The worker is {answer} and takes no jobs.")
                )
                continue
            callbacks.append(CompletionCallback(item.id, DECIDE_HANDLER, call.execution.id))
            path = [*call.execution.event.ancestry, call.execution.agent_id]
            await record_ancestry(connection, [item.id], path)
        await add_callbacks(connection, CompletionTarget.JOB, callbacks)
        if refused:
            await fail_executions(connection, refused, now)
        return len(callbacks)


async def decide_by_jobs(db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], now: datetime) -> None:
    """Decide or fail the executions (subjects) whose job has ended; a completion handler.

    Executions that have ended already are left unchanged.
    """
    decided: list[NewDecision] = []
    failed: list[ExecutionFailure] = []
    for execution_id, job in ends:
        decision = None if job.output is None else decision_of(job.output)
        if decision is not None:
            decided.append(NewDecision(execution_id=execution_id, decision=decision, by=job.id))
        else:
            failed.append(ExecutionFailure(execution_id, _why_failed(job)))
    if decided:
        await decide_executions(db, decided, now)
    if failed:
        await fail_executions(db, failed, now)


def _submission(call: AgentCall, worker_id: str, body: bytes, now: datetime) -> Submission:
    return new_submission(
        tenant_id=call.execution.tenant_id,
        worker_id=worker_id,
        input=body,
        trigger=Trigger.EVENT,
        triggered_by=call.execution.agent_id,
        now=now,
    )


def _why_failed(job: EndedJob) -> str:
    if job.status is JobStatus.COMPLETED:
        return f"The job {job.id} returned no action: approve, reject, flag or skip."
    why = "" if job.error is None else f": {job.error.message}"
    return (
        f"The job {job.id} was {job.status}{why}"
        if job.status is JobStatus.CANCELLED
        else (f"The job {job.id} failed{why}")
    )
