"""Webhooks that come in: proven, claimed, and stored as runs before anybody is told that they arrived.

States of a delivery: read (its headers and body) → proven (a secret of its trigger signed it, lately) →
accepted: its names are claimed and its run is written, in one transaction. Or it is refused.

Invariants: no two deliveries of a trigger with one message, or one delivery id, are accepted while
the first one could still be fresh; claims and run are one transaction, so neither is there without the
other; what made no run leaves no claim, except where the fire limit forbade it.

Failure handling: deliveries are written in batches, which are sent again where the connection broke;
a delivery's token tells what it has claimed itself from what others have.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.definitions import sealed_as
from runwright.automations.errors import DefinitionError, secret_required
from runwright.automations.fire_sources import matches
from runwright.automations.model import WEBHOOK_EVENT, Automation, Run, RunStatus, time_text
from runwright.automations.store.firing import Fire, Fired, Limited, fire
from runwright.automations.store.runs import fetch_runs_by_id
from runwright.automations.store.webhook_triggers import (
    Door,
    ReplayClaim,
    claim_replay_keys,
    find_doors,
    release_replay_keys,
)
from runwright.automations.webhook_signatures import (
    BadSignatureError,
    Claim,
    Scheme,
    StaleTimestampError,
    Verified,
    verify,
)
from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError, UnauthenticatedError
from runwright.core.job_state import Trigger
from runwright.core.template_context import Json, TemplateContext
from runwright.db.batching import Batcher
from runwright.db.pool import Database, PoolConnection
from runwright.secrets.keyring import SecretBox

_LANES: Final = 2
_GLOBAL: Final = "global"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a delivery was sent; no workspace: the global route."""

    slug: str
    webhook_id: str
    workspace_id: str = ""

    def leads_to(self, trigger: Automation) -> bool:
        """Tell whether this is the trigger's own path."""
        scope = "workspace" if self.workspace_id else _GLOBAL
        return (self.slug, scope, self.workspace_id) == (
            trigger.endpoint_slug,
            trigger.scope,
            trigger.workspace_id,
        )


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was proven and is wanted."""

    trigger_id: str
    token: str
    keys: tuple[str, ...]
    expires_at: datetime
    digest: str
    spare_id: str
    """The run's id where an earlier delivery, of which nobody knows any more, has the usual one."""
    activation: bytes

    @property
    def run_id(self) -> str:
        return f"run_wbh_{self.digest[:24]}"


class Ingress:
    """Find where deliveries lead, and accept them. A call returns after what it did is committed."""

    def __init__(
        self, db: Database, *, clock: Clock, secret_box: SecretBox, on_due: Callable[[], None]
    ) -> None:
        """`on_due` is called when runs are due."""
        self._db = db
        self._clock = clock
        self._secret_box = secret_box
        self._on_due = on_due
        self._lookups: Batcher[str, Door | None] = Batcher(self._look_up, lanes=_LANES)
        self._accepts: Batcher[_Item, Run] = Batcher(self._accept, lanes=_LANES)

    async def stop(self) -> None:
        """Take no more deliveries; what was taken is committed."""
        await self._lookups.stop()
        await self._accepts.stop()

    async def find(self, endpoint: Endpoint) -> Door | None:
        """Return the enabled trigger that has this path."""
        door = await self._lookups.add(endpoint.webhook_id)
        return door if door is not None and endpoint.leads_to(door.trigger) else None

    def prove(self, door: Door, claim: Claim, body: bytes) -> Verified:
        """Hold what the sender claims against the trigger's secrets.

        Raises UnauthenticatedError, DefinitionError (there is no secret).
        """
        trigger = door.trigger
        opened = [
            self._secret_box.decrypt(trigger.tenant_id, sealed_as(trigger), one) for one in door.secrets
        ]
        try:
            return verify(claim, body, opened, self._clock())
        except StaleTimestampError:
            raise UnauthenticatedError("automation: webhook timestamp outside freshness window") from None
        except BadSignatureError:
            if not opened:
                raise secret_required() from None
            raise UnauthenticatedError("automation: webhook signature invalid") from None

    async def accept(
        self, door: Door, verified: Verified, body: bytes, fields: dict[str, Json] | None
    ) -> Run | None:
        """Store a delivery and its run; None where the trigger's filter does not want it.

        `fields` are those of the body where it is an object. Raises ConflictError (it came before, or
        the fire limit forbids it), NotFoundError (the trigger is gone).
        """
        trigger, now = door.trigger, self._clock()
        activation = TemplateContext(
            kind=WEBHOOK_EVENT,
            scope=trigger.scope,
            workspace_id=trigger.workspace_id,
            source=WEBHOOK_EVENT,
            data=data_of(trigger, body, fields, verified.timestamp or now),
        )
        if not matches(trigger, activation):
            return None
        run = await self._accepts.add(_item(trigger, verified, activation))
        self._on_due()
        return run

    async def _look_up(self, webhook_ids: Sequence[str]) -> Sequence[Door | None]:
        doors = await find_doors(self._db, webhook_ids=sorted(set(webhook_ids)), now=self._clock())
        return [doors.get(webhook_id) for webhook_id in webhook_ids]

    async def _accept(self, items: Sequence[_Item]) -> Sequence[Run | BaseException]:
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            runs = await _claim(db, items, now)
            accepted = [item for item in items if item.token in runs]
            fires = [_fire(item, runs[item.token]) for item in accepted]
            answers = await fire(db, fires, now) if fires else ()
            fired = dict(zip((item.token for item in accepted), answers, strict=True))
            lost = [item for item in items if fired.get(item.token) is None]
            if lost:
                await release_replay_keys(
                    db, tokens=[one.token for one in lost], trigger_ids=[one.trigger_id for one in lost]
                )
        return [_answer(fired[item.token]) if item.token in fired else _seen() for item in items]


