"""The routes of tasks."""

from typing import Final

from runwright.core.ids import TaskId
from runwright.http.agh.auth import READS, RUNS
from runwright.http.agh.errors import AGH
from runwright.http.agh.requests import page_of, read_body, read_query, time_cursor
from runwright.http.agh.tasks.schemas import (
    TaskEnvelope,
    TaskList,
    TaskPatch,
    TaskQuery,
    read_changes,
    task_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AGH, "/api/tasks", tag="Tasks")


@ROUTES.add("GET", "", READS, "List tasks", query=TaskQuery)
async def list_tasks(request: Request) -> TaskList:
    """Newest first (a Runwright extension)."""
    query = read_query(request, TaskQuery)
    found = await request.services.automations.tasks.list(
        request.tenant_id, query.task_status, before=time_cursor(query), limit=query.rows + 1
    )
    rows, cursor = page_of(found, query.rows, lambda task: (task.created_at, task.id))
    return TaskList(tasks=[task_out(task) for task in rows], next_cursor=cursor)


@ROUTES.add("GET", "/{task_id}", READS, "Get one task", errors=(404,))
async def get_task(request: Request) -> TaskEnvelope:
    tasks = request.services.automations.tasks
    task_id = TaskId(request.params["task_id"].strip())
    return TaskEnvelope(task_out(await tasks.get(request.tenant_id, task_id)))


@ROUTES.add(
    "PATCH",
    "/{task_id}",
    RUNS,
    "Update one task",
    body=TaskPatch,
    errors=(404,),
    example={"status": "done"},
)
async def update_task(request: Request) -> TaskEnvelope:
    """Set the status or the owner (a Runwright extension)."""
    body = await read_body(request, TaskPatch, "task update")
    status, owner = read_changes(body)
    tasks = request.services.automations.tasks
    return TaskEnvelope(
        task_out(
            await tasks.change(request.caller, request.params["task_id"].strip(), status=status, owner=owner)
        )
    )
