"""Create, change and read definitions.

To change a definition and its schedule, lock the schedule first, as the scheduler does (see
schedules/automation_schedules.py). Both, and the event subscription of a trigger, change in one transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from runwright.automations.errors import DefinitionError, not_found, read_only, secret_required
from runwright.automations.event_subscriptions import delete_subscription, update_subscription
from runwright.automations.filters import AutomationFilter
from runwright.automations.ids import random_id, secret_ref_of, webhook_id_of
from runwright.automations.model import (
    WEBHOOK_EVENT,
    Automation,
    AutomationCreate,
    AutomationKind,
    AutomationPatch,
    DefinitionSource,
    FieldMark,
    TriggerDefinition,
    marked,
)
from runwright.automations.rules import LONGEST_PROMPT, check
from runwright.automations.schedule_parsing import timing_of
from runwright.automations.settings import AutomationSettings
from runwright.automations.store.definitions import (
    clear_enabled_override,
    delete_automation,
    fetch_automation,
    insert_automation,
    list_automations,
    set_enabled_override,
    update_automation,
)
from runwright.automations.store.secrets import (
    SECRET_OWNER_PREFIX,
    delete_secrets,
    fetch_secrets,
    insert_secret,
    with_secrets,
)
from runwright.automations.templates import Templates
from runwright.core.clock import Clock
from runwright.core.ids import OwnerId
from runwright.core.roles import Caller
from runwright.db.pool import Database, PoolConnection
from runwright.schedules.automation_schedules import change_automation_schedule, create_automation_schedule
from runwright.schedules.model import Schedule
from runwright.schedules.store.automation_schedules import (
    ScheduleState,
    delete_automation_schedule,
    fetch_schedule_states,
    lock_automation_schedule,
)
from runwright.secrets.keyring import SecretBox
from runwright.tenants.audit import record

LONGEST_OVERLAP_SECONDS: Final = 30 * 86_400

_WEBHOOK_DEFAULTS: Final = marked(TriggerDefinition, FieldMark.WEBHOOK)


class AutomationView(msgspec.Struct, frozen=True):
    """An automation with the state of its schedule, if it will fire, and whether it has a secret."""

    automation: Automation
    schedule: ScheduleState | None = None
    has_secret: bool = False


class AutomationDefinitions:
    """Create, change and read jobs and triggers. A call returns after its changes are committed."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        secret_box: SecretBox,
        settings: AutomationSettings,
        templates: Templates,
    ) -> None:
        self._db = db
        self._clock = clock
        self._secret_box = secret_box
        self._settings = settings
        self._templates = templates

    async def create(self, caller: Caller, new: AutomationCreate) -> AutomationView:
        """Create a definition. Raises DefinitionError, ConflictError (its name or webhook id is taken)."""
        now = self._clock()
        one = await self._checked(caller, new, now)
        async with self._db.acquire() as db, db.transaction():
            await self.insert(db, one, new.secret, now)
            await record(db, caller, f"automation.{one.kind}.created", one.id, now=now, after=one)
        return await self._view(one)

    async def check(self, caller: Caller, new: AutomationCreate) -> None:
        """Raise DefinitionError where `create` would, and create nothing."""
        await self._checked(caller, new, self._clock())

    async def _checked(self, caller: Caller, new: AutomationCreate, now: datetime) -> Automation:
        one = self._complete(caller, new, now)
        problem = await self._template_problem(caller.tenant_id, one.definition.prompt, one.kind)
        check(
            one.definition,
            one.kind,
            zone=self._settings.zone,
            has_secret=bool(new.secret),
            template_problem=lambda _: problem,
        )
        if one.is_webhook:
            if not (new.secret or "").strip():
                raise secret_required()
            one = msgspec.structs.replace(one, definition=_with_webhook_fields(one.trigger, one.id))
        return one

    def _complete(self, caller: Caller, new: AutomationCreate, now: datetime) -> Automation:
        """Return the automation to create, with the defaults of the operator."""
        definition = msgspec.structs.replace(
            new.definition, fire_limit=new.definition.fire_limit or self._settings.default_limit
        )
        return Automation(
            id=random_id("trg" if isinstance(definition, TriggerDefinition) else "job"),
            tenant_id=caller.tenant_id,
            source=DefinitionSource.DYNAMIC,
            definition=definition,
            created_by=caller.user_id,
            created_at=now,
            updated_at=now,
        )

    async def insert(self, db: PoolConnection, one: Automation, secret: str | None, now: datetime) -> None:
        """Insert a checked definition with its schedule or its secret and subscription."""
        await insert_automation(db, one)
        if one.kind is AutomationKind.JOB:
            timing = timing_of(one.job, self._settings.zone)
            await create_automation_schedule(
                db,
                id=one.id,
                tenant_id=one.tenant_id,
                timing=timing,
                enabled=one.definition.enabled,
                now=now,
            )
            return
        if secret is not None and one.is_webhook:
            await self._insert_secret(db, one, secret, None)
        await update_subscription(db, one)

    async def get(self, tenant_id: str, kind: AutomationKind, id: str) -> AutomationView:
        """Return one definition of the tenant."""
        one = await fetch_automation(self._db, tenant_id=tenant_id, kind=kind, id=id)
        if one is None:
            raise not_found(kind)
        return await self._view(one)

    async def list(
        self,
        tenant_id: str,
        kind: AutomationKind,
        which: AutomationFilter,
        *,
        after: tuple[str, str] | None,
        limit: int,
    ) -> list[AutomationView]:
        """Return up to `limit` definitions by name."""
        found = await list_automations(
            self._db, tenant_id=tenant_id, kind=kind, which=which, after=after, limit=limit
        )
        ids = [one.id for one in found]
        states = await fetch_schedule_states(self._db, ids=ids) if kind is AutomationKind.JOB else {}
        secret = await with_secrets(self._db, ids=ids) if kind is AutomationKind.TRIGGER else frozenset[str]()
        return [AutomationView(one, states.get(one.id), one.id in secret) for one in found]

    async def change(
        self, caller: Caller, kind: AutomationKind, id: str, patch: AutomationPatch
    ) -> AutomationView:
        """Change a definition. One from a configuration file can only be enabled and disabled.

        Raises NotFoundError, DefinitionError, ConflictError.
        """
        now = self._clock()
        problem = await self._template_problem(caller.tenant_id, patch.fields.get("prompt"), kind)
        async with self._db.acquire() as db, db.transaction():
            schedule = await lock_automation_schedule(db, id=id) if kind is AutomationKind.JOB else None
            one = await fetch_automation(db, tenant_id=caller.tenant_id, kind=kind, id=id, lock=True)
            if one is None:
                raise not_found(kind)
            _require_changeable(one, patch)
            after = msgspec.structs.replace(apply_patch(one, patch), updated_at=max(now, one.updated_at))
            if one.source is DefinitionSource.CONFIG:
                await _override_enabled(db, after, now)
            else:
                await self._check_change(db, after, patch, problem)
            await self.update(db, one, after, schedule, now)
            if patch.secret is not None:
                seconds = patch.secret_overlap_seconds
                overlap_end = now + timedelta(seconds=seconds) if seconds else None
                await self._insert_secret(db, after, patch.secret, overlap_end)
            await record(db, caller, f"automation.{kind}.updated", one.id, now=now, before=one, after=after)
        return await self._view(after)

    async def update(
        self,
        db: PoolConnection,
        before: Automation,
        after: Automation,
        schedule: Schedule | None,
        now: datetime,
    ) -> None:
        """Update a definition that the transaction has locked, with its schedule or subscription."""
        await update_automation(db, after)
        if after.kind is AutomationKind.TRIGGER:
            if before.is_webhook and not after.is_webhook:
                await delete_secrets(db, automation_id=after.id)
            await update_subscription(db, after)
        elif schedule is not None:
            await change_automation_schedule(
                db,
                schedule,
                timing=timing_of(after.job, self._settings.zone),
                enabled=after.definition.enabled,
                restart=before.job.schedule != after.job.schedule,
                now=now,
            )

    async def delete(self, caller: Caller, kind: AutomationKind, id: str) -> None:
        """Delete a definition. Its runs stay, and those in progress continue."""
        async with self._db.acquire() as db, db.transaction():
            if kind is AutomationKind.JOB:
                await lock_automation_schedule(db, id=id)
            one = await fetch_automation(db, tenant_id=caller.tenant_id, kind=kind, id=id, lock=True)
            if one is None:
                raise not_found(kind)
            if one.source is DefinitionSource.CONFIG:
                raise DefinitionError(f"config-backed automation {kind}s cannot be deleted")
            if one.source is DefinitionSource.PACKAGE:
                raise read_only()
            await self.remove(db, one)
            now = self._clock()
            await record(db, caller, f"automation.{kind}.deleted", one.id, now=now, before=one)

    async def remove(self, db: PoolConnection, one: Automation) -> None:
        """Delete a definition that the transaction has locked, with its schedule or subscription."""
        if one.kind is AutomationKind.JOB:
            await delete_automation_schedule(db, id=one.id)
        else:
            await delete_subscription(db, one)
        await delete_automation(db, id=one.id)

    async def secrets(self, one: Automation) -> Sequence[str]:
        """Return the valid secrets of a webhook, newest first."""
        sealed = await fetch_secrets(self._db, automation_id=one.id, now=self._clock())
        return [self._secret_box.decrypt(one.tenant_id, secret_owner(one), each) for each in sealed]

    async def replace_secret(self, db: PoolConnection, one: Automation, secret: str) -> None:
        """Make this the only secret of a webhook."""
        await self._insert_secret(db, one, secret, None)

    async def _insert_secret(
        self, db: PoolConnection, one: Automation, secret: str, overlap_end: datetime | None
    ) -> None:
        sealed = self._secret_box.encrypt(one.tenant_id, secret_owner(one), secret)
        await insert_secret(db, automation_id=one.id, secret=sealed, overlap_end=overlap_end)

    async def _template_problem(self, tenant_id: str, prompt: object, kind: AutomationKind) -> str | None:
        """Return why a new prompt can never be rendered; None if it can, or is not a new one."""
        if kind is not AutomationKind.TRIGGER or not isinstance(prompt, str) or len(prompt) > LONGEST_PROMPT:
            return None
        return await self._templates.problem(tenant_id, prompt)

    async def _check_change(
        self, db: PoolConnection, after: Automation, patch: AutomationPatch, prompt_problem: str | None
    ) -> None:
        secret = patch.secret
        has_secret = after.is_webhook or secret is not None
        check(
            after.definition,
            after.kind,
            zone=self._settings.zone,
            has_secret=has_secret,
            template_problem=lambda _: prompt_problem,
        )
        if not 0 <= patch.secret_overlap_seconds <= LONGEST_OVERLAP_SECONDS:
            raise DefinitionError(
                f"trigger.webhook_secret_overlap_seconds must be between 0 and {LONGEST_OVERLAP_SECONDS}"
            )
        if not after.is_webhook:
            return
        stored = secret is None and after.id in await with_secrets(db, ids=[after.id])
        if not stored and not (secret or "").strip():
            raise secret_required()

    async def _view(self, one: Automation) -> AutomationView:
        if one.kind is AutomationKind.JOB:
            return AutomationView(one, (await fetch_schedule_states(self._db, ids=[one.id])).get(one.id))
        return AutomationView(one, None, one.id in await with_secrets(self._db, ids=[one.id]))


