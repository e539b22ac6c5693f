"""Dispatch due runs to their agents.

The name of an agent is that of a worker of the tenant (its name or id), else of a registered agent. A worker
gets a job, a registered agent an execution. Either is created in the transaction that starts the run, with a
completion callback that ends the attempt (automations/run_endings.py), so no crash loses the end.

The next attempt of a run continues the conversation of its agent: its job gets `state` and `tool_results`
(see tool_calls/service.py) of the job that failed, so answers of a model and tools are not paid for twice.

If a run cannot be dispatched (unknown agent, a prompt that cannot be rendered), its attempt fails and the
retry policy applies. A job with a task creates the task instead.

Failure handling: a batch that fails is divided until the run at fault is alone. What is surely the run's own
fault ends its attempt; any other run is postponed without counting an attempt, and delays no other.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.automations.ids import random_id
from runwright.automations.model import AutomationKind, RunStatus, Task, TaskSpec, TaskStatus
from runwright.automations.prompts import RunPrompts
from runwright.automations.run_endings import CALLBACK_HANDLER, RunOutcome, end_attempt
from runwright.automations.store.queue import (
    DispatchBounds,
    LiveRun,
    RunQueueState,
    claim_due_runs,
    fetch_due_runs,
    fetch_last_inputs,
    lock_live,
    postpone_runs,
    start_run,
)
from runwright.automations.store.runs import insert_task
from runwright.core.ids import RunId
from runwright.db.batching import SplitDecision, divide
from runwright.db.errors import invalid, may_be_one_items
from runwright.db.pool import Database, PoolConnection
from runwright.events.completion import CompletionCallback, CompletionTarget, add_callbacks
from runwright.jobs.completion_callbacks import record_ancestry
from runwright.jobs.store.submit import Rejection, Submission, insert_jobs, new_submission
from runwright.offload.functions import TemplateResult
from runwright.workers.store import find_workers

PROMPT_EVENT: Final = "automation.prompt"
"""The event of executions."""

INPUT_LIMIT_BYTES: Final = 1024 * 1024

_CONVERSATION: Final = frozenset({"state", "tool_results"})

POSTPONED: Final = timedelta(seconds=10)
"""How long a run waits that could not be dispatched for a reason that is not its own."""

OpenExecution = Callable[[PoolConnection, LiveRun, dict[str, object], datetime], Awaitable[str | None]]
"""Opens an execution of a run's registered agent; returns its id, or None if there is no such agent."""


class DispatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """The number of dispatched runs, and of the jobs created for them."""

    runs: int = 0
    jobs: int = 0
    failed: Sequence[tuple[str, Exception]] = ()
    """Runs whose dispatch failed unexpectedly; they are postponed, or their attempt has ended."""

    def __add__(self, other: "DispatchResult") -> "DispatchResult":
        return DispatchResult(
            runs=self.runs + other.runs,
            jobs=self.jobs + other.jobs,
            failed=[*self.failed, *other.failed],
        )


class _RenderedRun(msgspec.Struct, frozen=True):
    """A run with its rendered prompt."""

    live: LiveRun
    prompt: str
    warnings: Sequence[str]

    @property
    def input(self) -> dict[str, object]:
        """The input of the agent."""
        run = self.live.run
        of_job = run.kind is AutomationKind.JOB
        return {
            "prompt": self.prompt,
            "activation": self.live.context,
            "run": {
                "id": run.id,
                "job_id": run.automation_id if of_job else None,
                "trigger_id": None if of_job else run.automation_id,
                "attempt": run.attempt,
            },
            "workspace_id": self.live.plan.workspace_id or None,
        }


async def dispatch_due(
    db: Database,
    prompts: RunPrompts,
    *,
    now: datetime,
    concurrency: int,
    limit: int,
    open_execution: OpenExecution,
    split: SplitDecision,
) -> DispatchResult:
    """Dispatch up to `limit` due runs whose prompts are ready, of each tenant at most `concurrency` at once.

    Prompts that take longer are begun, and their runs are dispatched by a later call. `split` is the same in
    all calls of a dispatcher.
    """
    bounds = DispatchBounds(now=now, concurrency=concurrency, limit=limit)
    due = await fetch_due_runs(db, bounds, rendering=prompts.rendering)
    ready = await prompts.prepare(due.live)
    done = DispatchResult(failed=due.unreadable)

    async def act(run_ids: Sequence[str]) -> None:
        nonlocal done
        claimed, jobs = await _dispatch(db, {one: ready[one] for one in run_ids}, bounds, open_execution)
        prompts.forget(claimed)
        done += DispatchResult(runs=len(claimed), jobs=jobs)

    failed = await divide(list(ready), act, split) if ready else []
    tenants: dict[str, str] = {live.run.id: live.run.tenant_id for live in due.live}
    kept = [
        one for one, error in failed if not await _end_if_invalid(db, tenants[one], RunId(one), error, now)
    ]
    kept += [run_id for run_id, _ in due.unreadable]
    if kept:
        await postpone_runs(db, kept, until=now + POSTPONED)
    return done + DispatchResult(failed=failed)


async def _dispatch(
    db: Database,
    ready: Mapping[str, TemplateResult],
    bounds: DispatchBounds,
    open_execution: OpenExecution,
) -> tuple[Sequence[str], int]:
    """Dispatch runs in one transaction; return those that were claimed, and how many jobs they have."""
    now = bounds.now
    async with db.acquire() as connection, connection.transaction():
        due = await claim_due_runs(connection, bounds, ids=list(ready)) or ()
        rendered = [
            one
            for live in due
            if (one := await _rendered(connection, live, ready[live.run.id], now)) is not None
        ]
        rest, jobs = await _submit_jobs(connection, rendered, now)
        for one in rest:
            await _open(connection, one, open_execution, now)
    return [live.run.id for live in due], jobs


