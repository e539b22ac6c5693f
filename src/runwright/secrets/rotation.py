"""Re-encrypts secrets with the ring's primary key, in small batches beside running servers.

Every write is a compare-and-set on the old ciphertext: a secret that is set meanwhile is left
unchanged, and a rotation that was killed can be run again. Rotation covers the vault and the
secrets that endpoints, agents and triggers store (`columns`).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.core.ids import OwnerId
from runwright.db.pool import Database
from runwright.secrets import encrypted_columns, store
from runwright.secrets.encrypted_columns import EncryptedColumn, OwnedSecret
from runwright.secrets.keyring import Keyring, SecretBox
from runwright.secrets.model import DecryptionError, EncryptedSecret, EncryptedValue, SecretName

BATCH: Final = 100

Pairs = Sequence[tuple[EncryptedSecret, EncryptedSecret]]
"""Old ciphertexts, each with the new one that replaces it."""


class RotationResult(msgspec.Struct, frozen=True):
    """What a rotation did."""

    reencrypted: int
    altered: list[SecretName]
    """Secrets that do not decrypt with the key that they name."""

    unknown_keys: list[str]
    """Keys in use that are not in the ring; their secrets are unchanged."""


async def count_by_key(db: Database, columns: Sequence[EncryptedColumn]) -> dict[str, int]:
    """Return the number of secrets that are encrypted with each key."""
    counts = await store.count_by_key(db)
    for column in columns:
        for key_id, count in (await encrypted_columns.count_by_key(db, column)).items():
            counts[key_id] = counts.get(key_id, 0) + count
    return counts


async def rotate(
    db: Database, ring: Keyring, columns: Sequence[EncryptedColumn], *, batch: int = BATCH
) -> RotationResult:
    """Re-encrypt with the primary key what is encrypted with the other keys of the ring."""
    altered: list[SecretName] = []
    others = sorted((await count_by_key(db, columns)).keys() - {ring.primary})
    reencrypted = 0
    for key_id in others:
        if key_id in ring.ids:
            reencrypted += await _rotate_vault(db, ring, key_id, batch, altered)
            for column in columns:
                reencrypted += await _rotate_column(db, ring, column, key_id, batch, altered)
    return RotationResult(reencrypted, altered, [key_id for key_id in others if key_id not in ring.ids])


async def _rotate_vault(
    db: Database, ring: Keyring, key_id: str, batch: int, altered: list[SecretName]
) -> int:
    reencrypted = 0
    after: SecretName | None = None
    while found := await store.fetch_by_key(db, key_id=key_id, after=after, limit=batch):
        pairs = []
        for secret in found:
            try:
                pairs.append((secret, ring.encrypt(secret.secret_name, ring.decrypt(secret))))
            except DecryptionError:
                altered.append(secret.secret_name)
        reencrypted += await store.replace_values(db, pairs)
        after = found[-1].secret_name
    return reencrypted


async def _rotate_column(
    db: Database, ring: Keyring, column: EncryptedColumn, key_id: str, batch: int, altered: list[SecretName]
) -> int:
    reencrypted = 0
    after = ""
    box = SecretBox(ring)
    while found := await encrypted_columns.fetch_by_key(db, column, key_id=key_id, after=after, limit=batch):
        pairs = []
        for secret in found:
            try:
                pairs.append((secret, _reencrypt(box, column, secret)))
            except DecryptionError:
                altered.append(SecretName(secret.tenant_id, secret.owner_id))
        reencrypted += await encrypted_columns.replace_values(db, column, pairs)
        after = found[-1].owner_id
    return reencrypted


def _reencrypt(box: SecretBox, column: EncryptedColumn, secret: OwnedSecret) -> EncryptedValue:
    bound_to = OwnerId(column.name_prefix + secret.owner_id)
    return box.encrypt(secret.tenant_id, bound_to, box.decrypt(secret.tenant_id, bound_to, secret.value))


async def discard(db: Database, key_id: str, columns: Sequence[EncryptedColumn]) -> list[SecretName]:
    """Delete for good what is encrypted with a lost key, and disable the owners that signed with it."""
    reason = "Its signing secret was lost with the key that encrypted it; set another one."
    disabled: list[SecretName] = []
    for column in columns:
        deleted = await encrypted_columns.delete_by_key(db, column, key_id=key_id, reason=reason)
        disabled += [SecretName(tenant_id, owner_id) for tenant_id, owner_id in deleted]
    return [*await store.delete_by_key(db, key_id), *disabled]
