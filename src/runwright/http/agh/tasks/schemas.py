"""The schemas of tasks."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.automations.errors import DefinitionError
from runwright.automations.model import AutomationScope, Task, TaskOwner, TaskStatus
from runwright.http.agh.fields import NextCursor, Time, copied_fields, shown_fields
from runwright.http.agh.requests import PageQuery

_Status = Annotated[
    str,
    Meta(
        description="open, in_progress, done or cancelled.",
        extra_json_schema={"enum": list(TaskStatus)},
    ),
]


class TaskQuery(PageQuery, frozen=True, kw_only=True):
    """Which tasks to list."""

    status: _Status | UnsetType = UNSET

    @property
    def task_status(self) -> TaskStatus | None:
        """The status of the tasks to list. Raises DefinitionError if it is unknown."""
        if self.status and self.status not in set(TaskStatus):
            raise DefinitionError(f"status must be one of {', '.join(TaskStatus)}")
        return TaskStatus(self.status) if self.status else None


class TaskPatch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a task. Fields that are left out or null stay unchanged."""

    openapi_name: ClassVar[str] = "ChangeTaskBody"

    status: _Status | UnsetType = UNSET
    owner: TaskOwner | UnsetType = UNSET


class TaskOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task that a run has created."""

    id: str
    run_id: str
    task_run_id: str
    job_id: str
    scope: Annotated[str, Meta(extra_json_schema={"enum": list(AutomationScope)})]
    workspace_id: str = ""
    title: str
    description: str = ""
    network_channel: str = ""
    owner: TaskOwner | None = None
    status: _Status
    created_at: Time
    updated_at: Time


class TaskEnvelope(msgspec.Struct, frozen=True):
    """One task."""

    task: TaskOut


class TaskList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tasks, newest first."""

    tasks: list[TaskOut]
    next_cursor: NextCursor = ""


def task_out(task: Task) -> TaskOut:
    """Return a task as the API shows it."""
    return TaskOut(
        **shown_fields(task, TaskOut), **copied_fields(task.spec, TaskOut), job_id=task.automation_id
    )


def read_changes(body: TaskPatch) -> tuple[TaskStatus | None, TaskOwner | None]:
    """Return the new status and owner of a body. Raises DefinitionError if it has neither."""
    status, owner = body.status or None, body.owner or None
    if status is None and owner is None:
        raise DefinitionError("task update must include at least one field")
    if status is not None and status not in set(TaskStatus):
        names = ", ".join(f'"{name}"' for name in TaskStatus)
        raise DefinitionError(f'task.status must be one of {names}: "{status[:100]}"')
    return None if status is None else TaskStatus(status), owner
