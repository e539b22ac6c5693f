"""From a fire to the end of its run: limits, agents, retries, events; exactly once each."""

import asyncio
from datetime import timedelta

import pytest

from runwright.automations import fire_sources
from runwright.automations.event_subscriptions import context_of
from runwright.automations.model import (
    FireLimit,
    RunRetryPolicy,
    RunStatus,
    TaskSpec,
    TaskStatus,
)
from runwright.automations.run_endings import LONGEST_DELAY, delay_before_next
from runwright.automations.settings import AutomationSettings
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import TaskId
from runwright.core.job_state import JobStatus
from runwright.core.template_context import TemplateContext
from runwright.events.model import Event
from runwright.events.publish import MAX_DEPTH
from runwright.schedules.tick_policy import CatchUp
from tests.integration.automations.world import EVERY_MINUTE, AutomationWorld

MINUTE = timedelta(minutes=1)
TWICE = RunRetryPolicy(strategy="backoff", max_retries=2, base_delay="10s")


async def test_a_tick_makes_one_run_and_its_agent_is_given_the_prompt(world: AutomationWorld) -> None:
    await world.agent()
    one = await world.job_automation(schedule=EVERY_MINUTE)
    world.forward(60)
    await world.tick()
    await world.tick()
    [run] = await world.runs(one)
    assert run.status is RunStatus.SCHEDULED
    assert run.scheduled_at == world.now
    assert run.fire_id == "fire_" + run.id.removeprefix("run_")
    await world.dispatch()
    assert await world.inputs() == [
        {
            "prompt": "do it",
            "activation": None,
            "run": {"id": run.id, "job_id": one.id, "trigger_id": None, "attempt": 1},
            "workspace_id": None,
        }
    ]
    assert (await world.again(run)).status is RunStatus.RUNNING
    assert await world.run_agents(output={"ok": True}) == 1
    ended = await world.again(run)
    assert (ended.status, ended.ended_at, ended.error) == (RunStatus.COMPLETED, world.now, None)
    [(told, ancestry)] = await world.events("automation.run.completed")
    assert told["run_id"] == run.id
    assert told["answer"] == {"ok": True}
    assert ancestry == [one.id]
    await world.assert_runs_whole()


async def test_an_event_fires_every_trigger_that_wants_it_once(world: AutomationWorld) -> None:
    await world.agent()
    plain = await world.trigger()
    picky = await world.trigger(filter={"data.what": "rain"})
    other = await world.trigger("custom.other")
    disabled = await world.trigger()
    await world.change(disabled, enabled=False)
    theirs = await world.trigger(tenant="ten_b")
    there = await world.trigger(workspace_id="ws-1")
    await world.publish("custom.happened", what="rain")
    await world.publish("custom.happened", what="sun")
    assert await world.route() == 3
    assert await world.route() == 0
    await world.dispatch()
    assert sorted(one["prompt"] for one in await world.inputs()) == ["see rain", "see rain", "see sun"]
    assert [len(await world.runs(one)) for one in (plain, picky, other, disabled, there)] == [2, 1, 0, 0, 0]
    assert await world.runs(theirs, "ten_b") == []
    [run] = await world.runs(picky)
    assert (run.fire_id, run.scheduled_at) == (None, None)
    await world.assert_runs_whole()


async def test_runs_that_were_made_together_all_count(world: AutomationWorld) -> None:
    """They have one time, and which of them is found first follows from where they lie."""
    await world.agent()
    limit = FireLimit(max=3, window="5m")
    one = await world.job_automation(
        schedule=EVERY_MINUTE, limit=limit, misfire_grace_seconds=3600, catch_up=CatchUp.ALL
    )
    world.forward(180)
    assert (await world.tick()).fired == 3
    await world.db.execute("CREATE TABLE moved AS SELECT * FROM automation_runs WHERE number = 1")
    await world.db.execute("DELETE FROM automation_runs WHERE number = 1")
    await world.db.execute("INSERT INTO automation_runs SELECT * FROM moved")
    world.forward(60)
    assert (await world.tick()).fired == 0
    assert len([run for run in await world.runs(one) if run.status is RunStatus.SCHEDULED]) == 3


