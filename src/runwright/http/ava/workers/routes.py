"""The routes of workers."""

from typing import Final

from runwright.core.ids import WorkerId
from runwright.http.ava.authorization import READS, WRITES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, filter_of, known_id, page_of, read_page
from runwright.http.ava.workers.schemas import (
    CHANGE_WORKER,
    CREATE_WORKER,
    LIST_WORKERS,
    WorkerIn,
    WorkerOut,
    WorkerPatch,
    WorkerQuery,
    check_whole_config,
    new_worker,
    require_runtime,
    require_version,
    worker_changes,
    worker_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.workers.model import WorkerFilter

ROUTES: Final = Routes(AVA, "/v1/ava/workers", tag="Workers")


@ROUTES.add("GET", "", READS, "List workers", query=WorkerQuery, errors=(422,))
async def list_workers(request: Request) -> Page[WorkerOut]:
    query = request.query(LIST_WORKERS)
    page = read_page(query, "wkr")
    which = filter_of(WorkerFilter, query, name_contains=query.q or None)
    listing = await request.services.workers.list(request.tenant_id, which, page, payloads=query.payloads)
    return page_of(listing, page, worker_out)


@ROUTES.add(
    "POST",
    "",
    WRITES,
    "Create a worker",
    body=WorkerIn,
    errors=(422,),
    example={
        "name": "Greeter",
        "runtime": "python",
        "config": {"GREETING": "Hello"},
        "timeout_seconds": 60,
        "source_code": "async def handler(input, env):\n    return env['GREETING'], input['name']",
    },
)
async def create_worker(request: Request) -> Data[WorkerOut]:
    services = request.services
    runtimes = await services.reports.runtimes()
    body = await request.body(CREATE_WORKER, {"runtime": require_runtime(runtimes)})
    require_version(runtimes[body.runtime.value], body.runtime_version)
    return Data(worker_out(await services.workers.create(request.caller, new_worker(body))))


@ROUTES.add("GET", "/{worker_id}", READS, "Get a worker", errors=(404, 422))
async def get_worker(request: Request) -> Data[WorkerOut]:
    return Data(worker_out(await request.services.workers.get(request.tenant_id, worker_id_of(request))))


@ROUTES.add(
    "PATCH",
    "/{worker_id}",
    WRITES,
    "Update a worker",
    body=WorkerPatch,
    errors=(404, 409, 422),
    example={"status": "paused", "config": {"GREETING": None}},
)
async def change_worker(request: Request) -> Data[WorkerOut]:
    services, worker_id = request.services, worker_id_of(request)
    changes = worker_changes(await request.body(CHANGE_WORKER))
    if isinstance(changes.runtime_version, str):
        worker = await services.workers.get(request.tenant_id, worker_id)
        runtimes = await services.reports.runtimes()
        require_version(runtimes[worker.runtime.value], changes.runtime_version)
    changed = await services.workers.change(request.caller, worker_id, changes, check=check_whole_config)
    return Data(worker_out(changed))


@ROUTES.add("DELETE", "/{worker_id}", WRITES, "Deprecate a worker", status=200, errors=(404, 422))
async def deprecate_worker(request: Request) -> Data[WorkerOut]:
    """Soft-deletes the worker: new jobs are refused, queued ones cancelled; its records stay readable."""
    return Data(worker_out(await request.services.workers.deprecate(request.caller, worker_id_of(request))))


def worker_id_of(request: Request) -> WorkerId:
    """Return the id in the path; NotFoundError if it cannot be one."""
    return WorkerId(known_id("wkr", "worker", request.params["worker_id"]))
