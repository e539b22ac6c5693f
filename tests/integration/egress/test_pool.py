"""Workers of every runtime reach allowed hosts without any proxy setting, and their logs name refused ones."""

import asyncio
import datetime as dt
import os
import resource
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runwright.core.hostnames import parse_trusted
from runwright.egress import Egress
from runwright.runtimes.host import Host
from runwright.runtimes.probe import probe_host
from tests.integration.conftest import MakeStage, Stage
from tests.integration.egress.conftest import Outside, descriptors

PYTHON = """
import urllib.request, ssl
context = ssl._create_unverified_context()
def handler(input, env):
    try:
        with urllib.request.urlopen(input["url"], timeout=60, context=context if input["url"][4] == "s" else None) as response:
            return response.read().decode()
    except OSError as error:
        return str(getattr(error, "reason", error))
"""
NODE_FETCH = """
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"
module.exports = async ({input}) => {
  try { return await (await fetch(input.url)).text() } catch (error) { return String(error.cause?.code) }
}
"""
NODE_HTTP = """
module.exports = ({input}) => new Promise((done) => {
  const client = require(input.url.startsWith("https") ? "https" : "http")
  client.get(input.url, {rejectUnauthorized: false}, (response) => {
    let text = ""; response.on("data", (data) => { text += data }); response.on("end", () => done(text))
  }).on("error", (error) => done(error.code))
})
"""
DENO = """
export default async ({input}) => {
  const client = input.ca ? Deno.createHttpClient({caCerts: [input.ca]}) : undefined
  try { return await (await fetch(input.url, {client})).text() } catch (error) { return String(error.message) }
}
"""
CURL = """
url=$(sed 's/.*"url": *"//; s/".*//' | head -n 1)
curl -sk --noproxy '*' --max-time 10 "$url" || echo "curl $?"
"""
BASH = """
exec 3<>/dev/tcp/api.example/80 || exit 1
printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3
tail -n 1 <&3
"""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.example")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName("api.example")]), critical=False)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(pem + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(params=["http", "https"])
async def site(request: pytest.FixtureRequest, outside: Outside, certificate: Path) -> AsyncIterator[str]:
    """The site behind every public address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    context = None
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    outside.port = server.sockets[0].getsockname()[1]
    outside.names["api.example"] = ["93.184.216.34"]
    yield f"{request.param}://api.example/"
    server.close()
    await server.wait_closed()


@pytest.fixture
def egress(host: Host, outside: Outside) -> Iterator[Egress]:
    if not host.network:
        pytest.skip(f"sandboxes have no network on this host: {host.missing}")
    trusted = [parse_trusted("inner.example:443")]
    one = Egress(trusted=trusted, resolve=outside.resolve, dial=outside.dial)
    one.start()
    yield one
    one.stop()
    assert one.traffic.open == 0


@pytest.fixture
async def stage(make_stage: MakeStage, egress: Egress) -> Stage:
    return await make_stage(egress=egress)


@pytest.mark.parametrize(
    ("runtime", "source"),
    [
        pytest.param("python", PYTHON, id="urllib"),
        pytest.param("nodejs", NODE_FETCH, id="fetch"),
        pytest.param("nodejs", NODE_HTTP, id="node-http"),
        pytest.param("shell", CURL, id="curl"),
        pytest.param("deno", DENO, id="deno-fetch"),
    ],
)
async def test_every_client_works_without_configuration(
    stage: Stage, site: str, certificate: Path, runtime: str, source: str
) -> None:
    authority = certificate.read_text().partition("-----BEGIN CERT")
    body = {"url": site, "ca": "".join(authority[1:])}
    played = await stage.run(source, runtime=runtime, input=msgspec.json.encode(body))
    assert str(played.output).strip() == "hello"
    refused = await stage.run(source, runtime=runtime, input=b'{"url": "http://169.254.169.254/latest/"}')
    assert "hello" not in str(refused.output)
    line = ("warn", "network: connection to 169.254.169.254:80 refused (cloud metadata address)")
    assert line in refused.said, (refused.lines, refused.output)
    missing = await stage.run(source, runtime=runtime, input=b'{"url": "http://metadata.google.internal/"}')
    assert "hello" not in str(missing.output)
    assert any(msg.startswith("network: name metadata.google.internal refused") for _, msg in missing.said)


@pytest.mark.parametrize("site", ["http"], indirect=True)
@pytest.mark.usefixtures("site")
async def test_bash_reaches_a_public_name_without_a_program(stage: Stage) -> None:
    assert (await stage.run(BASH, runtime="shell")).output == "hello"


@pytest.mark.parametrize("site", ["http"], indirect=True)
async def test_each_worker_has_its_own_policy_and_blank_sandboxes_have_none_yet(
    make_stage: MakeStage, egress: Egress, outside: Outside, site: str
) -> None:
    stage = await make_stage(egress=egress, prebooted={"python": 3})
    await stage.eventually(lambda: stage.pool.stats().sandboxes == {"python": {"blank": 3}})
    outside.names |= {"inner.example": ["127.0.0.1"], "other.example": ["93.184.216.34"]}
    networks: tuple[object, ...] = ("none", "public", {"allow": ["other.example"]}, {"allow": []}, "nonsense")
    seen = {}
    for network in networks:
        urls = (site, "http://other.example/", "http://93.184.216.34/")
        jobs = [
            await stage.run(
                PYTHON, worker=str(network), network=network, input=b'{"url": "%s"}' % url.encode()
            )
            for url in urls
        ]
        seen[str(network)] = [job.output == "hello\n" for job in jobs]
    assert seen == {
        "none": [False] * 3,
        "public": [True] * 3,
        "{'allow': ['other.example']}": [False, True, False],
        "{'allow': []}": [False] * 3,
        "nonsense": [False] * 3,
    }
    assert {address for address, _ in outside.dialed} == {"93.184.216.34"}


async def test_a_worker_without_a_network_may_use_every_port_itself(stage: Stage) -> None:
    source = """
