"""A server for callbacks of agents, and the senders that call it over real connections."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from runwright.agents.calls import AgentCaller, AgentSubject
from runwright.agents.model import AgentCall, CallOutcome, Execution
from runwright.events.notifications import EventNotifications
from runwright.loops.sender import OutboxSender
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from tests.integration.agents.world import World
from tests.receiver import TRUSTING_NOBODY
from tests.telemetry import RecordedTelemetry

SECONDS: Final = 60.0
ACCEPTED: Final = (202, b"")


class PlainFormat:
    """A format with the fewest fields."""

    def body(self, execution: Execution) -> bytes:
        said = {"execution": execution.id, "event": execution.event.type, "payload": execution.payload}
        return msgspec.json.encode(said)

    def headers(self, execution: Execution, body: bytes, secret: str) -> Sequence[tuple[str, str]]:
        return [("X-Execution", execution.id), ("X-Signature", signature(secret, body))]


def signature(secret: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()


class Received:
    """One request as it was received."""

    def __init__(self, path: str, head: str, body: bytes) -> None:
        self.path = path
        self.head = head
        self.body = body
        self.json: dict[str, Any] = json.loads(body)


Answer = Callable[[Received], Awaitable[tuple[int, bytes] | tuple[int, bytes, str]]]


async def accept(_: Received) -> tuple[int, bytes]:
    return ACCEPTED


class CallbackServer:
    """Senders on the world's database, and the server that they call; `answer` returns its responses."""

    def __init__(self, world: World, *, callers: int) -> None:
        self.world = world
        self.answer: Answer = accept
        self.asked: list[Received] = []
        self.url = ""
        self.telemetry = RecordedTelemetry()
        self.jobs_queued = 0
        self.event_notifications = EventNotifications(origin="here", send=lambda _: None)
        self._tasks: set[asyncio.Task[None]] = set()
        self.client = OutgoingClient(OutgoingPolicy(dev=True), tls=TRUSTING_NOBODY)
        self.callers = [self._caller() for _ in range(callers)]

    def _caller(self) -> OutboxSender[AgentCall, CallOutcome]:
        clock = self.world.clock
        caller = AgentCaller(
            self.client, formats={"test": PlainFormat()}, secret_box=self.world.secret_box, clock=clock
        )
        subject = AgentSubject(
            caller,
            clock=clock,
            on_jobs=self._on_jobs,
            on_decided=self.event_notifications.appended,
            emit=self.telemetry,
        )
        return OutboxSender(
            self.world.db,
            subject,
            clock=clock,
            event_notifications=self.event_notifications,
            emit=self.telemetry,
        )

    def _on_jobs(self) -> None:
        self.jobs_queued += 1

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Look, after each pass of the first caller, whether something has come about."""
        async with asyncio.timeout(SECONDS):
            loop = self.callers[0].loop
            while not await done():
                loop.wake()
                await loop.reached(loop.passes + 1)

    async def until_asked(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.asked) >= count

        await self.until(enough)

    async def until_settled(self) -> None:
        """Wait until nothing is due now and nothing under way."""

        async def quiet() -> bool:
            return not await self.world.db.fetchval(
                "SELECT EXISTS (SELECT FROM outbox WHERE claimed OR due_at <= $1)", self.world.now
            )

        await self.until(quiet)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("Content-Length: ")[2].split("\r\n")[0])
                asked = Received(head.split(" ")[1], head, await reader.readexactly(length))
                self.asked.append(asked)
                status, body, *more = await self.answer(asked)
                lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}", *more, "", ""]
                writer.write("\r\n".join(lines).encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["CallbackServer"]:
        """Listen and call."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for caller in self.callers:
            await caller.start()
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for caller in self.callers:
                await caller.stop()
            await self.client.stop()
            self.event_notifications.stop()
            await asyncio.sleep(0)
