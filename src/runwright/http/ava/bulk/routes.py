"""The routes of bulk operations on jobs."""

from typing import Final

from runwright.core.ids import OperationId
from runwright.http.ava.authorization import READS, RUNS
from runwright.http.ava.bulk.schemas import (
    CREATE_BULK,
    LIST_BULK,
    BulkIn,
    BulkOut,
    BulkQuery,
    bulk_out,
    dry_run_out,
    selection_of,
    version_of,
)
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, known_id, page_of, read_page
from runwright.http.ava.jobs.schemas import read_idempotency
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/ava/jobs/bulk", tag="Jobs")


@ROUTES.add("GET", "", READS, "List bulk operations", query=BulkQuery, errors=(422,))
async def list_operations(request: Request) -> Page[BulkOut]:
    """Returns bulk operations, newest first."""
    page = read_page(request.query(LIST_BULK), "blk")
    return page_of(await request.services.bulk.list(request.tenant_id, page), page, bulk_out)


@ROUTES.add(
    "POST",
    "",
    RUNS,
    "Cancel or retry many jobs",
    status=202,
    body=BulkIn,
    errors=(409, 422),
    idempotent=True,
    unchanged="The number of jobs, for a dry run",
    example={"action": "retry", "filter": {"status": ["failed"], "error_code": "timeout"}, "dry_run": True},
)
async def start_operation(request: Request) -> Reply[Data[BulkOut]]:
    """Starts an operation on the jobs that exist now; with `dry_run`, only counts them (200).

    No job is processed twice: a job that was retried before is not retried again, and an operation
    that was interrupted continues where it stopped.
    """
    body = await request.body(CREATE_BULK)
    idempotency = await read_idempotency(request)
    which = await selection_of(body, request)
    bulk = request.services.bulk
    if body.dry_run:
        return Reply(Data(dry_run_out(body, await bulk.count(request.caller, body.action, which))), 200)
    operation = await bulk.start(request.caller, body.action, which, idempotency, version_of(body))
    return Reply(Data(bulk_out(operation)), 202)


@ROUTES.add("GET", "/{operation_id}", READS, "Get a bulk operation", errors=(404, 422))
async def get_operation(request: Request) -> Data[BulkOut]:
    """Poll until `status` is completed or cancelled."""
    return Data(bulk_out(await request.services.bulk.get(request.tenant_id, _operation_id(request))))


@ROUTES.add(
    "POST", "/{operation_id}/cancel", RUNS, "Stop a bulk operation", status=200, errors=(404, 409, 422)
)
async def stop_operation(request: Request) -> Data[BulkOut]:
    """Jobs that it has processed are not changed back."""
    return Data(bulk_out(await request.services.bulk.cancel(request.caller, _operation_id(request))))


def _operation_id(request: Request) -> OperationId:
    return OperationId(known_id("blk", "bulk operation", request.params["operation_id"]))
