"""Of each tenant few large pages are in memory at once, however many of its clients take them slowly."""

import asyncio
import socket
from urllib.parse import urlsplit

from tests.contract.client import AVA, Api
from tests.contract.conftest import Server

from runwright.http.page_turns import AT_ONCE_PER_TENANT

SOURCE = "#" * 1_000_000
WORKERS = 16
"""Their page is larger than what the kernel keeps for a client that takes nothing."""


async def begin(server: Server, api: Api, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request over a connection whose client takes little."""
    address = urlsplit(server.url)
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=own, limit=1024)
    headers = "".join(f"{name}: {value}\r\n" for name, value in api.headers.items())
    writer.write(f"GET {AVA}{path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n".encode())
    return reader, writer


async def status_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(60):
        return (await reader.readline()).split()[1]


async def test_a_tenants_slow_readers_hold_few_large_pages_and_nobody_else(server: Server, api: Api) -> None:
    workers = [
        await asyncio.to_thread(api.make_worker, source_code=SOURCE, name=f"Large {n}")
        for n in range(WORKERS)
    ]
    slow = [await begin(server, api, "/workers?per_page=100") for _ in range(AT_ONCE_PER_TENANT)]
    assert [await status_of(reader) for reader, _ in slow] == [b"200"] * AT_ONCE_PER_TENANT
    reader, waiting = await begin(server, api, "/workers?per_page=1")
    answer = asyncio.create_task(status_of(reader))
    other = api.having(tenant=f"{api.tenant}_2")
    assert (await asyncio.to_thread(other.get, "/workers")).status_code == 200
    assert (await asyncio.to_thread(api.get, f"/workers/{workers[0]['id']}")).status_code == 200
    assert not answer.done()
    slow[0][1].transport.abort()
    assert await answer == b"200"
    for _, writer in (*slow, (reader, waiting)):
        writer.transport.abort()


async def test_small_pages_are_let_go_before_they_are_sent(server: Server, api: Api) -> None:
    await asyncio.to_thread(api.make_worker)
    readers = [await begin(server, api, "/workers") for _ in range(4 * AT_ONCE_PER_TENANT)]
    assert {await status_of(reader) for reader, _ in readers} == {b"200"}
    for _, writer in readers:
        writer.transport.abort()
