"""The services of automations."""

import msgspec

from runwright.automations.definitions import AutomationDefinitions
from runwright.automations.events import AutomationEvents
from runwright.automations.policy import AutomationPolicy
from runwright.automations.runs import AutomationRuns
from runwright.automations.tasks import Tasks
from runwright.automations.webhook_ingress import WebhookIngress


class Automations(msgspec.Struct, frozen=True, kw_only=True):
    """The services of automations by subject."""

    definitions: AutomationDefinitions
    runs: AutomationRuns
    tasks: Tasks
    events: AutomationEvents
    ingress: WebhookIngress
    policy: AutomationPolicy
