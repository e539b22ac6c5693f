"""Agents that use other workers as tools, without holding a key or a slot while they wait.

A job of a worker whose configuration has `AGENT_TOOLS` may complete with

    {"tool_calls": [{"id": "1", "worker": "lookup", "input": {...}}], "state": ...}

if somebody follows it (an automation's run, an agent's execution). Then the follower is not told
yet. The calls become jobs of the same tenant; when the last one has ended, a new job of the agent is
made, with its first input and `state` and `tool_results` in it. Whoever follows is told of the
first job that ends otherwise.

States: the agent's job runs (a row of `conversations` from the second round on, `waiting` 0) →
it asked (`waiting` > 0, its calls in `conversation_calls`) → the agent's next job runs → … → gone.

Invariants: a worker is called only where the agent's configuration names it, which is the tenant's
to write and not the agent's, and only in the agent's tenant; every step is made in the transaction
in which the follower takes the end that causes it, so a crash neither loses nor doubles one; all
jobs have the agent's ancestry, so a chain of agents comes to its end.

Failure handling: a call that cannot be made is answered with an error, which the agent may read.
An agent that asks for too much, or that cannot be called again, has failed.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.job_state import ErrorCode, JobStatus
from runwright.db.pool import PoolConnection
from runwright.events.completion import CompletionCallback, CompletionTarget, add_callbacks
from runwright.jobs.completion_callbacks import EndedJob, record_ancestry
from runwright.jobs.model import JobError
from runwright.jobs.store.submit import Rejection, Submission, insert_jobs, new_submission
from runwright.jobs.tool_calls.store import (
    AgentJob,
    Call,
    Conversation,
    answer_call,
    find_agent_job,
    find_config,
    find_round,
    find_workers,
    forget_conversations,
    hand_over,
    take_calls,
    write_conversation,
)

TOOLS_KEY: Final = "AGENT_TOOLS"
TOOL: Final = "tool"
"""The kind by which the jobs of tools are followed."""

MOST_CALLS: Final = 8
MOST_ROUNDS: Final = 50
ANSWER_LIMIT_BYTES: Final = 64 * 1024
STATE_LIMIT_BYTES: Final = 384 * 1024
_NULL: Final = msgspec.Raw(b"null")

Handler = Callable[[PoolConnection, Sequence[tuple[str, EndedJob]], datetime], Awaitable[None]]


class _Asked(msgspec.Struct, frozen=True):
    """One entry of `tool_calls`."""

    id: str
    worker: str
    input: dict[str, msgspec.Raw] = {}


class _Asking(msgspec.Struct, frozen=True):
    """An output that asks."""

    tool_calls: list[_Asked]
    state: msgspec.Raw = _NULL


class _Tool(msgspec.Struct, frozen=True):
    """One entry of `AGENT_TOOLS`."""

    worker: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended."""

    status: JobStatus
    output: msgspec.Raw = _NULL
    error: str | None = None


class _Result(_Answer, frozen=True, kw_only=True):
    """What an agent is told of a call."""

    id: str
    worker: str


