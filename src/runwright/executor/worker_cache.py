"""The code of workers as an executor holds it: fetched once per revision, the oldest forgotten."""

from collections import OrderedDict
from typing import Final

import msgspec

from runwright.db.pool import Database
from runwright.runtimes.model import WorkerCode
from runwright.workers.store import Definition, fetch_definition

_KEPT: Final = 512


class Loaded(msgspec.Struct, frozen=True):
    """A worker's definition, ready to run."""

    definition: Definition
    code: WorkerCode
    env: dict[str, str]

    @property
    def needs_preparation(self) -> bool:
        """Whether an attempt needs more than the definition: secrets, or files on this machine."""
        return bool(self.definition.secrets) or self.definition.bundle_digest is not None


class Definitions:
    """A small cache in front of the workers' table, keyed by (worker, revision)."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._kept: OrderedDict[tuple[str, int], Loaded] = OrderedDict()
        self._latest: dict[str, Loaded] = {}

    def held(self, worker_id: str, revision: int) -> Loaded | None:
        """Return what is held already."""
        found = self._kept.get((worker_id, revision))
        if found is not None:
            self._kept.move_to_end((worker_id, revision))
        return found

    def latest(self, worker_id: str) -> Loaded | None:
        """Return the newest revision that is held; there may be newer ones."""
        return self._latest.get(worker_id)

    async def fetch(self, worker_id: str) -> Loaded | None:
        """Read the current definition, which may be newer than the revision that was claimed."""
        definition = await fetch_definition(self._db, worker_id=worker_id)
        if definition is None:
            return None
        loaded = _load(definition)
        self._kept[(worker_id, definition.revision)] = loaded
        latest = self._latest.get(worker_id)
        if latest is None or latest.definition.revision < definition.revision:
            self._latest[worker_id] = loaded
        while len(self._kept) > _KEPT:
            (old_id, _), old = self._kept.popitem(last=False)
            if self._latest.get(old_id) is old:
                del self._latest[old_id]
        return loaded


def _load(definition: Definition) -> Loaded:
    limits = msgspec.json.encode((definition.memory_mb, definition.network)).decode()
    code = WorkerCode(
        key=f"{definition.worker_id}:{definition.version}:{limits}",
        tenant_id=definition.tenant_id,
        worker_id=definition.worker_id,
        version=definition.version,
        runtime=definition.runtime,
        entrypoint=definition.entrypoint,
        source=definition.source_code.encode(),
        memory_mb=definition.memory_mb,
        network=definition.network,
    )
    env = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in definition.config.items()
    }
    return Loaded(definition, code, env)
