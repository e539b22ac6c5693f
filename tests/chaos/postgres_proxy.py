"""A proxy before PostgreSQL that understands where messages begin and end, and breaks statements.

It sits on a Unix socket in a folder of its own. Each statement that comes through is known by its text;
`arm` gives every statement some faults, one at each of the next times that it is executed. The errors are the server's
own: the proxy has it raise an SQLSTATE, be read-only or be cancelled in place of, or during, the statement.
"""

import asyncio
import contextlib
import struct
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

_CANCEL: Final = 80877102
_NEGOTIATIONS: Final = {80877103, 80877104}
_RAISE: Final = (
    "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = 'a fault of the test'; END $$"
)
_READ_ONLY: Final = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET transaction_read_only = on"
_WRITABLE: Final = "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"


class Fault(StrEnum):
    """What happens to a statement."""

    GONE_BEFORE = "gone before"
    """The connection breaks; the server has not seen the statement."""
    GONE_AFTER = "gone after"
    """The connection breaks when the server has executed it, and committed it where it is not in a transaction."""
    SILENT_BEFORE = "silent before"
    """Nothing comes through from now on, in both directions."""
    SILENT_AFTER = "silent after"
    """The server executes it, and nothing comes back from now on."""
    CANCELLED = "cancelled"
    """The server is asked to cancel it, at once."""
    READ_ONLY = "read only"
    DISK_FULL = "53100"
    STATEMENT_TIMEOUT = "57014"
    LOCK_TIMEOUT = "55P03"
    SERIALIZATION = "40001"
    TERMINATED = "57P01"
    NO_PRIVILEGE = "42501"
    CORRUPTED = "XX001"


class PostgresProxy:
    """Stands between the pools of a test and its PostgreSQL."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self._folder = folder
        parts = urlsplit(dsn)
        query = dict(parse_qsl(parts.query))
        port = query.get("port", "5432")
        self._server = str(Path(query["host"]) / f".s.PGSQL.{port}")
        self._socket = str(folder / f".s.PGSQL.{port}")
        self.dsn = parts._replace(query=urlencode(query | {"host": str(folder)})).geturl()
        self._armed: Sequence[Fault] = ()
        self._only: Collection[str] = ()
        self._met: Counter[str] = Counter()
        self.hits: Counter[tuple[str, Fault]] = Counter()
        self.statements: set[str] = set()
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_unix_server(self._accept, self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    def arm(self, *faults: Fault, only: Collection[str] = ()) -> None:
        """Give every statement these faults, one after the other; no more of those of before.

        `only` has parts of the statements that get them, in place of all.
        """
        self._armed, self._only = faults, only
        self._met.clear()

    def fault_of(self, statement: str) -> Fault | None:
        """Note a statement that comes through; return the fault that it gets now."""
        key = " ".join(statement.split())
        if "pg_catalog" in key or key.startswith(("LISTEN", "SET ")):
            return None
        self.statements.add(key)
        if self._only and not any(part in key for part in self._only):
            return None
        number = self._met[key]
        if number == len(self._armed):
            return None
        self._met[key] += 1
        self.hits[key, self._armed[number]] += 1
        return self._armed[number]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            server = await asyncio.open_unix_connection(self._server)
            try:
                await _Link(self, (reader, writer), server).run()
            finally:
                server[1].close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side has gone, or the proxy stops
        finally:
            writer.close()
            self._connections.discard(task)

    async def cancel(self, key: bytes) -> None:
        """Ask the server to cancel what a backend executes."""
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_unix_connection(self._server)
            writer.write(struct.pack("!ii", 8 + len(key), _CANCEL) + key)
            await writer.drain()
            writer.close()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection of a client, with its own to the server."""

    def __init__(self, proxy: PostgresProxy, client: _Streams, server: _Streams) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._texts: dict[bytes, str] = {}
        self._key = b""
        self._held: list[bytes] = []
        self._fault: Fault | None = None
        self._answers: deque[str] = deque()
        """What becomes of the next answers, each of which ends with ReadyForQuery; passed where empty."""
        self._silent = False

    async def run(self) -> None:
        if not await self._start():
            return
        relays = [asyncio.create_task(one) for one in (self._relay_server(), self._relay_client())]
        try:
            await asyncio.wait(relays, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for relay in relays:
                relay.cancel()
            await asyncio.gather(*relays, return_exceptions=True)

    async def _start(self) -> bool:
        """Relay the first message; return whether a session begins."""
        while True:
            (length,) = struct.unpack("!i", await self._from_client.readexactly(4))
            body = await self._from_client.readexactly(length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code not in _NEGOTIATIONS:
                break
            self._to_client.write(b"N")
        self._to_server.write(struct.pack("!i", length) + body)
        await self._to_server.drain()
        return bool(code != _CANCEL)

    async def _relay_server(self) -> None:
        while True:
            head = await self._from_server.readexactly(5)
            (length,) = struct.unpack("!i", head[1:])
            body = await self._from_server.readexactly(length - 4)
            if head[:1] == b"K":
                self._key = body
            answer = self._answers[0] if self._answers else "pass"
            if answer == "pass" and not self._silent:
                self._to_client.write(head + body)
                await self._to_client.drain()
            if head[:1] == b"Z" and self._answers:
                self._answers.popleft()
                if answer == "break":
                    return

    async def _relay_client(self) -> None:
        while True:
            head = await self._from_client.readexactly(5)
            (length,) = struct.unpack("!i", head[1:])
            body = await self._from_client.readexactly(length - 4)
            if self._silent:
                continue
            if not await self._take(head[:1], head + body, body):
                return

    async def _take(self, kind: bytes, message: bytes, body: bytes) -> bool:
        """Pass a message on, or hold it until its statement is complete; return False to break the connection."""
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._texts[name] = text.decode()
        elif kind == b"B":
            name = body.split(b"\0", 2)[1]
            self._fault = self._proxy.fault_of(self._texts.get(name, ""))
        elif kind == b"Q":
            self._fault = self._proxy.fault_of(body.rstrip(b"\0").decode())
        if self._fault is None:
            self._send(message)
        else:
            self._held.append(message)
            if kind in {b"S", b"Q"}:
                fault, self._fault = self._fault, None
                held, self._held = b"".join(self._held), []
                return await self._break(fault, held)
        await self._to_server.drain()
        return True

    def _send(self, message: bytes) -> None:
        self._to_server.write(message)

    def _query(self, text: str) -> None:
        body = text.encode() + b"\0"
        self._send(b"Q" + struct.pack("!i", len(body) + 4) + body)

    async def _break(self, fault: Fault, statement: bytes) -> bool:
        if fault is Fault.GONE_BEFORE:
            return False
        if fault is Fault.SILENT_BEFORE:
            self._silent = True
        elif fault in _BY_ANSWER:
            self._answers += _BY_ANSWER[fault]
            self._silent = fault is Fault.SILENT_AFTER
            if fault is Fault.READ_ONLY:
                self._query(_READ_ONLY)
            self._send(statement)
            if fault is Fault.READ_ONLY:
                self._query(_WRITABLE)
        elif fault is Fault.CANCELLED:
            self._send(statement)
            await self._proxy.cancel(self._key)
        else:
            self._query(_RAISE.format(code=fault.value))
        await self._to_server.drain()
        return True


_BY_ANSWER: Final[Mapping[Fault, tuple[str, ...]]] = {
    Fault.GONE_AFTER: ("break",),
    Fault.SILENT_AFTER: (),
    Fault.READ_ONLY: ("drop", "pass", "drop"),
}
