"""The ring of vault keys: the first seals, all of them open.

Each write has a fresh 96-bit nonce. The tenant and the name of a secret are authenticated with it
(AES-256-GCM), so a value that was moved to another row does not open. A key's id is derived from
the key: processes that hold the same key agree on it, and it tells nothing about the key.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runwright.secrets.model import SealBrokenError, SealedSecret, SecretName, VaultKeyError

KEY_BYTES: Final = 32
MOST_KEYS: Final = 16
_NONCE_BYTES: Final = 12
_ID_BYTES: Final = 8
_BOUND: Final = b"runwright vault 1"
_SEPARATOR: Final = re.compile(r"[,\s]+")


class Keyring:
    """One or several keys; the first one is the primary."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self.ids = tuple(self._ciphers)
        self.primary = self.ids[0]

    def seal(self, whose: SecretName, value: str, *, with_key: str | None = None) -> SealedSecret:
        """Return the value sealed, under the primary key unless another one is named."""
        chosen = with_key or self.primary
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[chosen].encrypt(nonce, value.encode(), _bound(whose))
        return SealedSecret(tenant_id=whose.tenant_id, name=whose.name, key_id=chosen, sealed=sealed)

    def open(self, secret: SealedSecret) -> str:
        """Return the value. VaultKeyError where its key is not in the ring, or it was tampered with."""
        cipher = self._ciphers.get(secret.key_id)
        if cipher is None:
            raise VaultKeyError(
                f"The secret {secret.name} is sealed with the vault key {secret.key_id},"
                " which this server does not hold."
            )
        nonce, ciphertext = secret.sealed[:_NONCE_BYTES], secret.sealed[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, ciphertext, _bound(secret.whose)).decode()
        except (InvalidTag, ValueError):
            raise SealBrokenError(
                f"The stored value of the secret {secret.name} was altered; set it again."
            ) from None


def key_id(key: bytes) -> str:
    """Return the name of a key."""
    return hmac.digest(key, b"runwright vault key id", hashlib.sha256)[:_ID_BYTES].hex()


def new_key_text() -> str:
    """Return a fresh key as it is written in files and settings."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def parse_keys(text: str, source: str) -> Keyring:
    """Return the ring that a text holds: base64 keys of 32 bytes, between commas or white space.

    VaultKeyError names the source and never shows any of the text.
    """
    words = [word for word in _SEPARATOR.split(text.strip()) if word]
    if not 1 <= len(words) <= MOST_KEYS:
        raise VaultKeyError(f"{source} must hold 1 to {MOST_KEYS} keys; it holds {len(words)}.")
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


def _bound(whose: SecretName) -> bytes:
    # A tenant's id holds no NUL, so that no two names run together.
    return b"\0".join((_BOUND, whose.tenant_id.encode(), whose.name.encode()))
