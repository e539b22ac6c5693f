"""Secrets as the rest of the server sees them, and the errors of the vault."""

from datetime import datetime
from typing import Final

import msgspec

from runwright.core.errors import RunwrightError

SECRETS_PER_TENANT: Final = 1000
SHORTEST_VALUE: Final = 4
LONGEST_VALUE_BYTES: Final = 64 * 1024
WORKER_SECRETS_BYTES: Final = 512 * 1024
"""Of all secrets that one worker lists: Linux starts no process with a much larger environment."""


class SecretInfo(msgspec.Struct, frozen=True):
    """What the API returns of a secret: everything but its value."""

    name: str
    updated_at: datetime


class SecretName(msgspec.Struct, frozen=True):
    """A secret's tenant and name. They are authenticated: a ciphertext decrypts under no other name."""

    tenant_id: str
    name: str


class EncryptedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret of the vault as it is stored."""

    tenant_id: str
    name: str
    key_id: str
    ciphertext: bytes

    @property
    def secret_name(self) -> SecretName:
        """The name that the ciphertext is bound to."""
        return SecretName(self.tenant_id, self.name)


class EncryptedValue(msgspec.Struct, frozen=True):
    """A secret of a webhook endpoint, an agent or a trigger, as its owner stores it."""

    key_id: str
    ciphertext: bytes


class VaultKeyError(RunwrightError):
    """A vault key is missing or invalid; the message names what the operator can do."""

    code = "vault_key"


class DecryptionError(VaultKeyError):
    """A ciphertext does not decrypt with the key that it names: it was moved or altered."""