async def _end_if_invalid(
    db: Database, tenant_id: str, run_id: RunId, error: Exception, now: datetime
) -> bool:
    """End the attempt of a run that is surely at fault; False where it is not, or where that fails too."""
    if not invalid(error):
        return False
    try:
        async with db.acquire() as connection, connection.transaction():
            locked = await lock_live(connection, tenant_id=tenant_id, run_id=run_id)
            if locked is not None and locked[1] is RunQueueState.DUE:
                await _fail(connection, locked[0], "what its agent would get cannot be stored", now)
    except Exception as again:
        if not may_be_one_items(again):
            raise
        return False
    return True


async def _rendered(
    db: PoolConnection, live: LiveRun, result: TemplateResult, now: datetime
) -> _RenderedRun | None:
    """Return the run with its rendered prompt; None if its attempt has ended instead."""
    if live.plan.task is not None:
        await _delegate(db, live, live.plan.task, now)
        return None
    if result.error is not None:
        await _fail(db, live, f"render trigger prompt template: {result.error}", now)
        return None
    return _RenderedRun(live, result.text, result.warnings)


async def _delegate(db: PoolConnection, live: LiveRun, spec: TaskSpec, now: datetime) -> None:
    run, plan = live.run, live.plan
    task = Task(
        id=random_id("task"),
        tenant_id=run.tenant_id,
        run_id=run.id,
        task_run_id=random_id("taskrun"),
        automation_id=run.automation_id,
        scope=plan.scope,
        workspace_id=plan.workspace_id,
        spec=msgspec.structs.replace(
            spec, title=spec.title or plan.name, description=spec.description or plan.prompt
        ),
        status=TaskStatus.OPEN,
        created_at=now,
        updated_at=now,
    )
    await insert_task(db, task)
    delegated = msgspec.structs.replace(run, task_id=task.id, task_run_id=task.task_run_id)
    await end_attempt(
        db, msgspec.structs.replace(live, run=delegated), RunOutcome(status=RunStatus.DELEGATED), now
    )


async def _submit_jobs(
    db: PoolConnection, rendered: Sequence[_RenderedRun], now: datetime
) -> tuple[list[_RenderedRun], int]:
    """Submit jobs for the runs whose agent is a worker; return the other runs and the number of jobs."""
    workers = await find_workers(
        db, sorted({(one.live.run.tenant_id, one.live.plan.agent_name) for one in rendered})
    )
    again = [one.live.run.id for one in rendered if one.live.run.attempt > 1]
    failed = await fetch_last_inputs(db, again) if again else {}
    rest: list[_RenderedRun] = []
    items: list[tuple[_RenderedRun, Submission]] = []
    for one in rendered:
        worker_id = workers.get((one.live.run.tenant_id, one.live.plan.agent_name))
        if worker_id is None:
            rest.append(one)
            continue
        conversation = _conversation(failed.get((one.live.run.id, worker_id)))
        if len(input := msgspec.json.encode(one.input | conversation)) > INPUT_LIMIT_BYTES:
            await _fail(db, one.live, f"the agent's input has more than {INPUT_LIMIT_BYTES} bytes", now)
        else:
            items.append((one, _submission(one, worker_id, input, now)))
    answers = await insert_jobs(db, [job for _, job in items]) if items else []
    accepted = 0
    for (one, job), answer in zip(items, answers, strict=True):
        if isinstance(answer, Rejection):
            await _fail(db, one.live, f'agent "{one.live.plan.agent_name[:200]}" is {answer}', now)
            continue
        accepted += 1
        await start_run(db, one.live, session_id=job.id, warnings=one.warnings, now=now)
        await add_callbacks(
            db, CompletionTarget.JOB, [CompletionCallback(job.id, CALLBACK_HANDLER, one.live.run.id)]
        )
        await record_ancestry(db, [job.id], one.live.child_ancestry)
    return rest, accepted


def _conversation(failed: msgspec.Raw | None) -> dict[str, object]:
    """Return the part of a failed job's input that continues a conversation; empty for its first job."""
    if failed is None:
        return {}
    fields = msgspec.json.decode(failed, type=dict[str, msgspec.Raw])
    return {name: fields[name] for name in _CONVERSATION} if fields.keys() >= _CONVERSATION else {}


def _submission(one: _RenderedRun, worker_id: str, input: bytes, now: datetime) -> Submission:
    live = one.live
    return new_submission(
        tenant_id=live.run.tenant_id,
        worker_id=worker_id,
        input=input,
        trigger=live.cause,
        triggered_by=live.run.automation_id,
        now=now,
    )


async def _open(db: PoolConnection, one: _RenderedRun, open_execution: OpenExecution, now: datetime) -> None:
    execution_id = await open_execution(db, one.live, one.input, now)
    if execution_id is None:
        await _fail(db, one.live, f'agent "{one.live.plan.agent_name[:200]}" not found', now)
    else:
        await start_run(db, one.live, session_id=execution_id, warnings=one.warnings, now=now)


async def _fail(db: PoolConnection, live: LiveRun, error: str, now: datetime) -> None:
    await end_attempt(db, live, RunOutcome(status=RunStatus.FAILED, error=error), now)
