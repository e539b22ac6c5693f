"""The tables of agents' secrets, for key rotation."""

from typing import Final

from runwright.secrets.encrypted_columns import EncryptedColumn

AGENTS: Final = EncryptedColumn(
    owners="agents",
    secrets="agent_secrets",
    owner_column="agent_id",
    disable="active = active AND callback_url IS NULL,"
    " inactive_reason = CASE WHEN callback_url IS NOT NULL THEN lost.reason ELSE inactive_reason END",
)
"""Agents with a callback are deactivated; the others sign nothing."""
