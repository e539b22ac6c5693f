"""Deletes rows whose retention period is over, in bounded steps that delay no other work.

Each task deletes at most `_BATCH` rows at a time, in a transaction of its own. Those that have more to delete
are repeated after a rest that leaves most of the time to other work (`PruningPace`). A task that fails does
not keep the others from their turn.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.agents.store.executions import prune_executions, prune_orphaned_executions
from runwright.automations.store.runs import prune_runs
from runwright.automations.store.webhook_triggers import prune_replay_keys
from runwright.bulk.store import prune_operations
from runwright.core.clock import Clock, Stopwatch
from runwright.db.errors import may_be_one_items
from runwright.db.pool import Database
from runwright.events.feed_store import prune_watches
from runwright.events.publish import prune_event_keys
from runwright.events.store import prune_events
from runwright.jobs.store.prune import prune_jobs, prune_logs
from runwright.loops.pass_loop import DatabaseLoop
from runwright.loops.pruning_pace import PruningPace
from runwright.questions.links import prune_links
from runwright.questions.store import prune_questions
from runwright.schedules.store.ticks import prune_ticks
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.server import ItemSetAside, RowsPruned
from runwright.tenants.audit_chain import prune_entries
from runwright.tenants.idempotency import prune_idempotency_keys
from runwright.tenants.job_share_store import prune_shares
from runwright.tenants.session_store import prune_sessions
from runwright.webhooks.store.deliveries import prune_deliveries, prune_orphaned_deliveries
from runwright.workers.unused_code import empty_old_versions, prune_blobs, prune_layers

Prune = Callable[[datetime], Awaitable[int]]
"""Deletes a bounded number of rows that have expired at a time; returns how many."""

PAUSE_SECONDS: Final = 60.0
_BATCH: Final = 500
_CODE_BATCH: Final = 20
"""Blobs have up to 50 MiB each."""
_CODE_KINDS: Final = ("code of old versions", "layers", "blobs")
_UPLOADS_LAST: Final = timedelta(days=1)

_EVENTS_OUTLIVE: Final = timedelta(days=1)
"""How much longer events are kept than their deliveries and executions."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Retention periods, in days."""

    jobs_days: float
    """Ended jobs, from their end on, with attempts and logs."""
    logs_days: float
    """Logs of ended jobs."""
    runs_days: float
    """Ended runs of automations, with their attempts."""
    ticks_days: float
    events_days: float
    """Events, and deliveries and executions of them."""
    audit_days: float
    versions_days: float = 0.0
    """The code of versions that are not used any more; 0: for ever."""


class Pruner(DatabaseLoop):
    """Deletes once a minute what is older than its retention period. Any number may run."""

    def __init__(self, db: Database, *, retention: Retention, clock: Clock, emit: Emit) -> None:
        super().__init__("pruner", db, clock=clock, emit=emit)
        self._tasks: dict[str, Prune] = {
            "idempotency_keys": lambda now: prune_idempotency_keys(db, now=now, limit=_BATCH),
            "event_keys": lambda now: prune_event_keys(db, now=now, limit=_BATCH),
            "event watches": lambda _: prune_watches(db, limit=_BATCH),
            "jobs": lambda now: prune_jobs(db, before=now - _days(retention.jobs_days), limit=_BATCH),
            "logs": lambda now: prune_logs(db, before=now - _days(retention.logs_days), limit=_BATCH),
            "deliveries": lambda now: prune_deliveries(
                db, before=now - _days(retention.events_days), limit=_BATCH
            ),
            "deliveries of deleted webhooks": lambda _: prune_orphaned_deliveries(db, limit=_BATCH),
            "executions": lambda now: prune_executions(
                db, before=now - _days(retention.events_days), limit=_BATCH
            ),
            "executions of deleted agents": lambda _: prune_orphaned_executions(db, limit=_BATCH),
            "events": lambda now: prune_events(
                db, before=now - _days(retention.events_days) - _EVENTS_OUTLIVE, limit=_BATCH
            ),
            "audit log": lambda now: prune_entries(
                db, before=now - _days(retention.audit_days), limit=_BATCH
            ),
            "sessions": lambda now: prune_sessions(db, now=now, limit=_BATCH),
            "questions": lambda now: prune_questions(
                db, before=now - _days(retention.events_days), limit=_BATCH
            ),
            "links to questions": lambda now: prune_links(db, now=now, limit=_BATCH),
            "job shares": lambda now: prune_shares(db, now=now, limit=_BATCH),
            "webhook claims": lambda now: prune_replay_keys(db, now=now, limit=_BATCH),
            "bulk operations": lambda now: prune_operations(
                db, "bulk_operations", before=now - _days(retention.jobs_days), limit=_BATCH
            ),
            "runs": lambda now: prune_runs(db, before=now - _days(retention.runs_days), limit=_BATCH),
            "backfills": lambda now: prune_operations(
                db, "schedule_backfills", before=now - _days(retention.ticks_days), limit=_BATCH
            ),
            "ticks": lambda now: prune_ticks(db, before=now - _days(retention.ticks_days), limit=_BATCH),
        }
        self._pace = PruningPace()
        self._all_due = 0.0
        self._behind: list[str] = []
        if retention.versions_days:
            self._tasks |= _code_tasks(db, _days(retention.versions_days))

    async def _make_pass(self) -> float:
        watch = Stopwatch()
        if time.monotonic() >= self._all_due:
            self._all_due = time.monotonic() + PAUSE_SECONDS
            self._behind = list(self._tasks)
        counts = {kind: await self._prune(kind, self._tasks[kind]) for kind in self._behind}
        self._behind = [kind for kind, count in counts.items() if count >= _most(kind)]
        now = time.monotonic()
        if self._behind:
            return self._pace.rest(watch.seconds(), now)
        self._pace.caught_up()
        return max(self._all_due - now, 0.0)

    async def _prune(self, kind: str, prune: Prune) -> int:
        watch = Stopwatch()
        try:
            count = await prune(self._clock())
        except Exception as error:
            if not may_be_one_items(error):
                raise
            self._emit(ItemSetAside(loop="pruner", id=kind, error=error_text(error)))
            return 0
        if count:
            self._emit(RowsPruned(kind=kind, count=count, duration_seconds=watch.seconds()))
        return count


def _most(kind: str) -> int:
    return _CODE_BATCH if kind in _CODE_KINDS else _BATCH


def _code_tasks(db: Database, kept: timedelta) -> dict[str, Prune]:
    """Return the tasks that delete unused code; in their order each makes work for the next."""
    return {
        "code of old versions": lambda now: empty_old_versions(
            db, before=now - kept, now=now, limit=_CODE_BATCH
        ),
        "layers": lambda now: prune_layers(db, before=now - kept, limit=_CODE_BATCH),
        "blobs": lambda now: prune_blobs(db, before=now - _UPLOADS_LAST, limit=_CODE_BATCH),
    }


def _days(days: float) -> timedelta:
    return timedelta(days=days)
