"""Read and update the tasks that runs have created."""

from datetime import datetime

import msgspec

from runwright.automations.errors import not_found
from runwright.automations.model import Task, TaskOwner, TaskStatus
from runwright.automations.store.tasks import fetch_task, list_tasks, update_task
from runwright.core.clock import Clock
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.tenants.audit import record


class Tasks:
    """Read and update tasks."""

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
