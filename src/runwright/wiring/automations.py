"""What fires automations and hands their runs to agents: in the roles `api`, `scheduler` and `router`."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final

from runwright.agents.follow import follow_execution
from runwright.agents.opening import open_execution
from runwright.agents.store.agents import find_agent
from runwright.automations.definitions import Definitions
from runwright.automations.dispatch import PROMPT_EVENT
from runwright.automations.ending import KIND
from runwright.automations.events import Events
from runwright.automations.ingress import Ingress
from runwright.automations.runs import Runs
from runwright.automations.service import Automations
from runwright.automations.sources import make_runs
from runwright.automations.store.queue import LiveRun
from runwright.automations.tasks import Tasks
from runwright.db.pool import Database, PoolConnection
from runwright.engine.dispatcher import Dispatcher
from runwright.jobs.service import Jobs
from runwright.schedules.firing import make_by_owner
from runwright.schedules.maker import make_jobs
from runwright.schedules.model import Owner
from runwright.wiring.foundation import Foundation
from runwright.workers.vault.seals import EndpointSeals

MAKE_TICKS: Final = make_by_owner({Owner.WORKER: make_jobs, Owner.AUTOMATION: make_runs})
"""What ticks make, whoever owns their schedule."""


def open_automations(f: Foundation, db: Database, jobs: Jobs) -> Automations:
    return Automations(
        definitions=Definitions(db, clock=f.clock, seals=EndpointSeals(f.ring), policy=f.policy),
        runs=Runs(db, clock=f.clock, jobs=jobs, on_due=f.hints.due),
        tasks=Tasks(db, clock=f.clock),
        ingress=Ingress(db, clock=f.clock, seals=EndpointSeals(f.ring), on_due=f.hints.due),
        events=Events(db, clock=f.clock, on_event=f.hints.appended),
        policy=f.policy,
    )


async def start_dispatcher(f: Foundation, stack: AsyncExitStack) -> None:
    dispatcher = Dispatcher(
        f.db,
        policy=f.policy,
        open_execution=open_registered,
        clock=f.clock,
        signals=f.signals,
        hints=f.hints,
        notice=f.notice,
    )
    stack.push_async_callback(dispatcher.stop)
    await dispatcher.start()


async def open_registered(
    db: PoolConnection, live: LiveRun, payload: Mapping[str, object], now: datetime
) -> str | None:
    """Open an execution of the registered agent that a run names; None where the tenant has none."""
    run = live.run
    agent = await find_agent(db, tenant_id=run.tenant_id, name=live.plan.agent_name)
    if agent is None:
        return None
    execution_id = await open_execution(db, run.tenant_id, agent.id, PROMPT_EVENT, payload, live.path, now)
    await follow_execution(db, execution_id, KIND, run.id)
    return execution_id
