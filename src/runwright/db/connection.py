"""A connection whose statements end in time, also when the server's host has vanished or hangs.

Three limits, from the inside out (and a fourth in requests, see `db/patience.py`):
- the server ends a statement after the seconds of its class (`statement_timeout`), and soon when its
  client has gone (`client_connection_check_interval`);
- this side waits `SLACK_SECONDS` longer and then drops the connection, because a server that lives
  would have answered. It also drops a connection whose waiting task is cancelled: asking a server that
  may be gone to cancel, and waiting until it confirms, can take for ever;
- the kernels of both sides drop a connection whose peer acknowledges nothing (keep-alive,
  TCP_USER_TIMEOUT), so that no lock and no buffer of a vanished peer stays.
"""

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import asyncpg
import msgspec

from runwright.db.availability import Availability
from runwright.db.patience import Wait, current

if TYPE_CHECKING:  # the stubs make these generic, the classes are not
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

SLACK_SECONDS: Final = 0.5
_IDLE_SECONDS: Final = 4
_PROBE_SECONDS: Final = 1
_PROBES: Final = 3
_UNACKNOWLEDGED_MS: Final = 5000
_CLIENT_CHECK_MS: Final = 2000
_OF_POOLERS: Final = {"application_name", "timezone"}
_TCP_OPTIONS: Final = {
    "TCP_KEEPIDLE": _IDLE_SECONDS,
    "TCP_KEEPINTVL": _PROBE_SECONDS,
    "TCP_KEEPCNT": _PROBES,
    "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MS,
}


class StatementClass(msgspec.Struct, frozen=True):
    """How long a statement of a class may take; None for as long as it needs."""

    name: str
    seconds: float | None

    @property
    def client_seconds(self) -> float | None:
        """How long this side waits for the answer."""
        return None if self.seconds is None else self.seconds + SLACK_SECONDS


PING: Final = StatementClass("ping", 2.0)
SUBMIT: Final = StatementClass("submit", 2.0)
CLAIM: Final = StatementClass("claim", 5.0)
READ: Final = StatementClass("read", 10.0)
FINISH: Final = StatementClass("finish", 10.0)
"""Ends, and all else that the loops write: they send it again."""
MAINTENANCE: Final = StatementClass("maintenance", 60.0)
UNLIMITED: Final = StatementClass("unlimited", None)
"""Migrations and commands of operators."""


class _Transport(Protocol):
    def get_extra_info(self, name: str) -> socket.socket: ...


class BoundedConnection(_Connection):
    """What `connect` returns and pools contain."""

    availability: Availability | None = None
    pooled = False
    """Whether a pooler in transaction mode is between, so that neither settings nor LISTEN last."""

    _top_xact: object  # asyncpg's own, from here on; the stubs lack them
    _listeners: object
    _log_listeners: object
    _pool_release_ctr: int

    def __init__(self, protocol: Any, transport: Any, *args: Any) -> None:  # noqa: ANN401  asyncpg's own arguments
        super().__init__(protocol, transport, *args)
        self._wire = protocol
        set_socket_options(transport)

    @property
    def queries_count(self) -> int:
        """How many statements it has executed."""
        return int(self._wire.queries_count)

    @property
    def in_standby(self) -> bool:
        """Whether the server is a standby, as it reported last; a promotion is reported at once."""
        return str(getattr(self.get_settings(), "in_hot_standby", "")) == "on"  # a pooler may not report it

    def get_reset_query(self) -> str:
        # No session state is set, so releasing a connection costs no round trip.
        # (asyncpg still rolls back a transaction that was left open.)
        return ""

    async def execute(self, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401  asyncpg's own arguments
        """Execute as asyncpg does, for as long as the current request waits."""
        async with Wait():
            status = await super().execute(*args, **kwargs)
        self._answered()
        return status

    async def _execute(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  asyncpg's own arguments
        if current() is None:
            result = await super()._execute(*args, **kwargs)  # type: ignore[misc]
        else:
            async with Wait():
                result = await super()._execute(*args, **kwargs)  # type: ignore[misc]
        self._answered()
        return result

    def release_at_once(self) -> bool:
        """Prepare for the next user of the pool, if nothing has to be awaited for that; else return False."""
        cancelling = self._wire._is_cancelling()  # noqa: SLF001  as asyncpg's pool asks it
        if self.is_closed() or self.is_in_transaction() or self._top_xact is not None or cancelling:
            return False
        if self._listeners or self._log_listeners:
            return False
        self._pool_release_ctr += 1  # cursors and prepared statements of this user are not usable any more
        return True

    def _answered(self) -> None:
        if self.availability is not None:
            self.availability.answered()

    def _cancel_current_command(
        self, _sent: asyncio.Future[None], _confirmed: asyncio.Future[None] | None = None
    ) -> None:
        """Drop the connection, where asyncpg would ask the server to cancel; called at a time-out too."""
        asyncio.get_running_loop().call_soon(self._give_up)

    def drop(self) -> None:
        """Close at once; a pool notices when the connection is released or wanted again.

        `terminate` would give it back to its pool now, in which it fails where a release is under way.
        """
        self._wire.abort()

    def _give_up(self) -> None:
        self.drop()
        if self.availability is not None:
            self.availability.doubt()


def session_settings(application_name: str, statement_class: StatementClass) -> dict[str, str]:
    """Return the settings of a session, with the server's part of the limits."""
    seconds = statement_class.seconds
    return {
        "application_name": application_name,
        "timezone": "UTC",
        "statement_timeout": "0" if seconds is None else str(int(seconds * 1000)),
        "idle_in_transaction_session_timeout": "60000",
        "client_connection_check_interval": str(_CLIENT_CHECK_MS),
        "tcp_keepalives_idle": str(_IDLE_SECONDS),
        "tcp_keepalives_interval": str(_PROBE_SECONDS),
        "tcp_keepalives_count": str(_PROBES),
        "tcp_user_timeout": str(_UNACKNOWLEDGED_MS),
    }


def poolers_settings(settings: dict[str, str]) -> dict[str, str]:
    """Return those settings of a session that a pooler in transaction mode passes on."""
    return {name: value for name, value in settings.items() if name in _OF_POOLERS}


def set_socket_options(transport: _Transport) -> None:
    """Let the kernel drop a TCP connection whose peer acknowledges nothing."""
    sock = transport.get_extra_info("socket")
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _TCP_OPTIONS.items():
        if hasattr(socket, option):  # other systems than Linux lack some
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
