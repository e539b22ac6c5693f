"""A tenant with something on the pages beyond workers and jobs: schedules with a past, endpoints that answer and fail,
agents that ask people, automations, secrets and keys.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

from tests.contract.client import Api, Json, data_of
from tests.contract.conftest import Server
from tests.waiting import eventually

REVIEW = """
def handler(input, env):
    amount = input.get("amount", 0)
    if amount > 1000:
        return {"action": "flag", "reason": f"{amount} EUR is more than I may approve. The customer is new."}
    return {"action": "approve", "reason": "Within the limit"}
"""
DIGEST = """
def handler(input, env):
    return {"answer": "4 deploys, 2 incidents, nothing open.", "events": []}
"""


def bearer(api: Api) -> dict[str, str]:
    """Return what the API of automations takes."""
    return {"authorization": f"Bearer {api.key}"} | api.headers


class Connected:
    """The tenant, and what is shown of it."""

    def __init__(self, api: Api, server: Server) -> None:
        self.api = api
        self.server = server
        self.schedules: dict[str, Json] = {}
        self.webhooks: dict[str, Json] = {}
        self.agent: Json = {}

    @property
    def peer(self) -> dict[str, str]:
        """What the API of the agents wants."""
        return {"x-avala-api-key": self.api.key} | self.api.headers

    def fill(self) -> None:
        self._automations()
        self._endpoints()
        self._schedules()
        self._agents()
        self._secrets_and_keys()

    def _schedules(self) -> None:
        digest = self.api.make_worker(name="Morning digest", source_code=DIGEST)
        backup = self.api.make_worker(name="Back up the warehouse")
        for name, worker, cron, zone in (
            ("Weekday digest", digest, "0 9 * * MON-FRI", "Europe/Berlin"),
            ("Hourly snapshot", backup, "15 * * * *", "UTC"),
            ("Every ten minutes", backup, "*/10 * * * *", "UTC"),
            ("Night backup", backup, "30 2 * * *", "America/New_York"),
            ("Month's end", digest, "0 8 L * *", "Europe/Berlin"),
        ):
            self.schedules[name] = self.api.make_schedule(
                worker["id"], name=name, cron=cron, timezone=zone, input={"channel": "#ops"}
            )
        paused = self.schedules["Month's end"]
        data_of(self.api.patch(f"/schedules/{paused['id']}", {"enabled": False}))
        hourly = self.schedules["Hourly snapshot"]["id"]
        data_of(self.api.post(f"/schedules/{hourly}/backfill", {"from": "-24h"}), 202)
        eventually(lambda: len(self._ticks(hourly)) >= 20)
        data_of(self.api.patch(f"/workers/{backup['id']}", {"status": "paused"}))
        for _ in range(2):
            before = len(self._ticks(hourly))
            with ThreadPoolExecutor(1) as apart:  # the browser's event loop runs in this thread
                apart.submit(self.server.make_due, hourly).result()
            eventually(partial(self._has_more_ticks, hourly, before))
        data_of(self.api.patch(f"/workers/{backup['id']}", {"status": "active"}))
        data_of(self.api.post(f"/schedules/{hourly}/run"), 201)

    def _has_more_ticks(self, schedule: str, before: int) -> bool:
        return len(self._ticks(schedule)) > before

    def _ticks(self, schedule: str) -> list[Json]:
        return list(self.api.get(f"/schedules/{schedule}/ticks", per_page="100").json()["data"])

    def _endpoints(self) -> None:
        self.webhooks["dead"] = self.api.make_webhook(
            url="https://hooks.invalid/runwright", events=["ava.job.*", "custom.*"]
        )
        self.webhooks["other"] = self.api.make_webhook(
            url="https://status.invalid/incoming", events=["ava.job.failed"]
        )
        self.publish("custom.order.paid", {"order": 9007199254740993, "amount": 18250.5})

    def publish(self, kind: str, payload: Json) -> Json:
        return data_of(self.api.post("/events", {"type": kind, "payload": payload}), 201)

    def _agents(self) -> None:
        worker = self.api.make_worker(name="Refund reviewer", source_code=REVIEW)
        body = {
            "name": "Refunds",
            "description": "Approves small refunds, asks about large ones",
            "events": ["custom.refund"],
            "worker": worker["id"],
        }
        made = self.api.http.post("/api/v1/agents/", json=body, headers=self.peer)
        assert made.status_code == 201, made.text
        self.agent = made.json()
        for amount in (20, 4200, 75, 12800, 15, 1999):
            order = {"order": f"ord_{1000 + amount}", "amount": amount, "customer": "Ana Sommer"}
            self.publish("custom.refund", order | {"items": [{"sku": "A-17", "count": 2}]})
        waiting = eventually(lambda: items if len(items := self.inbox()) >= 3 else None)
        answer = {"answer": "approve", "note": "Called the customer, all is well."}
        data_of(self.api.post(f"/inbox/{waiting[-1]['id']}/answer", answer))

    def inbox(self) -> list[Json]:
        return list(self.api.get("/inbox").json()["data"])

    def _automations(self) -> None:
        self.api.make_worker(name="digest", source_code=DIGEST)
        job = {
            "scope": "global",
            "name": "Morning digest",
            "agent_name": "digest",
            "prompt": "Sum up what happened since yesterday.",
            "schedule": {"mode": "cron", "expr": "0 8 * * mon-fri"},
        }
        made = self.api.http.post("/api/automation/jobs", json=job, headers=bearer(self.api))
        assert made.status_code == 201, made.text
        trigger = {
            "scope": "global",
            "name": "Paid orders",
            "agent_name": "digest",
            "event": "custom.order.paid",
            "filter": {"data.amount": "18250.5"},
            "prompt": "Order {{ .Data.order }} was paid.",
        }
        done = self.api.http.post("/api/automation/triggers", json=trigger, headers=bearer(self.api))
        assert done.status_code == 201, done.text
        path = f"/api/automation/jobs/{made.json()['job']['id']}/trigger?wait=30"
        assert self.api.http.post(path, headers=bearer(self.api)).status_code in {200, 201, 202}

    def _secrets_and_keys(self) -> None:
        for name in ("SLACK_BOT_TOKEN", "STRIPE_API_KEY", "VIRUSTOTAL_API_KEY"):
            done = self.api.call("PUT", f"/secrets/{name}", json={"value": uuid4().hex})
            assert done.status_code < 300, done.text
        self.api.make_worker(name="Post to Slack", secrets=["SLACK_BOT_TOKEN"])
        for name, role, scopes in (
            ("ci", "tenant-system-admin", ["read", "run", "deploy"]),
            ("grafana", "tenant-viewer", ["read"]),
        ):
            body = {"name": name, "role": role, "scopes": scopes, "tenant_id": self.api.tenant}
            data_of(self.api.post("/v1/keys", body), 201)

    def pages(self) -> Mapping[str, str]:
        """Return the address of every page, by the name of its screenshot."""
        return {
            "schedules": "/schedules",
            "schedule": f"/schedules/{self.schedules['Hourly snapshot']['id']}",
            "webhooks": "/webhooks",
            "webhook": f"/webhooks/{self.webhooks['dead']['id']}",
            "inbox": "/inbox",
            "agents": "/agents",
            "agent": f"/agents/{self.agent['uid']}",
            "events": "/events",
            "queues": "/queues",
            "automations": "/automations",
            "automation-triggers": "/automations?tab=triggers",
            "automation-runs": "/automations?tab=runs",
            "secrets": "/secrets",
            "keys": "/keys",
            "audit": "/audit",
        }