async def test_what_is_switched_off_fires_nothing_and_has_nothing_to_catch_up_with(
    world: AutomationWorld,
) -> None:
    await world.agent()
    clock, trigger = await world.job_automation(schedule=EVERY_MINUTE), await world.trigger()
    world.settings.update(AutomationSettings(enabled=False))
    world.forward(60)
    assert (await world.tick()).skipped == 1
    await world.publish("custom.happened", what="rain")
    assert await world.route() == 0
    world.settings.update(AutomationSettings())
    assert (await world.tick()).schedules == 0
    assert await world.route() == 0
    assert [await world.runs(one) for one in (clock, trigger)] == [[], []]
    world.forward(60)
    assert (await world.tick()).fired == 1


async def test_a_trigger_of_a_workspace_sees_its_own_events_only(world: AutomationWorld) -> None:
    here = await world.trigger("session.stopped", workspace_id="ws-1", prompt="p")
    everywhere = await world.trigger("session.stopped", prompt="p")
    await world.publish("session.stopped", subject="workspace:ws-1")
    assert await world.route() == 1
    assert (len(await world.runs(here)), len(await world.runs(everywhere))) == (1, 0)


async def test_our_own_facts_fire_triggers_under_their_names_outside(world: AutomationWorld) -> None:
    worker = await world.agent()
    await world.trigger("ava.job.failed", prompt="{{ .Kind }} {{ .Data.worker_name }} {{ .Data.error.code }}")
    await world.trigger("job.failed", prompt="never")
    await world.job(worker)
    await world.run_agents(JobStatus.FAILED)
    assert await world.route() == 1
    await world.dispatch()
    assert (await world.inputs())[-1]["prompt"] == "ava.job.failed agent handler_error"


async def test_a_failed_attempt_is_kept_and_tried_again_later(world: AutomationWorld) -> None:
    await world.agent()
    one = await world.job_automation(retry=TWICE)
    run = await world.start(one)
    await world.dispatch()
    await world.run_agents(JobStatus.FAILED)
    waiting = await world.again(run)
    assert (waiting.status, waiting.attempt, waiting.session_id) == (RunStatus.SCHEDULED, 2, None)
    assert (await world.dispatch()).runs == 0
    world.forward(10)
    assert (await world.dispatch()).jobs == 1
    assert (await world.inputs())[-1]["run"]["attempt"] == 2
    await world.run_agents()
    ended = await world.again(run)
    assert (ended.status, ended.attempt, ended.error) == (RunStatus.COMPLETED, 2, None)
    attempts = await world.automations.runs.attempts("ten_a", run.id)
    assert [(a.attempt, a.status.value, a.error) for a in attempts] == [
        (1, "failed", "handler_error: no"),
        (2, "completed", None),
    ]
    assert attempts[0].session_id != attempts[1].session_id
    await world.assert_runs_whole()


async def test_after_the_last_retry_a_run_has_failed(world: AutomationWorld) -> None:
    await world.agent()
    one = await world.job_automation(schedule=EVERY_MINUTE, retry=TWICE)
    world.forward(60)
    await world.tick()
    for _ in range(3):
        await world.dispatch()
        await world.run_agents(JobStatus.FAILED)
        world.forward(30)
    [run] = await world.runs(one)
    assert (run.status, run.attempt, run.error) == (RunStatus.FAILED, 3, "handler_error: no")
    assert (run.delivery_error, run.delivery_error_at) == (run.error, run.ended_at)
    assert len(await world.events("automation.run.failed")) == 1
    await world.assert_runs_whole()


def test_the_wait_doubles_up_to_an_hour_and_spreads() -> None:
    base = timedelta(seconds=10)
    for attempt in range(1, 100):
        wait = delay_before_next("run-a", attempt, base)
        full = min(base * 2 ** min(attempt - 1, 20), LONGEST_DELAY)
        assert full * 0.75 <= wait <= full
        assert wait == delay_before_next("run-a", attempt, base)
    assert len({delay_before_next(f"run-{n}", 1, base) for n in range(50)}) > 40


