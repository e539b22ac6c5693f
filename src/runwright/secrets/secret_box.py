"""The vault's keys for secrets that are not the tenant's own to name: those of endpoints."""

from runwright.outbox.model import SealedSecret
from runwright.secrets.keyring import Keyring
from runwright.secrets.model import SealedSecret as VaultSecret
from runwright.secrets.model import SecretName


class SecretBox:
    """Seals under names that no tenant can give to a secret of the vault; see `deliveries.model.Seals`."""

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring

    def seal(self, tenant_id: str, endpoint_id: str, secret: str) -> SealedSecret:
        sealed = self._ring.seal(_name(tenant_id, endpoint_id), secret)
        return SealedSecret(sealed.key_id, sealed.sealed)

    def open(self, tenant_id: str, endpoint_id: str, sealed: SealedSecret) -> str:
        whose = _name(tenant_id, endpoint_id)
        return self._ring.open(
            VaultSecret(
                tenant_id=whose.tenant_id, name=whose.name, key_id=sealed.key_id, sealed=sealed.sealed
            )
        )


def _name(tenant_id: str, endpoint_id: str) -> SecretName:
    return SecretName(tenant_id, f"webhook/{endpoint_id}")
