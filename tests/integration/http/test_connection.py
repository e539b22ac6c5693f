"""How a connection reads: in bounded steps of the event loop, whatever a client sends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from runwright.core.errors import MalformedError
from runwright.http import connection as connection_module
from runwright.http.address import RECEIVE_BYTES, listen
from runwright.http.connection import HEADER_BYTES, PIECE_BYTES, STEPS_PER_TURN, LimitedProtocol
from runwright.http.connection_limits import ConnectionTable, caps_for
from runwright.http.request import Request
from runwright.http.services import EdgeSettings, EdgeState

Handle = Callable[[Receive], Awaitable[bytes]]
SHORTEST = b"GET / HTTP/1.1\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
READ_BYTES = 256 * 1024
"""What an event loop reads at once, at most."""


class Server:
    """One server for the connections of a test, and what it has parsed."""

    def __init__(self, handle: Handle) -> None:
        self.connections: list[LimitedProtocol] = []
        self.accepted = asyncio.Event()
        self.parsed = 0
        """Headers, parts of bodies and requests."""
        self.answered = 0
        self._handle = handle

    async def app(self, _scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._handle(receive)
        headers = [(b"content-length", b"%d" % len(body))]
        self.answered += 1
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def protocol(self) -> LimitedProtocol:
        """Return the protocol of a new connection."""
        server = self

        class Counted(LimitedProtocol):
            def on_header(self, name: bytes, value: bytes) -> None:
                server.parsed += 1
                super().on_header(name, value)

            def on_body(self, body: bytes) -> None:
                server.parsed += 1
                super().on_body(body)

            def on_message_begin(self) -> None:
                server.parsed += 1
                super().on_message_begin()

        config = uvicorn.Config(
            self.app,
            interface="asgi3",
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
        )
        config.load()
        one = Counted(
            EdgeSettings(),
            ConnectionTable(caps_for(1024)),
            config=config,
            server_state=ServerState(),
            app_state={},
        )
        self.connections.append(one)
        self.accepted.set()
        return one

    async def most_in_a_turn(self, until: Callable[[], bool]) -> int:
        """Return how much was parsed in one turn of the event loop, at most, until something is true."""
        most = 0
        async with asyncio.timeout(60):
            while not until():
                before = self.parsed
                await asyncio.sleep(0)
                most = max(most, self.parsed - before)
        return most


@contextlib.asynccontextmanager
async def connected(
    handle: Handle, kind: type[Server] = Server
) -> AsyncIterator[tuple[Server, asyncio.StreamReader, asyncio.StreamWriter]]:
    server = kind(handle)
    listener = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname()[:2])
    try:
        await server.accepted.wait()
        yield server, reader, writer
    finally:
        writer.close()
        listener.close()


class Unused:
    """In place of the state of the edge, of which a request without a route needs nothing."""

    services = None


async def body_of(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def test_requests_behind_one_that_is_answered_are_parsed_a_few_at_a_time() -> None:
    may_answer = asyncio.Event()

    async def wait(_: Receive) -> bytes:
        await may_answer.wait()
        return b"x"

    count = READ_BYTES // len(SHORTEST)
    async with connected(wait) as (server, reader, writer):
        writer.write(SHORTEST * count)
        most = await server.most_in_a_turn(
            lambda: bool(server.connections and server.connections[0].pipeline)
        )
        [connection] = server.connections
        few = PIECE_BYTES // len(SHORTEST) + 1
        assert most <= few
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(connection.pipeline) <= few
        assert not connection.transport.is_reading()
        may_answer.set()
        async with asyncio.timeout(60):
            answers = b""
            while answers.count(b"HTTP/1.1 200 ") < count:
                answers += await reader.read(READ_BYTES)
        assert server.answered == count
        writer.write(SHORTEST)  # it reads on
        assert await reader.readuntil(b"\r\n\r\n")


async def test_a_body_of_tiny_chunks_arrives_whole_and_in_many_turns() -> None:
    size = 100_000
    async with connected(body_of) as (server, reader, writer):
        writer.write(CHUNKED + b"1\r\na\r\n" * size + b"0\r\n\r\n")
        most = await server.most_in_a_turn(lambda: server.answered == 1)
        assert most <= STEPS_PER_TURN + PIECE_BYTES // len(b"1\r\na\r\n") + 1
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % size in head
        assert await reader.readexactly(size) == b"a" * size


async def test_a_large_body_is_read_whole_and_the_next_request_follows() -> None:
    body = bytes(range(256)) * 20_000
    async with connected(body_of) as (server, reader, writer):
        head = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
        writer.write((head + body) * 2)
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(body)) == body
        assert server.answered == 2


async def test_the_number_of_headers_is_bounded_also_that_of_empty_ones_and_of_trailers() -> None:
    most_headers = EdgeSettings().head_limit_bytes // HEADER_BYTES
    for begin in (b"GET / HTTP/1.1\r\n", CHUNKED + b"0\r\n"):
        async with connected(body_of) as (server, reader, writer):
            writer.write(begin + b"a:\r\n" * (most_headers + 100) + b"\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
            assert server.parsed <= most_headers + PIECE_BYTES
            assert server.answered == 0


async def test_work_for_a_client_that_has_left_ends_and_its_body_is_not_kept() -> None:
    began, ended = asyncio.Event(), asyncio.get_running_loop().create_future()

    class Waiting(Server):
        async def app(self, scope: Scope, receive: Receive, _send: Send) -> None:
            request = Request({**scope, "state": {}}, receive, cast("EdgeState", Unused()))
            gone = [request.is_gone]
            began.set()
            try:
                await request.while_connected(asyncio.Event().wait())
            except MalformedError:
                gone.append(request.is_gone)
                assert gone == [False, True]
                ended.set_result(f"{len(self.connections[0].cycle.body)} bytes")

    async with connected(body_of, kind=Waiting) as (_, _, writer):
        writer.write(b"POST / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n" + b"x" * 30_000)
        async with asyncio.timeout(60):
            await began.wait()
            writer.transport.abort()
            assert await ended == "0 bytes"


async def test_a_client_that_takes_nothing_is_cut_off_and_a_slow_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(connection_module, "SLOWEST_BYTES", 1)
    size = 16 * 1024 * 1024

    async def large(_: Receive) -> bytes:
        return b"x" * size

    async with connected(large) as (server, _, writer):
        cast("asyncio.ReadTransport", writer.transport).pause_reading()
        writer.write(SHORTEST)
        async with asyncio.timeout(60):
            lost = asyncio.Event()
            with server.connections[0].when_lost(lost.set):
                await lost.wait()
        assert server.answered == 1
    async with connected(large) as (server, reader, writer):
        writer.write(SHORTEST)
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        async with asyncio.timeout(60):
            while received < size:
                received += len(await reader.read(256 * 1024))
                await asyncio.sleep(0.01)
        assert not server.connections[0].is_lost


async def test_the_kernel_keeps_little_of_a_connection_that_is_not_read() -> None:
    """Its buffer for a client that has sent much would grow to 6 MiB and more, each."""
    loop = asyncio.get_running_loop()
    listener = await listen("127.0.0.1", 0, 1)
    with listener, socket.create_connection(listener.getsockname()) as client:
        client.setblocking(False)
        accepted, _ = await loop.sock_accept(listener)
        with accepted:
            sending = asyncio.create_task(loop.sock_sendall(client, bytes(64 * 1024 * 1024)))
            while not sending.done():
                await loop.sock_recv(accepted, 1024 * 1024)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * RECEIVE_BYTES
