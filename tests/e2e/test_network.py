"""Workers of a real server reach what its operator and their owner allow, and their logs name the rest."""

import http.server
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.contract.client import Api, Json, RawClient
from tests.contract.conftest import PLATFORM_KEY, running_server

PYTHON = """
import urllib.request
def handler(input, env):
    try:
        return urllib.request.urlopen(input["url"], timeout=60).read().decode()
    except OSError as error:
        return type(error).__name__
"""
NODE = """
module.exports = async ({input}) => {
  try { return await (await fetch(input.url)).text() } catch (error) { return "refused" }
}
"""
SHELL = """
target=$(sed 's/.*"at": *"//; s/".*//')
exec 3<>"/dev/tcp/$target" || exit 1
printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3
cat <&3 > answer || true
tail -n 1 answer
"""
DENO = """
export default async ({input}) => {
  try { return await (await fetch(input.url)).text() } catch { return "refused" }
}
"""
SOURCES = {"python": PYTHON, "nodejs": NODE, "shell": SHELL, "deno": DENO}


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """A site on the host's loopback, which only an operator can let workers reach."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hello)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def trusting(site: int) -> Iterator[Api]:
    """A caller of a server whose operator trusts that site by the name `localhost`.

    Inside, `localhost` is the sandbox; with a final dot the name is not in its /etc/hosts and is asked for.
    """
    with (
        running_server(
            RUNWRIGHT_EGRESS_TRUSTED=f"localhost:{site}", RUNWRIGHT_EGRESS_PORTS="80,443"
        ) as server,
        RawClient(server.url) as client,
    ):
        yield Api(client, key=PLATFORM_KEY, tenant="ten_network")


def run(api: Api, runtime: str, host: str, port: int, network: Json = "public") -> tuple[Json, list[str]]:
    worker = api.make_worker(runtime=runtime, source_code=SOURCES[runtime], network=network)
    job = api.run_job(worker["id"], input={"url": f"http://{host}:{port}/", "at": f"{host}/{port}"})
    lines = api.get(f"/jobs/{job['id']}/logs").json()["data"]["logs"]
    return job["output"], [line["msg"] for line in lines if line["level"] == "warn"]


@pytest.mark.parametrize("runtime", list(SOURCES))
def test_trusted_hosts_are_reached_and_others_refused_with_a_log_line(
    trusting: Api, site: int, runtime: str
) -> None:
    output, warnings = run(trusting, runtime, "localhost.", site)
    assert (str(output).strip(), warnings) == ("hello", [])
    output, warnings = run(trusting, runtime, "169.254.169.254", 80)
    assert "hello" not in str(output)
    assert warnings == ["network: connection to 169.254.169.254:80 refused (cloud metadata address)"]
    output, warnings = run(trusting, runtime, "127.0.0.1", site)
    assert "hello" not in str(output)
    assert warnings == [f"network: connection to 127.0.0.1:{site} refused (loopback address)"]


def test_the_traffic_is_counted(trusting: Api, site: int) -> None:
    run(trusting, "python", "localhost.", site)
    run(trusting, "python", "10.0.0.1", 80)
    counts = dict(line.rsplit(" ", 1) for line in trusting.http.get("/metrics").text.splitlines())
    assert float(counts['runwright_egress_connections_total{outcome="accepted"}']) >= 1
    assert float(counts['runwright_egress_connections_total{outcome="refused"}']) >= 1
    assert float(counts['runwright_egress_bytes_total{direction="in"}']) >= len("hello\n")


def test_a_worker_reaches_only_the_hosts_of_its_list(trusting: Api, site: int) -> None:
    assert run(trusting, "python", "localhost.", site, {"allow": ["localhost"]})[0] == "hello\n"
    output, warnings = run(trusting, "python", "localhost.", site, {"allow": ["api.example"]})
    assert output == "URLError"
    assert warnings == ["network: name localhost refused (not in the worker's list of allowed hosts)"]
    output, warnings = run(trusting, "python", "localhost.", site, "none")
    assert (output, warnings) == ("URLError", [])


def test_neither_the_server_itself_nor_its_database_is_reached(trusting: Api) -> None:
    port = urlsplit(trusting.http.url).port
    assert port is not None
    for host in ("127.0.0.1", "localhost.", "0.0.0.0", "[::1]"):
        output, _ = run(trusting, "python", host, port)
        assert output in {"URLError", "ConnectionResetError"}, host
