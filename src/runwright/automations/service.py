"""The services of automations by subject, with those for events and tasks."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from runwright.automations.definitions import AutomationDefinitions
from runwright.automations.errors import not_found
from runwright.automations.event_subscriptions import workspace_subject
from runwright.automations.model import Task, TaskOwner, TaskStatus
from runwright.automations.runs import AutomationRuns
from runwright.automations.settings import AutomationSettings
from runwright.automations.store.runs import fetch_task, list_tasks, update_task
from runwright.automations.webhook_ingress import WebhookIngress
from runwright.core.clock import Clock
from runwright.core.ids import TaskId
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.events.publish import EventScope, PublishedEvent, publish_event
from runwright.tenants.audit import record


class AutomationEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event to publish, for a workspace or (empty) globally; `payload` is the JSON text of an object."""

    event: str
    workspace_id: str
    payload: msgspec.Raw
    idempotency_key: str | None


class AutomationEvents:
    """Publish events."""

    def __init__(self, db: Database, *, clock: Clock, on_event: Callable[[], None]) -> None:
        """`on_event` is called after an event was published."""
        self._db = db
        self._clock = clock
        self._on_event = on_event

    async def publish(self, caller: Caller, new: AutomationEvent) -> PublishedEvent:
        """Append an event to the log. Raises ConflictError if its idempotency key was used for another."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            published = await publish_event(
                db,
                caller.tenant_id,
                new.event,
                new.payload,
                now,
                new.idempotency_key,
                scope=EventScope(subject_id=workspace_subject(new.workspace_id)),
            )
            if not published.replayed:
                await record(db, caller, "event.published", published.event.id, now=now)
        self._on_event()
        return published


class Tasks:
    """Read and update tasks."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def get(self, tenant_id: str, task_id: TaskId) -> Task:
        """Return one task of the tenant."""
        task = await fetch_task(self._db, tenant_id=tenant_id, task_id=task_id)
        if task is None:
            raise not_found("task")
        return task

    async def list(
        self, tenant_id: str, status: TaskStatus | None, *, before: tuple[datetime, str] | None, limit: int
    ) -> list[Task]:
        """Return up to `limit` tasks, newest first."""
        return await list_tasks(self._db, tenant_id=tenant_id, status=status, before=before, limit=limit)

    async def change(
        self, caller: Caller, task_id: str, *, status: TaskStatus | None, owner: TaskOwner | None
    ) -> Task:
        """Set the status or the owner of a task. Raises NotFoundError."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            task = await fetch_task(db, tenant_id=caller.tenant_id, task_id=task_id, lock=True)
            if task is None:
                raise not_found("task")
            changed = msgspec.structs.replace(
                task,
                status=status or task.status,
                spec=msgspec.structs.replace(task.spec, owner=owner or task.spec.owner),
                updated_at=max(now, task.updated_at),
            )
            await update_task(db, changed)
            await record(db, caller, "task.updated", task_id, now=now, before=task, after=changed)
        return changed


class Automations(msgspec.Struct, frozen=True, kw_only=True):
    """The services of automations by subject."""

    definitions: AutomationDefinitions
    runs: AutomationRuns
    tasks: Tasks
    events: AutomationEvents
    ingress: WebhookIngress
    settings: AutomationSettings
