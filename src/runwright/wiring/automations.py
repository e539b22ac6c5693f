"""Automations, in the roles `api`, `scheduler` and `router`."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

from runwright.agents.opening import open_execution
from runwright.agents.store.agents import find_agent
from runwright.automations.config_file import read_config
from runwright.automations.config_sync import find_secrets, sync_definitions
from runwright.automations.definitions import Definitions
from runwright.automations.dispatch import PROMPT_EVENT
from runwright.automations.events import Events
from runwright.automations.fire_sources import make_runs
from runwright.automations.policy import Policy
from runwright.automations.run_endings import KIND
from runwright.automations.runs import Runs
from runwright.automations.service import Automations
from runwright.automations.store.queue import LiveRun
from runwright.automations.tasks import Tasks
from runwright.automations.webhook_ingress import Ingress
from runwright.core.clock import Stopwatch
from runwright.core.errors import RunwrightError
from runwright.db.pool import Database, PoolConnection
from runwright.events.completion import CompletionCallback, CompletionTarget, add_callbacks
from runwright.jobs.service import Jobs
from runwright.loops.automation_dispatcher import AutomationDispatcher
from runwright.schedules.firing import Make, make_by_owner
from runwright.schedules.job_factory import make_jobs
from runwright.schedules.model import Owner
from runwright.secrets.keyring import SecretBox
from runwright.secrets.vault import Vault
from runwright.telemetry.emit import error_text
from runwright.telemetry.events import AutomationFileLoaded, AutomationFileRefused
from runwright.wiring.resources import Resources, open_vault
from runwright.wiring.shutdown import Shutdown


def make_ticks(policy: Policy) -> Make:
    """Return the tick handler for schedules of workers and of automations."""
    return make_by_owner({Owner.WORKER: make_jobs, Owner.AUTOMATION: partial(make_runs, policy=policy)})


def open_automations(f: Resources, db: Database, jobs: Jobs, stack: AsyncExitStack) -> Automations:
    ingress = Ingress(db, clock=f.clock, secret_box=SecretBox(f.ring), on_due=f.event_notifications.due)
    stack.push_async_callback(ingress.stop)
    return Automations(
        definitions=Definitions(db, clock=f.clock, secret_box=SecretBox(f.ring), policy=f.policy),
        runs=Runs(db, clock=f.clock, jobs=jobs, on_due=f.event_notifications.due),
        tasks=Tasks(db, clock=f.clock),
        ingress=ingress,
        events=Events(db, clock=f.clock, on_event=f.event_notifications.appended),
        policy=f.policy,
    )


class FileLoader:
    """Loads the file of automations, at startup and on request."""

    def __init__(self, f: Resources, path: Path, vault: Vault) -> None:
        self._f = f
        self._path = path
        self._vault = vault
        self._reading: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Apply the file. DefinitionError, ConflictError or OSError if it is invalid."""
        f, now, watch = self._f, self._f.clock(), Stopwatch()
        text = await asyncio.to_thread(self._path.read_text, encoding="utf-8")
        said = read_config(text, zone=f.settings.automation_timezone, now=now)
        secrets = await find_secrets(said.definitions, self._reveal, os.environ)
        policy = Policy(
            enabled=said.enabled,
            zone=said.zone or f.settings.automation_timezone,
            at_once=said.at_once or f.settings.automation_concurrency,
            default_limit=said.default_limit,
        )
        definitions = Definitions(f.db, clock=f.clock, secret_box=SecretBox(f.ring), policy=policy)
        done = await sync_definitions(f.db, definitions, said.definitions, secrets, now)
        f.policy.become(policy)
        f.emit(AutomationFileLoaded(watch.seconds(), done.made, done.changed, done.removed))

    def load_again(self) -> None:
        """Apply the file again; an invalid one changes nothing."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._load_again())

    async def _load_again(self) -> None:
        try:
            await self.load()
        except Exception as error:  # noqa: BLE001  the server continues with the previous definitions
            self._f.emit(AutomationFileRefused(error=error_text(error)))

    async def _reveal(self, tenant_id: str, name: str) -> str | None:
        return (await self._vault.reveal(tenant_id, [name])).get(name)


async def load_automations(f: Resources, shutdown: Shutdown, stack: AsyncExitStack) -> str | None:
    """Apply the file now and on every SIGHUP; return why it is invalid now, if so."""
    path = f.settings.automation_file
    if path is None:
        return None
    loader = FileLoader(f, path, open_vault(f, f.db, stack))
    try:
        await loader.load()
    except (RunwrightError, OSError, UnicodeDecodeError) as error:
        return f"automation_file {path}: {error}"
    shutdown.on_reload(loader.load_again)
    return None


async def start_dispatcher(f: Resources, stack: AsyncExitStack) -> None:
    dispatcher = AutomationDispatcher(
        f.db,
        policy=f.policy,
        open_execution=open_registered,
        clock=f.clock,
        signals=f.signals,
        event_notifications=f.event_notifications,
        emit=f.emit,
    )
    stack.push_async_callback(dispatcher.stop)
    await dispatcher.start()


async def open_registered(
    db: PoolConnection, live: LiveRun, payload: Mapping[str, object], now: datetime
) -> str | None:
    """Open an execution of the registered agent that a run names; None if the tenant has no such agent."""
    run = live.run
    agent = await find_agent(db, tenant_id=run.tenant_id, name=live.plan.agent_name)
    if agent is None:
        return None
    execution_id = await open_execution(db, run.tenant_id, agent.id, PROMPT_EVENT, payload, live.path, now)
    callback = CompletionCallback(execution_id, KIND, run.id)
    await add_callbacks(db, CompletionTarget.EXECUTION, [callback])
    return execution_id
