"""The outgoing client against those who attack it: from inside (URLs, names) and from outside (answers)."""

import asyncio
import contextlib
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from runwright.core.addresses import Address
from runwright.core.hostnames import parse_trusted
from runwright.outbox.client import client as client_module
from runwright.outbox.client.client import OutgoingClient, OutgoingError
from runwright.outbox.client.http_connection import ConnectionGoneError, HttpConnection, Response
from runwright.outbox.client.ssrf_guard import Resolve
from runwright.outbox.client.url import OutgoingPolicy, OutgoingUrlError, parse_target
from tests.garbage import instances, no_collections
from tests.receiver import client_tls, make_certificate, server_tls

DEV = OutgoingPolicy(dev=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECONDS = 60.0

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server that does as it is told with every request, on connections that it counts."""

    def __init__(self, serve: Serve, host: str = "127.0.0.1") -> None:
        self._serve = serve
        self._host = host
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.ended = asyncio.Event()
        """The other side has closed a connection."""
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}/hook"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                request = head + await reader.readexactly(length)
                self.requests.append(request)
                await self._serve(request, writer)
                await writer.drain()
        self.ended.set()
        writer.close()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    peer = Peer(serve)
    handlers: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(peer.handle(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        peer.hang_up()
        await _settle()


async def _settle() -> None:
    """Let the loop close what was aborted."""
    for _ in range(3):
        await asyncio.sleep(0)


def saying(answer: bytes) -> Serve:
    async def serve(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return serve


def repeating(start: bytes, more: bytes) -> Serve:
    """Begins an answer and never ends it."""

    async def serve(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()

    return serve


Make = Callable[..., OutgoingClient]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes clients, which are stopped at the end."""
    made: list[OutgoingClient] = []

    def make_one(
        policy: OutgoingPolicy = DEV, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> OutgoingClient:
        made.append(OutgoingClient(policy, resolve=resolve, tls=tls))
        return made[-1]

    yield make_one
    for client in made:
        await client.stop()
    await _settle()


@pytest.fixture
def client(make: Make) -> OutgoingClient:
    return make()


async def post(client: OutgoingClient, url: str, *, seconds: float = SECONDS, wanted: int = 0) -> Response:
    return await client.post(url, [("X-Test", "1")], b'{"a":1}', total_seconds=seconds, wanted_bytes=wanted)


async def refusal_of(client: OutgoingClient, url: str, *, seconds: float = SECONDS) -> str:
    with pytest.raises(OutgoingError) as error:
        await post(client, url, seconds=seconds)
    return error.value.message


def answering(*answers: Sequence[str]) -> tuple[Callable[[str], Awaitable[Sequence[Address]]], list[str]]:
    """A resolver that gives these answers in turn, and the names that it was asked for."""
    asked: list[str] = []

    async def resolve(name: str) -> Sequence[Address]:
        asked.append(name)
        return [ip_address(one) for one in answers[min(len(asked), len(answers)) - 1]]

    return resolve, asked


# --- where it goes -------------------------------------------------------------------------


async def test_a_request_arrives_as_it_was_given(client: OutgoingClient) -> None:
    async with serving(saying(OK)) as peer:
        response = await client.post(
            f"{peer.url}?a=b",
            [("X-Test", "1"), ("X-Test", "2")],
            b"body",
            total_seconds=SECONDS,
            wanted_bytes=10,
        )
        assert response == Response(200, b"ok", complete=True)
        head, _, body = peer.requests[0].partition(b"\r\n\r\n")
        assert body == b"body"
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /hook?a=b HTTP/1.1"
        assert f"Host: 127.0.0.1:{peer.port}".encode() in lines
        assert lines.count(b"X-Test: 1") == lines.count(b"X-Test: 2") == 1
        assert b"Accept-Encoding: identity" in lines


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.0.0.1", "127.0.0.1."),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[::]", "0.0.0.0", "0"),
        *("10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "169.254.169.254", "[fd00:ec2::254]"),
        *("[fe80::1]", "[fc00::1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "224.0.0.1", "255.255.255.255"),
        *("localhost", "a.localhost", "db.internal", "printer.local", "LOCALHOST", "localhost."),
    ],
)
async def test_nothing_is_sent_to_a_private_place_in_any_spelling(make: Make, host: str) -> None:
    resolve, asked = answering(["127.0.0.1"])
    client = make(OutgoingPolicy(), resolve=resolve)
    with pytest.raises(OutgoingError) as error:
        await post(client, f"https://{host}:1/")
    assert error.value.refused
    assert asked == []


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.example.com", "//hooks.example.com/", "javascript:alert(1)", "file:///etc/passwd"),
        *("https://", "https:///x", "https://:443/", "https://a:b:c/", "https://[::1/", "https://1.2.3.4.5/"),
        *(
            "https://user@hooks.example.com/",
            "https://u:p@hooks.example.com/",
            "https://x/@y#z",
            "https://x/#",
        ),
        *("https://hooks.example.com\\@evil.example/", "https://hooks.example.com\t/", "https://é.example/"),
        *("https://hooks.example.com/\r\nX: 1", "https://[fe80::1%25eth0]/", "https://%31%32%37.0.0.1/"),
        *("https://hooks.example.com:0/", "https://hooks.example.com:65536/"),
        "https://hooks.example.com/" + "x" * 2048,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(OutgoingUrlError):
        parse_target(url)


async def test_a_name_with_one_private_address_is_refused_whole(make: Make) -> None:
    for addresses in (
        ["10.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
        ["::1"],
    ):
        resolve, _ = answering(addresses)
        client = make(OutgoingPolicy(), resolve=resolve)
        message = await refusal_of(client, "https://hooks.example.com/")
        assert message.startswith("The URL's host has a ")


async def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_ONE_ADDRESS_SECONDS", 0.1)
    resolve, _ = answering(["127.0.0.2", "127.0.0.1"])
    async with serving(saying(OK)) as peer:
        with socket.socket() as silent, contextlib.ExitStack() as waiting:
            silent.bind(("127.0.0.2", peer.port))
            silent.listen(0)
            for _ in range(4):  # with its queue full, the kernel drops what asks for a connection
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(silent.getsockname())
            assert (await post(make(resolve=resolve), f"http://hook.test:{peer.port}/")).status == 200


async def test_a_name_is_resolved_once_and_the_connection_made_to_what_was_judged(make: Make) -> None:
    resolve, asked = answering(["127.0.0.1"], ["10.0.0.1"])
    client = make(DEV, resolve=resolve)
    async with serving(saying(OK)) as peer:
        url = f"http://rebinding.example:{peer.port}/"
        assert (await post(client, url)).status == 200
        assert asked == ["rebinding.example"]
        await client.stop()
        assert "private address" in await refusal_of(client, url)
        assert len(peer.requests) == 1


async def test_a_connection_that_ends_at_another_address_is_closed_before_anything_is_sent(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leads it there (a transparent proxy, a route, a fault of ours) may be anything; the peer counts."""
    async with serving(saying(OK)) as peer:
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect

        async def divert(sock: socket.socket, _: object) -> None:
            await connect(sock, ("127.0.0.1", peer.port))

        async def resolve(_: str) -> Sequence[Address]:
            return [ip_address("93.184.216.34")]

        monkeypatch.setattr(loop, "sock_connect", divert)
        client = make(OutgoingPolicy(), resolve)
        assert "loopback" in await refusal_of(client, "https://hooks.example.com/")
        await _settle()
        assert peer.requests == []
        assert client.idle_connections == 0


async def test_an_operator_may_trust_a_private_host_which_still_needs_https(
    make: Make, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")
    async with serving(saying(OK), server_tls(certificate)) as peer:
        policy = OutgoingPolicy(trusted=(parse_trusted(f"127.0.0.1:{peer.port}"),))
        client = make(policy, tls=client_tls(certificate))
        assert (await post(client, f"https://127.0.0.1:{peer.port}/")).status == 200
        assert "https" in await refusal_of(client, peer.url)
        assert "loopback" in await refusal_of(client, "https://127.0.0.1:1/")
        await client.stop()


async def test_development_lets_out_http_and_loopback_and_nothing_else_private(
    client: OutgoingClient,
) -> None:
    async with serving(saying(OK)) as peer:
        assert (await post(client, peer.url)).status == 200
        assert (await post(client, peer.url.replace("127.0.0.1", "localhost"))).status == 200
    for host in ("10.0.0.1", "169.254.169.254", "db.internal"):
        await refusal_of(client, f"http://{host}/")


async def test_proxies_of_the_environment_have_no_say(
    client: OutgoingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(saying(OK)) as peer:
        assert (await post(client, peer.url)).status == 200


async def test_a_certificate_must_be_known_and_name_the_host(make: Make, tmp_path: Path) -> None:
    right, other = make_certificate(tmp_path, "127.0.0.1"), make_certificate(tmp_path, "hooks.example.com")
    async with serving(saying(OK), server_tls(right)) as peer:
        url = f"https://127.0.0.1:{peer.port}/"
        assert (await post(make(DEV, tls=client_tls(right)), url)).status == 200
        assert "certificate is not valid" in await refusal_of(make(DEV), url)
        assert len(peer.requests) == 1
    async with serving(saying(OK), server_tls(other)) as peer:
        client = make(DEV, tls=client_tls(other))
        assert "certificate is not valid" in await refusal_of(client, f"https://127.0.0.1:{peer.port}/")
        resolve, _ = answering(["127.0.0.1"])
        named = make(DEV, resolve=resolve, tls=client_tls(other))
        assert (await post(named, f"https://hooks.example.com:{peer.port}/")).status == 200


async def test_a_header_cannot_smuggle_another(client: OutgoingClient) -> None:
    async with serving(saying(OK)) as peer:
        for value in ("a\r\nX: 1", "a\nb", "a\0"):
            with pytest.raises(ValueError, match="header"):
                await client.post(peer.url, [("X-Test", value)], b"", total_seconds=SECONDS)
        assert peer.requests == []


# --- what comes back -----------------------------------------------------------------------


async def test_a_redirect_is_an_answer_and_not_followed(client: OutgoingClient) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    async with serving(saying(answer)) as peer:
        assert (await post(client, peer.url)).status == 302
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        (b"HTTP/1.1 ", b"0" * 1000),
    ],
    ids=["header lines", "one header", "1xx answers", "a status"],
)
async def test_an_endless_head_ends(client: OutgoingClient, start: bytes, more: bytes) -> None:
    async with serving(repeating(start, more)) as peer:
        assert await refusal_of(client, peer.url, seconds=60) in {
            "The answer is too large.",
            "The answer is not HTTP.",
        }


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"y" * 1000 + b"\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: " + b"x" * 1000 + b"\r\n"),
    ],
    ids=["until the end", "a length", "chunks", "chunk extensions", "trailers"],
)
async def test_an_endless_body_is_cut_and_its_status_counts(
    client: OutgoingClient, start: bytes, more: bytes
) -> None:
    async with serving(repeating(start, more)) as peer:
        assert (await post(client, peer.url)).status == 200
        with suppress(OutgoingError):
            response = await post(client, peer.url, wanted=5000)
            assert len(response.body) <= 5000
            assert not response.complete
        assert peer.connections == 2


async def test_a_body_may_be_as_long_as_it_is_wanted(client: OutgoingClient) -> None:
    body = b"x" * 300_000
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)) as peer:
        response = await post(client, peer.url, wanted=len(body))
        assert (response.body, response.complete) == (body, True)


async def test_a_compressed_bomb_stays_compressed(client: OutgoingClient) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with serving(saying(head + bomb)) as peer:
        response = await post(client, peer.url, wanted=100_000)
        assert response.body == bomb


async def test_who_answers_slowly_has_failed_in_time(client: OutgoingClient) -> None:
    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" * 1000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    async with serving(drip) as peer:
        began = asyncio.get_running_loop().time()
        assert await refusal_of(client, peer.url, seconds=0.3) == "No answer within 0.3 seconds."
        assert asyncio.get_running_loop().time() - began < 30


async def test_a_body_that_drips_holds_nobody_up(
    client: OutgoingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "DRAIN_SECONDS", 0.1)

    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n")
        for _n in range(1000):
            writer.write(b"x")
            await asyncio.sleep(0.05)

    async with serving(drip) as peer:
        assert (await post(client, peer.url, seconds=30)).status == 202


async def test_a_peer_that_does_not_read_has_failed_in_time(client: OutgoingClient) -> None:
    done = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(OutgoingError, match="No answer within"):
        await client.post(f"http://127.0.0.1:{port}/", [], bytes(20_000_000), total_seconds=0.3)
    server.close()
    done.set()
    await _settle()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n" * 20,
        b"\x00" * 100,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["ssh", "zeros", "upgrade", "two lengths", "a negative length"],
)
async def test_what_is_not_http_has_failed(client: OutgoingClient, answer: bytes) -> None:
    async with serving(saying(answer)) as peer:
        await refusal_of(client, peer.url)


async def test_a_connection_that_is_refused_or_closed_has_failed(client: OutgoingClient) -> None:
    async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving(hang_up) as peer:
        assert "closed" in await refusal_of(client, peer.url)
    assert await refusal_of(client, peer.url) == "The connection was refused."


# --- connections ---------------------------------------------------------------------------


async def test_a_connection_is_used_again_unless_either_side_is_done_with_it(client: OutgoingClient) -> None:
    async with serving(saying(OK)) as peer:
        for _ in range(5):
            await post(client, peer.url)
        assert peer.connections == 1
    async with serving(saying(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) as peer:
        for _ in range(2):
            await post(client, peer.url)
        assert peer.connections == 2


async def test_what_comes_unasked_is_never_taken_for_an_answer(client: OutgoingClient) -> None:
    async with serving(saying(OK + b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")) as peer:
        for _ in range(3):
            assert (await post(client, peer.url)).status == 200
        assert peer.connections == 3


async def test_a_connection_that_was_closed_while_it_waited_is_replaced(client: OutgoingClient) -> None:
    async def answer_once(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with serving(answer_once) as peer:
        for _ in range(4):
            assert (await post(client, peer.url)).status == 200


async def test_a_connection_that_closes_instead_of_an_answer_is_replaced(client: OutgoingClient) -> None:
    async def answer_first(_: bytes, writer: asyncio.StreamWriter) -> None:
        if len(peer.requests) == 2:
            writer.transport.abort()
        else:
            writer.write(OK)

    async with serving(answer_first) as peer:
        for _ in range(2):
            assert (await post(client, peer.url)).status == 200
        assert (len(peer.requests), peer.connections) == (3, 2)


async def test_a_connection_that_waits_too_long_is_closed(
    client: OutgoingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "IDLE_SECONDS", 0.01)
    async with serving(saying(OK)) as peer:
        assert (await post(client, peer.url)).status == 200
        async with asyncio.timeout(60):
            await peer.ended.wait()
        assert (await post(client, peer.url)).status == 200
        assert peer.connections == 2


async def test_a_connection_may_be_lost_before_and_after_it_was_needed() -> None:
    unused = HttpConnection()
    unused.connection_lost(None)
    assert unused.closed
    unused.send(b"GET / HTTP/1.1\r\n\r\n", wanted_bytes=1)
    unused.connection_lost(None)
    with pytest.raises(ConnectionGoneError, match="was closed"):
        await unused.head()


async def _hang(_: bytes, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize(
    ("serve", "seconds"),
    [
        (saying(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)), SECONDS),
        (saying(b"no HTTP\r\n\r\n"), SECONDS),
        (_hang_up, SECONDS),
        (_hang, 0.1),
    ],
    ids=["answered", "malformed", "closed", "silent"],
)
async def test_a_connection_that_has_ended_leaves_nothing_to_collect(
    client: OutgoingClient, serve: Serve, seconds: float
) -> None:
    with no_collections():
        async with serving(serve) as peer:
            for _ in range(3):
                with suppress(OutgoingError):
                    await post(client, peer.url, seconds=seconds)
        async with asyncio.timeout(SECONDS):
            while instances(HttpConnection):  # noqa: ASYNC110  the loop tells a protocol of its end later
                await asyncio.sleep(0)


async def test_connections_that_wait_are_bounded_and_closed_at_the_stop(client: OutgoingClient) -> None:
    all_here = asyncio.Event()

    async def together(_: bytes, writer: asyncio.StreamWriter) -> None:
        if len(peer.requests) >= 40:
            all_here.set()
        await all_here.wait()
        writer.write(OK)

    async with serving(together) as peer:
        await asyncio.gather(*(post(client, peer.url) for _ in range(40)))
        assert peer.connections == 40
        assert client.idle_connections == client_module.IDLE_PER_ORIGIN
        await client.stop()
        assert client.idle_connections == 0
