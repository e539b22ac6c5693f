"""SQL of incoming webhooks: find their triggers, and claim replay keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from runwright.automations.model import Automation
from runwright.automations.store.definitions import COLUMNS, automation_from_row
from runwright.db.pool import Database, PoolConnection
from runwright.secrets.model import EncryptedValue


class WebhookTrigger(msgspec.Struct, frozen=True):
    """A trigger with a webhook, and its valid secrets, newest first."""

    automation: Automation
    secrets: tuple[EncryptedValue, ...]


class ReplayClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A replay key of a webhook; `request_id` identifies the request."""

    trigger_id: str
    key: str
    request_id: str
    run_id: str
    expires_at: datetime


async def find_webhook_triggers(
    db: Database, *, webhook_ids: Sequence[str], now: datetime
) -> Mapping[str, WebhookTrigger]:
    """Return the enabled triggers of any tenant by webhook id."""
    rows = await db.fetch(
        f"""
        SELECT {COLUMNS},
               array_agg(s.key_id ORDER BY s.number DESC) FILTER (WHERE s.number IS NOT NULL) AS key_ids,
               array_agg(s.sealed ORDER BY s.number DESC) FILTER (WHERE s.number IS NOT NULL) AS secrets
        FROM automations a LEFT JOIN automation_secrets s
             ON s.automation_id = a.id AND (s.expires_at IS NULL OR s.expires_at > $2)
        WHERE a.webhook_id = ANY ($1) AND a.webhook_id <> '' AND a.enabled
        GROUP BY a.id
        """,
        list(webhook_ids),
        now,
    )
    return {
        row["webhook_id"]: WebhookTrigger(
            automation_from_row(row),
            tuple(map(EncryptedValue, row["key_ids"] or (), row["secrets"] or ())),
        )
        for row in rows
    }


async def claim_replay_keys(
    db: PoolConnection, claims: Sequence[ReplayClaim], now: datetime
) -> Mapping[tuple[str, str], str]:
    """Claim replay keys that are free; return the run ids of the claimed ones by trigger and key.

    A key is free if it is unknown or expired, or if the run that it led to has failed or was cancelled.

    Idempotent: a key that this request has claimed already returns its run id again. No two claims may have
    the same trigger and key. Keys are claimed in order, which prevents deadlocks.
    """
    rows = await db.fetch(
        """
        INSERT INTO replay_keys AS c (automation_id, key, token, run_id, expires_at)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
            AS i (automation_id, key, token, run_id, expires_at) ORDER BY automation_id, key
        ON CONFLICT (automation_id, key) DO UPDATE
            SET run_id = CASE WHEN c.token = excluded.token THEN c.run_id ELSE excluded.run_id END,
                token = excluded.token, expires_at = excluded.expires_at
            WHERE c.expires_at < $6 OR c.token = excluded.token OR EXISTS (
                SELECT FROM automation_runs r WHERE r.id = c.run_id AND r.status IN ('failed', 'cancelled'))
        RETURNING automation_id, key, run_id
        """,
        [one.trigger_id for one in claims],
        [one.key for one in claims],
        [one.request_id for one in claims],
        [one.run_id for one in claims],
        [one.expires_at for one in claims],
        now,
    )
    return {(row["automation_id"], row["key"]): row["run_id"] for row in rows}


async def release_replay_keys(
    db: PoolConnection, *, request_ids: Sequence[str], trigger_ids: Sequence[str]
) -> None:
    """Release the replay keys of webhooks that created no run."""
    await db.execute(
        "DELETE FROM replay_keys WHERE automation_id = ANY ($1) AND token = ANY ($2)",
        list(trigger_ids),
        list(request_ids),
    )


async def prune_replay_keys(db: Database, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` expired replay keys; return their number."""
    rows = await db.fetch(
        """
        DELETE FROM replay_keys WHERE (automation_id, key) IN (
            SELECT automation_id, key FROM replay_keys WHERE expires_at < $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        now,
        limit,
    )
    return len(rows)
