"""Moves sealed values to the ring's first key, in small batches beside running servers.

Every batch is a compare-and-set on the old seal: a value that somebody sets meanwhile is left
alone, and a rotation that was killed is just run again. Values are the secrets of the vault and
those that others hold and sign with: endpoints, agents (`holders`).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.db.pool import Database
from runwright.secrets import encrypted_columns as seals
from runwright.secrets import store
from runwright.secrets.encrypted_columns import EncryptedColumn, StoredSecret
from runwright.secrets.keyring import Keyring
from runwright.secrets.model import SealBrokenError, SealedSecret, SealedValue, SecretName
from runwright.secrets.secret_box import SecretBox

BATCH: Final = 100

Pairs = Sequence[tuple[SealedSecret, SealedSecret]]
"""Old seals with the new ones that take their place."""


class Rotated(msgspec.Struct, frozen=True):
    """What a rotation did."""

    resealed: int
    broken: list[SecretName]
    """Values that do not open with the key that they name."""

    foreign: list[str]
    """Keys in use that the ring does not hold; their values stay as they are."""


async def count_by_key(db: Database, holders: Sequence[EncryptedColumn]) -> dict[str, int]:
    """Return how many values each key has sealed."""
    counts = await store.count_by_key(db)
    for some in holders:
        for key_id, count in (await seals.count_by_key(db, some)).items():
            counts[key_id] = counts.get(key_id, 0) + count
    return counts


async def rotate(
    db: Database, ring: Keyring, holders: Sequence[EncryptedColumn], *, batch: int = BATCH
) -> Rotated:
    """Seal with the primary key whatever another key of the ring has sealed."""
    broken: list[SecretName] = []
    others = sorted((await count_by_key(db, holders)).keys() - {ring.primary})
    resealed = 0
    for key_id in others:
        if key_id in ring.ids:
            resealed += await _rotate_secrets(db, ring, key_id, batch, broken)
            for some in holders:
                resealed += await _rotate_held(db, ring, some, key_id, batch, broken)
    return Rotated(resealed, broken, [key_id for key_id in others if key_id not in ring.ids])


async def _rotate_secrets(
    db: Database, ring: Keyring, key_id: str, batch: int, broken: list[SecretName]
) -> int:
    resealed = 0
    after: SecretName | None = None
    while found := await store.fetch_sealed_with(db, key_id=key_id, after=after, limit=batch):
        pairs = []
        for secret in found:
            try:
                pairs.append((secret, ring.seal(secret.whose, ring.open(secret))))
            except SealBrokenError:
                broken.append(secret.whose)
        resealed += await store.reseal_secrets(db, pairs)
        after = found[-1].whose
    return resealed


async def _rotate_held(
    db: Database, ring: Keyring, holders: EncryptedColumn, key_id: str, batch: int, broken: list[SecretName]
) -> int:
    resealed = 0
    after = ""
    held_seals = SecretBox(ring)
    while found := await seals.fetch_sealed_with(db, holders, key_id=key_id, after=after, limit=batch):
        pairs = []
        for one in found:
            try:
                pairs.append((one, _reseal(held_seals, holders.prefix + one.holder_id, one)))
            except SealBrokenError:
                broken.append(SecretName(one.tenant_id, one.holder_id))
        resealed += await seals.reseal_secrets(db, holders, pairs)
        after = found[-1].holder_id
    return resealed


def _reseal(held_seals: SecretBox, sealed_as: str, one: StoredSecret) -> SealedValue:
    value = held_seals.open(one.tenant_id, sealed_as, one.secret)
    return held_seals.seal(one.tenant_id, sealed_as, value)


async def discard(db: Database, key_id: str, holders: Sequence[EncryptedColumn]) -> list[SecretName]:
    """Delete what a lost key has sealed, for good; those who signed with it are stopped."""
    reason = "Its signing secret was lost with the key that sealed it; set another one."
    stopped: list[SecretName] = []
    for some in holders:
        gone = await seals.discard_sealed_with(db, some, key_id=key_id, reason=reason)
        stopped += [SecretName(tenant_id, holder_id) for tenant_id, holder_id in gone]
    return [*await store.discard_sealed_with(db, key_id), *stopped]
