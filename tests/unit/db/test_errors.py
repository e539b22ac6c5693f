"""What each error of the database proves: every SQLSTATE class, every exception of asyncpg, and others'."""

import asyncio
import errno
import ssl
from collections.abc import Iterator

import asyncpg
import pytest
from asyncpg.exceptions import _base

from runwright.core.errors import ConflictError, UnavailableError
from runwright.db.errors import SQLSTATES, ErrorProof, WriteOutcome, invalid, proof_of, transient, unavailable
from runwright.http.agh.errors import AGH
from runwright.http.ava.dialect import AVA
from runwright.http.avala.dialect import AVALA
from runwright.http.routing import Dialect

INVALID = ErrorProof(WriteOutcome.INVALID, transient=False)
AGAIN = ErrorProof(WriteOutcome.ROLLED_BACK, transient=True)
REPAIR = ErrorProof(WriteOutcome.ROLLED_BACK, transient=False)
DOUBT = ErrorProof(WriteOutcome.IN_DOUBT, transient=True)
UNLISTED = ErrorProof(WriteOutcome.IN_DOUBT, transient=False)

CLASSES = {
    INVALID: "22 23 44",
    AGAIN: "26 40 53 72",
    REPAIR: "03 09 0A 0B 0F 0L 0P 0Z 10 20 21 24 25 27 28 2B 2D 2F 34 38 39 3B 3D 3F 42 54 55 F0 HV P0",
    DOUBT: "08 57 58",
    UNLISTED: "00 01 02 XX 0X 1A 99 ZZ",
}
"""Every class of PostgreSQL's appendix A, and some that it does not have."""

CODES = {
    REPAIR: "2200H",
    AGAIN: "25006 25P02 25P03 25P04 42P05 55006 55P03 57014 57P03",
    DOUBT: "40003",
    UNLISTED: "57P04",
}
"""The codes that mean something else than their class."""

CLIENT = {
    _base.PostgresError: UNLISTED,
    _base.FatalPostgresError: UNLISTED,
    _base.UnknownPostgresError: UNLISTED,
    _base.InterfaceError: UNLISTED,
    _base.ClientConfigurationError: REPAIR,
    _base.DataError: INVALID,
    _base.UnsupportedClientFeatureError: REPAIR,
    _base.UnsupportedServerFeatureError: REPAIR,
    _base.InternalClientError: UNLISTED,
    _base.ProtocolError: UNLISTED,
    _base.TargetServerAttributeNotMatched: AGAIN,
    _base.OutdatedSchemaCacheError: DOUBT,
    asyncpg.InvalidCachedStatementError: AGAIN,
}
"""The exceptions of asyncpg without an SQLSTATE of their own, and one with a closer meaning than its class."""

OTHERS: dict[BaseException, ErrorProof] = {
    OSError(errno.ENOSPC, "no space"): DOUBT,
    ConnectionRefusedError(): DOUBT,
    ConnectionResetError(): DOUBT,
    BrokenPipeError(): DOUBT,
    FileNotFoundError("no socket yet"): DOUBT,
    TimeoutError(): DOUBT,
    TimeoutError(): DOUBT,
    asyncio.IncompleteReadError(b"", 5): DOUBT,
    ssl.SSLError("bad record"): DOUBT,
    ssl.SSLEOFError(): DOUBT,
    ssl.SSLCertVerificationError(): REPAIR,
    asyncio.CancelledError(): UNLISTED,
    asyncpg.InterfaceError("connection is closed"): DOUBT,
    asyncpg.InterfaceError("the underlying connection is closed"): DOUBT,
    asyncpg.InterfaceError("pool is closing"): UNLISTED,
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"): DOUBT,
    UnavailableError("later"): UNLISTED,
    ConflictError("our own rules refuse it"): INVALID,
    KeyError("a bug of ours"): UNLISTED,
    MemoryError(): UNLISTED,
}


