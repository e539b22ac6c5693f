"""Automations, as callers use them: their definitions, runs, tasks and events."""

import msgspec

from runwright.automations.definitions import Definitions
from runwright.automations.events import Events
from runwright.automations.policy import Policy
from runwright.automations.runs import Runs
from runwright.automations.tasks import Tasks
from runwright.automations.webhook_ingress import Ingress


class Automations(msgspec.Struct, frozen=True, kw_only=True):
    """All that there is to do with automations."""

    definitions: Definitions
    runs: Runs
    tasks: Tasks
    events: Events
    ingress: Ingress
    policy: Policy
