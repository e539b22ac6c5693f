"""Runs whose agent uses other workers as tools."""

from collections.abc import Mapping

import msgspec
import pytest

from runwright.automations.model import NO_RETRY, Run, RunRetryPolicy, RunStatus
from runwright.automations.run_endings import CALLBACK_HANDLER, end_jobs
from runwright.core.job_state import JobStatus
from runwright.db.pool import Pool
from runwright.events.completion import take_due_callbacks
from runwright.jobs.completion_callbacks import JOB_ENDS
from runwright.tool_calls.service import TOOL, TOOLS_KEY, ToolCalls
from runwright.workers.model import Worker
from tests.integration.automations.world import AutomationWorld

ASKING = {
    "tool_calls": [{"id": "1", "worker": "look", "input": {}}, {"id": "2", "worker": "look", "input": {}}]
}


class ToolWorld(AutomationWorld):
    """An agent with a tool; ends go through the conversations, as in a server."""

    workers_by_name: Mapping[str, Worker]

    async def begin(self, retry: RunRetryPolicy = NO_RETRY) -> Run:
        agent, tool = await self.agent("agent"), await self.agent("look")
        await self.db.execute(
            "UPDATE workers SET config = $2 WHERE id = $1",
            *(agent.id, msgspec.json.encode({TOOLS_KEY: [{"worker": "look"}]})),
        )
        self.workers_by_name = {"agent": agent, "look": tool}
        run = await self.start(await self.job_automation(retry=retry))
        await self.dispatch()
        return run

    async def follow(self) -> None:
        handlers = ToolCalls({CALLBACK_HANDLER: end_jobs}, on_submitted=lambda: None).handlers()
        async with self.db.acquire() as db, db.transaction():
            due = await take_due_callbacks(
                db, JOB_ENDS, handlers=[CALLBACK_HANDLER, TOOL], limit=100, now=self.now
            )
            for kind in (CALLBACK_HANDLER, TOOL):
                ends = [(one.callback.subject_id, one.end) for one in due if one.callback.handler == kind]
                await handlers[kind](db, ends, self.now)

    async def count(self, table: str) -> int:
        return await self.db.fetchval(f"SELECT count(*) FROM {table}") or 0


@pytest.fixture
async def world(database: Pool) -> ToolWorld:
    return ToolWorld(database)


async def test_a_run_ends_with_the_last_job_of_its_agent(world: ToolWorld) -> None:
    run = await world.begin()
    assert await world.run_agents(output=ASKING) == 1
    assert (await world.again(run)).status is RunStatus.RUNNING
    assert await world.run_agents(output={"found": 1}) == 2
    assert (await world.again(run)).status is RunStatus.RUNNING
    assert await world.run_agents(output={"answer": "done", "events": [{"event": "custom.done"}]}) == 1
    assert (await world.again(run)).status is RunStatus.COMPLETED
    assert len(await world.events("custom.done")) == 1
    assert [facts["answer"]["answer"] for facts, _ in await world.events("automation.run.completed")] == [
        "done"
    ]
    await world.assert_runs_whole()


async def test_a_run_that_is_cancelled_while_its_tools_run_takes_them_along(world: ToolWorld) -> None:
    run = await world.begin()
    await world.run_agents(output=ASKING)
    running = await world.claim(capacity=1)
    cancelled = await world.automations.runs.cancel(world.caller(), run.id)
    assert cancelled.status is RunStatus.CANCELLED
    assert await world.count("agent_turns") == 0
    await world.finish(*(world.end_of(job, JobStatus.CANCELLED) for job in running))
    await world.follow()
    assert await world.claim() == []
    assert await world.count("jobs") == 3
    assert await world.count("completion_callbacks") == 0
    await world.assert_runs_whole()


async def test_a_run_that_is_cancelled_in_a_later_round_takes_the_agents_job_along(world: ToolWorld) -> None:
    run = await world.begin()
    await world.run_agents(output=ASKING)
    await world.run_agents(output={"found": 1})
    await world.automations.runs.cancel(world.caller(), run.id)
    await world.follow()
    assert (await world.again(run)).status is RunStatus.CANCELLED
    assert await world.claim() == []
    assert await world.count("agent_turns") == 0
    await world.assert_runs_whole()


async def test_the_next_attempt_continues_the_conversation(world: ToolWorld) -> None:
    """What the model and the tools have done already is not paid for again."""
    retry = RunRetryPolicy(strategy="backoff", max_retries=2, base_delay="1s")
    run = await world.begin(retry=retry)
    await world.run_agents(output=ASKING | {"state": {"asked": 1}})
    await world.run_agents(output={"found": 1})
    for attempt in (2, 3):
        await world.run_agents(JobStatus.FAILED)
        assert (await world.again(run)).attempt == attempt
        world.forward(10)
        assert (await world.dispatch()).jobs == 1
        *_, before, after = await world.inputs()
        assert (after["state"], after["tool_results"]) == ({"asked": 1}, before["tool_results"])
        assert (after["prompt"], after["run"]["attempt"]) == (before["prompt"], attempt)
    assert await world.run_agents(output={"answer": "done"}) == 1
    assert (await world.again(run)).status is RunStatus.COMPLETED
    assert await world.count("jobs") == 6, "the agent's four, and each tool once"
    await world.assert_runs_whole()


async def test_an_attempt_with_another_agent_begins_anew(world: ToolWorld) -> None:
    retry = RunRetryPolicy(strategy="backoff", max_retries=1, base_delay="1s")
    await world.begin(retry=retry)
    await world.run_agents(output=ASKING)
    await world.run_agents(output={"found": 1})
    await world.run_agents(JobStatus.FAILED)
    await world.db.execute("UPDATE workers SET name = 'former' WHERE name = 'agent'")
    await world.agent("agent")
    world.forward(10)
    await world.dispatch()
    assert not {"state", "tool_results"} & (await world.inputs())[-1].keys()
