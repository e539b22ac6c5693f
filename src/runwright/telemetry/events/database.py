"""The database."""

from runwright.telemetry.emit import TimedEvent, WarningEvent


class DatabaseAway(WarningEvent, frozen=True):
    """The database does not answer: its connections were dropped."""

    reason: str
    dropped: int


class DatabaseBack(WarningEvent, frozen=True):
    """The database answers again."""


class ListenerDisconnected(WarningEvent, frozen=True):
    """The connection that brings notifications ended; it is opened again, and the loops poll meanwhile."""

    error: str


class PostgresLeftoversKilled(WarningEvent, frozen=True):
    """Processes of an embedded server that had ended did not end themselves."""


class PostgresLost(WarningEvent, frozen=True):
    """The embedded server ended without being asked; it is started again."""

    server_pid: int


class PostgresRestored(WarningEvent, frozen=True):
    """The embedded server runs again."""

    server_pid: int


class PostgresRestartFailed(WarningEvent, frozen=True):
    """The embedded server could not be started again; the next try follows."""

    error: str


class BaseBackupTaken(TimedEvent, frozen=True):
    """The embedded database was copied into its archive."""

    base: str
    segments_removed: int
    """Files of the log that no copy needs any more."""


class WalNotArchived(WarningEvent, frozen=True):
    """The log of the embedded database does not reach its archive; the database keeps it, and grows."""

    reason: str
