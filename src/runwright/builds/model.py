"""Layers and builds, as they are stored."""

import hashlib
from datetime import datetime

import msgspec

from runwright.builds.manifest import Manifest


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """Installed dependencies, in a blob."""

    key: str
    tenant_id: str
    platform: str
    digest: str
    size_bytes: int
    files: int
    log: str
    created_at: datetime


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """A version whose dependencies are to be installed, as its builder has claimed it."""

    worker_id: str
    version: int
    tenant_id: str
    runtime: str
    entrypoint: str
    bundle_digest: str
    attempt: int


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """All that the content of a layer follows from."""

    tenant_id: str
    runtime: str
    platform: str
    tool: str
    registry: str
    scripts: bool
    manifest: Manifest
    bundle_digest: str | None
    """Where the dependencies are in the sources."""

    @property
    def key(self) -> str:
        """The layer's name: equal recipes have equal ones."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()
