"""Wire the services and loops of automations, for the roles `api`, `scheduler` and `router`."""

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
from runwright.automations.config_sync import resolve_secrets, sync_definitions
from runwright.automations.definitions import AutomationDefinitions
from runwright.automations.dispatch import PROMPT_EVENT
from runwright.automations.fire_sources import create_runs
from runwright.automations.run_endings import CALLBACK_HANDLER
from runwright.automations.runs import AutomationRuns
from runwright.automations.service import AutomationEvents, Automations, Tasks
from runwright.automations.settings import AutomationSettings
from runwright.automations.store.queue import LiveRun
from runwright.automations.webhook_ingress import WebhookIngress
from runwright.core.clock import Stopwatch
from runwright.core.errors import RunwrightError
from runwright.db.pool import Database, PoolConnection
from runwright.events.completion import CompletionCallback, CompletionTarget, add_callbacks
from runwright.jobs.service import Jobs
from runwright.loops.automation_dispatcher import AutomationDispatcher
from runwright.schedules.firing import TickHandler, handler_by_owner
from runwright.schedules.job_factory import submit_jobs
from runwright.schedules.model import ScheduleOwner
from runwright.secrets.keyring import SecretBox
from runwright.secrets.vault import Vault
from runwright.supervisor.shutdown import Shutdown
from runwright.telemetry.emit import error_text
from runwright.telemetry.events.automations import AutomationFileLoaded, AutomationFileRefused
from runwright.wiring.resources import Resources, open_vault, start_loop


def tick_handler(settings: AutomationSettings) -> TickHandler:
    """Return the handler of ticks: jobs for the schedules of workers, runs for those of automations."""
    runs = partial(create_runs, settings=settings)
    return handler_by_owner({ScheduleOwner.WORKER: submit_jobs, ScheduleOwner.AUTOMATION: runs})


def open_automations(res: Resources, db: Database, jobs: Jobs, stack: AsyncExitStack) -> Automations:
    box = SecretBox(res.ring)
    ingress = WebhookIngress(
        db, clock=res.clock, secret_box=box, on_due=res.event_notifications.due, offload=res.offload
    )
    stack.push_async_callback(ingress.stop)
    return Automations(
        definitions=AutomationDefinitions(
            db, clock=res.clock, secret_box=box, settings=res.automation_settings, templates=res.templates
        ),
        runs=AutomationRuns(db, clock=res.clock, jobs=jobs, on_due=res.event_notifications.due),
        tasks=Tasks(db, clock=res.clock),
        ingress=ingress,
        events=AutomationEvents(db, clock=res.clock, on_event=res.event_notifications.appended),
        settings=res.automation_settings,
    )


class AutomationFileLoader:
    """Loads the configuration file of automations."""

    def __init__(self, res: Resources, path: Path, vault: Vault) -> None:
        self._res = res
        self._path = path
        self._vault = vault
        self._reloading: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Load the file and apply it. Raises DefinitionError, ConflictError, OSError."""
        res, now, watch = self._res, self._res.clock(), Stopwatch()
        text = await asyncio.to_thread(self._path.read_text, encoding="utf-8")
        config = read_config(text, zone=res.settings.automation_timezone, now=now)
        secrets = await resolve_secrets(config.definitions, self._reveal, os.environ)
        automation_settings = AutomationSettings(
            enabled=config.enabled,
            zone=config.zone or res.settings.automation_timezone,
            concurrency=config.concurrency or res.settings.automation_concurrency,
            default_limit=config.default_limit,
        )
        definitions = AutomationDefinitions(
            res.db,
            clock=res.clock,
            secret_box=SecretBox(res.ring),
            settings=automation_settings,
            templates=res.templates,
        )
        result = await sync_definitions(res.db, definitions, config.definitions, secrets, now)
        res.automation_settings.update(automation_settings)
        res.emit(AutomationFileLoaded(watch.seconds(), result.created, result.changed, result.removed))

    def reload(self) -> None:
        """Load the file again. An invalid file changes nothing."""
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        try:
            await self.load()
        except Exception as error:  # noqa: BLE001  no file may stop the server
            self._res.emit(AutomationFileRefused(error=error_text(error)))

    async def _reveal(self, tenant_id: str, name: str) -> str | None:
        return (await self._vault.reveal(tenant_id, [name])).get(name)


async def load_automations(res: Resources, shutdown: Shutdown, stack: AsyncExitStack) -> str | None:
    """Apply the configuration file, now and at every SIGHUP; return an error message if it is invalid."""
    path = res.settings.automation_file
    if path is None:
        return None
    loader = AutomationFileLoader(res, path, open_vault(res, res.db, stack))
    try:
        await loader.load()
    except (RunwrightError, OSError, UnicodeDecodeError) as error:
        return f"automation_file {path}: {error}"
    shutdown.on_reload(loader.reload)
    return None


async def start_dispatcher(res: Resources, stack: AsyncExitStack) -> None:
    dispatcher = AutomationDispatcher(
        res.db,
        settings=res.automation_settings,
        templates=res.templates,
        open_execution=open_registered,
        clock=res.clock,
        notifications=res.job_notifications,
        event_notifications=res.event_notifications,
        emit=res.emit,
    )
    await start_loop(dispatcher, stack)


async def open_registered(
    db: PoolConnection, live: LiveRun, payload: Mapping[str, object], now: datetime
) -> str | None:
    """Open an execution of the registered agent of a run; None if the tenant has no such agent."""
    run = live.run
    agent = await find_agent(db, tenant_id=run.tenant_id, name=live.plan.agent_name)
    if agent is None:
        return None
    execution_id = await open_execution(
        db, run.tenant_id, agent.id, PROMPT_EVENT, payload, live.child_ancestry, now
    )
    callback = CompletionCallback(execution_id, CALLBACK_HANDLER, run.id)
    await add_callbacks(db, CompletionTarget.EXECUTION, [callback])
    return execution_id
