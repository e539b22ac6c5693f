"""The routes and schemas of queues: how many jobs are queued and running."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runwright.analytics.queues import QueueDepth
from runwright.http.ava.authorization import READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Time
from runwright.http.ava.workers.routes import worker_id_of
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.routing import Routes


class QueuesOut(msgspec.Struct, frozen=True, kw_only=True):
    """The queued and running jobs of the tenant."""

    total_queued: int
    total_running: int
    by_worker: Annotated[list[QueueDepth], Meta(description="Workers with queued or running jobs.")]
    sampled_at: Annotated[
        Time, Meta(description="When the jobs were counted; a little ago where counting takes long.")
    ]


ROUTES: Final = Routes(AVA, "/v1/ava/queues", tag="Queues")


@ROUTES.add("GET", "", READS, "Inspect the queues", errors=(422,))
async def read_queues(request: Request) -> Data[QueuesOut]:
    """Returns the number of queued and running jobs. Jobs that wait for a retry or their time are queued."""
    return Data(to_out(QueuesOut, await request.services.queues.snapshot(request.tenant_id)))


@ROUTES.add("GET", "/{worker_id}", READS, "Inspect the queue of a worker", errors=(404, 422))
async def read_queue(request: Request) -> Data[QueueDepth]:
    """Returns the queue of one worker, also if it is empty."""
    return Data(await request.services.queues.depth(request.tenant_id, worker_id_of(request)))
