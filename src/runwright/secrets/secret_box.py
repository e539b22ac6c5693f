"""Encryption of secrets that belong to a webhook endpoint, an agent or a trigger, with the vault's keys."""

from runwright.secrets.keyring import Keyring
from runwright.secrets.model import SealedSecret, SealedValue, SecretName


class SecretBox:
    """Encrypt secrets under names that no tenant can give to a secret of the vault.

    A value that was sealed for one owner opens for no other.
    """

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring

    def seal(self, tenant_id: str, owner_id: str, secret: str) -> SealedValue:
        """Return the secret encrypted with the primary key."""
        sealed = self._ring.seal(_name(tenant_id, owner_id), secret)
        return SealedValue(sealed.key_id, sealed.sealed)

    def open(self, tenant_id: str, owner_id: str, sealed: SealedValue) -> str:
        """Return the secret. VaultKeyError where its key is not in the ring, or it was altered."""
        whose = _name(tenant_id, owner_id)
        return self._ring.open(
            SealedSecret(
                tenant_id=whose.tenant_id, name=whose.name, key_id=sealed.key_id, sealed=sealed.sealed
            )
        )


def _name(tenant_id: str, owner_id: str) -> SecretName:
    return SecretName(tenant_id, f"webhook/{owner_id}")
