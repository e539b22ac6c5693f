"""The limits of a connection: sizes and times of heads and bodies, however they are sent."""

import asyncio
from urllib.parse import urlsplit

import pytest
from tests.contract.client import AVA, Api, data_of, error_of
from tests.contract.conftest import Server

from runwright.http.large_bodies import AT_ONCE_PER_TENANT, SMALL_BODY_BYTES

BODY_LIMIT = 2 * 1024 * 1024


async def talk(server: Server, *parts: bytes, seconds: float = 30) -> bytes:
    """Send these bytes over one connection and return all that comes back until it is closed."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        async with asyncio.timeout(seconds):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read()
    finally:
        writer.close()


def head(api: Api, *more: str) -> bytes:
    lines = [
        f"POST {AVA}/jobs HTTP/1.1",
        "host: localhost",
        "content-type: application/json",
        *(f"{name}: {value}" for name, value in api.headers.items()),
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("path", ["/jobs", "/jobs/", "/workers", "/jobs/batch"])
def test_a_body_over_the_limit_is_refused(api: Api, path: str) -> None:
    error_of(api.call("POST", path, content=b" " * (BODY_LIMIT + 1)), 413, "payload_too_large")
    error_of(api.call("POST", path, content=b" " * BODY_LIMIT), 400, "bad_request")


async def test_a_body_that_only_claims_to_be_huge_is_refused_unread(server: Server, api: Api) -> None:
    answer = await talk(server, head(api, "content-length: 99999999999999"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


async def test_a_chunked_body_is_refused_where_it_passes_the_limit(server: Server, api: Api) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = await talk(server, head(api, "transfer-encoding: chunked"), chunk * 33, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_chunked_body_within_the_limit_is_read_whole(server: Server, api: Api) -> None:
    body = b'{"worker_id": "wkr_unknown"}'
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[n : n + 1]) for n in range(len(body)))
    answer = await talk(
        server, head(api, "transfer-encoding: chunked", "connection: close"), chunks + b"0\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_a_head_over_the_limit_is_refused(server: Server, api: Api) -> None:
    for line in (f"x-long: {'x' * 40_000}", *["\r\n".join(f"x-{n}: {'x' * 100}" for n in range(400))]):
        answer = await talk(server, head(api, line, "content-length: 0"))
        assert answer.startswith(b"HTTP/1.1 431 ")
    answer = await talk(server, b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("path", ["/a" * 15_000, f"{AVA}/jobs{'/a' * 15_000}", "/" * 30_000 + "a"])
async def test_a_path_of_many_parts_is_none_that_exists(server: Server, path: str) -> None:
    """What it costs is measured by `tests.bench.holders`."""
    answer = await talk(server, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/ava/jobs HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/ava/jobs HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        b"GET /v1/ava/jobs HTTP/1.1\r\nbad header\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused(server: Server, request_bytes: bytes) -> None:
    assert (await talk(server, request_bytes)).startswith(b"HTTP/1.1 400 ")


async def test_the_next_request_of_a_connection_has_limits_too(server: Server, api: Api) -> None:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(60):
        writer.write(head(api, "content-length: 2") + b"{}")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 422 ")
        assert b"content-length: " in await reader.readuntil(b"\r\n\r\n")
        writer.write(f"GET /livez HTTP/1.1\r\nx: {'x' * 40_000}\r\n\r\n".encode())
        assert b"HTTP/1.1 431 " in await reader.read()
    writer.close()


async def test_pipelined_requests_are_answered_in_order(server: Server, api: Api) -> None:
    bad = head(api, "content-length: 2") + b"{}"
    last = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await talk(server, bad * 3 + last)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"422", b"422", b"422", b"200"]


async def test_of_a_tenant_few_large_bodies_are_read_at_once_and_others_are_not_held_up(
    server: Server, api: Api
) -> None:
    address = urlsplit(server.url)
    size = 2 * SMALL_BODY_BYTES
    large = head(api, f"content-length: {size}", "connection: close")
    slow = []
    for _ in range(AT_ONCE_PER_TENANT):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(large + b" " * (size - 1))
        slow.append((reader, writer))
    for _, writer in slow:  # each has got so far that only the end of its body is missing
        await writer.drain()
    await asyncio.to_thread(api.get, "/jobs")
    waiting = asyncio.create_task(talk(server, large + b" " * size))
    other = api.having(tenant=f"{api.tenant}_2")
    other_large = head(other, f"content-length: {size}", "connection: close") + b" " * size
    assert (await talk(server, other_large)).startswith(b"HTTP/1.1 400 ")
    small = head(api, "content-length: 1", "connection: close") + b" "
    assert (await talk(server, small)).startswith(b"HTTP/1.1 400 ")
    assert not waiting.done()
    for count, (reader, writer) in enumerate(slow):
        writer.write(b" ")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 "), count
        writer.close()
        if not count:
            assert (await waiting).startswith(b"HTTP/1.1 400 ")


async def test_large_bodies_of_clients_that_have_left_keep_no_place(server: Server, api: Api) -> None:
    address = urlsplit(server.url)
    size = 2 * SMALL_BODY_BYTES
    large = head(api, f"content-length: {size}", "connection: close")
    for _ in range(3 * AT_ONCE_PER_TENANT):
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(large)
        await writer.drain()
        writer.transport.abort()
    assert (await talk(server, large + b" " * size)).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_goes_away_harms_nobody(server: Server, api: Api) -> None:
    address = urlsplit(server.url)
    for sent in (
        head(api, "content-length: 1000") + b"{",
        b"GET /v1",
        head(api, "transfer-encoding: chunked"),
    ):
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(sent)
        await writer.drain()
        writer.transport.abort()
    worker = await asyncio.to_thread(api.make_worker)
    job = await asyncio.to_thread(api.run_job, worker["id"])
    assert job["status"] == "completed"
    assert data_of(await asyncio.to_thread(api.get, f"/jobs/{job['id']}")) == job
