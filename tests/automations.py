"""The services of automations for tests."""

from runwright.automations.definitions import AutomationDefinitions
from runwright.automations.runs import AutomationRuns
from runwright.automations.service import AutomationEvents, Automations, Tasks
from runwright.automations.settings import AutomationSettings
from runwright.automations.templates import Templates
from runwright.automations.webhook_ingress import WebhookIngress
from runwright.core.clock import Clock, system_clock
from runwright.db.pool import Pool
from runwright.jobs.service import Jobs
from runwright.offload.client import Offload
from runwright.secrets.keyring import Keyring, SecretBox


def no_automations(
    db: Pool,
    jobs: Jobs,
    *,
    clock: Clock = system_clock,
    settings: AutomationSettings | None = None,
    templates: Templates | None = None,
) -> Automations:
    """The services of automations, without loops that fire or dispatch.

    Long templates need `templates`, with an `Offload` that is stopped.
    """
    settings, offload = settings or AutomationSettings(), Offload()
    return Automations(
        definitions=AutomationDefinitions(
            db,
            clock=clock,
            secret_box=SecretBox(Keyring([bytes(32)])),
            settings=settings,
            templates=templates or Templates(offload),
        ),
        runs=AutomationRuns(db, clock=clock, jobs=jobs, on_due=_ignore),
        tasks=Tasks(db, clock=clock),
        ingress=WebhookIngress(
            db, clock=clock, secret_box=SecretBox(Keyring([bytes(32)])), on_due=_ignore, offload=offload
        ),
        events=AutomationEvents(db, clock=clock, on_event=_ignore),
        settings=settings,
    )


def _ignore() -> None:
    """Wake nothing."""
