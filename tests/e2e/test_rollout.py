"""A rollout: the last release's own code works on the newest schema, alone and beside this version.

The protocol is in `runwright.db.migrator`. Every part that has tables is used over HTTP: jobs, secrets,
schedules, webhooks in both dialects, agents that poll, are called or are workers, automations.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import httpx
import pytest
from tests.contract.agh.client import Agh, answer
from tests.contract.avala.client import Avala
from tests.contract.client import Api, RawClient, data_of
from tests.contract.conftest import PLATFORM_KEY, Server, serving
from tests.receiver import Receiver, receiving
from tests.releases import installed_release, last_release
from tests.webhook_sender import agh_headers

PATIENCE_SECONDS: Final = 60.0
SECRET: Final = "webhook-secret"
WORKER: Final = """
import time

def handler(input, env):
    time.sleep(input.get("seconds", 0))
    if input.get("fails"):
        raise RuntimeError("as asked")
    print("secret of", len(env["TOKEN"]), "characters")
    return {"n": input.get("n"), "action": "approve"}
"""

Json = Any
"""What a body holds; which of it is right is for the tests to say."""


def until(condition: Callable[[], Json], what: str) -> Json:
    """Ask until the answer is true; return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


class Tenant:
    """A tenant with one of everything, which any server of the database can be asked for."""

    def __init__(self, server: Server, receiver: Receiver, database_url: str) -> None:
        self.name = f"ten_{uuid4().hex}"
        self._receiver = receiver
        self._database_url = database_url
        with self._http(server) as http:
            api, avala, agh = self._clients(http)
            assert api.call("PUT", "/secrets/TOKEN", json={"value": "12345"}).status_code in {200, 201}
            self.worker = api.make_worker(name="echo", source_code=WORKER, secrets=["TOKEN"], max_retries=1)
            self.schedule = api.make_schedule(self.worker["id"], input={"n": 7})
            api.make_webhook(url=f"{receiver.url}/{self.name}/ava", events=["*", "custom.*"])
            avala.make_webhook(target_url=f"{receiver.url}/{self.name}/avala", events=["result.submitted"])
            self.polls = avala.make_agent(name="polls")
            self.called = avala.make_agent(name="called", callback_url=f"{receiver.url}/{self.name}/agent")
            self.works = avala.make_agent(name="works", worker=self.worker["id"])
            self.automation = agh.make_job(agent_name="echo", fire_limit={"max": 1000, "window": "1h"})
            self.trigger = agh.make_webhook_trigger(
                prompt="got {{.Data.n}}",
                webhook_secret_value=SECRET,
                fire_limit={"max": 1000, "window": "1h"},
            )

    def use(self, server: Server) -> None:
        """Use everything through this server; whichever process of the database does the work."""
        with self._http(server) as http:
            api, avala, agh = self._clients(http)
            self._use_jobs(api)
            self._use_schedules(server, api)
            self._use_agents(avala)
            self._use_automations(agh)

    def begin_jobs(self, server: Server) -> list[str]:
        """Submit jobs that run, wait for a slot, for a retry and for a later time; return those that will end."""
        with self._http(server) as http:
            api, _, _ = self._clients(http)
            made = [
                *(api.make_job(self.worker["id"], input={"n": n, "seconds": 0.5}) for n in range(20)),
                api.make_job(self.worker["id"], input={"fails": True}),
                api.make_job(self.worker["id"], scheduled_at="2099-01-01T00:00:00Z"),
            ]
        return [job["id"] for job in made[:-1]]

    def await_jobs(self, server: Server, ids: list[str]) -> None:
        """Wait until all of these have ended as they should."""
        with self._http(server) as http:
            api, _, _ = self._clients(http)
            ended = [_until_ended(api, one) for one in ids]
        assert [job["status"] for job in ended] == ["completed"] * (len(ids) - 1) + ["failed"]

    def _use_jobs(self, api: Api) -> None:
        job = api.run_job(self.worker["id"], input={"n": 1})
        assert (job["status"], job["output"]) == ("completed", {"n": 1, "action": "approve"})
        lines = until(lambda: api.get(f"/jobs/{job['id']}/logs").json()["data"]["logs"], "lines of the job")
        assert "secret of 5 characters" in [line["msg"] for line in lines]
        assert api.run_job(self.worker["id"], input={"fails": True})["status"] == "failed"
        later = api.make_job(self.worker["id"], scheduled_at="2099-01-01T00:00:00Z")
        assert data_of(api.post(f"/jobs/{later['id']}/cancel"))["status"] == "cancelled"
        assert api.get("/jobs").json()["data"]
        assert data_of(api.get(f"/workers/{self.worker['id']}"))["id"] == self.worker["id"]
        self._await_told("ava", job["id"])

    def _use_schedules(self, server: Server, api: Api) -> None:
        before = len(self._fired(api))
        asyncio.run(self._make_due())
        tick = until(lambda: self._fired(api)[before:], "a firing of the schedule")[0]
        assert _until_ended(api, tick["job_id"])["output"]["n"] == 7
        assert api.patch(f"/schedules/{self.schedule['id']}", {"name": server.url}).status_code == 200

    def _use_agents(self, avala: Avala) -> None:
        mark = uuid4().hex
        published = avala.publish(result_uid=mark)
        assert published["executions"] == 3
        until(lambda: mark in self._told("agent"), "the call of an agent")
        [polled] = until(lambda: avala.executions(self.polls, status="pending", claim="60"), "work to poll")
        assert polled["event_payload"]["result_uid"] == mark
        assert avala.act(polled, "approve", reason="fine").status_code == 200
        until(lambda: not avala.executions(self.works, status="pending"), "the start of an agent's worker")
        until(
            lambda: avala.executions(self.works)[0]["status"] == "completed",
            "the decision by an agent's worker",
        )
        self._await_told("avala", mark)

    def _use_automations(self, agh: Agh) -> None:
        assert agh.run(self.automation["id"])["status"] == "completed"
        body = b'{"n": 3}'
        path = f"/api/webhooks/global/{self.trigger['endpoint_slug']}--{self.trigger['webhook_id']}"
        headers = agh_headers(SECRET, body, delivery_id=uuid4().hex) | {"x-tenant-id": self.name}
        fired = answer(agh.call("POST", path, content=body, headers=headers))["result"]["runs"]
        until(
            lambda: answer(agh.get(f"/api/automation/runs/{fired[0]['id']}"))["run"]["status"] == "completed",
            "the run of a webhook",
        )

    def _http(self, server: Server) -> RawClient:
        return RawClient(server.url)

    def _clients(self, http: RawClient) -> tuple[Api, Avala, Agh]:
        given = {"key": PLATFORM_KEY, "tenant": self.name}
        return Api(http, **given), Avala(http, **given), Agh(http, **given)

    def _fired(self, api: Api) -> list[Json]:
        ticks: list[Json] = data_of_page(api.get(f"/schedules/{self.schedule['id']}/ticks"))
        return [tick for tick in reversed(ticks) if tick["status"] == "fired"]

    async def _make_due(self) -> None:
        db = await asyncpg.connect(self._database_url)
        try:
            moved = await db.execute(
                "UPDATE schedules SET next_run_at = at, due_at = at"
                " FROM date_trunc('milliseconds', now()) AS at WHERE id = $1",
                self.schedule["id"],
            )
        finally:
            await db.close()
        assert moved == "UPDATE 1"

    def _told(self, name: str) -> str:
        return "\n".join(
            one.body.decode() for one in self._receiver.received if one.path == f"/{self.name}/{name}"
        )

    def _await_told(self, name: str, mark: str) -> None:
        until(lambda: mark in self._told(name), f"a webhook ({name}) about {mark}")


