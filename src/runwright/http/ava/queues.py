"""The routes of queues: how many jobs wait and run now."""

from typing import Annotated, Final

import msgspec
from litestar import Controller, get
from litestar.params import FromPath
from msgspec import Meta

from runwright.core.errors import NotFoundError
from runwright.core.ids import is_id
from runwright.http.ava.auth import READS, AvaRequest
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.wire import Data, Time
from runwright.http.operations import Operation
from runwright.http.services import services_of
from runwright.http.times import time_wire
from runwright.jobs.queues import QueueDepth

_TAG: Final = "Queues"


class QueuesWire(msgspec.Struct, frozen=True, kw_only=True):
    """Live jobs of the tenant."""

    total_queued: int
    total_running: int
    by_worker: Annotated[list[QueueDepth], Meta(description="The workers that have any.")]
    sampled_at: Annotated[
        Time, Meta(description="When they were counted: now, or a little ago where counting takes long.")
    ]


class QueueRoutes(Controller):
    """How many jobs wait and run."""

    path = "/queues"

    @get("/", guards=[READS], opt=Operation("Inspect the queues", tag=_TAG, errors=(422,)).opt)
    async def read_queues(self, request: AvaRequest) -> Data[QueuesWire]:
        """Jobs that wait for a retry or for their time count as queued."""
        NO_QUERY.read_query(request.scope["query_string"])
        snapshot = await services_of(request).queues.snapshot(request.user.tenant_id)
        return Data(
            QueuesWire(
                total_queued=snapshot.total_queued,
                total_running=snapshot.total_running,
                by_worker=snapshot.by_worker,
                sampled_at=time_wire(snapshot.sampled_at),
            )
        )

    @get(
        "/{worker_id:str}",
        guards=[READS],
        opt=Operation("Inspect the queue of a worker", tag=_TAG, errors=(404, 422)).opt,
    )
    async def read_queue(self, request: AvaRequest, worker_id: FromPath[str]) -> Data[QueueDepth]:
        """One row of the queues, also where nothing waits or runs."""
        NO_QUERY.read_query(request.scope["query_string"])
        if not is_id("wkr", worker_id):
            raise NotFoundError("There is no such worker.")
        return Data(await services_of(request).queues.depth(request.user.tenant_id, worker_id))
