"""What a secret is to those who may not see its value, and how the vault refuses."""

from datetime import datetime
from typing import Final

import msgspec

from runwright.core.errors import RunwrightError

SECRETS_PER_TENANT: Final = 1000
SHORTEST_VALUE: Final = 4
LONGEST_VALUE_BYTES: Final = 64 * 1024


class SecretInfo(msgspec.Struct, frozen=True):
    """What may be told of a secret."""

    name: str
    updated_at: datetime


class SecretName(msgspec.Struct, frozen=True):
    """Whose secret, and which. A sealed value opens under this name only."""

    tenant_id: str
    name: str


class SealedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A stored value: nobody reads it without the key."""

    tenant_id: str
    name: str
    key_id: str
    sealed: bytes

    @property
    def whose(self) -> SecretName:
        """The name that it is bound to."""
        return SecretName(self.tenant_id, self.name)


class SealedValue(msgspec.Struct, frozen=True):
    """A secret of a webhook endpoint, an agent or a trigger, encrypted with a key of the vault."""

    key_id: str
    sealed: bytes


class VaultKeyError(RunwrightError):
    """The vault's keys cannot be had, read or used; the message says what the operator can do."""

    code = "vault_key"


class SealBrokenError(VaultKeyError):
    """A stored value does not open with the key that it names: it was moved or altered."""
