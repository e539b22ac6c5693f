"""Tool calls: agents that call other workers, without holding a key or a slot while these run.

A job of a worker whose configuration has `AGENT_TOOLS` may complete with

    {"tool_calls": [{"id": "1", "worker": "lookup", "input": {...}}], "state": ...}

if a completion callback is registered for it (by an automation's run or an agent's execution). The
callback's handler is not called then. The calls become jobs of the same tenant; when the last one has
ended, the agent's next job is submitted, with its first input and `state` and `tool_results` in it.
The handler is called with the first job of the agent that ends without tool calls.

One round of this is an `AgentTurn`. States: the agent's job runs (a row of `agent_turns` from the
second turn on, `waiting` 0) → it made calls (`waiting` > 0, the calls in `tool_calls`) → the
agent's next job runs → … → deleted.

Invariants: a worker is called only where the agent's configuration names it, which the tenant writes
and not the agent, and only in the agent's tenant; every step happens in the transaction
that takes the end causing it, so a crash neither loses nor repeats one; all jobs have the agent's
ancestry, so a chain of agents comes to its end.

Failure handling: a call that cannot be made gets an error as its result, which the agent can read.
An agent that calls too many tools, or that cannot be run again, has failed.
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
from runwright.tool_calls.store import (
    AgentJob,
    AgentTurn,
    ToolCall,
    continue_turn,
    delete_turns,
    fetch_agent_job,
    fetch_config,
    fetch_round,
    fetch_tools,
    insert_turn,
    record_result,
    take_calls,
)
from runwright.workers.input_schemas import refuse_tool_inputs

TOOLS_KEY: Final = "AGENT_TOOLS"
TOOL: Final = "tool"
"""The handler of the completion callbacks of tools' jobs."""

MOST_CALLS: Final = 8
MOST_ROUNDS: Final = 50
RESULT_LIMIT_BYTES: Final = 64 * 1024
STATE_LIMIT_BYTES: Final = 384 * 1024
_NULL: Final = msgspec.Raw(b"null")

Handler = Callable[[PoolConnection, Sequence[tuple[str, EndedJob]], datetime], Awaitable[None]]


class _RequestedCall(msgspec.Struct, frozen=True):
    """One entry of `tool_calls`."""

    id: str
    worker: str
    input: dict[str, msgspec.Raw] = {}


class _AgentOutput(msgspec.Struct, frozen=True):
    """An output with tool calls."""

    tool_calls: list[_RequestedCall]
    state: msgspec.Raw = _NULL


class _Tool(msgspec.Struct, frozen=True):
    """One entry of `AGENT_TOOLS`."""

    worker: str


