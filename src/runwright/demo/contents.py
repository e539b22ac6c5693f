"""Fill the pages of the demonstration's tenant: once, over HTTP, by the calls that any user has.

Workers in all runtimes, one of which is flaky, schedules, an agent that asks a person, automations, webhooks.
The host that one of the webhooks names does not exist, so its deliveries fail. Two others are received by
automations of this server, one of which takes few a minute: what it refuses is sent again later.
"""

import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib import resources
from typing import Any, Final

import msgspec

from runwright.client import ClientError, Runwright
from runwright.client.workers import Runtime
from runwright.core.ids import ScheduleId, WorkerId
from runwright.demo.history import SampleWorker

_FLAKY, _SYNC, _PRICES, _LOGS = "Charge order", "Sync inventory", "Convert prices", "Pack logs"
_IBANS, _REFUNDS, _ASSISTANT = "IBAN check", "Refund reviewer", "Shop assistant"
_ORDERS: Final = tuple({"order": f"ord_{1000 + number}", "amount": 19 + number * 7} for number in range(12))
_ORDER_SCHEMA: Final = {
    "type": "object",
    "required": ["order", "amount"],
    "properties": {
        "order": {"type": "string", "title": "Order", "examples": ["ord_1042"]},
        "amount": {"type": "number", "title": "Amount", "description": "In euros", "minimum": 1},
        "currency": {"title": "Currency", "enum": ["EUR", "CHF", "GBP"], "default": "EUR"},
        "express": {"type": "boolean", "title": "Express delivery"},
    },
}


class DemoWorker(msgspec.Struct, frozen=True):
    """A worker with the file of its code and the inputs of its first jobs."""

    file: str
    name: str
    runtime: Runtime
    description: str
    inputs: Sequence[Mapping[str, object]] = ()
    options: Mapping[str, Any] = {}


WORKERS: Final = (
    DemoWorker("sync_inventory.py", _SYNC, "python", "Compares the stock of 40 shelves", [{"warehouse": 7}]),
    DemoWorker("convert_prices.ts", _PRICES, "deno", "Converts price lists", [{"prices": {"A-17": 24.9}}]),
    DemoWorker("pack_logs.sh", _LOGS, "shell", "Packs the log of yesterday", [{}]),
    DemoWorker(
        "iban_check.wasm", _IBANS, "wasm", "Finds IBANs in a text", [{"text": "DE89370400440532013000"}]
    ),
    DemoWorker(
        "review_refund.py", _REFUNDS, "python", "Decides about refunds", options={"config": {"LIMIT": "200"}}
    ),
    DemoWorker("answer_prompt.py", _ASSISTANT, "python", "Answers the prompts of automations"),
    DemoWorker(
        "charge_order.py",
        _FLAKY,
        "python",
        "Charges cards; some are declined",
        _ORDERS,
        {"input_schema": _ORDER_SCHEMA},
    ),
)
_SCHEDULES: Final[Sequence[tuple[str, str, str, str, dict[str, Any]]]] = (
    (
        "Stock, every ten minutes",
        _SYNC,
        "*/10 * * * *",
        "UTC",
        {"overlap": "skip", "input": {"warehouse": 7}},
    ),
    ("Pack logs", _LOGS, "0 * * * *", "UTC", {}),
    ("Prices for the weekend", _PRICES, "0 18 * * FRI", "America/New_York", {}),
    ("Month's end", _PRICES, "0 8 L * *", "Europe/Berlin", {"enabled": False}),
)
_REFUND_EVENTS: Final = (35, 480, 60, 1250, 90)


