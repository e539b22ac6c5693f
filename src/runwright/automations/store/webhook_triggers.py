"""The SQL of webhooks that come in: whose they are, and which of them have come before."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from runwright.automations.model import Automation
from runwright.automations.store.definitions import COLUMNS, automation_from_row
from runwright.db.pool import Database, PoolConnection
from runwright.secrets.model import EncryptedValue


class Door(msgspec.Struct, frozen=True):
    """A trigger that takes webhooks, and the secrets that are good for it now, the newest first."""

    trigger: Automation
    secrets: tuple[EncryptedValue, ...]


class ReplayClaim(msgspec.Struct, frozen=True, kw_only=True):
    """One name that a delivery goes by; `token` tells deliveries apart."""

    trigger_id: str
    key: str
    token: str
    run_id: str
    expires_at: datetime


async def find_doors(db: Database, *, webhook_ids: Sequence[str], now: datetime) -> Mapping[str, Door]:
    """Return the enabled triggers of any tenant by their webhook ids."""
    rows = await db.fetch(
        f"""
        SELECT {COLUMNS},
               array_agg(s.key_id ORDER BY s.number DESC) FILTER (WHERE s.number IS NOT NULL) AS key_ids,
               array_agg(s.sealed ORDER BY s.number DESC) FILTER (WHERE s.number IS NOT NULL) AS seals
        FROM automations a LEFT JOIN automation_secrets s
             ON s.automation_id = a.id AND (s.expires_at IS NULL OR s.expires_at > $2)
        WHERE a.webhook_id = ANY ($1) AND a.webhook_id <> '' AND a.enabled
        GROUP BY a.id
        """,
        list(webhook_ids),
        now,
    )
    return {
        row["webhook_id"]: Door(
            automation_from_row(row),
            tuple(map(EncryptedValue, row["key_ids"] or (), row["seals"] or ())),
        )
        for row in rows
    }


async def claim_replay_keys(
    db: PoolConnection, claims: Sequence[ReplayClaim], now: datetime
) -> Mapping[tuple[str, str], str]:
    """Claim names that nobody holds now; returns the run of each one claimed, by trigger and name.

    Idempotent: who holds a name already with the same token is given its run again. No two claims may
    have the same trigger and name. They are taken in their order, so that nobody waits in a circle.
    """
    rows = await db.fetch(
        """
        INSERT INTO webhook_claims AS c (automation_id, key, token, run_id, expires_at)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
            AS i (automation_id, key, token, run_id, expires_at) ORDER BY automation_id, key
        ON CONFLICT (automation_id, key) DO UPDATE
            SET run_id = CASE WHEN c.token = excluded.token THEN c.run_id ELSE excluded.run_id END,
                token = excluded.token, expires_at = excluded.expires_at
            WHERE c.expires_at < $6 OR c.token = excluded.token
        RETURNING automation_id, key, run_id
        """,
        [one.trigger_id for one in claims],
        [one.key for one in claims],
        [one.token for one in claims],
        [one.run_id for one in claims],
        [one.expires_at for one in claims],
        now,
    )
    return {(row["automation_id"], row["key"]): row["run_id"] for row in rows}


async def release_replay_keys(
    db: PoolConnection, *, tokens: Sequence[str], trigger_ids: Sequence[str]
) -> None:
    """Give up the names of deliveries that came to nothing."""
    await db.execute(
        "DELETE FROM webhook_claims WHERE automation_id = ANY ($1) AND token = ANY ($2)",
        list(trigger_ids),
        list(tokens),
    )


async def prune_replay_keys(db: Database, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` names that may be used again; returns how many."""
    rows = await db.fetch(
        """
        DELETE FROM webhook_claims WHERE (automation_id, key) IN (
            SELECT automation_id, key FROM webhook_claims WHERE expires_at < $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        now,
        limit,
    )
    return len(rows)