def scheme_of(trigger: Automation) -> Scheme:
    """Return whose form of signature the trigger expects."""
    return Scheme(trigger.details.signature)


def not_registered() -> NotFoundError:
    """Return the error for a path that leads to no trigger."""
    return NotFoundError("automation: webhook trigger not registered")


def read_endpoint(text: str, workspace_id: str = "") -> Endpoint:
    """Read `<slug>--<webhook id>`; DefinitionError where it is not that."""
    slug, _, webhook_id = text.rpartition("--")
    if not slug.strip() or not webhook_id.startswith("wbh_"):
        raise DefinitionError("automation: webhook endpoint is invalid")
    return Endpoint(slug=slug, webhook_id=webhook_id, workspace_id=workspace_id)


def data_of(
    trigger: Automation, body: bytes, fields: dict[str, Json] | None, at: datetime
) -> dict[str, Json]:
    """Return what filters and prompts see of a delivery."""
    about: dict[str, Json] = {
        "endpoint": f"{trigger.endpoint_slug}--{trigger.webhook_id}",
        "endpoint_slug": trigger.endpoint_slug,
        "webhook_id": trigger.webhook_id,
        "timestamp": time_text(at),
    }
    return {"payload": body.decode(errors="replace")} | (fields or {}) | about


async def _claim(db: PoolConnection, items: Sequence[_Item], now: datetime) -> dict[str, str]:
    """Claim the names of deliveries; returns the run ids of those that have all of theirs, by token."""
    used = await fetch_runs_by_id(db, ids=[item.run_id for item in items])
    wanted: dict[tuple[str, str], ReplayClaim] = {}
    beaten: set[str] = set()
    for item in items:
        names = [(item.trigger_id, key) for key in item.keys]
        if any(name in wanted for name in names):
            beaten.add(item.token)
            continue
        for name in names:
            wanted[name] = ReplayClaim(
                trigger_id=item.trigger_id,
                key=name[1],
                token=item.token,
                run_id=item.spare_id if item.run_id in used else item.run_id,
                expires_at=item.expires_at,
            )
    got = await claim_replay_keys(db, list(wanted.values()), now)
    return {
        item.token: got[item.trigger_id, item.keys[0]]
        for item in items
        if item.token not in beaten and all((item.trigger_id, key) in got for key in item.keys)
    }


def _item(trigger: Automation, verified: Verified, activation: TemplateContext) -> _Item:
    known_by = verified.delivery_id or verified.replay_keys[0]
    return _Item(
        trigger_id=trigger.id,
        token=secrets.token_hex(8),
        keys=verified.replay_keys,
        expires_at=verified.fresh_until,
        digest=hashlib.sha256(f"{trigger.id}\0{known_by}".encode()).hexdigest(),
        spare_id=f"run_wbh_{secrets.token_hex(12)}",
        activation=msgspec.json.encode(activation),
    )


def _fire(item: _Item, run_id: str) -> Fire:
    return Fire(
        automation_id=item.trigger_id,
        run_id=run_id,
        fire_id=f"webhook:{item.digest}",
        cause=Trigger.WEBHOOK,
        activation=item.activation,
        limited_as=RunStatus.FAILED,
    )


def _answer(fired: Fired) -> Run | BaseException:
    if fired is None:
        return not_registered()
    return fired.error if isinstance(fired, Limited) else fired


def _seen() -> ConflictError:
    return ConflictError("automation: webhook delivery already processed")
