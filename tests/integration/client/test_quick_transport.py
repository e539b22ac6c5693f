"""The transport of completion: one answer, or Unreachable; whatever the server says, and without httpx."""

import socket
import subprocess
import sys

import pytest

from runwright.client.base import Client
from runwright.client.dual_mode import Sync
from runwright.client.errors import ApiError, Unreachable
from runwright.client.quick_transport import QuickTransport
from runwright.client.session import Credentials
from runwright.client.targets import ServerTarget
from runwright.client.urls import may_be_proxied
from tests.integration.client.scripted_server import HANG_UP, answer, raw_answer, scripted_server

LISTED = {"data": [], "pagination": {"next_cursor": None, "total": 0}}
SECONDS = 60.0


def client_of(url: str, seconds: float = SECONDS) -> Client[Sync]:
    target = ServerTarget(url=url, credentials=Credentials(api_key="rwk_1", tenant="ten_1"))
    return Client[Sync].for_target(target, retries=0, transport=QuickTransport(url, seconds))


def test_a_question_is_asked_once_with_the_key_below_the_path_of_the_server() -> None:
    with scripted_server(answer(200, LISTED)) as server:
        assert list(client_of(f"{server.url}/base").secrets.list(q="A B&c")) == []
    [seen] = server.seen
    assert seen.line.startswith("GET /base/v1/ava/secrets?")
    assert "q=A+B%26c" in seen.line
    assert seen.line.endswith(" HTTP/1.0")
    assert (seen.headers["authorization"], seen.headers["x-tenant-id"]) == ("Bearer rwk_1", "ten_1")
    assert seen.headers["host"] == server.url.removeprefix("http://")


def test_a_refusal_is_one() -> None:
    refusal = answer(403, {"error": {"code": "forbidden", "message": "No."}})
    with scripted_server(refusal) as server, pytest.raises(ApiError, match="No") as caught:
        list(client_of(server.url).secrets.list())
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (HANG_UP, "not one of HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not one of HTTP"),
        (b"HTTP/1.1 fine\r\n\r\n", "does not answer"),
        (answer(200, LISTED)[:-5], "cut off"),
        (raw_answer(200, b"x" * (4 * 1024 * 1024 + 1), "text/plain"), "too large"),
    ],
)
def test_what_is_no_answer_is_unreachable(said: bytes, why: str) -> None:
    with scripted_server(said) as server, pytest.raises(Unreachable, match=why):
        list(client_of(server.url).secrets.list())


def test_a_server_that_is_silent_or_away_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"timed out|no answer in time"):
            list(client_of(url, 0.05).secrets.list())
    with pytest.raises(Unreachable, match="does not answer"):
        list(client_of("http://127.0.0.1:9").secrets.list())


def test_a_proxy_leads_to_other_machines_only() -> None:
    assert may_be_proxied("https://runwright.example.com", {"HTTPS_PROXY": "http://proxy:3128"})
    assert may_be_proxied("http://runwright.example.com", {"http_proxy": "http://proxy:3128"})
    assert not may_be_proxied("https://runwright.example.com", {})
    assert not may_be_proxied("http://127.0.0.1:8080", {"http_proxy": "http://proxy:3128"})


def test_completion_loads_neither_httpx_nor_tables() -> None:
    asked = {
        "_RUNWRIGHT_COMPLETE": "complete_bash",
        "COMP_WORDS": "runwright run ",
        "COMP_CWORD": "2",
        "RUNWRIGHT_URL": "http://127.0.0.1:9",
        "RUNWRIGHT_KEY": "rwk_1",
    }
    program = (
        "import sys\nfrom runwright.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        "    print(end.code, [one for one in ('httpx', 'ssl', 'rich', 'asyncio') if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=asked, capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout.split("\n"), done.stderr) == (["", "0 []", ""], "")