class ToolCalls:
    """Stands between the follower and those who follow; `handlers` are those of the follower."""

    def __init__(self, handlers: Mapping[str, Handler], *, on_submitted: Callable[[], None]) -> None:
        """`on_submitted` is called where jobs were made, shortly before they are committed."""
        self._handlers = handlers
        self._on_submitted = on_submitted

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers to give to the follower."""
        return {TOOL: self._on_answers} | {kind: self._between(kind) for kind in self._handlers}

    def _between(self, kind: str) -> Handler:
        async def handle(db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], now: datetime) -> None:
            told: list[tuple[str, EndedJob]] = []
            for subject_id, job in ends:
                told += await self._step(db, kind, subject_id, job, now)
            await self._tell(db, kind, told, now)

        return handle

    async def _tell(
        self, db: PoolConnection, kind: str, ends: Sequence[tuple[str, EndedJob]], now: datetime
    ) -> None:
        if ends:
            await forget_conversations(db, [job.id for _, job in ends])
            await self._handlers[kind](db, ends, now)

    async def _step(
        self, db: PoolConnection, kind: str, subject_id: str, job: EndedJob, now: datetime
    ) -> Sequence[tuple[str, EndedJob]]:
        """Make the calls that a job asks for; returns whom to tell what where it asks for none."""
        asking = _asking(job)
        if asking is None or TOOLS_KEY not in (config := await find_config(db, job.worker_id)):
            return [(subject_id, job)]
        rounds = await find_round(db, job.id) + 1
        problem = _problem(asking, rounds)
        if problem is not None:
            return [(subject_id, _failed(job, problem))]
        conversation = Conversation(
            job_id=job.id,
            tenant_id=job.tenant_id,
            worker_id=job.worker_id,
            kind=kind,
            subject_id=subject_id,
            round=rounds,
            waiting=0,
            state=asking.state,
        )
        agent = await find_agent_job(db, conversation)
        calls = await self._call(db, conversation, agent, asking.tool_calls, _permitted(config), now)
        waiting = sum(one.answer is None for one in calls)
        await write_conversation(db, msgspec.structs.replace(conversation, waiting=waiting), calls)
        return [] if waiting else await self._go_on(db, conversation, now, job)

    async def _call(
        self,
        db: PoolConnection,
        conversation: Conversation,
        agent: AgentJob,
        asked: Sequence[_Asked],
        permitted: frozenset[str],
        now: datetime,
    ) -> list[Call]:
        """Submit the jobs of the calls that may be made; answer the others."""
        names = [one.worker for one in asked if one.worker in permitted]
        workers = await find_workers(db, conversation.tenant_id, names)
        jobs = {
            place: _submission(
                conversation.tenant_id, workers[one.worker], msgspec.json.encode(one.input), agent, now
            )
            for place, one in enumerate(asked)
            if one.worker in permitted and one.worker in workers
        }
        refused = await self._submit(db, jobs, conversation.job_id, agent.ancestry)
        return [
            Call(
                place=place,
                call_id=one.id,
                worker=one.worker,
                tool_job_id=jobs[place].id if place in jobs else None,
                answer=None if place in jobs and place not in refused else _no_such_tool(one),
            )
            for place, one in enumerate(asked)
        ]

    async def _submit(
        self, db: PoolConnection, jobs: Mapping[int, Submission], job_id: str, ancestry: Sequence[str]
    ) -> frozenset[int]:
        """Submit jobs of tools by their places, and follow them; returns the places that were refused."""
        if not jobs:
            return frozenset()
        answers = await insert_jobs(db, list(jobs.values()))
        refused = {
            place for place, answer in zip(jobs, answers, strict=True) if isinstance(answer, Rejection)
        }
        taken = {place: job.id for place, job in jobs.items() if place not in refused}
        await add_callbacks(
            db,
            CompletionTarget.JOB,
            [CompletionCallback(tool, TOOL, f"{job_id}:{place}") for place, tool in taken.items()],
        )
        if ancestry:
            await record_ancestry(db, list(taken.values()), ancestry)
        self._on_submitted()
        return frozenset(refused)

    async def _on_answers(
        self, db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], now: datetime
    ) -> None:
        for subject, job in ends:
            job_id, _, place = subject.rpartition(":")
            conversation = await answer_call(db, job_id, int(place), _answer(job))
            if conversation is not None and conversation.waiting == 0:
                told = await self._go_on(db, conversation, now, job)
                await self._tell(db, conversation.kind, told, now)

    async def _go_on(
        self, db: PoolConnection, conversation: Conversation, now: datetime, last: EndedJob
    ) -> Sequence[tuple[str, EndedJob]]:
        """Make the agent's next job; returns whom to tell what where that cannot be."""
        agent = await find_agent_job(db, conversation)
        calls = await take_calls(db, conversation.job_id)
        job = _submission(
            conversation.tenant_id,
            conversation.worker_id,
            _next_input(agent, conversation, calls),
            agent,
            now,
        )
        [answer] = await insert_jobs(db, [job])
        if isinstance(answer, Rejection):
            problem = "The agent was paused or given up while its tools ran."
            agents_end = msgspec.structs.replace(
                last, id=conversation.job_id, worker_id=conversation.worker_id
            )
            return [(conversation.subject_id, _failed(agents_end, problem))]
        await hand_over(db, conversation.job_id, job.id)
        await add_callbacks(
            db, CompletionTarget.JOB, [CompletionCallback(job.id, conversation.kind, conversation.subject_id)]
        )
        if agent.ancestry:
            await record_ancestry(db, [job.id], agent.ancestry)
        self._on_submitted()
        return []


