"""The audit log: one row for each write, in its transaction, with who changed what.

A row has hashes of the subject before and after the write, never its content. Submitting jobs
writes no row: the job itself records who submitted it, when and with which input, and is immutable.
A write without effect writes none either. How entries are protected is in `audit_chain`.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.errors import ForbiddenError
from runwright.core.ids import floor_id, new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import Caller
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection

_COLUMNS: Final = """
    id, tenant_id, user_id, key_id, role, request_id, action, subject_id, before_hash, after_hash, created_at
"""
_LISTED: Final = Rows(columns=_COLUMNS, table="audit_log")
_MILLISECOND: Final = timedelta(milliseconds=1)
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One write. The hashes are SHA-256 in hex; None if the subject did not exist before or after it."""

    id: str
    tenant_id: str
    user_id: str
    key_id: str
    role: str
    request_id: str
    action: str
    subject_id: str
    before_hash: str | None
    after_hash: str | None
    created_at: datetime


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter for entries; None matches all. `action` may be a family (`worker.*`)."""

    tenant_id: str | None = None
    user_id: str | None = None
    action: str | None = None
    subject_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


async def record(
    db: Database | PoolConnection,
    caller: Caller,
    action: str,
    subject_id: str,
    *,
    now: datetime,
    before: object = None,
    after: object = None,
    tenant_id: str | None = None,
) -> None:
    """Insert an entry with the hashes of `before` and `after`, in the transaction of the write.

    Pass no value that its hash could reveal: of a secret, pass the name and the time. The tenant
    (`tenant_id`, by default the caller's) is created if this is its first write.
    """
    await db.execute(
        f"""
        WITH new_tenant AS (
            INSERT INTO tenants (id, created_at, updated_at) VALUES ($2, $11, $11) ON CONFLICT DO NOTHING
        )
        INSERT INTO audit_log ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,  # noqa: S608  constants
        new_id("aud", now),
        tenant_id or caller.tenant_id,
        caller.user_id,
        caller.key_id,
        caller.role.wire_name,
        caller.request_id,
        action,
        subject_id,
        _hash(before),
        _hash(after),
        now,
    )


class AuditLog:
    """Reads the audit log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(self, caller: Caller, which: AuditFilter, page: PageRequest) -> Listing[AuditEntry]:
        """Return a page of the entries of the caller's tenant, newest first; the operator reads all.

        ForbiddenError if the filter names another tenant.
        """
        if not caller.sees_all_tenants:
            if which.tenant_id not in {None, caller.tenant_id}:
                raise ForbiddenError("Only a platform-admin with a platform key reads another tenant's log.")
            which = msgspec.structs.replace(which, tenant_id=caller.tenant_id)
        return await list_entries(self._db, which, page)


async def list_entries(db: Database, which: AuditFilter, page: PageRequest) -> Listing[AuditEntry]:
    """Return a page of the entries, newest first."""
    return (await fetch_page(db, _LISTED, _conditions(which), page)).map(_entry)


def _conditions(which: AuditFilter) -> Conditions:
    where = Conditions()
    where.add("tenant_id = {}", which.tenant_id)
    where.add("user_id = {}", which.user_id)
    where.add("subject_id = {}", which.subject_id)
    if which.action is not None and which.action.endswith(".*"):
        where.add("starts_with(action, {})", which.action[:-1])
    else:
        where.add("action = {}", which.action)
    where.add("id >= {}", which.created_after and floor_id("aud", which.created_after))
    where.add("id < {}", which.created_before and floor_id("aud", which.created_before + _MILLISECOND))
    return where


def _entry(row: Record) -> AuditEntry:
    values = dict(row)
    for name in ("before_hash", "after_hash"):
        values[name] = None if values[name] is None else values[name].hex()
    return AuditEntry(**values)


def _hash(value: object) -> bytes | None:
    return None if value is None else hashlib.sha256(_encode(value)).digest()
