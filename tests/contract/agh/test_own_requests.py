"""A development server needs no key from its own machine; what tenants send through it is not from there."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from tests.contract.agh.client import JOBS, NEVER, Agh, answer, refused
from tests.contract.client import Api, Json, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server, running_server
from tests.contract.test_webhooks import settled

from runwright.automations.ids import DEFAULT_TENANT
from runwright.core.own_connections import OUTGOING_AGENT
from runwright.egress.relay import dial
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy


@pytest.fixture(scope="module", params=["127.0.0.1", "::1"])
def dev_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running_server(RUNWRIGHT_DEV="1", RUNWRIGHT_HOST=request.param) as one:
        yield one


@pytest.fixture
def dev(dev_server: Server) -> Iterator[RawClient]:
    with RawClient(dev_server.url) as http:
        yield http


@pytest.fixture
def job(dev: RawClient) -> Json:
    """A job of the default tenant, which can be triggered without a body."""
    found = answer(
        Agh(dev, key=PLATFORM_KEY, tenant=DEFAULT_TENANT).post(JOBS, definition(str(time.time_ns()))), 201
    )
    return found["job"]


def definition(name: str) -> Json:
    return {
        "scope": "global",
        "name": f"own-{name}",
        "agent_name": "nobody",
        "prompt": "go",
        "schedule": NEVER,
    }


def runs(dev: RawClient, job: Json) -> list[Json]:
    found: list[Json] = answer(dev.get(f"{JOBS}/{job['id']}/runs"))["runs"]
    return found


def test_a_user_of_the_machine_needs_no_key(dev: RawClient, job: Json) -> None:
    assert dev.post(f"{JOBS}/{job['id']}/trigger").status_code != 401
    assert len(runs(dev, job)) == 1


def test_a_webhook_to_the_server_itself_is_not_a_local_user(dev: RawClient, job: Json) -> None:
    tenant = Api(dev, key=PLATFORM_KEY, tenant=f"ten_{time.time_ns()}")
    url = f"{dev.url}{JOBS}/{job['id']}/trigger"
    webhook = tenant.make_webhook(url=url, events=["ava.worker.created"])
    tenant.make_worker()
    [attempt] = settled(tenant, webhook)["attempts"]
    assert attempt["response_status"] == 401
    assert runs(dev, job) == []


def post_by_outbox(url: str) -> int:
    async def post() -> int:
        client = OutgoingClient(OutgoingPolicy(dev=True))
        try:
            return (await client.post(url, [], b"", total_seconds=30)).status
        finally:
            await client.stop()

    return asyncio.run(post())


def post_by_egress(url: str) -> int:
    """Send what code in a sandbox sends, over a connection of the proxy."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    host, port = parts.hostname, parts.port

    async def connect() -> socket.socket:
        return await dial(ip_address(host), port)

    with asyncio.run(connect()) as sock:
        sock.setblocking(True)
        sock.sendall(
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: 0\r\n\r\n".encode()
        )
        return int(sock.recv(64).split()[1])


@pytest.mark.parametrize("post", [post_by_outbox, post_by_egress])
def test_what_a_tenant_sends_is_not_from_a_local_user(
    dev: RawClient, job: Json, post: Callable[[str], int]
) -> None:
    assert post(f"{dev.url}{JOBS}/{job['id']}/trigger") == 401
    assert runs(dev, job) == []


@pytest.mark.parametrize(
    "header",
    [
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
        ("user-agent", OUTGOING_AGENT),
    ],
)
def test_what_is_forwarded_is_not_from_a_local_user(
    dev: RawClient, job: Json, header: tuple[str, str]
) -> None:
    refused(dev.post(f"{JOBS}/{job['id']}/trigger", headers=dict([header])), 401)
    assert runs(dev, job) == []
