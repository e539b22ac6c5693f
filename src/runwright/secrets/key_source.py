"""Where the vault's keys come from: a setting, a file, a command, else a file made at the first start."""

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
    """What the settings say; at most one of the first three is given."""

    text: str | None = None
    file: Path | None = None
    command: str | None = None
    data_dir: Path

    def __repr__(self) -> str:
        """Show no key."""
        return "KeySource(…)"

    @property
    def configured(self) -> bool:
        """Whether anybody says anything."""
        return any(given is not None for given in (self.text, self.file, self.command))

    @property
    def made_file(self) -> Path:
        """The file that is made where nobody says anything."""
        return self.data_dir / FILE_NAME


def key_source(settings: Settings) -> KeySource:
    """Return where the settings say that the keys are."""
    return KeySource(
        text=settings.vault_key,
        file=settings.vault_key_file,
        command=settings.vault_key_command,
        data_dir=settings.data_dir,
    )


def load_keyring(source: KeySource, needed: Collection[str]) -> Keyring:
    """Return the ring. VaultKeyError where it lacks a key that is needed to open what is stored.

    A key is made only where nothing is stored yet, so that a lost file is noticed and not replaced.
    """
    makes_one = not source.configured and not needed
    ring = _made(source.made_file) if makes_one else read_keyring(source, needed)
    missing = sorted(set(needed) - set(ring.ids))
    if missing:
        raise VaultKeyError(
            f"Stored secrets are sealed with the vault key {', '.join(missing)}; this process holds"
            f" {', '.join(ring.ids)}. Add the missing key after the first one (vault_key, vault_key_file or"
            " vault_key_command), the same on every machine, or give its secrets up with:"
            f" runwright vault discard {missing[0]}"
        )
    return ring


def read_keyring(source: KeySource, needed: Collection[str] = ()) -> Keyring:
    """Return the ring without making a key."""
    if source.text is not None:
        return parse_keys(source.text, "vault_key")
    if source.file is not None:
        return parse_keys(read_private_file(source.file, follow=True), f"vault_key_file ({source.file})")
    if source.command is not None:
        return parse_keys(_ask(source.command), "vault_key_command")
    path = source.made_file
    if not path.exists():
        wanted = f" Stored secrets need the key {', '.join(sorted(needed))}." if needed else ""
        raise VaultKeyError(
            f"There is no vault key in {path}.{wanted} Put it back, or give it by vault_key, vault_key_file"
            " or vault_key_command."
        )
    return parse_keys(read_private_file(path), str(path))


def _made(path: Path) -> Keyring:
    if not path.exists():
        make_private_file(path, new_key_text())
    return parse_keys(read_private_file(path), str(path))


def _ask(command: str) -> str:
    """Run the command, without a shell; what it says on stderr goes to ours."""
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
        raise VaultKeyError(f"vault_key_command ended with status {done.returncode}.")
    try:
        return done.stdout[:_MOST_BYTES].decode("ascii")
    except UnicodeDecodeError:
        raise VaultKeyError("vault_key_command printed something that is no key.") from None
