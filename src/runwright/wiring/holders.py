"""Who holds secrets that the vault's keys have sealed, beside the vault itself."""

from typing import Final

from runwright.agents.store.seals import AGENTS
from runwright.automations.store.secrets import TRIGGERS
from runwright.deliveries.store.seals import ENDPOINTS

HOLDERS: Final = (ENDPOINTS, AGENTS, TRIGGERS)
