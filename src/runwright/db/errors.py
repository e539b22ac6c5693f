"""What an error of the database proves about the statement that failed. The one table of it.

A writer that fails must know which of three things is true before it does anything else:

- INVALID: the data are at fault (a constraint, a value that cannot be stored). Sent again, the same item
  fails again: give it up with a clear error. Nothing was committed.
- ROLLED_BACK: nothing was committed, and the item is not at fault. Send it again.
- IN_DOUBT: the statement may have been committed, or may still be running on the server. Read the rows
  before deciding; or send it again, where it is a compare-and-set or its ids were made beforehand.

Whatever is not in the table is IN_DOUBT: that costs a look at the rows, and every other guess can lose or
repeat work. A FATAL or PANIC ends the connection and so proves less than an ERROR of the same code, for
example 57P01 while a commit waits for its standby.
"""

import ssl
from enum import StrEnum
from typing import Final

import asyncpg
import msgspec
from asyncpg.exceptions._base import DataError as InvalidArgumentError

from runwright.core.errors import RunwrightError, UnavailableError
from runwright.db.availability import DatabaseAwayError


class WriteOutcome(StrEnum):
    """What became of a statement that failed."""

    INVALID = "invalid"
    ROLLED_BACK = "rolled back"
    IN_DOUBT = "in doubt"


class ErrorProof(msgspec.Struct, frozen=True):
    """What an error proves, and whether its cause passes without anybody's help (a restart, a lock)."""

    outcome: WriteOutcome
    transient: bool


_INVALID: Final = ErrorProof(WriteOutcome.INVALID, transient=False)
_SEND_AGAIN: Final = ErrorProof(WriteOutcome.ROLLED_BACK, transient=True)
_NEEDS_REPAIR: Final = ErrorProof(WriteOutcome.ROLLED_BACK, transient=False)
_DOUBT: Final = ErrorProof(WriteOutcome.IN_DOUBT, transient=True)
_UNLISTED: Final = ErrorProof(WriteOutcome.IN_DOUBT, transient=False)

SQLSTATES: Final = {
    "03": _NEEDS_REPAIR,  # SQL statement not yet complete
    "08": _DOUBT,  # connection exception; also whatever PgBouncer has to report
    "09": _NEEDS_REPAIR,  # triggered action
    "0A": _NEEDS_REPAIR,  # feature not supported
    "0B": _NEEDS_REPAIR,  # invalid transaction initiation
    "0F": _NEEDS_REPAIR,  # locator
    "0L": _NEEDS_REPAIR,  # invalid grantor
    "0P": _NEEDS_REPAIR,  # invalid role specification
    "0Z": _NEEDS_REPAIR,  # diagnostics
    "10": _NEEDS_REPAIR,  # XQuery
    "20": _NEEDS_REPAIR,  # case not found
    "21": _NEEDS_REPAIR,  # cardinality: may be the batch's fault and no single item's
    "22": _INVALID,  # data exception
    "2200H": _NEEDS_REPAIR,  # a sequence has reached its end
    "23": _INVALID,  # integrity constraint violation
    "24": _NEEDS_REPAIR,  # invalid cursor state
    "25": _NEEDS_REPAIR,  # invalid transaction state
    "25006": _SEND_AGAIN,  # read only: the primary has moved, or an operator is at work
    "25P02": _SEND_AGAIN,  # an earlier statement of the transaction failed
    "25P03": _SEND_AGAIN,  # idle in transaction for too long
    "25P04": _SEND_AGAIN,  # transaction timeout
    "26": _SEND_AGAIN,  # the prepared statement is unknown: another server answers
    "27": _NEEDS_REPAIR,  # triggered data change
    "28": _NEEDS_REPAIR,  # authorization
    "2B": _NEEDS_REPAIR,  # dependent privileges
    "2D": _NEEDS_REPAIR,  # invalid transaction termination
    "2F": _NEEDS_REPAIR,  # SQL routine
    "34": _NEEDS_REPAIR,  # invalid cursor name
    "38": _NEEDS_REPAIR,  # external routine
    "39": _NEEDS_REPAIR,  # external routine invocation
    "3B": _NEEDS_REPAIR,  # savepoint
    "3D": _NEEDS_REPAIR,  # no such database
    "3F": _NEEDS_REPAIR,  # no such schema
    "40": _SEND_AGAIN,  # transaction rollback: deadlock, serialization
    "40003": _DOUBT,  # statement completion unknown
    "42": _NEEDS_REPAIR,  # syntax or access rule: the schema or the rights are not what we expect
    "42P05": _SEND_AGAIN,  # the prepared statement exists: another server answers
    "44": _INVALID,  # WITH CHECK OPTION
    "53": _SEND_AGAIN,  # disk full, out of memory, too many connections
    "54": _NEEDS_REPAIR,  # a limit of the program; also "not accepting commands" before wraparound
    "55": _NEEDS_REPAIR,  # object not in prerequisite state
    "55006": _SEND_AGAIN,  # in use
    "55P03": _SEND_AGAIN,  # lock not available
    "57": _DOUBT,  # operator intervention: shutdown, crash
    "57014": _SEND_AGAIN,  # cancelled, or statement timeout, before the commit
    "57P03": _SEND_AGAIN,  # cannot connect now
    "57P04": _UNLISTED,  # the database was dropped
    "58": _DOUBT,  # system error: input and output
    "72": _SEND_AGAIN,  # snapshot too old
    "F0": _NEEDS_REPAIR,  # configuration file
    "HV": _NEEDS_REPAIR,  # foreign data wrapper
    "P0": _NEEDS_REPAIR,  # raised by a function, perhaps by an operator's trigger
    "XX": _UNLISTED,  # internal error, corrupted data
}
"""By SQLSTATE where the code is listed, else by its class, the first two characters."""

