"""Builds, as a builder uses them."""

from runwright.builds.model import Build, Layer
from runwright.builds.store import (
    claim_build,
    end_build,
    fetch_layer,
    insert_layer,
    lock_worker_of_build,
    mark_failed,
    mark_ready,
    release_build,
    renew_build,
)
from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.workers.bundles.blobs import PackedBlob


class Builds:
    """The builds of one builder: every write is fenced by its id."""

    def __init__(self, db: Database, *, clock: Clock, builder_id: str, lease_seconds: float) -> None:
        self._db = db
        self._clock = clock
        self._builder_id = builder_id
        self._lease_seconds = lease_seconds

    async def claim(self, runtimes: list[str], *, age_seconds: float = 0.0) -> Build | None:
        """Take on the next version of these runtimes, of at least that age, that is to be built."""
        return await claim_build(
            self._db,
            builder_id=self._builder_id,
            runtimes=runtimes,
            lease_seconds=self._lease_seconds,
            age_seconds=age_seconds,
        )

    async def renew(self, build: Build, *, log: str) -> bool:
        """Keep a build; False where it is another's by now."""
        return await renew_build(
            self._db, build, builder_id=self._builder_id, log=log, lease_seconds=self._lease_seconds
        )

    async def release(self, build: Build, *, log: str, pause_seconds: float, free: bool) -> None:
        """Give a build back, to be claimed again after a pause; `free`: as if it had not been begun."""
        await release_build(
            self._db, build, builder_id=self._builder_id, log=log, pause_seconds=pause_seconds, free=free
        )

    async def layer(self, key: str) -> Layer | None:
        """Return what was installed before."""
        return await fetch_layer(self._db, key=key)

    async def finish(self, build: Build, layer: Layer | None, *, blob: PackedBlob | None, log: str) -> bool:
        """Keep a layer and make its version ready; False where the build is another's by now."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            await lock_worker_of_build(db, build)
            if not await end_build(db, build, builder_id=self._builder_id, log=log):
                return False
            if layer is not None and blob is not None:
                await insert_layer(db, layer, blob=blob, now=now)
            await mark_ready(db, build, layer_key=layer.key if layer else None, now=now)
        return True

    async def fail(self, build: Build, *, reason: str, log: str) -> bool:
        """Note that a version cannot be built; False where the build is another's by now."""
        async with self._db.acquire() as db, db.transaction():
            await lock_worker_of_build(db, build)
            if not await end_build(db, build, builder_id=self._builder_id, log=log):
                return False
            await mark_failed(db, build, reason=reason)
        return True