async def test_an_unknown_agent_fails_the_run_and_says_so(world: AutomationWorld) -> None:
    one = await world.job_automation()
    run = await world.start(one)
    await world.dispatch()
    ended = await world.again(run)
    assert (ended.status, ended.error) == (RunStatus.FAILED, 'agent "agent" not found')


async def test_a_registration_gets_an_execution(world: AutomationWorld) -> None:
    world.registered.add("agent")
    one = await world.job_automation()
    run = await world.start(one)
    await world.dispatch()
    assert world.opened[0]["prompt"] == "do it"
    assert (await world.again(run)).session_id == f"exn_{run.id}"


async def test_a_prompt_that_cannot_be_filled_in_fails_its_run_alone(world: AutomationWorld) -> None:
    await world.agent()
    bad, good = await world.trigger(prompt="{{ .Data.missing }}"), await world.trigger()
    await world.publish("custom.happened", what="rain")
    await world.route()
    await world.dispatch()
    [failed], [fine] = await world.runs(bad), await world.runs(good)
    assert failed.status is RunStatus.FAILED
    assert "render trigger prompt template" in (failed.error or "")
    assert fine.status is RunStatus.RUNNING


async def test_a_missing_index_is_empty_and_warned_of(world: AutomationWorld) -> None:
    await world.agent()
    await world.trigger(prompt='[{{ index .Data "missing" }}]')
    await world.publish("custom.happened", what="rain")
    await world.route()
    await world.dispatch()
    assert (await world.inputs())[0]["prompt"] == "[]"
    await world.run_agents()
    [run] = await world.runs()
    assert len(run.warnings) == 1


async def test_an_answers_events_are_published_with_their_ancestry(world: AutomationWorld) -> None:
    await world.agent()
    one = await world.job_automation()
    listening = await world.trigger("custom.raised", prompt="{{ .Data.n }}")
    await world.start(one)
    await world.dispatch()
    events = [
        {"event": "custom.raised", "payload": {"n": 7}},
        {"event": "job.completed", "payload": {}},
        {"event": "Nonsense"},
    ]
    await world.run_agents(output={"events": events})
    [run] = await world.runs(one)
    assert len(run.warnings) == 2
    assert await world.events("custom.raised") == [({"n": 7}, [one.id])]
    assert await world.route() == 1
    await world.dispatch()
    assert (await world.inputs())[-1]["prompt"] == "7"
    [caused] = await world.runs(listening)
    assert caused.status is RunStatus.RUNNING


async def test_automations_that_fire_each_other_come_to_an_end(world: AutomationWorld) -> None:
    await world.agent()
    one = await world.trigger("custom.again", prompt="go on")
    await world.publish("custom.again")
    for _ in range(2 * MAX_DEPTH):
        await world.route()
        await world.dispatch()
        await world.run_agents(output={"events": [{"event": "custom.again"}]})
    runs = await world.runs(one)
    assert sum(run.status is RunStatus.COMPLETED for run in runs) == MAX_DEPTH
    [stopped] = [run for run in runs if run.status is RunStatus.CANCELLED]
    assert "loop protection" in (stopped.error or "")


async def test_a_job_with_a_task_leaves_it_to_others(world: AutomationWorld) -> None:
    one = await world.job_automation(task=TaskSpec(title="Look", network_channel="ops"))
    run = await world.start(one)
    await world.dispatch()
    ended = await world.again(run)
    assert ended.status is RunStatus.DELEGATED
    assert ended.ended_at is not None
    task = await world.automations.tasks.get("ten_a", TaskId(ended.task_id or ""))
    assert (task.spec.title, task.spec.description, task.status) == ("Look", "do it", "open")
    assert task.task_run_id == ended.task_run_id
    changed = await world.automations.tasks.change(
        world.caller(), task.id, status=TaskStatus.DONE, owner=None
    )
    assert changed.status is TaskStatus.DONE
    await world.assert_runs_whole()


