"""The SDK's other resources with a real server: each call once, and what comes back."""

import pytest
from tests.contract.conftest import PLATFORM_KEY, Server
from tests.contract.sdk.conftest import ECHO, WAIT
from tests.waiting import eventually

from runwright import AsyncRunwright, Runwright
from runwright.client import ApiError
from runwright.client.models.agents import ExecutionInfo

NEVER = "0 0 1 1 *"


def test_schedules(rw: Runwright) -> None:
    rw.workers.create("nightly", "python", source_code=ECHO)
    made = rw.schedules.create("nightly", NEVER, "Europe/Berlin", name="Night", input={"n": 1})
    assert rw.schedules.get(made.id) == made == rw.schedules.list(q="night").first()
    assert rw.schedules.update(made.id, jitter_seconds=5).jitter_seconds == 5
    assert not rw.schedules.pause(made.id).enabled
    job = rw.schedules.run(made.id)
    assert rw.jobs.wait(job.id, WAIT).output == {"n": 1}
    assert [tick.origin for tick in rw.schedules.ticks(made.id)] == ["manual"]
    assert rw.schedules.resume(made.id).enabled
    assert rw.schedules.backfill(made.id, "-24h", dry_run=True).matched == 0
    assert len(rw.schedules.preview(made.id, 3).firings) == 3
    assert rw.schedules.preview_expression("0 9 * * *", "UTC", 1).firings[0].local.endswith("09:00:00+00:00")
    rw.schedules.delete(made.id)
    assert list(rw.schedules.list()) == []


def test_secrets_webhooks_and_deliveries(rw: Runwright) -> None:
    assert rw.secrets.set("TOKEN", "s3cret-value").name == "TOKEN"
    assert [one.name for one in rw.secrets.list(q="tok")] == ["TOKEN"]
    rw.secrets.delete("TOKEN")
    hook = rw.webhooks.create("https://hooks.invalid/", ["ava.job.failed"])
    assert hook.secret
    assert hook.secret not in repr(hook)
    assert rw.webhooks.update(hook.id, status="paused").status == "paused"
    assert rw.webhooks.rotate_secret(hook.id, overlap_seconds=0).secret
    assert not rw.webhooks.test(hook.id).success
    assert rw.webhooks.list().first() == rw.webhooks.get(hook.id)
    rw.webhooks.update(hook.id, status="active")
    [delivery] = rw.deliveries.list(hook.id, status="abandoned")
    assert rw.deliveries.redeliver(hook.id, delivery.id).id == delivery.id
    rw.webhooks.delete(hook.id)
    with pytest.raises(ApiError, match="404"):
        rw.webhooks.get(hook.id)


def test_agents_decide_and_people_answer(rw: Runwright) -> None:
    agent = rw.agents.register("reviewer", ["custom.asked"], task_types=["polygon"])
    assert agent.secret
    assert rw.agents.update(agent.uid, task_types=[]).task_types == []
    assert rw.events.publish("custom.asked", {"n": 1}).executions == 1
    [leased] = _leased(rw, agent.uid)
    rw.agents.act(leased.uid, "flag", reason="Look at this")
    [question] = rw.inbox.list()
    assert (question.question, question.status) == ("Look at this", "waiting")
    assert rw.inbox.answer(question.id, "approve", note="Fine").status == "answered"
    assert rw.inbox.get(question.id).payload is not None
    asked = rw.inbox.ask("Refund?", {"order": 12}, subject="order 12", answers=["yes", "no"])
    assert (asked.payload, asked.status) == ({"order": 12}, "waiting")
    assert rw.inbox.withdraw(asked.id).status == "withdrawn"
    assert rw.agents.execution(leased.uid).action == "approve"
    assert [one.uid for one in rw.agents.executions(agent.uid, status="completed")] == [leased.uid]
    assert rw.agents.list().first() is not None
    rw.agents.delete(agent.uid)


def _leased(rw: Runwright, uid: str) -> list[ExecutionInfo]:
    """Poll, as agents do, until the router has handed the event over."""
    return list(eventually(lambda: rw.agents.claim(uid, seconds=60)))


def test_automations(rw: Runwright) -> None:
    rw.workers.create("digest", "python", source_code=ECHO)
    job = rw.automations.jobs.create(
        "global", "Morning", {"mode": "cron", "expr": NEVER}, agent_name="digest", prompt="Sum up."
    )
    assert rw.automations.jobs.update(job.id, enabled=False).enabled is False
    run = rw.automations.jobs.trigger(job.id, wait=WAIT)
    assert run.status == "completed"
    assert rw.automations.runs.get(run.id) == run == rw.automations.jobs.runs(job.id).first()
    assert [one.status for one in rw.automations.runs.attempts(run.id)] == ["completed"]
    hook = rw.automations.triggers.create(
        "global", "Pushed", "webhook", agent_name="digest", prompt="{{ .Data }}", endpoint_slug="push",
        webhook_secret_value="a-secret-value",
    )  # fmt: skip
    assert (hook.webhook_path or "").startswith("/api/webhooks/global/push--wbh_")
    assert {one.id for one in rw.automations.triggers.list()} == {hook.id}
    assert rw.automations.publish("custom.happened", {"n": 1}).event == "custom.happened"
    rw.automations.jobs.delete(job.id)


def test_who_and_what_the_server_is(server: Server, rw: Runwright, tenant: str) -> None:
    who = rw.whoami()
    assert (who.tenant_id, who.role, who.operator) == (tenant, "tenant-system-admin", False)
    assert rw.tenants.usage(tenant).quotas["running_jobs"].used == 0
    assert {one.name for one in rw.runtimes.list()} >= {"python"}
    assert (rw.queues.all().total_queued, rw.analytics.report(days=1).jobs.total) == (0, 0)
    made = rw.keys.create("tenant-viewer", name="look", scopes=["read"])
    assert made.key
    assert made.key not in repr(made)
    with Runwright(server.url, rw.keys.rotate(made.id).key) as viewer, pytest.raises(ApiError) as refused:
        viewer.workers.create("no", "python")
    assert refused.value.status == 403
    assert rw.keys.revoke(made.id).revoked_at is not None
    assert rw.audit.list(action="key.*").first() is not None
    with Runwright(server.url, PLATFORM_KEY, tenant=tenant, user="usr_1", role="platform-admin") as operator:
        assert operator.system().version == who.server_version
        assert operator.tenants.update(tenant, limits={"queued_jobs": 7}).limits.queued_jobs == 7
        assert operator.tenants.suspend(tenant).status == "suspended"
        assert operator.tenants.reactivate(tenant).status == "active"


def test_a_stream_brings_what_happens(rw: Runwright) -> None:
    entries = iter(rw.stream(type="custom.*"))
    assert next(entries).kind == "open"
    published = rw.events.publish("custom.first", {"n": 1})
    entry = next(entries)
    assert entry.event is not None
    assert (entry.kind, entry.event.id, entry.event.data) == ("event", published.id, {"n": 1})
    assert rw.events.list(type="custom.*").first() == rw.events.get(published.id)


async def test_the_asynchronous_face_streams_too(server: Server, key: str) -> None:
    async with AsyncRunwright(server.url, key) as client:
        async for entry in client.stream():
            assert entry.kind == "open"
            break
