"""Tasks that runs made, as callers see and do them."""

from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.errors import DefinitionError, not_found
from runwright.automations.model import Task, TaskOwner
from runwright.automations.store.tasks import fetch_task, list_tasks, update_task
from runwright.core.clock import Clock
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.tenants.audit import record

STATUSES: Final = ("open", "in_progress", "done", "cancelled")


class Tasks:
    """Look at tasks, and say how far they are."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def get(self, tenant_id: str, task_id: str) -> Task:
        """Return one task of the tenant."""
        task = await fetch_task(self._db, tenant_id=tenant_id, task_id=task_id)
        if task is None:
            raise not_found("task")
        return task

    async def list(
        self, tenant_id: str, status: str | None, *, before: tuple[datetime, str] | None, limit: int
    ) -> list[Task]:
        """Return up to `limit` tasks, the latest first."""
        return await list_tasks(self._db, tenant_id=tenant_id, status=status, before=before, limit=limit)

    async def change(
        self, caller: Caller, task_id: str, *, status: str | None, owner: TaskOwner | None
    ) -> Task:
        """Say how far a task is, or whose it is. Raises NotFoundError, DefinitionError."""
        if status is not None and status not in STATUSES:
            names = ", ".join(f'"{name}"' for name in STATUSES)
            raise DefinitionError(f'task.status must be one of {names}: "{status[:100]}"')
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
