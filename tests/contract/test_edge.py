"""What the edge does in time: slow clients, waiting requests at a stop, a database that is unavailable.

The edge runs inside the test on a real database, with times short enough to see them pass.
"""

import asyncio
import contextlib
import json
import select
import socket
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import httpx
import msgspec
import pytest
from tests.automations import no_automations
from tests.bundles import no_bundles
from tests.contract.bundles import zip_of
from tests.contract.client import Json
from tests.receiver import no_endpoints

from runwright.agents.executions import Executions
from runwright.agents.publishing import Publisher
from runwright.agents.service import Agents
from runwright.analytics.queues import Queues
from runwright.analytics.reports import Analytics
from runwright.bulk.service import BulkOperations
from runwright.core.clock import system_clock
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool
from runwright.events.event_log import EventReader
from runwright.events.feed import EventFeed
from runwright.events.notifications import EventNotifications
from runwright.http import event_stream
from runwright.http.app import build_app
from runwright.http.ava.dialect import ERRORS
from runwright.http.server import HttpServer
from runwright.http.services import (
    EdgeSettings,
    EventServices,
    Health,
    ServerReports,
    Services,
    TenantServices,
)
from runwright.http.system_report import SystemReport
from runwright.inbox.service import Inbox
from runwright.job_views.service import JobViews
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.service import Jobs
from runwright.loops.pass_loop import PassLoop
from runwright.offload.client import Offload
from runwright.outbox.client.url import OutgoingPolicy
from runwright.questions.links import QuestionLinks
from runwright.questions.service import Questions
from runwright.runtimes.host import RuntimeInfo
from runwright.schedules.backfills import Backfills
from runwright.schedules.service import Schedules
from runwright.secrets.keyring import Keyring, SecretBox
from runwright.secrets.vault import Vault
from runwright.telemetry.emit import Level, TelemetryEvent
from runwright.telemetry.events.server import RequestFailed
from runwright.telemetry.prometheus import MetricRegistry
from runwright.tenants.api_keys import ApiKeys
from runwright.tenants.audit import AuditLog
from runwright.tenants.credential_watch import CredentialWatch
from runwright.tenants.job_shares import JobShares
from runwright.tenants.model import KeyCreate, new_key_text
from runwright.tenants.rate_limits import Rate, RateLimiter
from runwright.tenants.sessions import Sessions
from runwright.tenants.status_cache import TenantStatusCache
from runwright.tenants.tenants import Tenants
from runwright.tenants.usage import UsageReporter
from runwright.workers.bundles.stored import StoredBundles
from runwright.workers.contents import VersionContents
from runwright.workers.deployments import Deployments
from runwright.workers.service import Workers
from runwright.workers.state import WorkerState

KEY = "platform-key"
HEADERS = {
    "host": "localhost",
    "x-internal-secret": KEY,
    "x-tenant-id": "ten_1",
    "x-user-id": "usr_1",
    "x-platform-role": "tenant-system-admin",
    "content-type": "application/json",
}
STRANGERS = 5
SETTINGS = EdgeSettings(head_seconds=20, body_seconds=20, keep_alive_seconds=20, stop_seconds=5)


def with_edge(**times: float) -> pytest.MarkDecorator:
    """Let a test have an edge that waits less long for one thing."""
    return pytest.mark.parametrize("edge", [msgspec.structs.replace(SETTINGS, **times)], indirect=True)


class Edge(NamedTuple):
    """A running edge and what stands behind it."""

    server: HttpServer
    url: str
    pool: Pool
    feed: EventFeed


async def _healthy() -> Health:
    return Health(status="ok", version="0", isolation={}, database={}, executors={}, pool={}, runtimes=[])


async def _nothing_left() -> None:
    """No jobs are left behind by a deprecated worker here."""


async def _no_metrics() -> str:
    raise NotImplementedError


async def _no_report() -> SystemReport:
    raise NotImplementedError


async def _no_executors() -> list[list[str]]:
    return []


