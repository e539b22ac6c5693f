"""Idle connections without a key keep nobody out, and the server keeps descriptors for its own use."""

import contextlib
import resource
import selectors
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server, serving

FILES = 1500
IDLE = 1800
OF_ALL, OF_ADDRESS = FILES // 4, FILES // 8
WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def capped() -> Iterator[Server]:
    """A server that may have 1,500 open files, with the default caps."""
    with serving({}, open_files=FILES) as server:
        yield server


@pytest.fixture
def idle() -> Iterator[list[socket.socket]]:
    """Sockets, which are closed afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        yield sockets
        for one in sockets:
            stack.callback(one.close)


def connect(server: Server, source: str) -> socket.socket:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), 30, source_address=(source, 0))


def await_open(sockets: list[socket.socket], most: int) -> list[socket.socket]:
    """Wait until at most that many are still open, and return them."""
    left = set(sockets)
    with selectors.DefaultSelector() as selector:
        for one in left:
            selector.register(one, selectors.EVENT_READ)
        while len(left) > most:
            ready = selector.select(WAIT_SECONDS)
            assert ready, f"{len(left)} connections are open"
            for key, _ in ready:
                selector.unregister(key.fileobj)
                left -= {one for one in (key.fileobj,) if isinstance(one, socket.socket)}
    return [one for one in sockets if one in left]


def get(server: Server, source: str, path: str = "/livez") -> int:
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(base_url=server.url, transport=transport, trust_env=False, timeout=60) as client:
        return client.get(path).status_code


@pytest.mark.timeout(240)
def test_idle_connections_of_one_address_keep_nobody_out(capped: Server, idle: list[socket.socket]) -> None:
    idle += [connect(capped, "127.0.0.1") for _ in range(IDLE)]
    assert get(capped, "127.0.0.2") == 200
    assert get(capped, "127.0.0.1") == 200
    left = await_open(idle, OF_ADDRESS)
    assert left == idle[-len(left) :], "the oldest were closed"
    with RawClient(capped.url, timeout=120) as http:
        api = Api(http, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")
        job = api.run_job(api.make_worker()["id"])
    assert job["status"] == "completed", job


@pytest.mark.timeout(240)
def test_idle_connections_of_many_addresses_keep_nobody_out(
    capped: Server, idle: list[socket.socket]
) -> None:
    idle += [connect(capped, f"127.0.1.{1 + number % 200}") for number in range(IDLE)]
    assert get(capped, "127.0.0.2") == 200
    assert len(await_open(idle, OF_ALL)) <= OF_ALL


@pytest.mark.timeout(240)
def test_a_connection_with_a_request_in_progress_is_not_closed_for_others(
    capped: Server, idle: list[socket.socket]
) -> None:
    busy = connect(capped, "127.0.0.1")
    idle.append(busy)
    api = Api(RawClient(capped.url), key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")
    lines = ["POST /v1/ava/jobs HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [*(f"{name}: {value}" for name, value in api.headers.items()), "content-length: 2", "", ""]
    busy.sendall("\r\n".join(lines).encode())
    others = [connect(capped, "127.0.0.1") for _ in range(2 * OF_ADDRESS)]
    idle += others
    await_open(others, OF_ADDRESS - 1)
    busy.setblocking(False)
    with pytest.raises(BlockingIOError):
        busy.recv(1)
    busy.settimeout(30)
    busy.sendall(b"{}")
    assert busy.recv(64).startswith(b"HTTP/1.1 422")
