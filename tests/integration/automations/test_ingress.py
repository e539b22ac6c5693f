"""Webhooks that come in: claimed and stored in one transaction, once, whatever breaks."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta

import pytest

from runwright.automations.definitions import secret_owner
from runwright.automations.model import (
    Automation,
    AutomationCreate,
    FireLimit,
    Run,
    TriggerDefinition,
)
from runwright.automations.store.webhook_triggers import WebhookTrigger, prune_replay_keys
from runwright.automations.webhook_ingress import Challenge, WebhookIngress, WebhookPath, parse_webhook_path
from runwright.automations.webhook_schemes import SignatureScheme
from runwright.automations.webhook_signatures import SignatureHeaders, VerifiedWebhook, read_signature
from runwright.core.errors import ConflictError, NotFoundError
from runwright.db.pool import Pool
from tests.integration.automations.world import AutomationWorld
from tests.webhook_sender import agh_headers

SECRET = "s3cret"
BODY = b'{"n":1}'


class Hooks(AutomationWorld):
    """A trigger with a webhook, and deliveries to it."""

    @property
    def ingress(self) -> WebhookIngress:
        return self.automations.ingress

    async def hook(self, limit: int = 1_000) -> Automation:
        definition = TriggerDefinition(
            scope="global",
            name=f"hook {self.sequence()}",
            agent_name="agent",
            prompt="p",
            event="webhook",
            endpoint_slug="hook",
            fire_limit=FireLimit(max=limit, window="1h"),
        )
        new = AutomationCreate(definition=definition, secret=SECRET)
        return (await self.automations.definitions.create(self.caller(), new)).automation

    async def webhook(self, trigger: Automation) -> WebhookTrigger:
        found = await self.ingress.find(WebhookPath(slug="hook", webhook_id=trigger.trigger.webhook_id))
        assert found is not None
        return found

    def signed(self, body: bytes, delivery_id: str | None) -> SignatureHeaders:
        headers = agh_headers(SECRET, body, at=self.now.timestamp(), delivery_id=delivery_id)
        return read_signature(SignatureScheme.AGH, {name.lower(): value for name, value in headers.items()})

    async def send(
        self, trigger: Automation, body: bytes = BODY, delivery_id: str | None = None
    ) -> Run | None:
        webhook = await self.webhook(trigger)
        verified = self.ingress.verify(webhook, self.signed(body, delivery_id), body)
        run = await self.ingress.accept(webhook, verified, body)
        assert not isinstance(run, Challenge)
        return run

    async def count(self, table: str) -> int:
        return await self.db.fetchval(f"SELECT count(*) FROM {table}") or 0


@pytest.fixture
async def hooks(database: Pool) -> Hooks:
    return Hooks(database)


async def test_ids_are_those_of_the_contract(hooks: Hooks) -> None:
    trigger = await hooks.hook()
    run = await hooks.send(trigger, delivery_id="d1")
    digest = hashlib.sha256(f"{trigger.id}\0d1".encode()).hexdigest()
    assert run is not None
    assert (run.id, run.fire_id) == (f"run_wbh_{digest[:24]}", f"webhook:{digest}")


async def test_of_many_at_once_each_message_is_accepted_once(hooks: Hooks) -> None:
    trigger = await hooks.hook()
    webhook = await hooks.webhook(trigger)

    async def send(number: int, delivery_id: str) -> Run | Challenge | BaseException | None:
        body = b'{"n":%d}' % number
        verified = hooks.ingress.verify(webhook, hooks.signed(body, delivery_id), body)
        try:
            return await hooks.ingress.accept(webhook, verified, body)
        except ConflictError as error:
            return error

    # Each of 40 messages by its own id, again, and by another's id.
    answers = await asyncio.gather(
        *(send(number, f"d{number + shift}") for shift in (0, 0, 1) for number in range(40))
    )
    accepted = [run for run in answers if isinstance(run, Run)]
    assert 40 <= len(accepted) <= 41
    assert len({run.id for run in accepted}) == len(accepted) == await hooks.count("automation_runs")
    assert await hooks.count("replay_keys") == 2 * len(accepted)


async def test_a_claim_lives_as_long_as_the_message_is_fresh_and_its_run_for_ever(hooks: Hooks) -> None:
    trigger = await hooks.hook()
    first = await hooks.send(trigger, delivery_id="d1")
    hooks.forward(299)
    with pytest.raises(ConflictError):
        await hooks.send(trigger, b'{"n":2}', delivery_id="d1")
    hooks.forward(2)
    second = await hooks.send(trigger, b'{"n":2}', delivery_id="d1")
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert await hooks.count("automation_runs") == 2
    hooks.forward(301)
    assert await prune_replay_keys(hooks.db, now=hooks.now, limit=100) == 3
    assert await hooks.count("automation_runs") == 2


async def test_a_batch_that_is_sent_again_is_accepted_once_and_answered(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the commit, so nobody knows whether it took place."""
    trigger = await hooks.hook()
    accept = hooks.ingress._accept  # noqa: SLF001  where the database would break
    broken: list[bool] = []

    async def accept_and_break(items: Sequence[object]) -> Sequence[Run | BaseException]:
        answer = await accept(items)  # type: ignore[arg-type]
        if not broken:
            broken.append(True)
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(hooks.ingress._accepts, "_flush", accept_and_break)  # noqa: SLF001
    run = await hooks.send(trigger, delivery_id="d1")
    assert broken
    assert run is not None
    assert await hooks.count("automation_runs") == 1
    with pytest.raises(ConflictError):
        await hooks.send(trigger, delivery_id="d1")


