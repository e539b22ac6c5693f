"""Installations of dependencies."""

from runwright.telemetry.emit import Level, TimedEvent, WarningEvent


class BuildEvent(TimedEvent, frozen=True):
    """What happened to one try of a build."""

    worker_id: str
    version: int
    attempt: int


class BuildReady(BuildEvent, frozen=True):
    """The dependencies of a version are available."""

    installed: bool
    """False where an existing layer was used again."""


class BuildFailed(BuildEvent, frozen=True):
    """The dependencies of a version could not be installed; the version failed."""


class BuildInterrupted(BuildEvent, frozen=True):
    """The host failed during a build."""

    level = Level.WARNING
    error: str


class BuildLost(WarningEvent, frozen=True):
    """The lease of a build expired; another builder owns it."""

    worker_id: str
    version: int


class BuildNotRenewed(WarningEvent, frozen=True):
    """The lease of a build could not be renewed; it is still held until it expires."""

    error: str


class BuildNotRecorded(WarningEvent, frozen=True):
    """The result of a build could not be written; the build is tried again."""

    error: str
