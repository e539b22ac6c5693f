"""Moves stored values to the ring's first key, in small batches beside running servers.

Every batch is a compare-and-set on the old seal: a value that somebody sets meanwhile is left
alone, and a rotation that was killed is just run again.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.db.pool import Database
from runwright.workers.vault import store
from runwright.workers.vault.keyring import Keyring
from runwright.workers.vault.model import SealBrokenError, SealedSecret, SecretName

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


async def rotate(db: Database, ring: Keyring, *, batch: int = BATCH) -> Rotated:
    """Seal with the primary key whatever another key of the ring has sealed."""
    resealed = 0
    broken: list[SecretName] = []
    others = [key_id for key_id in await store.keys_in_use(db) if key_id != ring.primary]
    for key_id in others:
        if key_id not in ring.ids:
            continue
        after: SecretName | None = None
        while found := await store.fetch_sealed_with(db, key_id=key_id, after=after, limit=batch):
            pairs = _reseal(ring, found, broken)
            resealed += await store.reseal_secrets(db, pairs)
            after = found[-1].whose
    return Rotated(resealed, broken, [key_id for key_id in others if key_id not in ring.ids])


def _reseal(ring: Keyring, found: Sequence[SealedSecret], broken: list[SecretName]) -> Pairs:
    pairs = []
    for secret in found:
        try:
            value = ring.open(secret)
        except SealBrokenError:
            broken.append(secret.whose)
        else:
            pairs.append((secret, ring.seal(secret.whose, value)))
    return pairs
