"""Runs under way, fire limits, overlaps and turns: none passes its bound, and none is lost."""

import asyncio
from datetime import timedelta

import pytest

from runwright.automations import fire_sources
from runwright.automations.errors import FireLimitError
from runwright.automations.model import (
    FireLimit,
    RunRetryPolicy,
    RunStatus,
    ScheduleSpec,
)
from runwright.core.job_state import JobStatus
from runwright.offload.functions import TemplateResult
from runwright.schedules.tick_policy import CatchUp
from tests.integration.automations.world import EVERY_MINUTE, AutomationWorld


async def test_more_runs_than_may_be_under_way_wait_and_none_is_lost(world: AutomationWorld) -> None:
    await world.agent()
    world.settings.concurrency = 2
    one = await world.job_automation()
    for _ in range(5):
        await world.start(one)
    await world.dispatch()
    assert sorted(await world.statuses(one)) == ["running", "running", "scheduled", "scheduled", "scheduled"]
    await world.dispatch()
    assert await world.run_agents() == 2
    await world.dispatch()
    assert await world.run_agents() == 2
    await world.dispatch()
    assert await world.run_agents() == 1
    assert set(await world.statuses(one)) == {"completed"}
    await world.assert_runs_whole()


async def test_dispatchers_at_once_keep_to_the_bound_together(world: AutomationWorld) -> None:
    await world.agent()
    world.settings.concurrency = 3
    one = await world.job_automation()
    for _ in range(10):
        await world.start(one)
    await asyncio.gather(*(world.dispatch(limit=2) for _ in range(6)))
    assert (await world.statuses(one)).count("running") <= 3


async def test_one_tenants_runs_do_not_hold_up_anothers(world: AutomationWorld) -> None:
    await world.agent()
    await world.agent(tenant="ten_b")
    world.settings.concurrency = 1
    ours, theirs = await world.job_automation(), await world.job_automation(tenant="ten_b")
    for _ in range(3):
        await world.start(ours)
    await world.start(theirs)
    assert (await world.dispatch()).jobs == 2


async def test_the_fire_limit_is_a_rolling_window_and_refuses_by_hand(world: AutomationWorld) -> None:
    one = await world.job_automation(limit=FireLimit(max=2, window="10m"))
    await world.start(one)
    world.forward(60)
    await world.start(one)
    world.forward(60)
    with pytest.raises(FireLimitError) as refused:
        await world.start(one)
    assert refused.value.message == (
        "automation: fire limit reached: fires=2 limit=2 window=10m0s retry_at=2026-03-01T12:10:00Z"
    )
    assert len(await world.runs(one)) == 2
    world.forward(8 * 60 + 1)
    await world.start(one)
    with pytest.raises(FireLimitError):
        await world.start(one)