import socket, time
def handler(input, env):
    deadline = time.monotonic() + 20
    while True:
        try:
            server = socket.create_server(("127.0.0.1", 8080))
            break
        except OSError:
            if time.monotonic() > deadline: raise
    client = socket.create_connection(server.getsockname(), 5)
    client.sendall(b"own")
    return server.accept()[0].recv(3).decode()
"""
    assert (await stage.run(source, network="none")).output == "own"


@pytest.mark.parametrize("site", ["http"], indirect=True)
async def test_a_server_that_cannot_make_namespaces_starts_a_program_that_does(
    make_stage: MakeStage, host: Host, egress: Egress, site: str
) -> None:
    if egress.namespace_pool is not None:
        egress.namespace_pool.stop()
        egress.namespace_pool = None
    for one in (host, msgspec.structs.replace(host, user_namespace=True, first_uid=0)):
        stage = await make_stage(one, egress=egress)
        assert (await stage.run(PYTHON, input=b'{"url": "%s"}' % site.encode())).output == "hello\n"


@pytest.mark.parametrize("by_program", [False, True])
async def test_no_socket_of_ours_is_in_a_sandbox(
    make_stage: MakeStage, egress: Egress, by_program: bool
) -> None:
    if by_program and egress.namespace_pool is not None:
        egress.namespace_pool.stop()
        egress.namespace_pool = None
    stage = await make_stage(egress=egress)
    source = """
import os
def handler(input, env):
    links = [os.readlink(f"/proc/self/fd/{n}") for n in range(100) if os.path.lexists(f"/proc/self/fd/{n}")]
    return sorted(link.partition(":")[0] for link in links)
"""
    with_network = (await stage.run(source)).output
    without = await make_stage()
    assert with_network == (await without.run(source)).output


async def test_two_sandboxes_cannot_reach_each_other(stage: Stage) -> None:
    listen = """
import socket, time
def handler(input, env):
    server = socket.create_server(("0.0.0.0", 40000)); other = socket.socket(socket.AF_UNIX); other.bind("\\0meet"); other.listen()
    print("listening"); server.settimeout(60)
    server.accept()
"""
    waiting = stage.assign(listen, worker="a")
    await stage.saying(waiting, "listening")
    call = """
import socket
def handler(input, env):
    found = []
    for family, address in ((2, ("127.0.0.1", 40000)), (2, ("10.0.0.1", 40000)), (1, "\\0meet")):
        try: socket.socket(family).connect(address)
        except OSError as error: found.append(type(error).__name__)
    return found
"""
    assert (await stage.run(call, worker="b")).output == ["ConnectionRefusedError"] * 3
    stage.pool.kill(waiting.id)
    await stage.finish(waiting)


async def test_a_sandbox_that_is_killed_in_a_transfer_leaves_no_descriptor_and_its_lines_are_kept(
    stage: Stage, outside: Outside, echo: int
) -> None:
    outside.port = echo
    before = descriptors()
    source = """
import socket
def handler(input, env):
    try: socket.create_connection(("10.0.0.1", 80), 5).recv(1)
    except OSError: pass
    connection = socket.create_connection(("93.184.216.34", 443), 5)
    connection.sendall(b"x" * 100000); print("under way")
    while True: connection.sendall(b"x" * 100000); connection.recv(100000)
"""
    played = stage.assign(source)
    await stage.saying(played, "under way")
    stage.pool.kill(played.id)
    await stage.finish(played)
    assert ("warn", "network: connection to 10.0.0.1:80 refused (private address)") in played.said
    await stage.eventually(lambda: descriptors() <= before)


async def test_refusals_of_one_job_are_not_in_the_log_of_the_next(stage: Stage) -> None:
    source = """
import socket
def handler(input, env):
    if input:
        try: socket.create_connection(("10.0.0.1", 80), 5).recv(1)
        except OSError: pass
"""
    jobs = [stage.assign(source, input=b'{"a": 1}' if n % 2 else b"{}") for n in range(40)]
    await stage.finish(*jobs)
    for n, job in enumerate(jobs):
        assert len(job.said) <= n % 2
    assert sum(len(job.said) for job in jobs) == 20


async def test_more_descriptors_than_select_can_name_do_no_harm(stage: Stage) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2000:
        pytest.skip(f"this process may have {soft} descriptors only")
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert probe_host().network
        source = "import time\ndef handler(input, env):\n    print('here')\n    time.sleep(input.get('s', 0))\n    return 1\n"
        assert (await stage.run(source)).output == 1
        sleeping = stage.assign(source, input=b'{"s": 60}', worker="other")
        await stage.saying(sleeping, "here")
        stage.pool.kill(sleeping.id)
        await stage.finish(sleeping)
        assert sleeping.outcome.error_code == "executor_lost"
    finally:
        for fd in held:
            os.close(fd)