def apply_patch(one: Automation, patch: AutomationPatch) -> Automation:
    """Return the automation with a patch applied. A trigger that is no longer a webhook loses its fields."""
    before, after = one.definition, msgspec.structs.replace(one.definition, **patch.fields)
    if isinstance(before, TriggerDefinition) and isinstance(after, TriggerDefinition):
        if before.event == WEBHOOK_EVENT != after.event:
            after = msgspec.structs.replace(after, webhook_secret_ref="", **_reset_fields(patch.fields))
        after = _with_webhook_fields(after, one.id)
    return msgspec.structs.replace(one, definition=after)


def _reset_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: default for name, default in _WEBHOOK_DEFAULTS.items() if name not in given}


def _with_webhook_fields(trigger: TriggerDefinition, id: str) -> TriggerDefinition:
    """Return the trigger with the generated fields of a webhook, if it is one."""
    if trigger.event != WEBHOOK_EVENT:
        return trigger
    return msgspec.structs.replace(
        trigger,
        webhook_id=trigger.webhook_id or webhook_id_of(id),
        webhook_secret_ref=trigger.webhook_secret_ref or secret_ref_of(id),
    )


def _require_changeable(one: Automation, patch: AutomationPatch) -> None:
    if one.source is DefinitionSource.PACKAGE:
        raise read_only()
    if one.source is DefinitionSource.CONFIG and (
        patch.fields.keys() != {"enabled"} or patch.secret is not None
    ):
        raise DefinitionError(f"config-backed automation {one.kind}s only accept enabled updates")


async def _override_enabled(db: PoolConnection, after: Automation, now: datetime) -> None:
    """Store the value of `enabled`, if it differs from the configuration file."""
    if after.definition.enabled == after.configured_enabled:
        await clear_enabled_override(db, automation_id=after.id)
    else:
        await set_enabled_override(db, automation_id=after.id, enabled=after.definition.enabled, now=now)


def secret_owner(one: Automation) -> OwnerId:
    """Return the owner under which the secrets of a trigger are encrypted."""
    return OwnerId(f"{SECRET_OWNER_PREFIX}{one.id}")
