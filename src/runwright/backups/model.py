"""What a backup is: a zip file with a dump of the database, perhaps the vault's key, and a manifest.

    manifest.json     what follows, with sizes and digests; written last, so an unfinished file has none
    database.dump     pg_dump's custom format, from one snapshot
    vault-key         only where it was asked for

Never in it: the platform key, which reads nothing and commands a running server (a restored one makes its
own), keys that settings name, the configuration, and caches.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.errors import RunwrightError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DUMP: Final = "database.dump"
VAULT_KEY: Final = "vault-key"

CopyProgress = Callable[[int, int], None]
"""Is called with how many bytes are done, and of how many."""


class BackupError(RunwrightError):
    """A backup cannot be made, read or restored; the message says why."""

    code = "backup"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BackupMember(msgspec.Struct, frozen=True):
    """One file of a backup."""

    bytes: int
    sha256: str


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a backup."""

    format: int = FORMAT
    runwright: str
    """The version that made it."""
    created_at: datetime
    """The time of the snapshot."""
    postgres: int
    """The major version of the database."""
    schema_version: int
    rows: dict[str, int]
    """How many rows each table has."""
    vault_keys: dict[str, int]
    """How many secrets each vault key encrypts, by the key's id."""
    members: dict[str, BackupMember]

    @property
    def has_vault_key(self) -> bool:
        return VAULT_KEY in self.members

    @property
    def total_rows(self) -> int:
        return sum(self.rows.values())

    @property
    def secrets(self) -> int:
        return sum(self.vault_keys.values())