def _expected(code: str) -> ErrorProof:
    for table, key in ((CODES, code), (CLASSES, code[:2])):
        for proof, listed in table.items():
            if key in listed.split():
                return proof
    raise AssertionError(f"decide what {code} proves")


def _server_error(code: str, severity: str = "ERROR") -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"C": code, "S": severity, "V": severity, "M": "no"})


def _exceptions() -> Iterator[type[Exception]]:
    """Every exception class of asyncpg; not its warnings, which are never raised."""
    waiting: list[type[Exception]] = [
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()


def test_every_sqlstate_proves_what_its_class_proves() -> None:
    """By class, whether PostgreSQL or asyncpg knows the code or not; an unknown class leaves it in doubt."""
    for proof, classes in CLASSES.items():
        for one in classes.split():
            for code in (f"{one}000", f"{one}ZZ9"):
                assert proof_of(_server_error(code)) == proof, code
    for proof, codes in CODES.items():
        for code in codes.split():
            assert proof_of(_server_error(code)) == proof, code


def test_the_table_lists_no_code_that_this_test_does_not() -> None:
    """A new row needs a decision here too."""
    listed = {key for table in (CODES, CLASSES) for keys in table.values() for key in keys.split()}
    assert set(SQLSTATES) <= listed


@pytest.mark.parametrize("kind", list(_exceptions()), ids=lambda kind: kind.__name__)
def test_every_exception_of_asyncpg_is_sorted(kind: type[Exception]) -> None:
    """Each class that this release of asyncpg has: a new one fails here until somebody decides."""
    if kind in CLIENT:
        assert proof_of(kind("no")) == CLIENT[kind]
        return
    code = getattr(kind, "sqlstate", None)
    assert isinstance(code, str), f"decide what {kind.__name__} proves"
    assert proof_of(kind("no")) == _expected(code)


@pytest.mark.parametrize(("error", "proof"), OTHERS.items(), ids=repr)
def test_errors_of_others_are_sorted(error: BaseException, proof: ErrorProof) -> None:
    """Those of the system, of TLS, of asyncio, our own; what nobody listed leaves the statement in doubt."""
    assert proof_of(error) == proof


@pytest.mark.parametrize("severity", ["FATAL", "PANIC"])
def test_what_ends_the_connection_proves_nothing(severity: str) -> None:
    """Even where the code alone would: a disk that is full while the log is written is a PANIC."""
    for code in ("53100", "22P02", "23505", "57P01", "25P03", "28P01"):
        assert proof_of(_server_error(code, severity)).outcome is WriteOutcome.IN_DOUBT
        assert transient(_server_error(code, severity)) is _expected(code).transient


@pytest.mark.parametrize("dialect", [AVA, AVALA, AGH], ids=["ava", "avala", "agh"])
@pytest.mark.parametrize("code", sorted({*SQLSTATES, "00", "ZZ"}))
def test_each_dialect_answers_503_unless_the_data_are_at_fault(dialect: Dialect, code: str) -> None:
    """With Retry-After; the data being at fault is a check of ours that is missing, which is 500."""
    errors = dialect.errors
    error = _server_error(f"{code}000"[:5])
    answer = errors.respond(error, request_id="req_1")
    if invalid(error):
        assert answer.status_code == 500
    else:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("dialect", [AVA, AVALA, AGH], ids=["ava", "avala", "agh"])
def test_each_dialect_answers_503_for_client_errors(dialect: Dialect) -> None:
    """What asyncpg and the system raise by themselves; a bug of ours stays 500."""
    errors = dialect.errors
    of_database = [error for error in OTHERS if isinstance(error, Exception) and unavailable(error)]
    assert len(of_database) > 10
    for error in of_database:
        answer = errors.respond(error, request_id="req_1")
        assert (answer.status_code, bool(answer.headers.get("retry-after"))) == (503, True), error
    assert errors.respond(KeyError("a bug"), request_id="req_1").status_code == 500