CLIENT_ERRORS: Final[tuple[tuple[type[BaseException], ErrorProof], ...]] = (
    (UnavailableError, _UNLISTED),
    (RunwrightError, _INVALID),  # our own rules refuse the item
    (InvalidArgumentError, _INVALID),  # no parameter of that type can have this value
    (asyncpg.InvalidCachedStatementError, _SEND_AGAIN),  # the schema has changed; prepared anew next time
    (asyncpg.TargetServerAttributeNotMatched, _SEND_AGAIN),  # no primary yet
    (asyncpg.ClientConfigurationError, _NEEDS_REPAIR),
    (asyncpg.UnsupportedClientFeatureError, _NEEDS_REPAIR),
    (asyncpg.UnsupportedServerFeatureError, _NEEDS_REPAIR),
    (asyncpg.OutdatedSchemaCacheError, _DOUBT),  # raised while rows are read, after the execution
    (ssl.SSLCertVerificationError, _NEEDS_REPAIR),
    (OSError, _DOUBT),  # refused, reset, no socket yet, timed out, the end of a TLS connection
    (EOFError, _DOUBT),
)
"""By the first class that matches, for errors without an SQLSTATE or with a closer meaning than its class."""

_LOST: Final = ("connection is closed", "connection was closed", "connection has been closed")
_SHUTTING_DOWN: Final = "cannot switch to state"
"""asyncpg's error on a connection whose server has announced its shutdown and still runs."""

_TEXTS: Final = (
    (asyncpg.InterfaceError, _LOST),
    (asyncpg.InternalClientError, (_SHUTTING_DOWN,)),
)
_ENDS_CONNECTION: Final = frozenset({"FATAL", "PANIC"})
_OF_LOCKS: Final = frozenset({"40001", "40P01", "55P03", "57014"})
_OUT_OF_MEMORY: Final = "53200"
_PROGRAM_LIMIT: Final = "54"
"""What is written is too large for the server."""
_OF_DATABASE: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
)


def proof_of(error: BaseException) -> ErrorProof:
    """Return what an error proves about the statement, or the connection attempt, that raised it."""
    for kind, proof in CLIENT_ERRORS:
        if isinstance(error, kind):
            return proof
    if isinstance(error, asyncpg.PostgresError):
        return _proof_of_server_error(error)
    lost = any(isinstance(error, kind) and any(t in str(error) for t in texts) for kind, texts in _TEXTS)
    return _DOUBT if lost else _UNLISTED


def _proof_of_server_error(error: asyncpg.PostgresError) -> ErrorProof:
    code = error.sqlstate or ""
    proof = SQLSTATES.get(code) or SQLSTATES.get(code[:2], _UNLISTED)
    if error.severity_en in _ENDS_CONNECTION or error.severity in _ENDS_CONNECTION:
        return ErrorProof(WriteOutcome.IN_DOUBT, proof.transient)
    return proof


def transient(error: BaseException) -> bool:
    """Return whether waiting may help: connection lost, server restarting, lock held, disk full.

    What became of the statement is another question: see `proof_of`.
    """
    return proof_of(error).transient


def invalid(error: BaseException) -> bool:
    """Return whether the item is surely at fault, so that it would fail again."""
    return proof_of(error).outcome is WriteOutcome.INVALID


def contended(error: BaseException) -> bool:
    """Return whether others held what the statement needed: a lock in vain, a deadlock, a conflict."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _OF_LOCKS


def may_be_one_items(error: BaseException) -> bool:
    """Return whether one item of a batch may be the cause, so that the others could be written without it.

    That is any cause that does not pass, and of the others a lock in vain, a time-out, too little memory.
    """
    out_of_memory = isinstance(error, asyncpg.PostgresError) and error.sqlstate == _OUT_OF_MEMORY
    return not transient(error) or contended(error) or out_of_memory


def databases_fault(error: BaseException) -> bool:
    """Return whether an error is surely the database's fault, and neither the item's nor this host's.

    A bare OSError may be of a file, a program or another server.
    """
    if isinstance(error, asyncpg.PostgresError):
        return not invalid(error) and (error.sqlstate or "")[:2] != _PROGRAM_LIMIT
    return isinstance(error, DatabaseAwayError | asyncpg.InterfaceError) and transient(error)


def unavailable(error: BaseException) -> bool:
    """Return whether the database is at fault and not the request, so that the API answers 503."""
    return isinstance(error, _OF_DATABASE) and not invalid(error)