class Contents:
    """Fills a tenant that has none of it yet, by calls of the SDK."""

    def __init__(self, server: Runwright) -> None:
        self._server = server
        self._ids: dict[str, str] = {}

    def fill(self) -> list[SampleWorker]:
        """Create everything, and return the workers to write a day of jobs for; none if it was there."""
        self._ids = {
            worker.name: worker.id for worker in self._server.workers.list(status="active", payloads=False)
        }
        if _FLAKY in self._ids:
            return []
        for worker in WORKERS:
            if worker.name not in self._ids:
                self._ids[worker.name] = self._create(worker)
        schedules = {schedule[0]: self._schedule(*schedule) for schedule in _SCHEDULES}
        self._agent()
        self._automations()
        self._webhooks()
        self._server.keys.create(
            "tenant-viewer", name="grafana (demonstration)", tenant_id=self._server.tenant, scopes=["read"]
        )
        self._happen()
        return self._past(schedules)

    def _create(self, worker: DemoWorker) -> str:
        content = resources.files(__package__).joinpath(worker.file).read_bytes()
        inline = worker.runtime != "wasm"
        source = {"source_code": content.decode()} if inline else {}
        options: Any = {"description": worker.description, **worker.options, **source}
        made = self._server.workers.create(worker.name, worker.runtime, **options)
        if not inline:
            self._server.workers.deploy(made.id, {"main.wasm": content}, message="The example wasm-c")
        return made.id

    def _schedule(self, name: str, worker: str, cron: str, zone: str, options: Any) -> str:  # noqa: ANN401  JSON
        return self._server.schedules.create(self._ids[worker], cron, zone, name=name, **options).id

    def _agent(self) -> None:
        self._server.agents.register(
            "Refunds",
            ["custom.refund.requested"],
            worker=self._ids[_REFUNDS],
            description="Approves small refunds, and asks a person about large ones",
        )

    def _automations(self) -> None:
        automations = self._server.automations
        automations.jobs.create(
            "global",
            "Morning summary",
            {"mode": "cron", "expr": "TZ=Europe/Berlin 0 8 * * mon-fri"},
            agent_name=_ASSISTANT,
            prompt="Sum up the orders since yesterday.",
        )
        automations.triggers.create(
            "global",
            "Paid orders",
            "custom.order.paid",
            agent_name=_ASSISTANT,
            filter={"data.currency": "EUR"},
            prompt="Order {{ .Data.order }} was paid. Thank the customer.",
        )

    def _webhooks(self) -> None:
        self._server.webhooks.create("https://hooks.shop.invalid/runwright", ["ava.job.failed", "custom.*"])
        with suppress(ClientError):  # it is reached at another address than the server's own
            self._receiver("Webhook of the shop", "shop", ["custom.*"])
            self._receiver("Ledger, two a minute", "ledger", ["custom.*"], max=2, window="1m")

    def _receiver(self, name: str, slug: str, events: Sequence[str], **fire_limit: object) -> None:
        """Make an automation that receives webhooks, and a webhook that leads to it."""
        secret = f"whsec_{b64encode(secrets.token_bytes(24)).decode()}"
        limited: dict[str, Any] = {"fire_limit": fire_limit} if fire_limit else {}
        trigger = self._server.automations.triggers.create(
            "global",
            name,
            "webhook",
            agent_name=_ASSISTANT,
            endpoint_slug=slug,
            webhook_signature="standard",
            webhook_secret_value=secret,
            prompt="The shop reports {{ .Data.type }}.",
            **limited,
        )
        self._server.webhooks.create(f"{self._server.url}{trigger.webhook_path}", [*events], secret=secret)

    def _happen(self) -> None:
        """Submit jobs of every worker, orders, and refunds, some of which a person decides."""
        for worker in WORKERS:
            for input in worker.inputs:
                self._server.jobs.submit(self._ids[worker.name], input)
        for order in _ORDERS[:3]:
            self._server.events.publish("custom.order.paid", {**order, "currency": "EUR"})
        for number, amount in enumerate(_REFUND_EVENTS):
            refund = {"order": f"ord_{1040 + number}", "amount": amount, "customer": "Ana Sommer"}
            self._server.events.publish("custom.refund.requested", refund)

    def _past(self, schedules: Mapping[str, str]) -> list[SampleWorker]:
        def worker(name: str, every: timedelta, runs_ms: int, **more: Any) -> SampleWorker:  # noqa: ANN401  fields
            runs = timedelta(milliseconds=runs_ms)
            return SampleWorker(worker_id=WorkerId(self._ids[name]), every=every, runs=runs, **more)

        minute = timedelta(minutes=1)
        stock, logs = (ScheduleId(schedules[name]) for name in ("Stock, every ten minutes", "Pack logs"))
        declined = "The card of the customer was declined: insufficient_funds"
        return [
            worker(_FLAKY, minute * 1.5, 180, failing=0.09, error=declined, inputs=_ORDERS),
            worker(_SYNC, minute * 10, 20_400, schedule_id=stock, inputs=({"warehouse": 7},)),
            worker(_LOGS, minute * 60, 640, schedule_id=logs),
            worker(_PRICES, minute * 4, 95, failing=0.01, error="A price is not a number"),
            worker(_IBANS, minute * 2, 12),
        ]
