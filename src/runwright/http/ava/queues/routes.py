"""The routes of queues: how many jobs are queued and running."""

from typing import Final

from runwright.http.ava.authorization import READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data
from runwright.http.ava.queues.schemas import QueuesOut, queues_out
from runwright.http.ava.workers.routes import worker_id_of
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.jobs.queues import QueueDepth

ROUTES: Final = Routes(AVA, "/v1/ava/queues", tag="Queues")


@ROUTES.add("GET", "", READS, "Inspect the queues", errors=(422,))
async def read_queues(request: Request) -> Data[QueuesOut]:
    """Jobs that wait for a retry or for their time count as queued."""
    return Data(queues_out(await request.services.queues.snapshot(request.tenant_id)))


@ROUTES.add("GET", "/{worker_id}", READS, "Inspect the queue of a worker", errors=(404, 422))
async def read_queue(request: Request) -> Data[QueueDepth]:
    """One row of the queues, also where nothing waits or runs."""
    return Data(await request.services.queues.depth(request.tenant_id, worker_id_of(request)))
