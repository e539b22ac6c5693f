"""The dashboard is served from its manifest, and from nothing else."""

import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from runwright.core.clock import system_clock
from runwright.http.asgi_entry import AsgiEntry, RequestMetrics
from runwright.http.ava.dialect import AVA
from runwright.http.cross_origin import CrossOrigin
from runwright.http.response import OpenStreams
from runwright.http.routing import SegmentRouter
from runwright.http.services import EdgeSettings, EdgeState, Services
from runwright.http.uploads import Uploads
from runwright.http.web.routes import POLICY, web_routes
from runwright.telemetry.prometheus import MetricRegistry
from runwright.web.files import Dashboard
from tests.telemetry import RecordedTelemetry

INDEX = (
    '<!doctype html><head><base href="/" /><script type="module" src="./assets/index-a1.js"></script></head>'
)
ASKED = re.compile(r' *<link rel="preload" as="fetch" crossorigin href="\./(v1/[a-z/]+)" />\n *')
SCRIPT = "console.log('started');\n" * 100
Client = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """Make a client of a dashboard in `tmp_path`, below a path."""
    opened: list[httpx.AsyncClient] = []

    def make(base_path: str = "") -> httpx.AsyncClient:
        edge = EdgeState(
            cast("Services", SimpleNamespace(emit=RecordedTelemetry())),
            EdgeSettings(),
            OpenStreams(limit=1, limit_per_tenant=1),
            Uploads(tmp_path, 1),
        )
        router = SegmentRouter(web_routes(AVA, Dashboard.open(tmp_path), base_path), edge, (AVA,))
        entry = AsgiEntry(
            router, metrics=RequestMetrics(MetricRegistry()), clock=system_clock, cors=CrossOrigin(())
        )
        opened.append(httpx.AsyncClient(transport=httpx.ASGITransport(entry), base_url="http://127.0.0.1"))
        return opened[-1]

    yield make
    for one in opened:
        await one.aclose()


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(INDEX)
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "index-a1.js").write_text(SCRIPT)
    (tmp_path / "assets" / "index-a1.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (tmp_path / "assets" / "odd.exe").write_text("a type that is not served")
    (tmp_path / "secret.txt").write_text("not for readers")
    plain = {"encodings": [], "hashed": False}
    files = {
        "index.html": {"etag": '"i"', **plain},
        "favicon.svg": {"etag": '"f"', **plain},
        "assets/index-a1.js": {"etag": '"a"', "encodings": ["gzip"], "hashed": True},
        "assets/odd.exe": {"etag": '"o"', **plain},
    }
    (tmp_path / "manifest.json").write_text(
        json.dumps({"pages": ["jobs", "sign-in"], "first_bytes": 1, "files": files})
    )
    return tmp_path


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/", "/jobs/job_1", "/jobs/a/b", "/sign-in"])
async def test_pages_are_the_index_under_a_strict_policy(client: Client, path: str) -> None:
    page = await client().get(path)
    assert (page.status_code, ASKED.sub("", page.text)) == (200, INDEX)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    "path",
    [
        "/job", "/jobsx", "/secret.txt", "/manifest.json", "/assets/missing.js", "/assets/index-a1.js.gz",
        "/assets/..%2Fsecret.txt", "/assets/../secret.txt", "/index.html", "/assets/odd.exe", "/assets", "/%2e%2e/etc/passwd",
    ],
)  # fmt: skip
async def test_what_is_no_page_and_no_file_is_not_found(client: Client, path: str) -> None:
    answer = await client().get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.usefixtures("built")
async def test_files_with_a_hash_are_kept_and_sent_compressed(client: Client) -> None:
    http = client()
    small = await http.get("/assets/index-a1.js", headers={"accept-encoding": "br, gzip;q=0.5"})
    assert (small.headers["content-encoding"], small.text) == ("gzip", SCRIPT)
    assert small.headers["content-type"] == "text/javascript; charset=utf-8"
    assert small.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert small.headers["vary"] == "accept-encoding"
    for refusing in ("identity", "gzip;q=0, br", ""):
        plain = await http.get("/assets/index-a1.js", headers={"accept-encoding": refusing})
        assert "content-encoding" not in plain.headers
        assert plain.text == SCRIPT
    again = await http.get("/assets/index-a1.js", headers={"if-none-match": 'W/"a"'})
    assert (again.status_code, again.content) == (304, b"")
    icon = await http.get("/favicon.svg")
    assert (icon.headers["content-type"], icon.headers["cache-control"]) == ("image/svg+xml", "no-cache")


@pytest.mark.usefixtures("built")
async def test_the_index_names_the_path_below_which_it_is_served(client: Client) -> None:
    page = await client("/x/y").get("/jobs")
    assert ASKED.sub("", page.text) == INDEX.replace('href="/"', 'href="/x/y/"')


@pytest.mark.usefixtures("built")
async def test_the_index_asks_who_is_signed_in_where_a_page_is_for_them(client: Client) -> None:
    http = client()
    for path in ("/", "/jobs", "/jobs/job_1"):
        assert ASKED.findall((await http.get(path)).text) == ["v1/session", "v1/ava/whoami"]
    for path in ("/sign-in", "/sign-in/x"):
        assert ASKED.findall((await http.get(path)).text) == []


async def test_a_dashboard_that_was_not_built_says_how_to_build_it(client: Client) -> None:
    page = await client().get("/")
    assert page.status_code == 503
    assert "make setup" in page.text
    assert page.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (await client().get("/jobs")).status_code == 404


async def test_what_was_not_built_is_no_key(tmp_path: Path, built: Path) -> None:
    dashboard = Dashboard.open(built)
    for name, encoding in (("../secret.txt", None), ("secret.txt", None), ("favicon.svg", "gzip")):
        with pytest.raises(KeyError):
            dashboard.read(name, encoding)  # type: ignore[arg-type]
    assert tmp_path == built