def data_of_page(response: httpx.Response) -> list[Json]:
    assert response.status_code == 200, response.text
    rows: list[Json] = response.json()["data"]
    return rows


def _ended(api: Api, job_id: str) -> Json:
    job = data_of(api.get(f"/jobs/{job_id}"))
    return job if job["status"] in {"completed", "failed", "cancelled"} else None


def _until_ended(api: Api, job_id: str) -> Json:
    return until(lambda: _ended(api, job_id), f"the end of {job_id}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def settings(empty_database_url: str) -> dict[str, str]:
    """What the processes of a cluster have in common."""
    return {
        "RUNWRIGHT_DATABASE_URL": empty_database_url,
        "RUNWRIGHT_VAULT_KEY": base64.b64encode(bytes(range(32))).decode(),
        "RUNWRIGHT_DEV": "1",
        "RUNWRIGHT_LOG_FORMAT": "json",
        "RUNWRIGHT_EXECUTOR_SLOTS": "4",
    }


def migrate(settings: dict[str, str]) -> None:
    """Migrate the database to this version's schema with the command."""
    done = subprocess.run(
        [Path(sys.executable).with_name("runwright"), "db", "migrate"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def assert_no_failures(server: Server) -> None:
    """Nothing in the log of a server is more than a warning, and no loop has failed."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    bad = [line for line in lines if line["level"] in {"error", "critical"} or "failed" in line["event"]]
    assert bad == []


@pytest.mark.registry
@pytest.mark.timeout(600)
def test_the_last_release_works_on_the_newest_schema_beside_this_version(
    settings: dict[str, str], receiver: Receiver
) -> None:
    url = settings["RUNWRIGHT_DATABASE_URL"]
    with serving(settings, program=installed_release(last_release())) as old:
        before = Tenant(old, receiver, url)
        before.use(old)

        jobs = before.begin_jobs(old)
        migrate(settings)
        before.await_jobs(old, jobs)

        before.use(old)
        between = Tenant(old, receiver, url)
        between.use(old)
        with serving(settings) as new:
            after = Tenant(new, receiver, url)
            for tenant in (before, between, after):
                tenant.use(new)
                tenant.use(old)
            jobs = before.begin_jobs(old)
            before.await_jobs(new, jobs)
            assert_no_failures(new)
        assert_no_failures(old)