@pytest.fixture
async def edge(database: Pool, request: pytest.FixtureRequest) -> AsyncIterator[Edge]:
    settings: EdgeSettings = getattr(request, "param", SETTINGS)
    notifications = JobNotifications(origin="test", send=lambda _: None)
    jobs = Jobs(database, clock=system_clock, notifications=notifications)
    tenant_status = TenantStatusCache(database)
    feed = EventFeed(database, notifications=EventNotifications(origin="test", send=lambda _: None))
    feed_loop = PassLoop("event feed", feed.make_pass, emit=lambda _: None)
    feed.wake = feed_loop.wake
    feed_loop.start()
    services = Services(
        workers=Workers(database, no_bundles(database), clock=system_clock, on_deprecated=_nothing_left),
        worker_state=WorkerState(database, clock=system_clock),
        vault=Vault(database, clock=system_clock, ring=Keyring([bytes(32)]), executor_keys=_no_executors),
        deployments=Deployments(database, no_bundles(database), clock=system_clock),
        contents=VersionContents(
            database, StoredBundles(database, spool_dir=Path(tempfile.gettempdir())), Offload()
        ),
        jobs=jobs,
        job_views=JobViews(database, jobs, clock=system_clock, notifications=notifications),
        bulk=BulkOperations(database, clock=system_clock),
        queues=Queues(database, clock=system_clock),
        analytics=Analytics(database, clock=system_clock),
        schedules=Schedules(database, clock=system_clock),
        backfills=Backfills(database, clock=system_clock, retention=timedelta(days=90)),
        endpoints=no_endpoints(database),
        avala_endpoints=no_endpoints(database),
        agents=Agents(database, clock=system_clock, secret_box=SecretBox(Keyring([bytes(32)]))),
        executions=Executions(database, clock=system_clock),
        automations=no_automations(database, jobs),
        inbox=Inbox({}),
        questions=Questions(database, clock=system_clock),
        question_links=QuestionLinks(
            database, Questions(database, clock=system_clock), clock=system_clock, platform_key=KEY
        ),
        outgoing=OutgoingPolicy(),
        keys=ApiKeys(
            database, clock=system_clock, platform_key=KEY, unknown_keys=RateLimiter(Rate(0.001, STRANGERS))
        ),
        sessions=Sessions(database, clock=system_clock, platform_key=KEY),
        shares=JobShares(database, clock=system_clock, platform_key=KEY),
        tenancy=TenantServices(
            tenants=Tenants(database, clock=system_clock),
            status=tenant_status,
            limiter=RateLimiter(None),
            usage=UsageReporter({}, limits_of=tenant_status.limits_of, clock=system_clock),
            audit=AuditLog(database),
        ),
        events=EventServices(
            publisher=Publisher(database, clock=system_clock), log=EventReader(database), feed=feed
        ),
        credential_watch=CredentialWatch(database, tenant_status, clock=system_clock),
        reports=ServerReports(
            health=_healthy,
            ready=_not_ready,
            system=_no_report,
            runtimes=_python_only,
            metrics=MetricRegistry(),
            problems=tuple,
            metrics_text=_no_metrics,
        ),
    )
    server = HttpServer(
        build_app(services, settings),
        host="127.0.0.1",
        port=0,
        edge=settings,
        end_waits=services.end_waits,
    )
    url = await server.start()
    yield Edge(server, url, database, feed)
    await server.stop()
    await feed_loop.stop()
    await jobs.stop()
    notifications.stop()


class Connection:
    """A connection on which a test says what is sent, and when."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        lines = [f"{name}: {value}" for name, value in (HEADERS | headers).items()]
        if "content-length" not in headers:
            lines.append(f"content-length: {len(body)}")
        self.writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body)

    async def answer(self) -> tuple[int, dict[str, str], Json]:
        """The next response: status, headers and what its JSON says."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, json.loads(body)

    async def ask(self, method: str, path: str, value: Json = None) -> tuple[int, Json]:
        self.send(method, path, b"" if value is None else json.dumps(value).encode())
        status, _, body = await self.answer()
        return status, body


@pytest.fixture
async def connection(edge: Edge) -> AsyncIterator[Connection]:
    address = urlsplit(edge.url)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        yield Connection(reader, writer)
        writer.close()


@with_edge(head_seconds=0.2)
async def test_a_head_that_does_not_arrive_in_time_ends_the_connection(connection: Connection) -> None:
    connection.writer.write(b"GET /livez HTTP/1.1\r\nhost:")
    assert await connection.reader.read() == b""


