"""Every statement of automations, agents, tools, bulk operations, builds and API writes, with every fault.

Nothing that was accepted is lost or happens twice, and no attempt is used up by the database: see
`test_database_faults` for the engine's statements and for what the proxy does.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from tests.chaos.features import Features, until
from tests.chaos.postgres_proxy import Fault, PostgresProxy
from tests.chaos.test_database_faults import LONG, QUICK, ROUNDS, SECONDS
from tests.integration.loops.registry import local_registry

from runwright.agents import calls
from runwright.automations import dispatch
from runwright.bulk import service as bulk
from runwright.db import connection
from runwright.db.pool import Pool, open_pool
from runwright.loops import completion_dispatcher, sender
from runwright.runtimes.probe import probe_host

BACKLOG_SECONDS: Final = 2.0
LOADS: Final = 200 if LONG else 1
STATEMENTS: Final = {
    "due runs": "q.run_id <> ALL ($4::text[])",
    "claim runs": "q.run_id = ANY ($4::text[])",
    "find workers": "SELECT i.tenant_id, i.name, w.id",
    "start run": "UPDATE run_queue SET state = $2",
    "run started": "session_id = $2, attempt_at = $3",
    "end of a job": "q.state = 'running' ORDER BY r.id FOR UPDATE",
    "end run": "DELETE FROM run_queue WHERE run_id",
    "run ended": "UPDATE automation_runs SET status = $2, ended_at",
    "fire": "INSERT INTO automation_runs (id",
    "add callbacks": "INSERT INTO completion_callbacks",
    "take callbacks": "DELETE FROM completion_callbacks c USING due",
    "ancestry": "INSERT INTO job_ancestry",
    "take events": "DELETE FROM event_queue",
    "open executions": "INSERT INTO executions (id",
    "load calls": "UPDATE executions SET status = 'running', updated_at = $2 WHERE id",
    "claim calls": "SET claimed = true",
    "take calls": "DELETE FROM outbox q USING open o",
    "decide": "SET status = 'completed', action = i.action",
    "settle calls": "WITH attempt AS MATERIALIZED",
    "replay keys": "INSERT INTO replay_keys",
    "tool turn": "INSERT INTO agent_turns",
    "tool calls": "INSERT INTO tool_calls",
    "tool result": "UPDATE tool_calls SET answer",
    "next turn": "UPDATE agent_turns SET job_id = $2",
    "end of turns": "DELETE FROM agent_turns WHERE job_id = ANY",
    "start bulk": "INSERT INTO bulk_operations",
    "bulk step": "FROM bulk_operations WHERE status = 'running' AND due_at",
    "bulk retries": "INSERT INTO job_retries",
    "bulk progress": "UPDATE bulk_operations SET done",
    "claim build": "INSERT INTO builds",
    "end build": "ended_at = clock_timestamp() WHERE worker_id",
    "version ready": "SET status = 'ready', layer_key",
    "create key": "INSERT INTO api_keys",
    "create worker": "INSERT INTO workers",
    "create schedule": "INSERT INTO schedules",
    "audit": "INSERT INTO audit_log",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set aside for seconds waits for a moment."""
    monkeypatch.setattr(dispatch, "POSTPONED", timedelta(seconds=0.1))
    monkeypatch.setattr(bulk, "PUT_OFF", timedelta(seconds=0.1))
    monkeypatch.setattr(completion_dispatcher, "POSTPONE_SECONDS", 0.1)
    monkeypatch.setattr(completion_dispatcher, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(calls, "SET_ASIDE_SECONDS", 0.1)
    monkeypatch.setattr(sender, "SET_ASIDE_SECONDS", 0.1)
    monkeypatch.setattr(connection, "SLACK_SECONDS", 0.1)


@pytest.fixture
async def features(database: Pool, database_url: str, folder: Path) -> AsyncIterator[Features]:
    async with AsyncExitStack() as stack:
        registry = stack.enter_context(local_registry())
        proxy = await stack.enter_async_context(PostgresProxy(folder, database_url))
        faulty = await open_pool(proxy.dsn, max_size=16, statement_class=QUICK)
        stack.callback(faulty.terminate)
        one = Features(database, faulty, proxy)
        await stack.enter_async_context(one.running(probe_host(), registry, folder))
        yield one


def missed(features: Features, faults: Sequence[Fault]) -> set[tuple[str, Fault]]:
    """Return the statements that have not met a fault yet."""
    return {
        (name, fault)
        for name, text in STATEMENTS.items()
        for fault in faults
        if not any(text in key and hit is fault for key, hit in features.proxy.hits)
    }


@pytest.mark.timeout(3 * SECONDS + 60)
@pytest.mark.parametrize("faults", ROUNDS, ids=" ".join)
async def test_every_statement_of_the_features_survives_every_fault(
    features: Features, faults: Sequence[Fault]
) -> None:
    """Runs, executions, tool calls, retries, builds and what the API created exist once, and ended well."""
    await features.load()
    await until(features.settled, SECONDS)
    for _ in range(LOADS):
        features.proxy.arm(*faults, only=() if LONG else STATEMENTS.values())
        await features.load()
    try:
        async with asyncio.timeout(SECONDS):
            while missed(features, faults):
                await features.load()
                with contextlib.suppress(TimeoutError):  # a backlog would take long to work off
                    await until(features.settled, BACKLOG_SECONDS)
    except TimeoutError:
        left = await features.unsettled()
        raise AssertionError(f"never met: {sorted(missed(features, faults))}\n{left}") from None
    features.proxy.arm()
    try:
        await until(features.settled, SECONDS)
    except TimeoutError:
        raise AssertionError(f"not settled: {await features.unsettled()}") from None
    await features.check()
