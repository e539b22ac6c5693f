"""The routes of workers."""

from typing import Final

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath

from runwright.core.errors import NotFoundError
from runwright.core.ids import is_id
from runwright.http.ava.auth import READS, WRITES, AvaRequest, read_headers
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.paging import read_page, show_page
from runwright.http.ava.shapes import worker_wire
from runwright.http.ava.wire import Data, Page, WorkerWire
from runwright.http.ava.worker_forms import (
    CHANGE_WORKER,
    CREATE_WORKER,
    LIST_WORKERS,
    ChangeWorkerBody,
    CreateWorkerBody,
    WorkerQuery,
    check_whole_config,
    new_worker,
    require_runtime,
    worker_changes,
    worker_filter,
)
from runwright.http.body import read_json_body
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Workers"


def known_worker(worker_id: str) -> str:
    """Spare the store what cannot be an id."""
    if not is_id("wkr", worker_id):
        raise NotFoundError("There is no such worker.")
    return worker_id


class WorkerRoutes(Controller):
    """Definitions of code to run."""

    path = "/workers"

    @get("/", guards=[READS], opt=Operation("List workers", tag=_TAG, query=WorkerQuery, errors=(422,)).opt)
    async def list_workers(self, request: AvaRequest) -> Page[WorkerWire]:
        query = LIST_WORKERS.read_query(request.scope["query_string"])
        page = read_page(query, "wkr")
        listing = await services_of(request).workers.list(request.user.tenant_id, worker_filter(query), page)
        return Page([worker_wire(worker) for worker in listing.rows], show_page(listing, page))

    @post(
        "/",
        guards=[WRITES],
        opt=Operation(
            "Create a worker",
            tag=_TAG,
            body=CreateWorkerBody,
            errors=(422,),
            example={
                "name": "Greeter",
                "runtime": "python",
                "config": {"GREETING": "Hello"},
                "timeout_seconds": 60,
                "source_code": "async def handler(input, env):\n    return env['GREETING'], input['name']",
            },
        ).opt,
    )
    async def create_worker(self, request: AvaRequest) -> Data[WorkerWire]:
        NO_QUERY.read_query(request.scope["query_string"])
        services = services_of(request)
        body = await read_json_body(read_headers(request.scope), request.receive, request.app.state.edge)
        form = CREATE_WORKER.with_rules({"runtime": require_runtime(services.runtimes)})
        return Data(
            worker_wire(await services.workers.create(request.user, new_worker(form.read_json(body))))
        )

    @get("/{worker_id:str}", guards=[READS], opt=Operation("Get a worker", tag=_TAG, errors=(404, 422)).opt)
    async def get_worker(self, request: AvaRequest, worker_id: FromPath[str]) -> Data[WorkerWire]:
        NO_QUERY.read_query(request.scope["query_string"])
        return Data(
            worker_wire(
                await services_of(request).workers.get(request.user.tenant_id, known_worker(worker_id))
            )
        )

    @patch(
        "/{worker_id:str}",
        guards=[WRITES],
        opt=Operation(
            "Update a worker",
            tag=_TAG,
            body=ChangeWorkerBody,
            errors=(404, 409, 422),
            example={"status": "paused", "config": {"GREETING": None}},
        ).opt,
    )
    async def change_worker(self, request: AvaRequest, worker_id: FromPath[str]) -> Data[WorkerWire]:
        NO_QUERY.read_query(request.scope["query_string"])
        workers = services_of(request).workers
        body = await read_json_body(read_headers(request.scope), request.receive, request.app.state.edge)
        changes = worker_changes(CHANGE_WORKER.read_json(body))
        changed = await workers.change(
            request.user, known_worker(worker_id), changes, check=check_whole_config
        )
        return Data(worker_wire(changed))

    @delete(
        "/{worker_id:str}",
        guards=[WRITES],
        status_code=200,
        opt=Operation("Deprecate a worker", tag=_TAG, errors=(404, 422)).opt,
    )
    async def deprecate_worker(self, request: AvaRequest, worker_id: FromPath[str]) -> Data[WorkerWire]:
        """Soft-delete: the record, its jobs and logs stay; new jobs are refused, queued ones cancelled."""
        NO_QUERY.read_query(request.scope["query_string"])
        return Data(
            worker_wire(await services_of(request).workers.deprecate(request.user, known_worker(worker_id)))
        )