@with_edge(head_seconds=0.2)
async def test_a_connection_that_says_nothing_is_closed(connection: Connection) -> None:
    assert await connection.reader.read() == b""


@with_edge(head_seconds=1)
async def test_the_second_head_must_arrive_in_time_too(connection: Connection) -> None:
    assert await connection.ask("GET", "/livez") == (200, {"status": "ok"})
    connection.writer.write(b"GET /livez")
    assert await connection.reader.read() == b""


@with_edge(keep_alive_seconds=1)
async def test_an_idle_connection_is_closed_after_its_time(connection: Connection) -> None:
    assert await connection.ask("GET", "/livez") == (200, {"status": "ok"})
    assert await connection.reader.read() == b""


@with_edge(body_seconds=0.2)
@pytest.mark.parametrize("path", ["/v1/ava/jobs", "/v1/ava/workers"])
async def test_a_body_that_does_not_arrive_in_time_is_given_up(connection: Connection, path: str) -> None:
    connection.send("POST", path, b"{", **{"content-length": "100"})
    status, headers, body = await connection.answer()
    assert (status, body["error"]["code"]) == (408, "request_timeout")
    assert headers["connection"] == "close"
    assert await connection.reader.read() == b""


@with_edge(body_seconds=2)
async def test_an_upload_with_a_gap_in_it_is_given_up_and_one_without_is_not(connection: Connection) -> None:
    worker = await _queued_job(connection)
    path = f"/v1/ava/workers/{worker['worker_id']}/deploy"
    archive = zip_of({"main.py": "x"})
    kind = {"content-type": "application/zip", "content-length": str(len(archive))}
    connection.send("POST", path, archive[:10], **kind)
    for part in (archive[10:20], archive[20:30], archive[30:]):
        await asyncio.sleep(0.8)  # together longer than one gap may be
        connection.writer.write(part)
    assert (await connection.answer())[0] == 201
    connection.send("POST", path, archive[:10], **kind)
    status, headers, body = await connection.answer()
    assert (status, body["error"]["code"]) == (408, "request_timeout")
    assert headers["connection"] == "close"


@with_edge(body_seconds=3)
async def test_the_third_upload_of_a_tenant_waits_and_does_not_hold_up_another(edge: Edge) -> None:
    address = urlsplit(edge.url)
    async with asyncio.timeout(60), contextlib.AsyncExitStack() as stack:
        lines = []
        for _ in range(4):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            stack.callback(writer.close)
            lines.append(Connection(reader, writer))
        mine = (await _queued_job(lines[0]))["worker_id"]
        other = {"x-tenant-id": "ten_2"}
        theirs = (await _queued_job(lines[3], **other))["worker_id"]
        archive = zip_of({"main.py": "x"})
        kind = {"content-type": "application/zip", "content-length": str(len(archive))}
        for line in lines[:2]:
            line.send("POST", f"/v1/ava/workers/{mine}/deploy", b"", **kind, expect="100-continue")
            await line.reader.readuntil(b"100 Continue\r\n\r\n")  # it is being received
        lines[2].send("POST", f"/v1/ava/workers/{mine}/deploy", archive, **kind)
        lines[3].send("POST", f"/v1/ava/workers/{theirs}/deploy", archive, **kind | other)
        answered: list[tuple[int, int]] = []

        async def note(number: int) -> None:
            answered.append((number, (await lines[number].answer())[0]))

        await asyncio.gather(*map(note, range(4)))
        assert sorted(answered) == [(0, 408), (1, 408), (2, 201), (3, 201)]
        assert answered.index((2, 201)) > min(answered.index((0, 408)), answered.index((1, 408)))
        assert answered[0] == (3, 201)


async def _python_only() -> dict[str, RuntimeInfo]:
    return {"python": RuntimeInfo(name="python", ready=True)}


async def _not_ready() -> bool:
    return False


async def test_not_ready_is_503(connection: Connection) -> None:
    assert await connection.ask("GET", "/readyz") == (503, {"status": "not ready"})


async def _queued_job(connection: Connection, **headers: str) -> Json:
    body = {"name": "w", "runtime": "python", "source_code": "def handler(input, env):\n    return 1\n"}
    connection.send("POST", "/v1/ava/workers", json.dumps(body).encode(), **headers)
    status, _, answer = await connection.answer()
    assert status == 201
    return {"worker_id": answer["data"]["id"]}


