"""The code of workers that an executor has read: once per revision, the least recently used dropped."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import msgspec

from runwright.db.pool import Database
from runwright.jobs.model import ClaimedAttempt
from runwright.runtimes.model import Assignment, WorkerCode
from runwright.secrets.masking import Masker
from runwright.workers.model import MAX_PROCESSES
from runwright.workers.store import WorkerRevision, fetch_revision, fetch_source_interpreters

_MOST_WORKERS: Final = 512
_Key = tuple[str, int, int | None]
"""Worker, revision, pinned version."""


class LoadedWorker(msgspec.Struct, frozen=True):
    """A worker at one revision, ready to run."""

    revision: WorkerRevision
    code: WorkerCode
    env: dict[str, str]

    @property
    def needs_preparation(self) -> bool:
        """Whether an attempt needs more than the revision: secrets, or files on this machine."""
        return bool(self.revision.secrets) or self.revision.bundle_digest is not None

    def assignment(
        self,
        assignment_id: int,
        attempt: ClaimedAttempt,
        *,
        code: WorkerCode | None = None,
        secrets: Mapping[str, str] | None = None,
        masker: Masker | None = None,
    ) -> Assignment:
        """Return an attempt for the pool to run; `code` with folders to mount, where it has any."""
        return Assignment(
            id=assignment_id,
            job_id=attempt.job_id,
            attempt=attempt.attempt,
            code=code or self.code,
            input=attempt.input,
            env=self.env,
            secrets=dict(secrets) if secrets else {},
            masker=masker,
            timeout_seconds=self.revision.timeout_seconds,
            worker_name=self.revision.name,
        )


class WorkerCache:
    """A small cache in front of the workers' tables, of serving and of pinned versions, by revision."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._workers: OrderedDict[_Key, LoadedWorker] = OrderedDict()
        self._latest: dict[str, LoadedWorker] = {}

    def get(self, worker_id: str, revision: int, pinned_version: int | None = None) -> LoadedWorker | None:
        """Return a worker that is cached at this revision."""
        key = (worker_id, revision, pinned_version)
        found = self._workers.get(key)
        if found is not None:
            self._workers.move_to_end(key)
        return found

    def latest(self, worker_id: str) -> LoadedWorker | None:
        """Return the newest revision that is cached; the tables may have a newer one."""
        return self._latest.get(worker_id)

    async def interpreters(self) -> list[str]:
        """Read the interpreters of the workers that may have jobs and are not bundles."""
        return await fetch_source_interpreters(self._db)

    async def fetch(self, worker_id: str, pinned_version: int | None = None) -> LoadedWorker | None:
        """Read the current revision, which may be newer than the one that was claimed."""
        revision = await fetch_revision(self._db, worker_id=worker_id, pinned_version=pinned_version)
        if revision is None:
            return None
        loaded = load_worker(revision)
        self._workers[(worker_id, revision.revision, pinned_version)] = loaded
        latest = self._latest.get(worker_id)
        if pinned_version is None and (latest is None or latest.revision.revision < revision.revision):
            self._latest[worker_id] = loaded
        while len(self._workers) > _MOST_WORKERS:
            (old_id, _, _), old = self._workers.popitem(last=False)
            if self._latest.get(old_id) is old:
                del self._latest[old_id]
        return loaded


def load_worker(revision: WorkerRevision) -> LoadedWorker:
    """Return a revision in the form in which jobs run."""
    processes = None if revision.max_processes == MAX_PROCESSES else revision.max_processes
    limits = msgspec.json.encode((revision.memory_mb, revision.network, processes)).decode()
    code = WorkerCode(
        # The first code that is deployed takes the number that a worker without code had.
        key=f"{revision.worker_id}:{revision.version}:{revision.bundle_digest or ''}:{limits}",
        tenant_id=revision.tenant_id,
        worker_id=revision.worker_id,
        version=revision.version,
        runtime=revision.runtime,
        runtime_version=revision.runtime_version,
        entrypoint=revision.entrypoint,
        source=revision.source_code.encode(),
        memory_mb=revision.memory_mb,
        max_processes=processes,
        network=revision.network,
    )
    env = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in revision.config.items()
    }
    return LoadedWorker(revision, code, env)