def _asking(job: EndedJob) -> _Asking | None:
    """Return what a job asks for; None where it has ended otherwise."""
    if (
        job.status is not JobStatus.COMPLETED
        or job.output is None
        or b'"tool_calls"' not in bytes(job.output)
    ):
        return None
    try:
        return msgspec.json.decode(job.output, type=_Asking)
    except msgspec.ValidationError:
        return None


def _problem(asking: _Asking, rounds: int) -> str | None:
    if not 1 <= len(asking.tool_calls) <= MOST_CALLS:
        return f"An agent may ask for 1 to {MOST_CALLS} tools at a time, not {len(asking.tool_calls)}."
    if rounds > MOST_ROUNDS:
        return f"An agent may ask for tools {MOST_ROUNDS} times."
    if len(bytes(asking.state)) > STATE_LIMIT_BYTES:
        return f"An agent's state may have {STATE_LIMIT_BYTES} bytes."
    return None


def _permitted(config: Mapping[str, msgspec.Raw]) -> frozenset[str]:
    """Return the workers that an agent's configuration names; a list, or the text of one."""
    try:
        value = config[TOOLS_KEY]
        if bytes(value).startswith(b'"'):
            value = msgspec.Raw(msgspec.json.decode(value, type=str).encode())
        return frozenset(tool.worker for tool in msgspec.json.decode(value, type=list[_Tool]))
    except msgspec.MsgspecError:
        return frozenset()


def _submission(tenant_id: str, worker_id: str, input: bytes, agent: AgentJob, now: datetime) -> Submission:
    return new_submission(
        tenant_id=tenant_id,
        worker_id=worker_id,
        input=input,
        trigger=agent.trigger,
        triggered_by=agent.triggered_by,
        now=now,
        priority=agent.priority,
    )


def _next_input(agent: AgentJob, conversation: Conversation, calls: Sequence[Call]) -> bytes:
    given = msgspec.json.decode(agent.input, type=dict[str, msgspec.Raw])
    results = [_result(one) for one in calls]
    return msgspec.json.encode(given | {"state": conversation.state or _NULL, "tool_results": results})


def _result(call: Call) -> _Result:
    assert call.answer is not None  # noqa: S101  nobody waits any more
    answer = msgspec.json.decode(call.answer, type=_Answer)
    return _Result(
        id=call.call_id,
        worker=call.worker,
        status=answer.status,
        output=answer.output,
        error=answer.error,
    )


def _answer(job: EndedJob) -> msgspec.Raw:
    error = None if job.error is None else job.error.message
    output = job.output or _NULL
    if len(bytes(output)) > ANSWER_LIMIT_BYTES:
        output, error = _NULL, f"The output has more than {ANSWER_LIMIT_BYTES} bytes."
    return msgspec.Raw(msgspec.json.encode(_Answer(status=job.status, output=output, error=error)))


def _no_such_tool(asked: _Asked) -> msgspec.Raw:
    error = f"There is no tool {asked.worker[:100]!r}, or it takes no jobs."
    return msgspec.Raw(msgspec.json.encode(_Answer(status=JobStatus.FAILED, error=error)))


def _failed(job: EndedJob, problem: str) -> EndedJob:
    return msgspec.structs.replace(
        job,
        status=JobStatus.FAILED,
        output=None,
        error=JobError(code=ErrorCode.HANDLER_ERROR, message=problem),
    )
