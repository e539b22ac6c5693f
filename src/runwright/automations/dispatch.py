"""Dispatch: handing runs that are due to their agents.

An agent is found by its name: a worker of the tenant (by name or id), else a registration. A worker
gets a job, a registration an execution; either is made in the transaction that says so of the run, and
is followed, so that its end ends the attempt (automations/run_endings.py) whatever crashes.

A run that cannot be handed over (no such agent, a prompt that cannot be filled in) has failed that
attempt, and is tried again where its automation wants that. A job with a task makes the task instead.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.event_subscriptions import stored_activation
from runwright.automations.model import Kind, RunStatus, Task, TaskSpec, random_id
from runwright.automations.run_endings import KIND, Outcome, end_attempt
from runwright.automations.store.queue import LiveRun, claim_due_runs, start_run
from runwright.automations.store.tasks import insert_task
from runwright.db.pool import Database, PoolConnection
from runwright.events.completion import CompletionCallback, CompletionTarget, add_callbacks
from runwright.gotemplate import TemplateError, compile_template
from runwright.jobs.completion_callbacks import record_ancestry
from runwright.jobs.store.submit import Rejection, Submission, insert_jobs, new_submission
from runwright.workers.store import find_workers

PROMPT_EVENT: Final = "automation.prompt"
"""What an execution's event is called."""

INPUT_LIMIT_BYTES: Final = 1024 * 1024

OpenExecution = Callable[[PoolConnection, LiveRun, dict[str, object], datetime], Awaitable[str | None]]
"""Opens an execution of the registration that a run names, for this payload; None: there is none."""


class Dispatched(msgspec.Struct, frozen=True, kw_only=True):
    """What a call did: how many runs it took, and the jobs it made."""

    runs: int = 0
    jobs: int = 0


class _Ready(msgspec.Struct, frozen=True):
    """A run with its prompt filled in."""

    live: LiveRun
    prompt: str
    warnings: Sequence[str]

    @property
    def input(self) -> dict[str, object]:
        """What the agent is given."""
        run = self.live.run
        of_job = run.kind is Kind.JOB
        return {
            "prompt": self.prompt,
            "activation": self.live.activation,
            "run": {
                "id": run.id,
                "job_id": run.automation_id if of_job else None,
                "trigger_id": None if of_job else run.automation_id,
                "attempt": run.attempt,
            },
            "workspace_id": self.live.plan.workspace_id or None,
        }


async def dispatch_due(
    db: Database, *, now: datetime, at_once: int, limit: int, open_execution: OpenExecution
) -> Dispatched:
    """Hand up to `limit` due runs to their agents, of each tenant as many as may run at once."""
    async with db.acquire() as connection, connection.transaction():
        due = await claim_due_runs(connection, now=now, at_once=at_once, limit=limit) or ()
        ready = [one for live in due if (one := await _prepare(connection, live, now)) is not None]
        left, jobs = await _run_workers(connection, ready, now)
        for one in left:
            await _open(connection, one, open_execution, now)
    return Dispatched(runs=len(due), jobs=jobs)


async def _prepare(db: PoolConnection, live: LiveRun, now: datetime) -> _Ready | None:
    """Fill in the prompt; None where the run ends here."""
    if live.plan.task is not None:
        await _delegate(db, live, live.plan.task, now)
        return None
    if live.activation is None:
        return _Ready(live, live.plan.prompt, ())
    try:
        prompt, warnings = compile_template(live.plan.prompt).render(stored_activation(live.activation))
    except TemplateError as error:
        await _fail(db, live, f"render trigger prompt template: {error}", now)
        return None
    except Exception as error:  # noqa: BLE001  what one activation holds must not hold up the others
        await _fail(db, live, f"render trigger prompt template: {type(error).__name__}", now)
        return None
    return _Ready(live, prompt, warnings)


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
        status="open",
        created_at=now,
        updated_at=now,
    )
    await insert_task(db, task)
    told = msgspec.structs.replace(run, task_id=task.id, task_run_id=task.task_run_id)
    await end_attempt(db, msgspec.structs.replace(live, run=told), Outcome(status=RunStatus.DELEGATED), now)


async def _run_workers(
    db: PoolConnection, ready: Sequence[_Ready], now: datetime
) -> tuple[list[_Ready], int]:
    """Queue jobs of those whose agent is a worker; returns the others, and how many jobs."""
    workers = await find_workers(
        db, sorted({(one.live.run.tenant_id, one.live.plan.agent_name) for one in ready})
    )
    left: list[_Ready] = []
    items: list[tuple[_Ready, Submission]] = []
    for one in ready:
        worker_id = workers.get((one.live.run.tenant_id, one.live.plan.agent_name))
        if worker_id is None:
            left.append(one)
        elif len(input := msgspec.json.encode(one.input)) > INPUT_LIMIT_BYTES:
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
        await add_callbacks(db, CompletionTarget.JOB, [CompletionCallback(job.id, KIND, one.live.run.id)])
        await record_ancestry(db, [job.id], one.live.path)
    return left, accepted


def _submission(one: _Ready, worker_id: str, input: bytes, now: datetime) -> Submission:
    live = one.live
    return new_submission(
        tenant_id=live.run.tenant_id,
        worker_id=worker_id,
        input=input,
        trigger=live.cause,
        triggered_by=live.run.automation_id,
        now=now,
    )


async def _open(db: PoolConnection, one: _Ready, open_execution: OpenExecution, now: datetime) -> None:
    execution_id = await open_execution(db, one.live, one.input, now)
    if execution_id is None:
        await _fail(db, one.live, f'agent "{one.live.plan.agent_name[:200]}" not found', now)
    else:
        await start_run(db, one.live, session_id=execution_id, warnings=one.warnings, now=now)


async def _fail(db: PoolConnection, live: LiveRun, error: str, now: datetime) -> None:
    await end_attempt(db, live, Outcome(status=RunStatus.FAILED, error=error), now)