async def test_those_who_fire_at_once_never_pass_the_limit_together(world: AutomationWorld) -> None:
    one = await world.job_automation(limit=FireLimit(max=3, window="1h"))
    done = await asyncio.gather(*(world.start(one) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(answer, FireLimitError) for answer in done) == 5
    assert len(await world.runs(one)) == 3


async def test_what_was_cancelled_does_not_count(world: AutomationWorld) -> None:
    one = await world.job_automation(limit=FireLimit(max=1, window="1h"))
    run = await world.start(one)
    await world.automations.runs.cancel(world.caller(), run.id)
    await world.start(one)
    with pytest.raises(FireLimitError):
        await world.start(one)


async def test_a_limited_tick_is_cancelled_and_puts_the_schedule_off(world: AutomationWorld) -> None:
    one = await world.job_automation(schedule=EVERY_MINUTE, limit=FireLimit(max=1, window="10m"))
    world.forward(60)
    await world.tick()
    world.forward(60)
    await world.tick()
    first, second = await world.runs(one)
    assert (first.status, second.status) == (RunStatus.SCHEDULED, RunStatus.CANCELLED)
    assert second.error is not None
    assert second.error.startswith("automation: fire limit reached: fires=1 limit=1 window=10m0s")
    assert second.delivery_error is None
    shown = await world.automations.definitions.get("ten_a", one.kind, one.id)
    assert shown.schedule is not None
    assert shown.schedule.next_run_at == first.started_at + 10 * MINUTE
    world.now = first.started_at + 10 * MINUTE
    world.forward(0.001)
    await world.tick()
    assert (await world.statuses(one)) == ["scheduled", "cancelled", "scheduled"]


async def test_an_instant_really_fires_once(world: AutomationWorld) -> None:
    at = ScheduleSpec(mode="at", time="2026-03-01T13:00:00+00:30")
    one = await world.job_automation(schedule=at)
    for _ in range(3):
        world.forward(30 * 60)
        await world.tick()
    [run] = await world.runs(one)
    assert run.scheduled_at is not None
    assert f"{run.scheduled_at:%H:%M}" == "12:30"


async def test_the_window_holds_where_clocks_disagree(world: AutomationWorld) -> None:
    one = await world.job_automation(limit=FireLimit(max=2, window="10m"))
    for seconds in (500, -400):
        world.forward(seconds)
        await world.start(one)
    for seconds in (0, 450, 500):
        world.forward(seconds)
        with pytest.raises(FireLimitError):
            await world.start(one)
    world.forward(100)
    await world.start(one)
    times = [run.started_at for run in await world.runs(one)]
    assert times == sorted(times)


async def test_costly_prompts_are_rendered_outside_of_the_transaction_and_hold_up_no_other_tenant(
    world: AutomationWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_render, templates = asyncio.Event(), world.prompts._templates  # noqa: SLF001
    render = templates.render

    async def render_later(tenant_id: str, prompt: str, context: bytes) -> TemplateResult:
        await may_render.wait()
        return await render(tenant_id, prompt, context)

    monkeypatch.setattr(templates, "render", render_later)
    await world.agent()
    await world.agent(tenant="ten_b")
    costly = await world.trigger(prompt="{{ range 9000 }}{{ end }}see {{ .Data.what }}")
    await world.trigger(tenant="ten_b")
    await world.publish("custom.happened", what="smoke")
    await world.publish("custom.happened", tenant="ten_b", what="fire")
    await world.route()
    assert (await world.dispatch_ready()).jobs == 1
    assert list(world.prompts.rendering.values()) == ["ten_a"]
    assert (await world.dispatch_ready()).runs == 0
    may_render.set()
    await world.prompts.settled()
    assert (await world.dispatch_ready()).runs == 1
    [run] = await world.runs(costly)
    assert run.error == "render trigger prompt template: the template takes more than 50000 steps"
    assert not world.prompts.rendering


async def test_a_long_prompt_is_rendered_and_dispatched(world: AutomationWorld) -> None:
    await world.agent()
    await world.trigger(prompt="{{ .Data.what }} " * 100)
    await world.publish("custom.happened", what="smoke")
    await world.route()
    assert (await world.dispatch()).jobs == 1
    assert (await world.inputs())[0]["prompt"] == ("smoke " * 100).strip()


MINUTE = timedelta(minutes=1)
EVERY_SECOND = ScheduleSpec(mode="every", interval="1s")


async def _seconds(world: AutomationWorld, count: int) -> None:
    for _ in range(count):
        world.forward(1)
        await world.tick()
        await world.dispatch()


async def test_a_job_never_overlaps_itself_and_what_was_due_meanwhile_runs_afterwards(
    world: AutomationWorld,
) -> None:
    await world.agent()
    one, other = await world.job_automation(schedule=EVERY_SECOND), await world.job_automation()
    await _seconds(world, 6)
    assert sorted(await world.statuses(one)) == ["running", *["scheduled"] * 5]
    await world.start(other)
    await world.dispatch()
    assert await world.statuses(other) == ["running"], "it has a turn of its own"
    ended = []
    while "running" in await world.statuses(one):
        ended += [run.scheduled_at for run in await world.runs(one) if run.status == "running"]
        await world.run_agents()
        await world.dispatch()
    assert ended == [run.scheduled_at for run in await world.runs(one)]
    assert set(await world.statuses(one)) == {"completed"}
    await world.assert_runs_whole()


async def test_a_run_in_its_back_off_is_not_overtaken(world: AutomationWorld) -> None:
    await world.agent()
    retry = RunRetryPolicy(strategy="backoff", max_retries=1, base_delay="1h")
    one = await world.job_automation(schedule=EVERY_SECOND, retry=retry)
    await _seconds(world, 1)
    await world.run_agents(JobStatus.FAILED)
    await _seconds(world, 2)
    first, *_ = await world.runs(one)
    assert (first.status, first.attempt) == ("scheduled", 2)
    assert await world.statuses(one) == ["scheduled"] * 3


async def test_a_job_may_skip_while_a_run_is_live_or_overlap(world: AutomationWorld) -> None:
    await world.agent()
    skips = await world.job_automation(schedule=EVERY_SECOND, overlap="skip")
    allows = await world.job_automation(schedule=EVERY_SECOND, overlap="allow")
    await _seconds(world, 3)
    assert await world.statuses(skips) == ["running"]
    assert await world.statuses(allows) == ["running"] * 3
    reasons = await world.db.fetch("SELECT reason FROM ticks WHERE schedule_id = $1", skips.id)
    assert [row[0] for row in reasons].count("overlap") == 2
    await world.run_agents()
    await _seconds(world, 1)
    assert sorted(await world.statuses(skips)) == ["completed", "running"]


async def test_runs_that_wait_for_each_other_are_bounded(
    world: AutomationWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fire_sources, "MOST_WAITING", 3)
    await world.agent()
    one = await world.job_automation(schedule=EVERY_SECOND)
    await _seconds(world, 5)
    assert len(await world.runs(one)) == 3


async def test_one_automation_leaves_a_turn_to_others(world: AutomationWorld) -> None:
    await world.agent()
    greedy, other = await world.job_automation(), await world.job_automation()
    for _ in range(9):
        await world.start(greedy)
    await world.dispatch()
    assert (await world.statuses(greedy)).count("running") == world.settings.concurrency - 1
    for _ in range(3):
        await world.start(other)
    await world.dispatch()
    assert (await world.statuses(other)).count("running") == 1
    await world.run_agents()
    await world.dispatch()
    assert (await world.statuses(other)).count("running") == 2, "what is free goes round"
    await world.assert_runs_whole()


async def test_after_a_short_outage_late_ticks_are_one(world: AutomationWorld) -> None:
    await world.agent()
    schedule = ScheduleSpec(mode="every", interval="2s")
    one = await world.job_automation(schedule=schedule)
    latest = await world.job_automation(schedule=schedule, catch_up=CatchUp.LAST)
    every = await world.job_automation(schedule=schedule, catch_up=CatchUp.ALL)
    world.forward(22)
    await world.tick()
    assert [len(await world.runs(job)) for job in (one, latest, every)] == [1, 1, 11]
    assert (await world.runs(one))[0].scheduled_at == world.now
    await _seconds(world, 2)
    assert [len(await world.runs(job)) for job in (one, latest, every)] == [2, 2, 12]
