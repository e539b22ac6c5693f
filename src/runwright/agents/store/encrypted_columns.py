"""Where agents' secrets are, for those who look after the vault's keys."""

from typing import Final

from runwright.secrets.encrypted_columns import EncryptedColumn

AGENTS: Final = EncryptedColumn(
    table="agents",
    secrets="agent_secrets",
    column="agent_id",
    stop="active = active AND callback_url IS NULL,"
    " inactive_reason = CASE WHEN callback_url IS NOT NULL THEN g.reason ELSE inactive_reason END",
)
"""One that is called stops; others sign nothing."""
