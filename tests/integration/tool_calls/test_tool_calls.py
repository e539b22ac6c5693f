"""Agents that use other workers as tools: their calls are made and handled once, and only where permitted."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest

from runwright.core.job_state import JobStatus
from runwright.db.pool import Pool, PoolConnection
from runwright.events.completion import (
    CompletionCallback,
    CompletionTarget,
    add_callbacks,
    take_due_callbacks,
)
from runwright.jobs.completion_callbacks import JOB_ENDS, EndedJob, record_ancestry
from runwright.jobs.model import ClaimedAttempt
from runwright.tool_calls.service import MOST_ROUNDS, TOOL, TOOLS_KEY, ToolCalls
from runwright.tool_calls.store import abandon_turns
from runwright.workers.model import NewWorker, RuntimeName, Worker, WorkerChanges, WorkerStatus
from tests.integration.jobs.world import World

KIND = "test"


class Session:
    """An agent with two tools, a callback for its end, and an executor that ends jobs as the test decides."""

    def __init__(self, db: Pool) -> None:
        self.world = World(db)
        self.handled: list[tuple[str, EndedJob]] = []
        self.submitted = 0
        self.tool_calls = ToolCalls({KIND: self.on_end}, on_submitted=self.on_submitted)
        self.workers: dict[str, Worker] = {}

    async def on_end(self, _: PoolConnection, ends: Sequence[tuple[str, EndedJob]], _now: datetime) -> None:
        self.handled += ends

    def on_submitted(self) -> None:
        self.submitted += 1

    async def begin(self, tools: object = None, tenant: str = "ten_a") -> None:
        await self.world.executor()
        config: dict[str, Any] = {
            TOOLS_KEY: [{"worker": "look"}, {"worker": "count"}] if tools is None else tools
        }
        for name, of, settings in (("agent", tenant, config), ("look", tenant, {}), ("count", tenant, {}),
                                   ("secret", tenant, {}), ("look", "ten_b", {})):  # fmt: skip
            worker = await self.world.workers.create(
                self.world.caller(of),
                NewWorker(name=name, runtime=RuntimeName.PYTHON, source_code="x", config=settings),
            )
            self.workers.setdefault(name, worker)
        await self.start_agent()

    async def start_agent(self, subject: str = "run-1") -> None:
        agent = self.workers["agent"]
        given = b'{"prompt":"go","state":"forged"}'
        job = await self.world.jobs.submit(self.world.submission(agent.id, agent.tenant_id, input=given))
        async with self.world.db.acquire() as db, db.transaction():
            await add_callbacks(db, CompletionTarget.JOB, [CompletionCallback(job.id, KIND, subject)])
            await record_ancestry(db, [job.id], ["trg-1"])

    async def dispatch(self) -> None:
        """What the completion dispatcher does in a pass."""
        handlers = self.tool_calls.handlers()
        async with self.world.db.acquire() as db, db.transaction():
            due = await take_due_callbacks(
                db, JOB_ENDS, handlers=list(handlers), limit=100, now=self.world.now
            )
            for kind, handler in handlers.items():
                ends = [(one.callback.subject_id, one.end) for one in due if one.callback.handler == kind]
                if ends:
                    await handler(db, ends, self.world.now)

    async def finish(
        self, outputs: dict[str, object], status: JobStatus = JobStatus.COMPLETED
    ) -> list[ClaimedAttempt]:
        """End the ready jobs with the outputs of their workers, and handle that."""
        names: dict[str, str] = {worker.id: name for name, worker in self.workers.items()}
        claimed = await self.world.claim()
        await self.world.finish(
            *(
                msgspec.structs.replace(
                    self.world.end_of(job, status),
                    output=json.dumps(outputs[names[job.worker_id]]).encode()
                    if status is JobStatus.COMPLETED
                    else None,
                )
                for job in claimed
            )
        )
        await self.dispatch()
        return claimed

    async def input_of(self, name: str) -> Any:  # noqa: ANN401  whatever a job is given
        """The input of the one job of this worker that waits."""
        [text] = await self.world.db.fetchrow(
            "SELECT j.input FROM jobs j JOIN job_queue q ON q.job_id = j.id WHERE j.worker_id = $1",
            self.workers[name].id,
        ) or [b"null"]
        return json.loads(bytes(text))

    async def left(self) -> int:
        return (
            await self.world.db.fetchval(
                "SELECT (SELECT count(*) FROM agent_turns) + (SELECT count(*) FROM tool_calls)"
                " + (SELECT count(*) FROM completion_callbacks)"
            )
            or 0
        )


@pytest.fixture
async def session(database: Pool) -> Session:
    return Session(database)


def asks(*workers: str, state: object = None, **fields: object) -> dict[str, object]:
    calls = [{"id": f"c{n}", "worker": worker, "input": {"n": n}} for n, worker in enumerate(workers)]
    return {"tool_calls": calls, "state": state, **fields}


async def test_an_agent_is_called_again_with_what_its_tools_found_until_it_answers(session: Session) -> None:
    await session.begin()
    await session.finish({"agent": asks("look", "count", state={"step": 1})})
    assert session.handled == []
    assert await session.input_of("look") == {"n": 0}
    assert await session.input_of("count") == {"n": 1}
    await session.finish({"look": {"found": 7}, "count": [1, 2]})
    assert await session.input_of("agent") == {
        "prompt": "go",
        "state": {"step": 1},
        "tool_results": [
            {"id": "c0", "worker": "look", "status": "completed", "output": {"found": 7}, "error": None},
            {"id": "c1", "worker": "count", "status": "completed", "output": [1, 2], "error": None},
        ],
    }
    await session.finish({"agent": asks("look", state={"step": 2})})
    await session.finish({"look": "again"})
    [last] = await session.finish({"agent": {"answer": "done"}})
    [(subject, job)] = session.handled
    assert (subject, job.id, json.loads(bytes(job.output or b""))) == (
        "run-1",
        last.job_id,
        {"answer": "done"},
    )
    assert await session.left() == 0
    assert session.submitted == 4
    await session.world.assert_whole()


async def test_the_agent_waits_for_its_slowest_tool(session: Session) -> None:
    await session.begin()
    await session.finish({"agent": asks("look", "count")})
    look, count = await session.world.claim()
    for job in (look, count):
        assert await session.input_of("agent") is None
        await session.world.finish(session.world.end_of(job))
        await session.dispatch()
    assert [result["output"] for result in (await session.input_of("agent"))["tool_results"]] == [
        {"a": 1}
    ] * 2


@pytest.mark.parametrize("worker", ["secret", "nobody", "agent", "wkr_x"])
async def test_a_worker_that_the_agent_may_not_call_is_not_called(session: Session, worker: str) -> None:
    await session.begin()
    await session.finish({"agent": asks(worker)})
    [result] = (await session.input_of("agent"))["tool_results"]
    assert result["status"] == "failed"
    assert f"no tool '{worker}'" in result["error"]
    assert [job.worker_id for job in await session.world.claim()] == [session.workers["agent"].id]


async def test_a_call_that_does_not_match_the_tools_input_schema_is_answered_with_what_is_wrong(
    session: Session,
) -> None:
    await session.begin()
    await session.world.db.execute(
        """UPDATE workers SET input_schema = '{"properties": {"n": {"minimum": 1}}, "required": ["n"]}'"""
    )
    await session.finish({"agent": asks("look", "count")})
    assert await session.input_of("look") is None
    assert await session.input_of("count") == {"n": 1}
    await session.finish({"count": "two"})
    refused, done = (await session.input_of("agent"))["tool_results"]
    assert refused["status"] == "failed"
    assert (
        refused["error"] == "The input does not match the tool's input schema. input.n: Must be at least 1."
    )
    assert (done["status"], done["output"]) == ("completed", "two")


async def test_a_worker_of_another_tenant_is_not_called(session: Session) -> None:
    await session.begin()
    session.workers["theirs"] = (await session.world.workers.create(
        session.world.caller("ten_b"), NewWorker(name="count2", runtime=RuntimeName.PYTHON, source_code="x")
    ))  # fmt: skip
    await session.world.db.execute(
        "UPDATE workers SET config = $2 WHERE id = $1",
        session.workers["agent"].id,
        json.dumps({TOOLS_KEY: [{"worker": "count2"}, {"worker": session.workers["theirs"].id}]}).encode(),
    )
    await session.finish({"agent": asks("count2", session.workers["theirs"].id)})
    assert [result["status"] for result in (await session.input_of("agent"))["tool_results"]] == [
        "failed"
    ] * 2


@pytest.mark.parametrize("tools", ['[{"worker": "look"}]', [{"worker": "look", "description": "looks"}]])
async def test_the_list_of_tools_may_be_json_or_its_text(session: Session, tools: object) -> None:
    await session.begin(tools)
    await session.finish({"agent": asks("look")})
    assert await session.input_of("look") == {"n": 0}


@pytest.mark.parametrize(
    "output",
    [{"tool_calls": "none"}, {"tool_calls": [{"id": 1}]}, {"answer": 'the word "tool_calls"'}, ["tool_calls"], "x", None],
)  # fmt: skip
async def test_an_output_that_asks_for_nothing_is_an_answer(session: Session, output: object) -> None:
    await session.begin()
    await session.finish({"agent": output})
    assert [job.status for _, job in session.handled] == [JobStatus.COMPLETED]
    assert await session.left() == 0


async def test_a_worker_that_is_no_agent_may_answer_whatever_it_likes(session: Session) -> None:
    await session.begin()
    await session.world.db.execute("UPDATE workers SET config = '{}'")
    await session.finish({"agent": asks("look")})
    assert [json.loads(bytes(job.output or b"")) for _, job in session.handled] == [asks("look")]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (asks(*["look"] * 9), "1 to 8 tools at a time, not 9"),
        (asks(), "not 0"),
        (asks("look", state="x" * 400_000), "state may have"),
    ],
)
async def test_an_agent_that_asks_for_too_much_has_failed(
    session: Session, output: dict[str, object], says: str
) -> None:
    await session.begin()
    await session.finish({"agent": output})
    [(_, job)] = session.handled
    assert (job.status, job.output) == (JobStatus.FAILED, None)
    assert job.error is not None
    assert says in job.error.message
    assert await session.left() == 0


async def test_an_agent_that_never_answers_comes_to_an_end(session: Session) -> None:
    await session.begin()
    await session.finish({"agent": asks("look")})
    await session.finish({"look": 1})
    await session.world.db.execute("UPDATE agent_turns SET round = $1", MOST_ROUNDS)
    await session.finish({"agent": asks("look")})
    assert [job.status for _, job in session.handled] == [JobStatus.FAILED]
    assert await session.left() == 0


async def test_a_tool_that_fails_or_says_too_much_is_told_to_the_agent(session: Session) -> None:
    await session.begin()
    await session.finish({"agent": asks("look")})
    await session.finish({}, JobStatus.FAILED)
    [result] = (await session.input_of("agent"))["tool_results"]
    assert (result["status"], result["error"]) == ("failed", "no")
    await session.finish({"agent": asks("look")})
    await session.finish({"look": "x" * 70_000})
    [result] = (await session.input_of("agent"))["tool_results"]
    assert (result["output"], result["error"]) == (None, "The output has more than 65536 bytes.")


async def test_an_agent_that_is_paused_while_its_tools_run_has_failed(session: Session) -> None:
    await session.begin()
    await session.finish({"agent": asks("look")})
    caller = session.world.caller()
    await session.world.workers.change(
        caller, session.workers["agent"].id, WorkerChanges(status=WorkerStatus.PAUSED)
    )
    await session.finish({"look": 1})
    [(subject, job)] = session.handled
    assert (subject, job.status) == ("run-1", JobStatus.FAILED)
    assert await session.left() == 0


async def test_a_tool_that_is_paused_is_an_answer(session: Session) -> None:
    await session.begin()
    caller = session.world.caller()
    await session.world.workers.change(
        caller, session.workers["look"].id, WorkerChanges(status=WorkerStatus.PAUSED)
    )
    await session.finish({"agent": asks("look", "count")})
    await session.finish({"count": 2})
    results = (await session.input_of("agent"))["tool_results"]
    assert [result["status"] for result in results] == ["failed", "completed"]


async def test_a_crash_while_an_end_is_taken_neither_loses_nor_doubles_a_call(session: Session) -> None:
    await session.begin()

    def crash() -> None:
        raise RuntimeError

    whole = session.tool_calls
    session.tool_calls = ToolCalls({KIND: session.on_end}, on_submitted=crash)
    with pytest.raises(RuntimeError):
        await session.finish({"agent": asks("look")})
    session.tool_calls = whole
    await session.dispatch()
    await session.finish({"look": 1})
    await session.finish({"agent": "done"})
    assert len(session.handled) == 1
    assert await session.world.db.fetchval("SELECT count(*) FROM jobs") == 3


async def test_what_is_given_up_names_the_jobs_that_still_run_and_goes_no_further(session: Session) -> None:
    await session.begin()
    await session.finish({"agent": asks("look", "count")})
    running = {job.job_id: job for job in await session.world.claim()}
    async with session.world.db.acquire() as db, db.transaction():
        assert sorted((await abandon_turns(db, kind=KIND, subject_id="run-1"))[1:]) == sorted(running)
    await session.world.finish(*[session.world.end_of(job) for job in running.values()])
    await session.dispatch()
    assert await session.input_of("agent") is None
    assert await session.left() == 0


async def test_every_job_has_the_ancestry_of_the_agent(session: Session) -> None:
    await session.begin()
    await session.finish({"agent": asks("look")})
    await session.finish({"look": 1})
    paths = await session.world.db.fetch("SELECT path FROM job_ancestry")
    assert [row[0] for row in paths] == [["trg-1"]] * 3


async def test_two_runs_of_one_agent_do_not_mix(session: Session) -> None:
    await session.begin()
    await session.start_agent("run-2")
    await session.finish({"agent": asks("look")})
    await session.finish({"look": 1})
    await session.finish({"agent": "done"})
    assert sorted(subject for subject, _ in session.handled) == ["run-1", "run-2"]


def test_the_kind_of_tools_is_not_one_that_others_use() -> None:
    assert set(ToolCalls({"run": None}, on_submitted=print).handlers()) == {TOOL, "run"}  # type: ignore[dict-item]