class _CallEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended, as it is stored."""

    status: JobStatus
    output: msgspec.Raw = _NULL
    error: str | None = None


class _ToolResult(_CallEnd, frozen=True, kw_only=True):
    """One entry of `tool_results`."""

    id: str
    worker: str


class ToolCalls:
    """Runs the tool calls of agents, before the handlers of their completion callbacks are called."""

    def __init__(self, handlers: Mapping[str, Handler], *, on_submitted: Callable[[], None]) -> None:
        """`on_submitted` is called when jobs were submitted, shortly before the commit."""
        self._handlers = handlers
        self._on_submitted = on_submitted

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers for the completion dispatcher."""
        return {TOOL: self._on_results} | {kind: self._wrap(kind) for kind in self._handlers}

    def _wrap(self, kind: str) -> Handler:
        async def handle(db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], now: datetime) -> None:
            finished: list[tuple[str, EndedJob]] = []
            for subject_id, job in ends:
                finished += await self._step(db, kind, subject_id, job, now)
            await self._finish(db, kind, finished, now)

        return handle

    async def _finish(
        self, db: PoolConnection, kind: str, ends: Sequence[tuple[str, EndedJob]], now: datetime
    ) -> None:
        if ends:
            await delete_turns(db, [job.id for _, job in ends])
            await self._handlers[kind](db, ends, now)

    async def _step(
        self, db: PoolConnection, kind: str, subject_id: str, job: EndedJob, now: datetime
    ) -> Sequence[tuple[str, EndedJob]]:
        """Make the calls that a job requests; return the end for the handler where it requests none."""
        output = _agent_output(job)
        if output is None or TOOLS_KEY not in (config := await fetch_config(db, job.worker_id)):
            return [(subject_id, job)]
        rounds = await fetch_round(db, job.id) + 1
        problem = _problem(output, rounds)
        if problem is not None:
            return [(subject_id, _failed(job, problem))]
        turn = AgentTurn(
            job_id=job.id,
            tenant_id=job.tenant_id,
            worker_id=job.worker_id,
            kind=kind,
            subject_id=subject_id,
            round=rounds,
            waiting=0,
            state=output.state,
        )
        agent = await fetch_agent_job(db, turn)
        calls = await self._call(db, turn, agent, output.tool_calls, _permitted(config), now)
        waiting = sum(call.answer is None for call in calls)
        await insert_turn(db, msgspec.structs.replace(turn, waiting=waiting), calls)
        return [] if waiting else await self._next_turn(db, turn, now, job)

    async def _call(
        self,
        db: PoolConnection,
        turn: AgentTurn,
        agent: AgentJob,
        requested: Sequence[_RequestedCall],
        permitted: frozenset[str],
        now: datetime,
    ) -> list[ToolCall]:
        """Submit the jobs of the calls that are permitted; the others get an error as their result."""
        names = [call.worker for call in requested if call.worker in permitted]
        tools = await fetch_tools(db, turn.tenant_id, names)
        jobs = {
            place: _submission(
                agent,
                tenant_id=turn.tenant_id,
                worker_id=tools[call.worker],
                input=msgspec.json.encode(call.input),
                now=now,
            )
            for place, call in enumerate(requested)
            if call.worker in permitted and call.worker in tools
        }
        refused = await _refusals(db, jobs)
        jobs = {place: job for place, job in jobs.items() if place not in refused}
        rejected = await self._submit(db, jobs, turn.job_id, agent.ancestry)
        return [
            ToolCall(
                place=place,
                call_id=call.id,
                worker=call.worker,
                tool_job_id=jobs[place].id if place in jobs else None,
                answer=None
                if place in jobs and place not in rejected
                else _failed_call(refused.get(place) or _no_such_tool(call)),
            )
            for place, call in enumerate(requested)
        ]

    async def _submit(
        self, db: PoolConnection, jobs: Mapping[int, Submission], job_id: str, ancestry: Sequence[str]
    ) -> frozenset[int]:
        """Submit the jobs of calls, by place, with callbacks; return the places that were rejected."""
        if not jobs:
            return frozenset()
        answers = await insert_jobs(db, list(jobs.values()))
        rejected = {
            place for place, answer in zip(jobs, answers, strict=True) if isinstance(answer, Rejection)
        }
        accepted = {place: job.id for place, job in jobs.items() if place not in rejected}
        await add_callbacks(
            db,
            CompletionTarget.JOB,
            [CompletionCallback(tool, TOOL, f"{job_id}:{place}") for place, tool in accepted.items()],
        )
        if ancestry:
            await record_ancestry(db, list(accepted.values()), ancestry)
        self._on_submitted()
        return frozenset(rejected)

    async def _on_results(
        self, db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], now: datetime
    ) -> None:
        for subject, job in ends:
            job_id, _, place = subject.rpartition(":")
            turn = await record_result(db, job_id=job_id, place=int(place), answer=_call_end(job))
            if turn is not None and turn.waiting == 0:
                finished = await self._next_turn(db, turn, now, job)
                await self._finish(db, turn.kind, finished, now)

    async def _next_turn(
        self, db: PoolConnection, turn: AgentTurn, now: datetime, last: EndedJob
    ) -> Sequence[tuple[str, EndedJob]]:
        """Submit the agent's next job; return the end for the handler where that is not possible."""
        agent = await fetch_agent_job(db, turn)
        calls = await take_calls(db, turn.job_id)
        job = _submission(
            agent,
            tenant_id=turn.tenant_id,
            worker_id=turn.worker_id,
            input=_next_input(agent, turn, calls),
            now=now,
        )
        [answer] = await insert_jobs(db, [job])
        if isinstance(answer, Rejection):
            problem = "The agent was paused or given up while its tools ran."
            agents_end = msgspec.structs.replace(last, id=turn.job_id, worker_id=turn.worker_id)
            return [(turn.subject_id, _failed(agents_end, problem))]
        await continue_turn(db, job_id=turn.job_id, next_job_id=job.id)
        await add_callbacks(
            db, CompletionTarget.JOB, [CompletionCallback(job.id, turn.kind, turn.subject_id)]
        )
        if agent.ancestry:
            await record_ancestry(db, [job.id], agent.ancestry)
        self._on_submitted()
        return []


