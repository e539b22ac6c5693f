"""Definitions, as callers make and change them.

Whoever changes a definition and its schedule locks the schedule first, as the scheduler does (see
schedules/automation_schedules.py); both, and what a trigger subscribes to, change in one transaction.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import UNSET

from runwright.automations.drafts import AutomationCreate, AutomationPatch, changed
from runwright.automations.errors import DefinitionError, not_found, read_only, secret_required
from runwright.automations.event_subscriptions import drop_subscription, keep_subscription
from runwright.automations.model import (
    WEBHOOK_EVENT,
    Automation,
    AutomationFilter,
    FireLimit,
    Kind,
    Source,
    random_id,
    secret_ref_of,
    webhook_id_of,
)
from runwright.automations.policy import Policy
from runwright.automations.rules import check
from runwright.automations.schedule_parsing import when_of
from runwright.automations.store.definitions import (
    delete_automation,
    fetch_automation,
    insert_automation,
    list_automations,
    update_automation,
)
from runwright.automations.store.enabled_overrides import drop_overlay, put_overlay
from runwright.automations.store.secrets import (
    SEALED_AS,
    drop_secrets,
    fetch_secrets,
    put_secret,
    with_secrets,
)
from runwright.core.clock import Clock
from runwright.core.roles import Caller
from runwright.db.pool import Database, PoolConnection
from runwright.schedules.automation_schedules import change_clock, create_clock
from runwright.schedules.model import Schedule
from runwright.schedules.store.automation_schedules import ClockState, drop_clock, lock_clock, read_clocks
from runwright.secrets.keyring import SecretBox
from runwright.tenants.audit import record

LONGEST_OVERLAP_SECONDS = 30 * 86_400


class Shown(msgspec.Struct, frozen=True):
    """A definition with what belongs to it: its clock where one is set, whether it has a secret."""

    automation: Automation
    clock: ClockState | None = None
    has_secret: bool = False


class Definitions:
    """Make, change and look at jobs and triggers. A call returns after what it did is committed."""

    def __init__(self, db: Database, *, clock: Clock, secret_box: SecretBox, policy: Policy) -> None:
        self._db = db
        self._clock = clock
        self._secret_box = secret_box
        self._policy = policy

    async def create(self, caller: Caller, draft: AutomationCreate) -> Shown:
        """Make a definition. Raises DefinitionError, ConflictError (its name or webhook id is taken)."""
        now = self._clock()
        one = _drafted(caller, draft, draft.fire_limit or self._policy.default_limit, now)
        check(one, one.kind.value, zone=self._policy.zone, has_secret=bool(draft.secret))
        if one.event == WEBHOOK_EVENT and one.kind is Kind.TRIGGER:
            if not (draft.secret or "").strip():
                raise secret_required()
            one = msgspec.structs.replace(one, webhook_id=one.webhook_id or webhook_id_of(one.id))
        async with self._db.acquire() as db, db.transaction():
            await self.write_new(db, one, draft.secret, now)
            await record(db, caller, f"automation.{one.kind.value}.created", one.id, now=now, after=one)
        return await self._shown(one)

    async def write_new(self, db: PoolConnection, one: Automation, secret: str | None, now: datetime) -> None:
        """Write a definition that keeps to the rules, with all that belongs to it."""
        await insert_automation(db, one)
        if one.kind is Kind.JOB:
            when = when_of(one.details, self._policy.zone)
            await create_clock(
                db, id=one.id, tenant_id=one.tenant_id, when=when, enabled=one.enabled, now=now
            )
            return
        if secret is not None and one.event == WEBHOOK_EVENT:
            await self._put_secret(db, one, secret, None)
        await keep_subscription(db, one)

    async def get(self, tenant_id: str, kind: Kind, id: str) -> Shown:
        """Return one definition of the tenant."""
        one = await fetch_automation(self._db, tenant_id=tenant_id, kind=kind, id=id)
        if one is None:
            raise not_found(kind.value)
        return await self._shown(one)

    async def list(
        self,
        tenant_id: str,
        kind: Kind,
        which: AutomationFilter,
        *,
        after: tuple[str, str] | None,
        limit: int,
    ) -> list[Shown]:
        """Return up to `limit` definitions by name."""
        found = await list_automations(
            self._db, tenant_id=tenant_id, kind=kind, which=which, after=after, limit=limit
        )
        ids = [one.id for one in found]
        clocks = await read_clocks(self._db, ids=ids) if kind is Kind.JOB else {}
        secret = await with_secrets(self._db, ids=ids) if kind is Kind.TRIGGER else frozenset[str]()
        return [Shown(one, clocks.get(one.id), one.id in secret) for one in found]

    async def change(self, caller: Caller, kind: Kind, id: str, changes: AutomationPatch) -> Shown:
        """Change a definition; what a file defines can only be switched on and off.

        Raises NotFoundError, DefinitionError, ConflictError.
        """
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            schedule = await lock_clock(db, id=id) if kind is Kind.JOB else None
            one = await fetch_automation(db, tenant_id=caller.tenant_id, kind=kind, id=id, lock=True)
            if one is None:
                raise not_found(kind.value)
            _require_changeable(one, changes)
            after = msgspec.structs.replace(changed(one, changes), updated_at=max(now, one.updated_at))
            if one.source is Source.CONFIG:
                await _overlay(db, after, now)
            else:
                after = await self._checked(db, after, changes)
            await self.write_changed(db, one, after, schedule, now)
            if changes.secret is not UNSET:
                seconds = 0 if changes.old_secret_seconds is UNSET else changes.old_secret_seconds
                await self._put_secret(
                    db, after, changes.secret, now + timedelta(seconds=seconds) if seconds else None
                )
            await record(
                db, caller, f"automation.{kind.value}.updated", one.id, now=now, before=one, after=after
            )
        return await self._shown(after)

    async def write_changed(
        self,
        db: PoolConnection,
        before: Automation,
        after: Automation,
        schedule: Schedule | None,
        now: datetime,
    ) -> None:
        """Write a changed definition, which the transaction has locked, with all that belongs to it."""
        await update_automation(db, after)
        if after.kind is Kind.TRIGGER:
            if before.event == WEBHOOK_EVENT != after.event:
                await drop_secrets(db, automation_id=after.id)
            await keep_subscription(db, after)
        elif schedule is not None:
            await change_clock(
                db,
                schedule,
                when=when_of(after.details, self._policy.zone),
                enabled=after.enabled,
                afresh=before.details.schedule != after.details.schedule,
                now=now,
            )

    async def delete(self, caller: Caller, kind: Kind, id: str) -> None:
        """Delete a definition; its runs stay, and those under way go on."""
        async with self._db.acquire() as db, db.transaction():
            if kind is Kind.JOB:
                await lock_clock(db, id=id)
            one = await fetch_automation(db, tenant_id=caller.tenant_id, kind=kind, id=id, lock=True)
            if one is None:
                raise not_found(kind.value)
            if one.source is Source.CONFIG:
                raise DefinitionError(f"config-backed automation {kind.value}s cannot be deleted")
            if one.source is Source.PACKAGE:
                raise read_only()
            await self.remove(db, one)
            now = self._clock()
            await record(db, caller, f"automation.{kind.value}.deleted", one.id, now=now, before=one)

    async def remove(self, db: PoolConnection, one: Automation) -> None:
        """Delete a definition that the transaction has locked, with all that belongs to it."""
        if one.kind is Kind.JOB:
            await drop_clock(db, id=one.id)
        else:
            await drop_subscription(db, one)
        await delete_automation(db, id=one.id)

    async def secrets(self, one: Automation) -> Sequence[str]:
        """Return the secrets of a webhook that are good now, the newest first."""
        sealed = await fetch_secrets(self._db, automation_id=one.id, now=self._clock())
        return [self._secret_box.decrypt(one.tenant_id, sealed_as(one), each) for each in sealed]

    async def _checked(self, db: PoolConnection, after: Automation, changes: AutomationPatch) -> Automation:
        """Check a merged definition, and name its secret where it has one."""
        stored = after.kind is Kind.TRIGGER and after.id in await with_secrets(db, ids=[after.id])
        webhook = after.kind is Kind.TRIGGER and after.event == WEBHOOK_EVENT
        given = None if changes.secret is UNSET else changes.secret
        check(after, after.kind.value, zone=self._policy.zone, has_secret=webhook or given is not None)
        overlap = changes.old_secret_seconds
        if overlap is not UNSET and not 0 <= overlap <= LONGEST_OVERLAP_SECONDS:
            raise DefinitionError(
                f"trigger.webhook_secret_overlap_seconds must be between 0 and {LONGEST_OVERLAP_SECONDS}"
            )
        if not webhook:
            return after
        if (given is None and not stored) or (given is not None and not given.strip()):
            raise secret_required()
        return msgspec.structs.replace(
            after, details=msgspec.structs.replace(after.details, secret_ref=secret_ref_of(after.id))
        )

    async def put_secret(self, db: PoolConnection, one: Automation, secret: str) -> None:
        """Make this the only secret of a webhook."""
        await self._put_secret(db, one, secret, None)

    async def _put_secret(
        self, db: PoolConnection, one: Automation, secret: str, old_until: datetime | None
    ) -> None:
        sealed = self._secret_box.encrypt(one.tenant_id, sealed_as(one), secret)
        await put_secret(db, automation_id=one.id, secret=sealed, old_until=old_until)

    async def _shown(self, one: Automation) -> Shown:
        if one.kind is Kind.JOB:
            return Shown(one, (await read_clocks(self._db, ids=[one.id])).get(one.id))
        return Shown(one, None, one.id in await with_secrets(self._db, ids=[one.id]))


def _drafted(caller: Caller, draft: AutomationCreate, limit: FireLimit, now: datetime) -> Automation:
    id = random_id("job" if draft.kind is Kind.JOB else "trg")
    details = draft.details
    if draft.kind is Kind.TRIGGER and draft.event == WEBHOOK_EVENT:
        details = msgspec.structs.replace(details, secret_ref=secret_ref_of(id))
    return Automation(
        id=id,
        tenant_id=caller.tenant_id,
        kind=draft.kind,
        scope=draft.scope,
        workspace_id=draft.workspace_id,
        name=draft.name,
        agent_name=draft.agent_name,
        prompt=draft.prompt,
        enabled=draft.enabled,
        fire_limit=limit,
        source=Source.DYNAMIC,
        event=draft.event,
        webhook_id=draft.webhook_id,
        endpoint_slug=draft.endpoint_slug,
        details=details,
        created_by=caller.user_id,
        created_at=now,
        updated_at=now,
    )


def _require_changeable(one: Automation, changes: AutomationPatch) -> None:
    if one.source is Source.PACKAGE:
        raise read_only()
    if one.source is Source.CONFIG and changes.given.keys() != {"enabled"}:
        raise DefinitionError(f"config-backed automation {one.kind.value}s only accept enabled updates")


async def _overlay(db: PoolConnection, after: Automation, now: datetime) -> None:
    """Keep what was wanted of a file's definition, where that is not what the file says."""
    if after.enabled == after.configured_enabled:
        await drop_overlay(db, automation_id=after.id)
    else:
        await put_overlay(db, automation_id=after.id, enabled=after.enabled, now=now)


def sealed_as(one: Automation) -> str:
    """Return the name under which the secrets of a trigger are sealed."""
    return f"{SEALED_AS}{one.id}"
