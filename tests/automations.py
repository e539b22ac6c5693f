"""For tests that have little to do with automations, and for those that have."""

from runwright.automations.definitions import Definitions
from runwright.automations.events import Events
from runwright.automations.policy import Policy
from runwright.automations.runs import Runs
from runwright.automations.service import Automations
from runwright.automations.tasks import Tasks
from runwright.automations.webhook_ingress import Ingress
from runwright.core.clock import Clock, system_clock
from runwright.db.pool import Pool
from runwright.jobs.service import Jobs
from runwright.secrets.keyring import Keyring, SecretBox


def no_automations(
    db: Pool, jobs: Jobs, *, clock: Clock = system_clock, policy: Policy | None = None
) -> Automations:
    """The services of automations, with nobody who fires or dispatches."""
    policy = policy or Policy()
    return Automations(
        definitions=Definitions(db, clock=clock, secret_box=SecretBox(Keyring([bytes(32)])), policy=policy),
        runs=Runs(db, clock=clock, jobs=jobs, on_due=_nobody),
        tasks=Tasks(db, clock=clock),
        ingress=Ingress(db, clock=clock, secret_box=SecretBox(Keyring([bytes(32)])), on_due=_nobody),
        events=Events(db, clock=clock, on_event=_nobody),
        policy=policy,
    )


def _nobody() -> None:
    """Nobody looks."""
