"""The routes of runs and tasks, and of events that callers publish."""

from typing import Final

from litestar import Controller, get, patch, post
from litestar.params import FromPath

from runwright.automations.errors import DefinitionError
from runwright.automations.model import RunFilter
from runwright.automations.tasks import STATUSES
from runwright.http.agh.auth import READS, WRITES, AghRequest
from runwright.http.agh.errors import MEDIA_TYPE
from runwright.http.agh.forms import ChangeTaskBody, read_fields, read_owner
from runwright.http.agh.queries import (
    AnyRunQuery,
    TaskQuery,
    page_of,
    read_limit,
    read_query,
    read_run_filter,
    read_time_cursor,
)
from runwright.http.agh.shapes import attempt_wire, run_wire, task_wire
from runwright.http.agh.wire import AttemptList, RunEnvelope, RunList, TaskEnvelope, TaskList
from runwright.http.operations import Operation
from runwright.http.services import services_of

_RUNS: Final = "Runs"
_TASKS: Final = "Tasks"


class RunRoutes(Controller):
    """What was fired."""

    path = "/api/automation/runs"

    @get(
        "/",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List automation runs", tag=_RUNS, query=AnyRunQuery).opt,
    )
    async def list_automation_runs(self, request: AghRequest) -> RunList:
        """The latest first."""
        query = read_query(request)
        ids = [query[name] for name in ("job_id", "trigger_id") if name in query]
        return await list_runs(request, query, read_run_filter(query, ids))

    @get(
        "/{run_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one automation run", tag=_RUNS, errors=(404,)).opt,
    )
    async def get_automation_run(self, request: AghRequest, run_id: FromPath[str]) -> RunEnvelope:
        runs = services_of(request).automations.runs
        return RunEnvelope(run_wire(await runs.get(request.user.tenant_id, run_id.strip())))

    @get(
        "/{run_id:str}/attempts",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List the attempts of one automation run", tag=_RUNS, errors=(404,)).opt,
    )
    async def list_automation_run_attempts(self, request: AghRequest, run_id: FromPath[str]) -> AttemptList:
        """The first one first; the last is how the run stands (ours)."""
        attempts = await services_of(request).automations.runs.attempts(
            request.user.tenant_id, run_id.strip()
        )
        return AttemptList([attempt_wire(attempt) for attempt in attempts])

    @post(
        "/{run_id:str}/cancel",
        guards=[WRITES],
        status_code=200,
        media_type=MEDIA_TYPE,
        opt=Operation("Cancel one automation run", tag=_RUNS, errors=(404, 409)).opt,
    )
    async def cancel_automation_run(self, request: AghRequest, run_id: FromPath[str]) -> RunEnvelope:
        """One that waits ends at once; of one that runs the agent is asked to end (ours)."""
        runs = services_of(request).automations.runs
        return RunEnvelope(run_wire(await runs.cancel(request.user, run_id.strip())))


async def list_runs(request: AghRequest, query: dict[str, str], which: RunFilter) -> RunList:
    """Return the page of runs that a query asks for."""
    limit, before = read_limit(query), read_time_cursor(query)
    found = await services_of(request).automations.runs.list(
        request.user.tenant_id, which, before=before, limit=limit + 1
    )
    rows, cursor = page_of(found, limit, lambda run: (run.started_at, run.id))
    return RunList(runs=[run_wire(run) for run in rows], next_cursor=cursor)


class TaskRoutes(Controller):
    """What runs have left to others."""

    path = "/api/tasks"

    @get(
        "/",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List tasks", tag=_TASKS, query=TaskQuery).opt,
    )
    async def list_tasks(self, request: AghRequest) -> TaskList:
        """The latest first (ours)."""
        query = read_query(request)
        status = query.get("status")
        if status is not None and status not in STATUSES:
            raise DefinitionError(f"status must be one of {', '.join(STATUSES)}")
        limit, before = read_limit(query), read_time_cursor(query)
        found = await services_of(request).automations.tasks.list(
            request.user.tenant_id, status, before=before, limit=limit + 1
        )
        rows, cursor = page_of(found, limit, lambda task: (task.created_at, task.id))
        return TaskList(tasks=[task_wire(task) for task in rows], next_cursor=cursor)

    @get(
        "/{task_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one task", tag=_TASKS, errors=(404,)).opt,
    )
    async def get_task(self, request: AghRequest, task_id: FromPath[str]) -> TaskEnvelope:
        tasks = services_of(request).automations.tasks
        return TaskEnvelope(task_wire(await tasks.get(request.user.tenant_id, task_id.strip())))

    @patch(
        "/{task_id:str}",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Update one task", tag=_TASKS, body=ChangeTaskBody, errors=(404,), example={"status": "done"}
        ).opt,
    )
    async def update_task(self, request: AghRequest, task_id: FromPath[str]) -> TaskEnvelope:
        """Says how far it is, or whose it is (ours)."""
        fields = await read_fields(request, "task update")
        status = fields.text("status") or None
        owner = read_owner(fields)
        if status is None and owner is None:
            raise DefinitionError("task update must include at least one field")
        tasks = services_of(request).automations.tasks
        return TaskEnvelope(
            task_wire(await tasks.change(request.user, task_id.strip(), status=status, owner=owner))
        )