def _agent_output(job: EndedJob) -> _AgentOutput | None:
    """Return the output of a job that requests tool calls, else None."""
    if (
        job.status is not JobStatus.COMPLETED
        or job.output is None
        or b'"tool_calls"' not in bytes(job.output)
    ):
        return None
    try:
        return msgspec.json.decode(job.output, type=_AgentOutput)
    except msgspec.ValidationError:
        return None


def _problem(output: _AgentOutput, rounds: int) -> str | None:
    if not 1 <= len(output.tool_calls) <= MOST_CALLS:
        return f"An agent may ask for 1 to {MOST_CALLS} tools at a time, not {len(output.tool_calls)}."
    if rounds > MOST_ROUNDS:
        return f"An agent may ask for tools {MOST_ROUNDS} times."
    if len(bytes(output.state)) > STATE_LIMIT_BYTES:
        return f"An agent's state may have {STATE_LIMIT_BYTES} bytes."
    return None


def _permitted(config: Mapping[str, msgspec.Raw]) -> frozenset[str]:
    """Return the workers that an agent's configuration names: a list, or JSON text of one."""
    try:
        value = config[TOOLS_KEY]
        if bytes(value).startswith(b'"'):
            value = msgspec.Raw(msgspec.json.decode(value, type=str).encode())
        return frozenset(tool.worker for tool in msgspec.json.decode(value, type=list[_Tool]))
    except msgspec.MsgspecError:
        return frozenset()


def _submission(
    agent: AgentJob, *, tenant_id: str, worker_id: str, input: bytes, now: datetime
) -> Submission:
    return new_submission(
        tenant_id=tenant_id,
        worker_id=worker_id,
        input=input,
        trigger=agent.trigger,
        triggered_by=agent.triggered_by,
        now=now,
        priority=agent.priority,
    )


def _next_input(agent: AgentJob, turn: AgentTurn, calls: Sequence[ToolCall]) -> bytes:
    first = msgspec.json.decode(agent.input, type=dict[str, msgspec.Raw])
    results = [_result(call) for call in calls]
    return msgspec.json.encode(first | {"state": turn.state or _NULL, "tool_results": results})


def _result(call: ToolCall) -> _ToolResult:
    assert call.answer is not None  # noqa: S101  all calls of the turn have ended
    end = msgspec.json.decode(call.answer, type=_CallEnd)
    return _ToolResult(
        id=call.call_id, worker=call.worker, status=end.status, output=end.output, error=end.error
    )


def _call_end(job: EndedJob) -> msgspec.Raw:
    error = None if job.error is None else job.error.message
    output = job.output or _NULL
    if len(bytes(output)) > RESULT_LIMIT_BYTES:
        output, error = _NULL, f"The output has more than {RESULT_LIMIT_BYTES} bytes."
    return msgspec.Raw(msgspec.json.encode(_CallEnd(status=job.status, output=output, error=error)))


async def _refusals(db: PoolConnection, jobs: Mapping[int, Submission]) -> Mapping[int, str]:
    """Return what is wrong with inputs that do not match the tools' input schemas, by place."""
    inputs = [(job.worker_id, job.input) for job in jobs.values()]
    answers = await refuse_tool_inputs(db, inputs) if inputs else ()
    return {
        place: f"The input does not match the tool's input schema. {answer}"
        for place, answer in zip(jobs, answers, strict=True)
        if answer is not None
    }


def _no_such_tool(call: _RequestedCall) -> str:
    return f"There is no tool {call.worker[:100]!r}, or it takes no jobs."


def _failed_call(error: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_CallEnd(status=JobStatus.FAILED, error=error)))


def _failed(job: EndedJob, problem: str) -> EndedJob:
    return msgspec.structs.replace(
        job,
        status=JobStatus.FAILED,
        output=None,
        error=JobError(code=ErrorCode.HANDLER_ERROR, message=problem),
    )
