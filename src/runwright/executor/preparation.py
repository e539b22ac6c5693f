"""What an attempt needs beside its worker's revision before a sandbox may run it: secrets and files.

Most workers list no secrets and have no bundle; their attempts are not prepared. For the others
the values are read anew for each attempt, so that a changed secret takes effect at once, and the
folders are made ready on this machine once per version.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from runwright.core.job_state import ErrorCode
from runwright.executor.worker_cache import LoadedWorker
from runwright.jobs.model import ClaimedAttempt
from runwright.loops.version_files import LoadError, VersionFolders
from runwright.runtimes.model import Assignment, AttemptOutcome, OutcomeStatus
from runwright.secrets.masking import Masker
from runwright.secrets.model import WORKER_SECRETS_BYTES, VaultKeyError
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.executor import SecretNotOpened
from runwright.workers.store import WorkerRevision

_SMALL_CHARACTERS: Final = 128
"""Secrets below this size are prepared for masking in the loop; larger ones in a thread."""

_CACHED_CHARACTERS: Final = 16 * 1024
_CACHED_MASKERS: Final = 32


class Refusal(msgspec.Struct, frozen=True):
    """Why an attempt cannot begin: it fails with this before any user code runs."""

    code: ErrorCode
    message: str

    def outcome(self) -> AttemptOutcome:
        """Return the outcome of the attempt."""
        return AttemptOutcome(
            status=OutcomeStatus.FAILED, error_code=self.code.value, error_message=self.message
        )


class SecretProvider(Protocol):
    """Where the values of secrets come from."""

    async def reveal(self, tenant_id: str, names: list[str]) -> Mapping[str, str]:
        """Return the values of those names that are set. VaultKeyError where one cannot be decrypted."""


class FolderProvider(Protocol):
    """Where the files of a worker's version come from."""

    async def folders(self, revision: WorkerRevision) -> VersionFolders:
        """Return the folders of a version, made ready on this machine.

        Raises LoadError where its files can never be read.
        """


class Preparation:
    """Gathers what an attempt needs."""

    def __init__(
        self,
        secrets: SecretProvider | None = None,
        files: FolderProvider | None = None,
        emit: Emit | None = None,
    ) -> None:
        self._emit = emit
        self._secrets = secrets
        self._files = files
        self._maskers = MaskerCache()

    async def prepare(
        self, assignment_id: int, attempt: ClaimedAttempt, worker: LoadedWorker
    ) -> Assignment | Refusal:
        """Return the attempt for the pool to run, or why it cannot begin."""
        secrets = await self._read_secrets(worker.revision)
        if isinstance(secrets, Refusal):
            return secrets
        code = worker.code
        if worker.revision.bundle_digest is not None and self._files is not None:
            try:
                folders = await self._files.folders(worker.revision)
            except LoadError as error:
                return Refusal(ErrorCode.LOAD_ERROR, str(error))
            code = msgspec.structs.replace(code, bundle=folders.bundle, layer=folders.layer)
        return worker.assignment(
            assignment_id, attempt, code=code, secrets=secrets, masker=await self._maskers.get(secrets)
        )

    async def _read_secrets(self, revision: WorkerRevision) -> Mapping[str, str] | Refusal:
        if not revision.secrets:
            return {}
        try:
            values = await self._secrets.reveal(revision.tenant_id, revision.secrets) if self._secrets else {}
        except VaultKeyError as error:
            if self._emit is not None:  # the tenant sees it in the job, but only the operator can repair it
                self._emit(SecretNotOpened(worker_id=revision.worker_id, error=error.message))
            return Refusal(ErrorCode.MISSING_SECRET, error.message)
        missing = [name for name in revision.secrets if name not in values]
        if missing:
            message = f"The worker lists secrets that are not set: {', '.join(missing)}."
            return Refusal(ErrorCode.MISSING_SECRET, message)
        size = sum(len(value.encode()) for value in values.values())
        if size > WORKER_SECRETS_BYTES:
            message = f"The worker's secrets have {size} bytes together; the limit is {WORKER_SECRETS_BYTES}."
            return Refusal(ErrorCode.LOAD_ERROR, message)
        return values


class MaskerCache:
    """Maskers of the secrets that were used last; making one takes longer than a short job."""

    def __init__(self) -> None:
        self._maskers: OrderedDict[tuple[str, ...], Masker] = OrderedDict()

    async def get(self, values: Mapping[str, str]) -> Masker | None:
        """Return the masker of these secrets, made in a thread unless they are few and short."""
        if not values:
            return None
        key = tuple(sorted(values.values()))
        masker = self._maskers.get(key)
        if masker is None:
            size = sum(map(len, key))
            masker = Masker(key) if size < _SMALL_CHARACTERS else await asyncio.to_thread(Masker, key)
            if size > _CACHED_CHARACTERS:
                return masker
            self._maskers[key] = masker
        self._maskers.move_to_end(key)
        if len(self._maskers) > _CACHED_MASKERS:
            self._maskers.popitem(last=False)
        return masker