async def test_a_waiting_run_is_cancelled_at_once_and_a_running_one_with_its_job(
    world: AutomationWorld,
) -> None:
    await world.agent()
    one = await world.job_automation(retry=TWICE)
    waiting = await world.start(one)
    assert (await world.automations.runs.cancel(world.caller(), waiting.id)).status is RunStatus.CANCELLED
    running = await world.start(one)
    await world.dispatch()
    await world.automations.runs.cancel(world.caller(), running.id)
    await world.follow()
    assert (await world.again(running)).status is RunStatus.CANCELLED
    with pytest.raises(ConflictError):
        await world.automations.runs.cancel(world.caller(), running.id)
    with pytest.raises(NotFoundError):
        await world.automations.runs.cancel(world.caller("ten_b"), running.id)
    await world.assert_runs_whole()


async def test_a_run_that_is_cancelled_while_it_is_dispatched_takes_its_job_along(
    world: AutomationWorld,
) -> None:
    await world.agent()
    run = await world.start(await world.job_automation())
    await world.start(await world.job_automation(agent="somebody"))
    world.may_open.clear()
    dispatching = asyncio.create_task(world.dispatch())
    await world.opening.wait()
    cancelling = asyncio.create_task(world.automations.runs.cancel(world.caller(), run.id))
    while not await world.db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
        await asyncio.sleep(0)
    world.may_open.set()
    await asyncio.gather(dispatching, cancelling)
    await world.follow()
    assert (await world.again(run)).status is RunStatus.CANCELLED
    assert await world.claim() == []
    await world.assert_runs_whole()


async def test_a_change_or_an_end_of_the_definition_does_not_touch_its_runs(world: AutomationWorld) -> None:
    await world.agent()
    one = await world.job_automation()
    run = await world.start(one)
    await world.change(one, prompt="something else")
    await world.automations.definitions.delete(world.caller(), one.kind, one.id)
    await world.dispatch()
    assert (await world.inputs())[0]["prompt"] == "do it"
    await world.run_agents()
    assert (await world.again(run)).status is RunStatus.COMPLETED


async def test_an_end_that_is_told_twice_or_late_changes_nothing(world: AutomationWorld) -> None:
    await world.agent()
    one = await world.job_automation(retry=RunRetryPolicy(strategy="backoff", max_retries=1, base_delay="1s"))
    run = await world.start(one)
    await world.dispatch()
    [claimed] = await world.claim()
    await world.finish(world.end_of(claimed, JobStatus.FAILED))
    await asyncio.gather(*(world.follow() for _ in range(4)))
    again = await world.again(run)
    assert (again.status, again.attempt) == (RunStatus.SCHEDULED, 2)
    assert len(await world.automations.runs.attempts("ten_a", run.id)) == 2


async def test_a_cancel_wins_over_an_end_that_nobody_has_acted_on_yet(world: AutomationWorld) -> None:
    await world.agent()
    run = await world.start(await world.job_automation(retry=TWICE))
    await world.dispatch()
    [claimed] = await world.claim()
    await world.finish(world.end_of(claimed))
    await world.automations.runs.cancel(world.caller(), run.id)
    await world.follow()
    assert (await world.again(run)).status is RunStatus.CANCELLED
    await world.assert_runs_whole()


async def test_an_event_is_decoded_once_for_all_triggers(
    world: AutomationWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.agent()
    for _ in range(4):
        await world.trigger(filter={"data.what": "smoke"})
    decoded: list[Event] = []

    def decode(event: Event, job_data: object = None) -> TemplateContext:
        decoded.append(event)
        return context_of(event, None if job_data is None else {})

    monkeypatch.setattr(fire_sources, "context_of", decode)
    await world.publish("custom.happened", what="smoke")
    await world.publish("custom.happened", what="fire")
    assert await world.route() == 4
    assert len(decoded) == 2
