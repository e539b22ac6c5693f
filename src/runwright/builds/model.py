"""Builds and layers."""

import hashlib
from datetime import datetime

import msgspec

from runwright.builds.manifest import Manifest
from runwright.runtimes.support import interpreter_name


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """Installed dependencies, stored in a blob."""

    key: str
    tenant_id: str
    platform: str
    digest: str
    size_bytes: int
    files: int
    log: str
    created_at: datetime


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """A version whose dependencies are to be installed, as claimed by a builder."""

    worker_id: str
    version: int
    tenant_id: str
    runtime: str
    runtime_version: str | None = None
    entrypoint: str
    bundle_digest: str
    attempt: int
    import_check: str | None = None
    """When its code is imported: an `ImportCheck`."""

    @property
    def interpreter(self) -> str:
        """The name of the interpreter that it is built for."""
        return interpreter_name(self.runtime, self.runtime_version)


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that determines the content of a layer."""

    tenant_id: str
    runtime: str
    platform: str
    tool: str
    registry: str
    scripts: bool
    manifest: Manifest
    bundle_digest: str | None
    """None where the manifest alone determines the dependencies."""

    @property
    def key(self) -> str:
        """The layer's key, which is equal for equal recipes."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()