async def test_what_the_fire_limit_forbids_may_come_again_and_does_not_count(hooks: Hooks) -> None:
    trigger = await hooks.hook(limit=1)
    webhook = await hooks.webhook(trigger)
    await hooks.send(trigger, b"1")
    given = hooks.signed(b"2", "d2")
    for _ in range(2):
        with pytest.raises(ConflictError, match="fire limit"):
            await hooks.send(trigger, b"2", "d2")
    await hooks.db.execute("UPDATE automation_runs SET started_at = started_at - interval '2 hours'")
    run = await hooks.ingress.accept(webhook, hooks.ingress.verify(webhook, given, b"2"), b"2")
    assert isinstance(run, Run)
    with pytest.raises(ConflictError, match="already processed"):
        await hooks.send(trigger, b"2", "d2")


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
async def test_of_deliveries_whose_run_failed_one_at_a_time_may_be_sent_again(
    hooks: Hooks, ended: str
) -> None:
    trigger = await hooks.hook()
    first = await hooks.send(trigger, delivery_id="d1")
    assert first is not None
    with pytest.raises(ConflictError):
        await hooks.send(trigger, delivery_id="d1")
    await hooks.db.execute("UPDATE automation_runs SET status = $1, ended_at = started_at", ended)
    answers = await asyncio.gather(
        *(hooks.send(trigger, delivery_id="d1") for _ in range(8)), return_exceptions=True
    )
    assert [isinstance(one, Run) for one in answers].count(True) == 1
    assert all(isinstance(one, Run | ConflictError) for one in answers)
    assert await hooks.count("automation_runs") == 2
    await hooks.db.execute("UPDATE automation_runs SET status = 'completed', ended_at = started_at")
    with pytest.raises(ConflictError):
        await hooks.send(trigger, delivery_id="d1")


async def test_a_trigger_that_goes_meanwhile_leaves_no_claim(hooks: Hooks) -> None:
    trigger = await hooks.hook()
    webhook = await hooks.webhook(trigger)
    verified: VerifiedWebhook = hooks.ingress.verify(webhook, hooks.signed(BODY, "d1"), BODY)
    await hooks.db.execute("DELETE FROM automations")
    with pytest.raises(NotFoundError):
        await hooks.ingress.accept(webhook, verified, BODY)
    assert await hooks.count("replay_keys") == 0


async def test_an_old_secret_is_good_as_long_as_the_overlap(hooks: Hooks) -> None:
    trigger = await hooks.hook()
    secret_box = hooks.ingress._secret_box  # noqa: SLF001  what the definitions would do with an overlap
    fresh = secret_box.encrypt(trigger.tenant_id, secret_owner(trigger), "new")
    await hooks.db.execute("UPDATE automation_secrets SET expires_at = $1", hooks.now + timedelta(seconds=60))
    await hooks.db.execute(
        "INSERT INTO automation_secrets (automation_id, number, key_id, sealed) VALUES ($1, 2, $2, $3)",
        *(trigger.id, fresh.key_id, fresh.ciphertext),
    )
    assert len((await hooks.webhook(trigger)).secrets) == 2
    assert await hooks.send(trigger, b"1") is not None
    hooks.forward(61)
    assert len((await hooks.webhook(trigger)).secrets) == 1


def test_an_endpoint_is_cut_at_its_last_two_dashes() -> None:
    assert parse_webhook_path("a--b--wbh_1", "ws") == WebhookPath(
        slug="a--b", webhook_id="wbh_1", workspace_id="ws"
    )
