"""A backup restored into a temporary place, to see that it can be: rows, schema, secrets, a job that runs.

The copy is a whole installation, with queued jobs and deliveries that are due. So all its tenants are
suspended before a server starts on it, no role runs that would send anything, and jobs have no network.
"""

import asyncio
import base64
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from runwright.backups.archive import ArchiveReader
from runwright.backups.model import BackupError, CopyProgress
from runwright.backups.restore import restore_embedded
from runwright.cli.child_server import child_server
from runwright.cli.database import PATIENCE_SECONDS, database_address
from runwright.cli.remote import open_client
from runwright.client.errors import ClientError
from runwright.client.session import Credentials
from runwright.client.targets import ServerTarget
from runwright.config import Settings
from runwright.config.private_file import PrivateFileError, read_private_file
from runwright.db.connection import UNLIMITED
from runwright.db.migrator import prepare_schema
from runwright.db.pool import Database, connect, open_pool
from runwright.secrets import rotation
from runwright.secrets.key_source import key_source, read_keyring
from runwright.secrets.keyring import KEY_BYTES, Keyring
from runwright.secrets.model import VaultKeyError
from runwright.wiring.resources import ENCRYPTED_COLUMNS

_APPLICATION: Final = "runwright restore"
JOB_SECONDS: Final = 60.0
_TENANT: Final = "ten_restore_check"
_SOURCE: Final = "def handler(input, env):\n    return input['n'] + 1\n"
_PLACE_MODE: Final = 0o711
"""PostgreSQL may run as a user of its own, whose folder is in it."""

_SERVE: Final = ("--host", "127.0.0.1", "--port", "0", "--roles", "api,executor", "--no-egress")
_NAMED: Final = 5
_SETTING: Final = "RUNWRIGHT_"
_SUSPEND: Final = "UPDATE tenants SET status = 'suspended', status_reason = 'a trial of a backup'"


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a restored copy."""

    rows: int
    """All of them were counted."""
    secrets: int | None
    """How many were decrypted; None where their key is not here."""
    job: str
    """The state of a job that was run in the copy."""


def try_restore(settings: Settings, reader: ArchiveReader, *, progress: CopyProgress) -> TrialResult:
    """Restore a backup into a temporary place, and run a job there. BackupError, CommandError."""
    with _place() as place:
        copy = msgspec.structs.replace(
            settings, data_dir=place / "data", database_url=None, **_keys_of_copy(settings, reader)
        )
        asyncio.run(restore_embedded(reader, copy.data_dir, programs=None, progress=progress))
        key = os.urandom(KEY_BYTES)
        secrets = asyncio.run(_prepare(copy, key))
        return TrialResult(
            rows=reader.manifest.total_rows, secrets=secrets, job=_run_job(place, copy.data_dir, key)
        )


@contextlib.contextmanager
def _place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="runwright-verify-"))
    place.chmod(_PLACE_MODE)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _keys_of_copy(settings: Settings, reader: ArchiveReader) -> dict[str, object]:
    """Return the settings of the vault key: none where the backup has it, else where this machine has it."""
    source = key_source(settings)
    if reader.manifest.has_vault_key:
        return {"vault_key": None, "vault_key_file": None, "vault_key_command": None}
    return {} if source.configured else {"vault_key_file": source.generated_file}


async def _prepare(copy: Settings, key: bytes) -> int | None:
    """Migrate a copy, suspend its tenants, and encrypt its secrets anew, which shows that they decrypt.

    Return how many secrets there were. None, without touching them, where their key is not here.
    """
    async with database_address(copy) as dsn:
        connection = await connect(dsn, application_name=_APPLICATION, within_seconds=PATIENCE_SECONDS)
        try:
            await prepare_schema(connection, may_migrate=True)
            await connection.execute(_SUSPEND)
        finally:
            await connection.close()
        pool = await open_pool(dsn, max_size=1, application_name=_APPLICATION, statement_class=UNLIMITED)
        try:
            used = await rotation.count_by_key(pool, ENCRYPTED_COLUMNS)
            ring = _ring(copy)
            if used and (ring is None or not used.keys() <= set(ring.ids)):
                for key_id in used:  # no server starts on secrets without their key
                    await rotation.discard(pool, key_id, ENCRYPTED_COLUMNS)
                return None
            return 0 if ring is None else await _decrypt_all(pool, ring.renewed(key))
        finally:
            await pool.close()


def _ring(copy: Settings) -> Keyring | None:
    try:
        return read_keyring(key_source(copy))
    except (VaultKeyError, PrivateFileError, OSError):
        return None


async def _decrypt_all(pool: Database, ring: Keyring) -> int:
    result = await rotation.rotate(pool, ring, ENCRYPTED_COLUMNS)
    if result.altered:
        names = ", ".join(f"{one.name} of {one.tenant_id}" for one in result.altered[:_NAMED])
        count = len(result.altered)
        subject = (
            "A secret does not decrypt with its"
            if count == 1
            else f"{count} secrets do not decrypt with their"
        )
        raise BackupError(f"{subject} key: {names}.")
    return result.reencrypted


def _run_job(place: Path, data_dir: Path, key: bytes) -> str:
    """Serve a copy, run a job of a tenant that is new, and return its state. BackupError, CommandError."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTING)}
    env = kept | {"RUNWRIGHT_VAULT_KEY": base64.b64encode(key).decode()}
    with child_server([*_SERVE, "--data-dir", str(data_dir)], place / "server.log", env) as url:
        api_key = read_private_file(data_dir / "platform-key").strip()
        credentials = Credentials(api_key=api_key, tenant=_TENANT, user="restore", role="tenant-system-admin")
        try:
            with open_client(ServerTarget(url=url, credentials=credentials)) as rw:
                worker = rw.workers.create("restore-check", "python", source_code=_SOURCE)
                job = rw.jobs.run(worker.id, {"n": 1}, wait=JOB_SECONDS)
        except ClientError as error:
            raise BackupError(f"The copy was restored, but no job could be run in it: {error}") from None
    if job.output != 2:  # noqa: PLR2004  one more than its input
        why = job.status if job.error is None else f"{job.error.code}: {job.error.message}"
        raise BackupError(f"The copy was restored, but a job in it did not complete: {why}")
    return job.status
