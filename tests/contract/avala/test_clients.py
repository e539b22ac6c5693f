"""The unmodified clients are the judges: the SDK (sync and async), its command line, and avala-agents."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import avala as sdk
import pytest
from avala.errors import AuthenticationError, ForbiddenError, NotFoundError, ValidationError
from avala_agents import (
    AgentActionError,
    AgentRegistrationError,
    EventContext,
    ResultContext,
    TaskAgent,
    TaskContext,
)
from tests.contract.avala.client import AVALA, FORBIDDEN, NOBODY, NOT_FOUND, UNAUTHORIZED, WAIT_SECONDS, Avala
from tests.contract.client import Api, data_of
from tests.contract.conftest import Server
from tests.waiting import until

PROJECT = "770a9600-a40d-63f6-c938-668877660000"
EVENTS = 1_000


class Organization:
    """One with a key, as a user has it; `avala` calls it in other ways."""

    def __init__(self, url: str, key: str, avala: Avala) -> None:
        self.url = url
        self.key = key
        self.avala = avala

    def make_key(self, role: str) -> str:
        return key_of(self.avala, role)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AVALA_API_KEY": self.key,
            "AVALA_BASE_URL": self.url,
            "AVALA_ALLOW_INSECURE_BASE_URL": "1",
            "NO_PROXY": "*",
        }


def key_of(avala: Avala, role: str = "tenant-system-admin") -> str:
    operator = Api(avala.http, key=avala.key, tenant=avala.tenant)
    key: str = data_of(operator.post("/v1/keys", {"role": role}), 201)["key"]
    return key


@pytest.fixture
def org(server: Server, avala: Avala, monkeypatch: pytest.MonkeyPatch) -> Organization:
    """Its key and its server are where the clients look for them: in the environment."""
    made = Organization(server.url + AVALA, key_of(avala), avala)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def test_the_sdk_registers_lists_changes_and_deletes_agents(org: Organization) -> None:
    with sdk.Client() as client:
        made = client.agents.create(name="QC", events=["result.submitted"], description="d", project=PROJECT)
        assert made.secret is not None
        assert made.created_at is not None
        again = client.agents.create(name="QC", events=["task.completed"], task_types=["polygon"])
        assert (again.uid, again.secret, again.project) == (made.uid, None, PROJECT)
        shown = client.agents.get(made.uid)
        assert (shown.events, shown.task_types, shown.execution_stats) == (
            ["task.completed"],
            ["polygon"],
            {},
        )
        changed = client.agents.update(made.uid, is_active=False, callback_url="https://a.example/")
        assert (changed.is_active, changed.callback_url) == (False, "https://a.example/")
        told = client.agents.test(made.uid)
        assert (told["success"], told["has_callback"]) == (True, True)
        [execution] = client.agents.list_executions(made.uid).items
        assert (execution.uid, execution.registration) == (told["execution_uid"], made.uid)
        limit, remaining = (client.rate_limit_info[name] for name in ("limit", "remaining"))
        assert int(limit or 0) > int(remaining or 0) > 0
        client.agents.delete(made.uid)
        assert client.agents.list().items == []
        assert [one.slug for one in client.organizations.list().items] == [org.avala.tenant]


@pytest.mark.usefixtures("org")
def test_the_sdk_walks_pages_by_cursor() -> None:
    with sdk.Client() as client:
        made = [client.agents.create(name=f"agent {n}", events=[]).uid for n in range(5)][::-1]
        seen, page = [], client.agents.list(limit=2)
        assert page.previous_cursor is None
        while True:
            seen += [one.uid for one in page.items]
            if not page.has_more:
                break
            page = client.agents.list(limit=2, cursor=page.next_cursor)
        assert seen == made
        assert [one.uid for one in client.agents.list(limit=2, cursor=page.previous_cursor)] == made[2:4]
        executions = [client.agents.test(made[0])["execution_uid"] for _ in range(3)][::-1]
        first = client.agents.list_executions(made[0], limit=2)
        rest = client.agents.list_executions(made[0], limit=2, cursor=first.next_cursor)
        assert [one.uid for one in (*first, *rest)] == executions
        assert not rest.has_more


def test_the_sdk_raises_what_it_has_for_each_error(org: Organization) -> None:
    with sdk.Client() as client:
        with pytest.raises(ValidationError) as invalid:
            client.agents.create(name="x", events=["no.such"], callback_url="http://x.example/")
        expected = {"events": ["Invalid events: no.such"], "callback_url": ["callback_url must use HTTPS."]}
        assert invalid.value.body == expected
        for uid in (NOBODY, "not-a-uid"):
            with pytest.raises(NotFoundError, match=NOT_FOUND):
                client.agents.get(uid)
    with sdk.Client(api_key=org.make_key("tenant-viewer")) as viewer:
        assert viewer.agents.list().items == []
        with pytest.raises(ForbiddenError, match=FORBIDDEN):
            viewer.agents.create(name="x", events=[])
    with (
        sdk.Client(api_key="avk_wrong") as nobody,
        pytest.raises(AuthenticationError, match=UNAUTHORIZED),
    ):
        nobody.agents.list()


@pytest.mark.usefixtures("org")
async def test_the_async_sdk_does_the_same() -> None:
    client = sdk.AsyncClient()
    try:
        made = await client.agents.create(name="QC", events=["result.submitted"])
        assert made.secret is not None
        assert (await client.agents.update(made.uid, description="d")).description == "d"
        told = await client.agents.test(made.uid)
        [execution] = (await client.agents.list_executions(made.uid)).items
        assert (execution.uid, execution.status) == (told["execution_uid"], "pending")
        assert (await client.agents.get(made.uid)).execution_stats == {"pending": 1}
        page = await client.agents.list(limit=1)
        assert [one.uid for one in page] == [made.uid]
        hook = await client.webhooks.create(target_url="https://hooks.invalid/", events=["task.completed"])
        assert [one.uid for one in await client.webhooks.list()] == [hook.uid]
        with pytest.raises(NotFoundError):
            await client.webhook_deliveries.get(NOBODY)
        await client.webhooks.delete(hook.uid)
        await client.agents.delete(made.uid)
    finally:
        await client.close()


@pytest.mark.usefixtures("org")
def test_the_sdk_looks_after_webhooks() -> None:
    with sdk.Client() as client:
        made = client.webhooks.create(
            target_url="https://hooks.invalid/", events=["result.submitted"], secret="my-own"
        )
        assert made.secret == "my-own"
        assert client.webhooks.get(made.uid).secret is None
        changed = client.webhooks.update(made.uid, events=["export.failed"], is_active=False)
        assert (changed.events, changed.is_active) == (["export.failed"], False)
        tested = client.webhooks.test(made.uid)
        assert (tested["success"], tested["message"]) == (False, "The URL's host has no address.")
        [delivery] = client.webhook_deliveries.list().items
        assert client.webhook_deliveries.get(delivery.uid) == delivery
        assert (delivery.subscription, delivery.event_type) == (made.uid, "webhook.test")
        assert (delivery.attempts, delivery.status, delivery.response_body) == (1, "failed", None)
        client.webhooks.delete(made.uid)
        assert client.webhooks.list().items == []


def run_avala(org: Organization, *arguments: str, input: str | None = None, status: int = 0) -> str:
    """Run the command line in a process of its own and return what it said."""
    program = str(Path(sys.executable).with_name("avala"))
    done = subprocess.run(
        [program, *arguments],
        env={"PATH": os.environ["PATH"], "COLUMNS": "200", **org.environment},
        input=input,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_the_command_line_looks_after_agents(org: Organization) -> None:
    made = run_avala(org, "agents", "create", "--name", "QC", "--events", "result.submitted, task.completed")
    [shown] = json.loads(run_avala(org, "-o", "json", "agents", "list"))
    uid = shown["uid"]
    assert f"Agent created: {uid} (QC)\nSecret: " in made
    assert shown["events"] in (["result.submitted", "task.completed"], "result.submitted, task.completed")
    assert "Agent test passed." in run_avala(org, "agents", "test", uid)
    assert "API error (400): HTTP 400" in run_avala(org, "agents", "create", "--name", "no events", status=1)
    assert f"Agent {uid} deleted." in run_avala(org, "agents", "delete", uid, "--yes")


def test_the_command_line_looks_after_webhooks_and_checks_keys(org: Organization) -> None:
    made = run_avala(
        org, "webhooks", "create", "--target-url", "https://hooks.invalid/", "--events", "result.submitted"
    )
    uid = made.split()[2]
    assert f"Webhook created: {uid}\nSecret: " in made
    tested = run_avala(org, "webhooks", "test", uid)
    assert tested == "Webhook test failed: The URL's host has no address.\n"
    configured = run_avala(org, "configure", input=f"{org.key}\n{org.url}\n")
    assert f"Validating API key... OK\n  Organization: {org.avala.tenant}\n" in configured


@contextmanager
def task_agent(name: str, project: str | None = None, *task_types: str) -> Iterator[TaskAgent]:
    agent = TaskAgent(name=name, poll_interval=0.05, project=project, task_types=list(task_types))
    try:
        yield agent
    finally:
        agent.close()


def test_a_task_agent_handles_what_is_pending_once(org: Organization) -> None:
    """avala-agents, `run_once`: each kind of event, each action, with what contexts read."""
    avala = org.avala
    seen: list[object] = []
    with task_agent("worker") as agent:

        @agent.on("result.submitted")
        def result(context: ResultContext) -> None:
            seen.append((context.task_uid, context.result_uid, context.task_type, context.project_uid))
            assert context.result_data == [{"box": 1}]
            actions: dict[str, Callable[[str], None]] = {
                "t-approve": context.approve,
                "t-reject": context.reject,
                "t-flag": context.flag,
            }
            actions[context.task_uid]("a reason")

        @agent.on("task.completed")
        def task(context: TaskContext) -> None:
            seen.append(context.task_status)
            context.skip()

        @agent.on("dataset.created")
        def dataset(context: EventContext) -> None:
            seen.append((context.resource_uid, context.resource_type, context.payload["event"]))
            context.approve()

        assert agent.run_once() == 0
        [registered] = avala.get("/agents/")["results"]
        assert registered["events"] == ["result.submitted", "task.completed", "dataset.created"]
        for action in ("approve", "reject", "flag"):
            given = {"result_uid": "r", "task_type": "polygon", "project_uid": PROJECT}
            avala.publish(task_uid=f"t-{action}", result_data=[{"box": 1}], **given)
        avala.publish("task.completed", task_status="done")
        avala.publish("dataset.created", dataset_uid="d-1")
        avala.await_executions(registered, 5)
        assert agent.run_once() == 5
        assert agent.run_once() == 0
    expected = [(f"t-{action}", "r", "polygon", PROJECT) for action in ("approve", "reject", "flag")]
    assert sorted(map(str, seen)) == sorted(
        map(str, [*expected, "done", ("d-1", "dataset", "dataset.created")])
    )
    done = {one["task"] or one["event_type"]: one for one in avala.executions(registered)}
    assert {name: one["action"] for name, one in done.items()} == {
        "t-approve": "approve",
        "t-reject": "reject",
        "t-flag": "flag",
        "task.completed": "skip",
        "dataset.created": "approve",
    }
    assert done["t-reject"]["response_payload"]["reason"] == "a reason"


def test_what_a_task_agent_cannot_handle_it_skips(org: Organization) -> None:
    """Unhandled types and failing handlers are skipped; a handler that decides nothing sees it again."""
    avala = org.avala
    seen: list[str] = []
    with task_agent("worker", PROJECT, "polygon", "box") as agent:

        @agent.on("result.submitted")
        def result(context: ResultContext) -> None:
            seen.append(context.task_uid)
            if context.task_uid == "fails":
                raise ValueError("no")
            if context.task_uid == "late":
                context.reject()
                context.approve()

        agent.run_once()
        [registered] = avala.get("/agents/")["results"]
        assert (registered["project"], registered["task_types"]) == (PROJECT, ["polygon", "box"])
        for task in ("undecided", "fails", "late", "other type"):
            kind = "line" if task == "other type" else "box"
            avala.publish(task_uid=task, project_uid=PROJECT, task_type=kind)
        avala.post(f"/agents/{registered['uid']}/test/")
        avala.await_executions(registered, 4)
        agent.run_once()
        assert agent.run_once() == 1
    assert sorted(seen) == ["fails", "late", "undecided", "undecided"]
    left = {one["task"] or one["event_type"]: one["action"] for one in avala.executions(registered)}
    assert left == {"undecided": None, "fails": "skip", "late": "reject", "agent.test": "skip"}


def context_of(agent: TaskAgent, execution_uid: str) -> TaskContext:
    """What a handler held when its execution was decided elsewhere."""
    return TaskContext(
        execution_uid=execution_uid,
        event_type="task.completed",
        task_uid="t",
        task_name=None,
        task_type=None,
        task_status=None,
        project_uid=None,
        _agent=agent,
    )


def test_a_task_agent_is_told_what_it_may_not(org: Organization) -> None:
    """Its errors carry the status: 401, 403, and 409 for a decision that is not the first."""
    for key, status in (("avk_wrong", 401), (org.make_key("tenant-member"), 403)):
        agent = TaskAgent(name="new", api_key=key)
        with pytest.raises(AgentRegistrationError) as refused:
            agent.run_once()
        assert refused.value.status_code == status
        agent.close()
    member = TaskAgent(name="known", api_key=org.make_key("tenant-member"))
    made = org.avala.make_agent(name="known", events=[])
    uid = org.avala.post(f"/agents/{made['uid']}/test/")["execution_uid"]
    assert member.run_once() == 1
    with pytest.raises(AgentActionError) as late:
        context_of(member, uid).approve()
    assert late.value.status_code == 409
    member.close()


def test_two_processes_of_one_agent_decide_each_of_a_thousand_events_once(
    org: Organization, tmp_path: Path
) -> None:
    """Issue 5: unmodified pollers, leased by `poll_lease_seconds`."""
    avala, name = org.avala, f"shared {uuid4().hex}"
    agent = avala.make_agent(name=name, poll_lease_seconds=120)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: avala.publish(task_uid=f"t-{n}"), range(EVENTS)))
    outputs = [tmp_path / f"{number}.txt" for number in range(2)]
    with ExitStack() as stack:
        for path in outputs:
            stack.enter_context(running(org, name, path))
        until(
            lambda: avala.get(f"/agents/{agent['uid']}/")["execution_stats"],
            lambda stats: stats == {"completed": EVENTS},
            seconds=3 * WAIT_SECONDS,
        )
    handled = [path.read_text().split() for path in outputs]
    assert all(handled)
    assert len(handled[0]) + len(handled[1]) == EVENTS
    assert len({*handled[0], *handled[1]}) == EVENTS


@contextmanager
def running(org: Organization, name: str, output: Path) -> Iterator[None]:
    """Run task_agent.py until the end of the block."""
    program = Path(__file__).with_name("task_agent.py")
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, str(program), name],
            env={"PATH": os.environ["PATH"], **org.environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)
