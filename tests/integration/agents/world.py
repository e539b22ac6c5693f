"""The environment of these tests: agents, events and executions, on a clock of their own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from runwright.agents.executions import Executions
from runwright.agents.model import (
    Action,
    Agent,
    AgentCreate,
    AgentFields,
    AgentRegistration,
    Decision,
    EventCreate,
    Execution,
    ExecutionFilter,
)
from runwright.agents.opening import ExecutionSink
from runwright.agents.publishing import Publisher
from runwright.agents.service import Agents
from runwright.core.paging import Window
from runwright.core.roles import Caller, Role
from runwright.db.pool import Database
from runwright.events.store import take_queued_events
from runwright.secrets.keyring import Keyring, SecretBox
from tests.telemetry import RecordedTelemetry

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class World:
    """Registers, publishes, routes and decides by hand."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = START
        self.secret_box = SecretBox(Keyring([bytes(32)]))
        self.agents = Agents(db, clock=self.clock, secret_box=self.secret_box)
        self.telemetry = RecordedTelemetry()
        self.executions = Executions(db, clock=self.clock)
        self.publisher = Publisher(db, clock=self.clock)
        self.sink = ExecutionSink(emit=self.telemetry)

    def clock(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def caller(self, tenant: str = "ten_a", user: str = "usr_1") -> Caller:
        return Caller(tenant, user, Role.TENANT_SYSTEM_ADMIN, "key_1")

    async def register(
        self,
        name: str = "qc",
        tenant: str = "ten_a",
        *,
        secret: str | None = None,
        **fields: Any,  # noqa: ANN401  fields of a struct
    ) -> AgentRegistration:
        if "events" in fields:
            fields.setdefault("patterns", fields["events"])
        new = AgentCreate(name=name, style="test", fields=AgentFields(**fields), secret=secret)
        return await self.agents.register(self.caller(tenant), new)

    async def agent(self, name: str = "qc", tenant: str = "ten_a", **fields: Any) -> Agent:  # noqa: ANN401  fields of a struct
        fields.setdefault("events", ["result.submitted"])
        return (await self.register(name, tenant, **fields)).agent

    async def publish(
        self,
        type: str = "result.submitted",
        tenant: str = "ten_a",
        *,
        payload: dict[str, Any] | None = None,
        **scope: str,
    ) -> int:
        """Publish an event; returns how many agents it says to get it."""
        raw = msgspec.Raw(msgspec.json.encode({"a": 1} if payload is None else payload))
        new = EventCreate(type=type, payload=raw, **scope)
        return (await self.publisher.publish(self.caller(tenant), new)).executions

    async def route(self) -> int:
        async with self.db.acquire() as db, db.transaction():
            wanted = await take_queued_events(db, limit=100)
            pairs = [(one.event, who) for one in wanted for who in one.subscriber_ids]
            return await self.sink(db, [pair for pair in pairs if pair[1].startswith("agt_")], self.now)

    async def publish_and_route(self, type: str = "result.submitted") -> list[Execution]:
        """Publish and route; returns all executions, newest first."""
        await self.publish(type)
        await self.route()
        return await self.all()

    async def all(self, tenant: str = "ten_a", **which: Any) -> list[Execution]:  # noqa: ANN401  fields of a struct
        view = await self.executions.list(tenant, ExecutionFilter(**which), Window(limit=1000))
        return list(view.rows)

    async def decide(
        self, execution: Execution, action: Action = Action.APPROVE, reason: str | None = None
    ) -> Execution:
        decision = Decision(action=action, reason=reason)
        return await self.executions.decide(self.caller(execution.tenant_id), execution.id, decision)

    async def events(self, type: str) -> Sequence[dict[str, Any]]:
        """What events of a type say, with their ancestry."""
        rows = await self.db.fetch(
            "SELECT data, ancestry FROM events WHERE type = $1 ORDER BY position", type
        )
        return [msgspec.json.decode(row["data"]) | {"ancestry": row["ancestry"]} for row in rows]
