"""Loads the key ring: from a setting, a file or a command, else from a file made at the first start."""

import shlex
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from runwright.config import Settings
from runwright.config.private_file import make_private_file, read_private_file
from runwright.secrets.keyring import Keyring, new_key_text, parse_keys
from runwright.secrets.model import VaultKeyError

FILE_NAME: Final = "vault-key"
COMMAND_SECONDS: Final = 30.0
_MOST_BYTES: Final = 16 * 1024


class KeySource(msgspec.Struct, frozen=True, kw_only=True):
    """Where the vault keys are configured; at most one of the first three is set."""

    text: str | None = None
    file: Path | None = None
    command: str | None = None
    data_dir: Path

    def __repr__(self) -> str:
        """Omit the key."""
        return "KeySource(…)"

    @property
    def configured(self) -> bool:
        """Whether a setting names the keys."""
        return any(given is not None for given in (self.text, self.file, self.command))

    @property
    def generated_file(self) -> Path:
        """The file that a key is generated in if no setting names any."""
        return self.data_dir / FILE_NAME


def key_source(settings: Settings) -> KeySource:
    """Return where the keys are configured."""
    return KeySource(
        text=settings.vault_key,
        file=settings.vault_key_file,
        command=settings.vault_key_command,
        data_dir=settings.data_dir,
    )


def load_keyring(source: KeySource, needed: Collection[str]) -> Keyring:
    """Return the key ring. VaultKeyError if it lacks a key that stored secrets need.

    A key is generated only while nothing is stored, so that a lost file is reported and not replaced.
    """
    generate = not source.configured and not needed
    ring = _generated(source.generated_file) if generate else read_keyring(source, needed)
    missing = sorted(set(needed) - set(ring.ids))
    if missing:
        raise VaultKeyError(
            f"Stored secrets are encrypted with the vault key {', '.join(missing)}; this process has"
            f" {', '.join(ring.ids)}. Add the missing key after the first one (vault_key, vault_key_file or"
            " vault_key_command), the same on every machine, or delete its secrets with:"
            f" runwright vault discard {missing[0]}"
        )
    return ring


def read_keyring(source: KeySource, needed: Collection[str] = ()) -> Keyring:
    """Return the key ring, without generating a key."""
    if source.text is not None:
        return parse_keys(source.text, "vault_key")
    if source.file is not None:
        return parse_keys(read_private_file(source.file, follow=True), f"vault_key_file ({source.file})")
    if source.command is not None:
        return parse_keys(_run(source.command), "vault_key_command")
    path = source.generated_file
    if not path.exists():
        reason = f" Stored secrets need the key {', '.join(sorted(needed))}." if needed else ""
        raise VaultKeyError(
            f"There is no vault key in {path}.{reason} Restore the file, or set vault_key, vault_key_file"
            " or vault_key_command."
        )
    return parse_keys(read_private_file(path), str(path))


def _generated(path: Path) -> Keyring:
    if not path.exists():
        make_private_file(path, new_key_text())
    return parse_keys(read_private_file(path), str(path))


def _run(command: str) -> str:
    """Return what the command prints. It is run without a shell and writes errors to our stderr."""
    try:
        argv = shlex.split(command)
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, ValueError, IndexError) as error:
        raise VaultKeyError(f"vault_key_command cannot be run: {type(error).__name__}.") from error
    except subprocess.TimeoutExpired:
        raise VaultKeyError(f"vault_key_command did not end within {COMMAND_SECONDS:g} seconds.") from None
    if done.returncode:
        raise VaultKeyError(f"vault_key_command exited with status {done.returncode}.")
    try:
        return done.stdout[:_MOST_BYTES].decode("ascii")
    except UnicodeDecodeError:
        raise VaultKeyError("vault_key_command printed something that is not a key.") from None
