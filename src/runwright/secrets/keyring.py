"""The key ring: the first key encrypts, every key decrypts.

Encryption is AES-256-GCM with a fresh 96-bit nonce for each write. The tenant and the name of a
secret are authenticated with it, so that a ciphertext copied to another row does not decrypt. The
id of a key is derived from the key: processes with the same key agree on it, and it reveals nothing
about the key.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from runwright.core.ids import OwnerId
from runwright.core.lazy_module import LazyModule
from runwright.secrets.model import (
    DecryptionError,
    EncryptedSecret,
    EncryptedValue,
    SecretName,
    VaultKeyError,
)

if TYPE_CHECKING:
    from cryptography import exceptions
    from cryptography.hazmat.primitives.ciphers import aead
else:
    exceptions = LazyModule("cryptography.exceptions")
    aead = LazyModule("cryptography.hazmat.primitives.ciphers.aead")

KEY_BYTES: Final = 32
MOST_KEYS: Final = 16
_NONCE_BYTES: Final = 12
_ID_BYTES: Final = 8
_CONTEXT: Final = b"runwright vault 1"
_SEPARATOR: Final = re.compile(r"[,\s]+")


class Keyring:
    """One or more vault keys, of which the first is the primary."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {key_id(key): key for key in keys}
        self.ids = tuple(self._keys)
        self.primary = self.ids[0]

    def renewed(self, key: bytes) -> "Keyring":
        """Return a ring with another primary key, which decrypts all that this one does."""
        ring = Keyring([key])
        ring._keys |= self._keys
        ring.ids = tuple(ring._keys)
        return ring

    def encrypt(self, name: SecretName, value: str, *, with_key: str | None = None) -> EncryptedSecret:
        """Return the value encrypted with the primary key, or with another key by its id."""
        chosen = with_key or self.primary
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = nonce + self._cipher(chosen).encrypt(nonce, value.encode(), _authenticated(name))
        return EncryptedSecret(tenant_id=name.tenant_id, name=name.name, key_id=chosen, ciphertext=ciphertext)

    def decrypt(self, secret: EncryptedSecret) -> str:
        """Return the value. VaultKeyError if its key is missing, DecryptionError if it was altered."""
        if secret.key_id not in self._keys:
            raise VaultKeyError(
                f"The secret {secret.name} is encrypted with the vault key {secret.key_id},"
                " which this server does not have."
            )
        nonce, ciphertext = secret.ciphertext[:_NONCE_BYTES], secret.ciphertext[_NONCE_BYTES:]
        try:
            cipher = self._cipher(secret.key_id)
            return cipher.decrypt(nonce, ciphertext, _authenticated(secret.secret_name)).decode()
        except (exceptions.InvalidTag, ValueError):
            raise DecryptionError(
                f"The stored value of the secret {secret.name} was altered; set it again."
            ) from None

    def _cipher(self, id_of_key: str) -> "aead.AESGCM":
        return aead.AESGCM(self._keys[id_of_key])


class SecretBox:
    """Encrypts the secrets of webhook endpoints, agents and triggers.

    Each is bound to its owner under a name that no secret of the vault can have, and decrypts for
    no other owner.
    """

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring

    def encrypt(self, tenant_id: str, owner_id: OwnerId, secret: str) -> EncryptedValue:
        """Return the secret encrypted with the primary key."""
        encrypted = self._ring.encrypt(_owned_name(tenant_id, owner_id), secret)
        return EncryptedValue(encrypted.key_id, encrypted.ciphertext)

    def decrypt(self, tenant_id: str, owner_id: OwnerId, value: EncryptedValue) -> str:
        """Return the secret. VaultKeyError if its key is missing, DecryptionError if it was altered."""
        name = _owned_name(tenant_id, owner_id)
        return self._ring.decrypt(
            EncryptedSecret(
                tenant_id=name.tenant_id, name=name.name, key_id=value.key_id, ciphertext=value.ciphertext
            )
        )


def key_id(key: bytes) -> str:
    """Return the id of a key."""
    return hmac.digest(key, b"runwright vault key id", hashlib.sha256)[:_ID_BYTES].hex()


def new_key_text() -> str:
    """Return a new random key in the format of files and settings."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def parse_keys(text: str, source: str) -> Keyring:
    """Return the ring in a text: base64 keys of 32 bytes, separated by commas or white space.

    VaultKeyError names the source and never contains any part of the text.
    """
    words = [word for word in _SEPARATOR.split(text.strip()) if word]
    if not 1 <= len(words) <= MOST_KEYS:
        raise VaultKeyError(f"{source} must contain 1 to {MOST_KEYS} keys; it contains {len(words)}.")
    keys = [_decode(word) for word in words]
    for number, key in enumerate(keys, 1):
        if key is None:
            raise VaultKeyError(
                f"{source}: key {number} is not {KEY_BYTES} bytes in base64;"
                f" make one with: head -c {KEY_BYTES} /dev/urandom | base64"
            )
    return Keyring([key for key in keys if key is not None])


def _decode(word: str) -> bytes | None:
    try:
        standard = word.replace("-", "+").replace("_", "/").rstrip("=")
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _authenticated(name: SecretName) -> bytes:
    # A tenant's id contains no NUL, so that no two names give the same bytes.
    return b"\0".join((_CONTEXT, name.tenant_id.encode(), name.name.encode()))


def _owned_name(tenant_id: str, owner_id: OwnerId) -> SecretName:
    return SecretName(tenant_id, f"webhook/{owner_id}")
