"""Adds new entries of the audit log to its chain."""

from typing import Final

from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit
from runwright.tenants.audit_chain import chain_entries

PAUSE_SECONDS: Final = 5.0
_BATCH: Final = 500


class AuditChainer(DatabaseLoop):
    """Chains every few seconds. Any number may run."""

    def __init__(self, db: Database, *, clock: Clock, emit: Emit) -> None:
        super().__init__("audit-chainer", db, clock=clock, emit=emit)

    async def _make_pass(self) -> float:
        return 0.0 if await chain_entries(self._db, limit=_BATCH) == _BATCH else PAUSE_SECONDS