async def test_a_stop_answers_who_waits_with_the_job_as_it_is(edge: Edge, connection: Connection) -> None:
    body = json.dumps(await _queued_job(connection)).encode()
    connection.send("POST", "/v1/ava/jobs?wait=60", body)
    while await edge.pool.fetchval("SELECT count(*) FROM jobs") == 0:
        continue
    stopping = asyncio.create_task(edge.server.stop())
    status, headers, answer = await connection.answer()
    assert (status, answer["data"]["status"]) == (201, "queued")
    assert headers["connection"] == "close"
    await stopping


async def test_a_stream_whose_client_takes_nothing_is_cut_off(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.2)
    address = urlsplit(edge.url)
    lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    with socket.create_connection((address.hostname, address.port)) as client:
        client.settimeout(20)
        client.sendall(f"GET /v1/ava/stream HTTP/1.1\r\n{lines}\r\n".encode())
        received = b""
        while b"event: open" not in received:
            received += await asyncio.to_thread(client.recv, 4096)
        closed = select.poll()
        closed.register(client, 0)
        for _ in range(100):  # few at once: a stream that is given too much ends in another way
            await edge.pool.execute(
                "INSERT INTO events (tenant_id, type, subject_id, created_at, data)"
                " SELECT 'ten_1', 'custom.large', '', now(), json_build_object('text', repeat('x', 15000))"
                " FROM generate_series(1, 100)"
            )
            edge.feed.wake()
            if await asyncio.to_thread(closed.poll, 500):
                return
        pytest.fail("the connection was not aborted")


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(), TimeoutError(), asyncpg.ConnectionDoesNotExistError("closed")],
)
def test_a_store_out_of_reach_is_503(error: Exception) -> None:
    answer = ERRORS.respond(error, request_id="req_1")
    assert (answer.status_code, json.loads(bytes(answer.body))["error"]["code"]) == (
        503,
        "integration_unavailable",
    )
    assert answer.headers["retry-after"] == "1"


def _raised(error: Exception) -> Exception:
    """Return the error with a traceback."""
    try:
        raise error
    except type(error) as raised:
        return raised


def test_an_unknown_error_is_answered_bare_and_reported_whole() -> None:
    events: list[TelemetryEvent] = []
    error = _raised(RuntimeError("a detail"))
    url = "https://docs.example"
    answer = ERRORS.respond(error, request_id="req_1", public_url=url, emit=events.append)
    assert answer.status_code == 500
    assert json.loads(bytes(answer.body))["error"] == {
        "code": "internal_error",
        "message": "The server failed; the fault has been logged.",
        "request_id": "req_1",
        "docs_url": "https://docs.example/v1/ava/docs#internal_error",
    }
    (event,) = events
    assert isinstance(event, RequestFailed)
    assert (event.request_id, event.error, event.level) == ("req_1", "RuntimeError: a detail", Level.ERROR)
    assert "raise error" in event.exception


async def test_an_address_may_try_so_many_unknown_keys_and_known_ones_always_pass(edge: Edge) -> None:
    keys = ApiKeys(edge.pool, clock=system_clock)
    operator = Caller("ten_1", "usr_1", Role.PLATFORM_ADMIN, "platform", by_platform=True)
    _, good = await keys.create(operator, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER))
    _, unseen = await keys.create(operator, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER))
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=60) as client:

        async def ask(key: str) -> httpx.Response:
            return await client.get("/v1/ava/workers", headers={"x-internal-secret": key})

        assert (await ask(good)).status_code == 200
        for _ in range(10):
            assert (await ask("no key at all")).status_code == 401, "costs nothing, so it does not count"
        wrong = [await ask(new_key_text()) for _ in range(STRANGERS)]
        assert [answer.status_code for answer in wrong] == [401] * (STRANGERS - 1) + [429]
        assert wrong[-1].json()["error"]["code"] == "rate_limited"
        assert int(wrong[-1].headers["retry-after"]) > 1
        assert (await ask(unseen)).status_code == 429
        assert (await ask(good)).status_code == 200
        platform = await client.get("/v1/ava/workers", headers=HEADERS)
        assert platform.status_code == 200
