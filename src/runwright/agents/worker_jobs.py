"""Workers that handle executions: the event runs a worker as a job, whose return value decides.

The job is submitted in the transaction that takes the call off the queue, and followed, so it is made
once and its end decides once, whatever crashes. A job that does not complete, or returns no valid
`action`, fails the execution.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from runwright.agents.callbacks import Call, decision_of
from runwright.agents.store.calls import take_calls
from runwright.agents.store.deciding import Deciding, Failing, decide_executions, fail_executions
from runwright.core.completion import CompletionCallback
from runwright.core.job_state import JobStatus, Trigger
from runwright.db.pool import Database, PoolConnection
from runwright.jobs.completion_callbacks import EndedJob, follow_jobs, record_ancestry
from runwright.jobs.store.submit import Rejection, Submission, insert_jobs, new_submission

FOLLOW_KIND: Final = "execution"


async def submit_jobs(
    db: Database, calls: Sequence[tuple[Call, str]], body: Callable[[Call], bytes], now: datetime
) -> int:
    """Make a job for each (call, worker), told by `body`; returns how many there are.

    Where the worker takes no jobs the execution fails.
    """
    async with db.acquire() as connection, connection.transaction():
        ours = await take_calls(connection, [call for call, _ in calls])
        mine = [(call, worker_id) for call, worker_id in calls if call.execution.id in ours]
        if not mine:
            return 0
        items = [_submission(call, worker_id, body(call), now) for call, worker_id in mine]
        answers = await insert_jobs(connection, items)
        refused: list[Failing] = []
        follows: list[CompletionCallback] = []
        for (call, _), item, answer in zip(mine, items, answers, strict=True):
            if isinstance(answer, Rejection):
                refused.append(Failing(call.execution.id, f"The worker is {answer} and takes no jobs."))
                continue
            follows.append(CompletionCallback(item.id, FOLLOW_KIND, call.execution.id))
            path = [*call.execution.event.ancestry, call.execution.agent_id]
            await record_ancestry(connection, [item.id], path)
        await follow_jobs(connection, follows)
        if refused:
            await fail_executions(connection, refused, now)
        return len(follows)


async def decide_by_jobs(db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], now: datetime) -> None:
    """Decide or fail the executions (subjects) whose job has ended; see `engine.follower.Handler`.

    Those that are over meanwhile stay as they are.
    """
    decided: list[Deciding] = []
    failed: list[Failing] = []
    for execution_id, job in ends:
        decision = None if job.output is None else decision_of(job.output)
        if decision is not None:
            decided.append(Deciding(execution_id=execution_id, decision=decision, by=job.id))
        else:
            failed.append(Failing(execution_id, _why_failed(job)))
    if decided:
        await decide_executions(db, decided, now)
    if failed:
        await fail_executions(db, failed, now)


def _submission(call: Call, worker_id: str, body: bytes, now: datetime) -> Submission:
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
