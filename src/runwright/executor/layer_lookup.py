"""Which layers this executor can mount: those that were installed for interpreters that it has."""

from collections.abc import Callable
from typing import Final

from runwright.builds.store import build_again, fetch_layer
from runwright.db.pool import Database
from runwright.executor.preparation import LoadError
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import LayerForOtherPlatform

QUIET_SECONDS: Final = 600.0


class LayerOnItsWayError(Exception):
    """A layer is being installed for this host; the attempt should wait in line."""


class HostLayers:
    """Finds the blobs of layers. One for other interpreters (they were upgraded) is installed anew."""

    def __init__(
        self,
        db: Database,
        *,
        platforms: frozenset[str],
        on_building: Callable[[], None],
        emit: Emit,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._db = db
        self._platforms = platforms
        self._on_building = on_building
        self._emit = emit
        self._quiet_seconds = quiet_seconds

    async def digest(self, key: str) -> str | None:
        """Return the blob of the layer of that key, if there is one that fits."""
        layer = await fetch_layer(self._db, key=key)
        if layer is None:
            return None
        if layer.platform in self._platforms:
            return layer.digest
        if await build_again(self._db, layer_key=key, quiet_seconds=self._quiet_seconds):
            self._emit(LayerForOtherPlatform(platform=layer.platform))
            self._on_building()
            raise LayerOnItsWayError(layer.platform)
        raise LoadError(
            f"The dependencies were installed for {layer.platform}, which this executor does not have."
        )
