"""The schemas of queues."""

from typing import Annotated

import msgspec
from msgspec import Meta

from runwright.http.ava.envelopes import Time
from runwright.http.fields import format_time
from runwright.jobs.queues import QueueDepth, QueueSnapshot


class QueuesOut(msgspec.Struct, frozen=True, kw_only=True):
    """Live jobs of the tenant."""

    total_queued: int
    total_running: int
    by_worker: Annotated[list[QueueDepth], Meta(description="The workers that have any.")]
    sampled_at: Annotated[
        Time, Meta(description="When they were counted: now, or a little ago where counting takes long.")
    ]


def queues_out(snapshot: QueueSnapshot) -> QueuesOut:
    return QueuesOut(
        total_queued=snapshot.total_queued,
        total_running=snapshot.total_running,
        by_worker=snapshot.by_worker,
        sampled_at=format_time(snapshot.sampled_at),
    )
