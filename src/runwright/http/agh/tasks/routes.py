"""The routes of tasks."""

from typing import Final

from litestar import Controller, get, patch
from litestar.params import FromPath

from runwright.http.agh.auth import READS, WRITES, AghRequest
from runwright.http.agh.errors import MEDIA_TYPE
from runwright.http.agh.queries import page_of, time_cursor
from runwright.http.agh.requests import read_body, read_query
from runwright.http.agh.tasks.schemas import (
    TaskEnvelope,
    TaskList,
    TaskPatch,
    TaskQuery,
    read_changes,
    task_out,
)
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Tasks"


class TaskRoutes(Controller):
    """Tasks that runs have created."""

    path = "/api/tasks"

    @get(
        "/",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List tasks", tag=_TAG, query=TaskQuery).opt,
    )
    async def list_tasks(self, request: AghRequest) -> TaskList:
        """Newest first (a Runwright extension)."""
        query = read_query(request, TaskQuery)
        found = await services_of(request).automations.tasks.list(
            request.user.tenant_id, query.task_status, before=time_cursor(query), limit=query.rows + 1
        )
        rows, cursor = page_of(found, query.rows, lambda task: (task.created_at, task.id))
        return TaskList(tasks=[task_out(task) for task in rows], next_cursor=cursor)

    @get(
        "/{task_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one task", tag=_TAG, errors=(404,)).opt,
    )
    async def get_task(self, request: AghRequest, task_id: FromPath[str]) -> TaskEnvelope:
        tasks = services_of(request).automations.tasks
        return TaskEnvelope(task_out(await tasks.get(request.user.tenant_id, task_id.strip())))

    @patch(
        "/{task_id:str}",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Update one task", tag=_TAG, body=TaskPatch, errors=(404,), example={"status": "done"}
        ).opt,
    )
    async def update_task(self, request: AghRequest, task_id: FromPath[str]) -> TaskEnvelope:
        """Set the status or the owner (a Runwright extension)."""
        body = await read_body(request, TaskPatch, "task update")
        status, owner = read_changes(body)
        tasks = services_of(request).automations.tasks
        return TaskEnvelope(
            task_out(await tasks.change(request.user, task_id.strip(), status=status, owner=owner))
        )
