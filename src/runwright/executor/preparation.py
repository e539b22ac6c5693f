"""What an attempt needs beside its definition before a sandbox may take it: secrets and files.

Most workers list no secrets and have no bundle; their attempts never come here. For the others
the values are read anew for each attempt, so that a changed secret is in force at once, and the
folders are made ready on this machine once per version.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from runwright.core.job_state import ErrorCode
from runwright.executor.worker_cache import Loaded
from runwright.runtimes.model import WorkerCode
from runwright.secrets.masking import Masker
from runwright.secrets.model import VaultKeyError
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import SecretNotOpened
from runwright.workers.store import Definition

_SMALL_CHARACTERS: Final = 16 * 1024
"""So much is made ready for masking at once; more in a thread, beside the loop."""


class Refusal(msgspec.Struct, frozen=True):
    """Why an attempt cannot begin; it fails with this before any user code runs."""

    code: ErrorCode
    message: str


class Prepared(msgspec.Struct, frozen=True):
    """What a sandbox is given beside the definition."""

    code: WorkerCode
    secrets: dict[str, str]
    masker: Masker | None = None

    def __repr__(self) -> str:
        """Show no secrets: this may end up in a log."""
        return f"Prepared(code={self.code.key!r})"


class SecretValues(Protocol):
    """Where the values of secrets come from."""

    async def reveal(self, tenant_id: str, names: list[str]) -> Mapping[str, str]:
        """Return the values of those names that are set. VaultKeyError where one cannot be opened."""


class Folders(msgspec.Struct, frozen=True):
    """Folders of this machine that a sandbox mounts."""

    bundle: str | None = None
    layer: str | None = None


class VersionFiles(Protocol):
    """Where the files of a worker's version come from."""

    async def folders(self, definition: Definition) -> Folders:
        """Return the folders of a version, made ready on this machine.

        Raises LoadError where its files can never be had.
        """


class LoadError(Exception):
    """The files of a version cannot be had; the message is for the tenant."""


class NoSecrets:
    """A vault that holds nothing."""

    async def reveal(self, tenant_id: str, names: list[str]) -> Mapping[str, str]:  # noqa: ARG002
        """Return nothing."""
        return {}


class NoFiles:
    """For an executor whose workers have inline source only."""

    async def folders(self, definition: Definition) -> Folders:  # noqa: ARG002
        """Return no folders."""
        return Folders()


class Preparation:
    """Gathers what an attempt needs."""

    def __init__(
        self,
        secrets: SecretValues | None = None,
        files: VersionFiles | None = None,
        emit: Emit | None = None,
    ) -> None:
        self._emit = emit
        self._secrets = secrets or NoSecrets()
        self._files = files or NoFiles()

    async def prepare(self, loaded: Loaded) -> Prepared | Refusal:
        """Return what the attempt needs, or why it cannot begin."""
        definition = loaded.definition
        values: Mapping[str, str] = {}
        if definition.secrets:
            try:
                values = await self._secrets.reveal(definition.tenant_id, definition.secrets)
            except VaultKeyError as error:
                if self._emit is not None:  # the tenant hears of it, but only the operator can mend it
                    self._emit(SecretNotOpened(worker_id=definition.worker_id, error=error.message))
                return Refusal(ErrorCode.MISSING_SECRET, error.message)
            missing = [name for name in definition.secrets if name not in values]
            if missing:
                names = ", ".join(missing)
                message = f"The worker lists secrets that are not set: {names}."
                return Refusal(ErrorCode.MISSING_SECRET, message)
        code = loaded.code
        if definition.bundle_digest is not None:
            try:
                folders = await self._files.folders(definition)
            except LoadError as error:
                return Refusal(ErrorCode.LOAD_ERROR, str(error))
            code = msgspec.structs.replace(code, bundle=folders.bundle, layer=folders.layer)
        return Prepared(code, dict(values), await _make_masker(values))


async def _make_masker(values: Mapping[str, str]) -> Masker | None:
    if not values:
        return None
    if sum(map(len, values.values())) < _SMALL_CHARACTERS:
        return Masker(values.values())
    return await asyncio.to_thread(Masker, values.values())
