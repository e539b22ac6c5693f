"""Moves sealed values to the ring's first key, in small batches beside running servers.

Every batch is a compare-and-set on the old seal: a value that somebody sets meanwhile is left
alone, and a rotation that was killed is just run again. Values are the secrets of the vault and
those that endpoints sign with.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.db.pool import Database
from runwright.deliveries.model import SealedSecret as EndpointSeal
from runwright.deliveries.store import seals
from runwright.deliveries.store.seals import EndpointSecret
from runwright.workers.vault import store
from runwright.workers.vault.keyring import Keyring
from runwright.workers.vault.model import SealBrokenError, SealedSecret, SecretName
from runwright.workers.vault.seals import EndpointSeals

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


async def count_by_key(db: Database) -> dict[str, int]:
    """Return how many values each key has sealed."""
    counts = await store.count_by_key(db)
    for key_id, count in (await seals.count_by_key(db)).items():
        counts[key_id] = counts.get(key_id, 0) + count
    return counts


async def rotate(db: Database, ring: Keyring, *, batch: int = BATCH) -> Rotated:
    """Seal with the primary key whatever another key of the ring has sealed."""
    broken: list[SecretName] = []
    others = sorted((await count_by_key(db)).keys() - {ring.primary})
    resealed = 0
    for key_id in others:
        if key_id in ring.ids:
            resealed += await _rotate_secrets(db, ring, key_id, batch, broken)
            resealed += await _rotate_endpoints(db, ring, key_id, batch, broken)
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


async def _rotate_endpoints(
    db: Database, ring: Keyring, key_id: str, batch: int, broken: list[SecretName]
) -> int:
    resealed = 0
    after = ""
    endpoint_seals = EndpointSeals(ring)
    while found := await seals.fetch_sealed_with(db, key_id=key_id, after=after, limit=batch):
        pairs = []
        for one in found:
            try:
                pairs.append((one, _reseal(endpoint_seals, one)))
            except SealBrokenError:
                broken.append(SecretName(one.tenant_id, one.endpoint_id))
        resealed += await seals.reseal_secrets(db, pairs)
        after = found[-1].endpoint_id
    return resealed


def _reseal(endpoint_seals: EndpointSeals, one: EndpointSecret) -> EndpointSeal:
    value = endpoint_seals.open(one.tenant_id, one.endpoint_id, one.secret)
    return endpoint_seals.seal(one.tenant_id, one.endpoint_id, value)


async def discard(db: Database, key_id: str) -> list[SecretName]:
    """Delete what a lost key has sealed, for good; endpoints that signed with it are paused."""
    reason = "Its signing secret was lost with the key that sealed it; set another one."
    endpoints = await seals.discard_sealed_with(db, key_id=key_id, reason=reason)
    gone = await store.discard_sealed_with(db, key_id)
    return [*gone, *(SecretName(tenant_id, endpoint_id) for tenant_id, endpoint_id in endpoints)]
