"""Who holds secrets that the vault's keys have sealed, beside the vault itself."""

from typing import Final

from runwright.agents.store.encrypted_columns import AGENTS
from runwright.automations.store.secrets import TRIGGERS
from runwright.outbox.store.endpoints import ENDPOINTS

HOLDERS: Final = (ENDPOINTS, AGENTS, TRIGGERS)
