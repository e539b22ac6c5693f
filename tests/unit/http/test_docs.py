"""The documentation site is served from its manifest, and from nothing else."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from runwright.core.clock import system_clock
from runwright.docs_site.site import DocsSite
from runwright.http.asgi_entry import AsgiEntry, RequestMetrics
from runwright.http.ava.dialect import AVA
from runwright.http.cross_origin import CrossOrigin
from runwright.http.docs.routes import docs_routes
from runwright.http.response import OpenStreams
from runwright.http.routing import SegmentRouter
from runwright.http.services import EdgeSettings, EdgeState, Services
from runwright.http.uploads import Uploads
from runwright.telemetry.prometheus import MetricRegistry
from tests.telemetry import RecordedTelemetry

HTML = "text/html; charset=utf-8"
POLICY = "default-src 'none'; script-src 'self' 'sha256-abc'"
FILES = {
    "index.html": ("<h1>Start</h1>", HTML),
    "jobs/index.html": ("<h1>Jobs</h1>", HTML),
    "404.html": ("<h1>Not found</h1>", HTML),
    "jobs.md": ("# Jobs", "text/markdown; charset=utf-8"),
    "assets/main.0123abcd.min.css": ("body {}", "text/css; charset=utf-8"),
    "llms.txt": ("# Runwright", "text/plain; charset=utf-8"),
    "llms-full.txt": ("# All", "text/plain; charset=utf-8"),
}


def client_of(folder: Path) -> httpx.AsyncClient:
    edge = EdgeState(
        cast("Services", SimpleNamespace(emit=RecordedTelemetry())),
        EdgeSettings(),
        OpenStreams(limit=1, limit_per_tenant=1),
        Uploads(folder, 1),
    )
    router = SegmentRouter(docs_routes(AVA, DocsSite.open(folder)), edge, (AVA,))
    entry = AsgiEntry(
        router, metrics=RequestMetrics(MetricRegistry()), clock=system_clock, cors=CrossOrigin(())
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(entry), base_url="http://127.0.0.1")


@pytest.fixture
async def docs(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    site = tmp_path / "site"
    manifest = {}
    for name, (text, media_type) in FILES.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        manifest[name] = {
            "media_type": media_type, "etag": f'"{name}"', "policy": POLICY, "hashed": ".min." in name,
        }  # fmt: skip
    (site / "manifest.json").write_text(json.dumps(manifest))
    (site / "unlisted.html").write_text("not for readers")
    (tmp_path / "secret.txt").write_text("not for readers")
    async with client_of(site) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/docs/", "<h1>Start</h1>"),
        ("/docs/jobs/", "<h1>Jobs</h1>"),
        ("/docs/jobs/?h=bulk", "<h1>Jobs</h1>"),
        ("/docs/jobs/index.html", "<h1>Jobs</h1>"),
        ("/docs/jobs.md", "# Jobs"),
        ("/docs/llms.txt", "# Runwright"),
        ("/llms.txt", "# Runwright"),
        ("/llms-full.txt", "# All"),
    ],
)
async def test_a_file_is_served_with_its_type_and_policy(
    docs: httpx.AsyncClient, path: str, text: str
) -> None:
    response = await docs.get(path)
    assert (response.status_code, response.text) == (200, text)
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["content-type"] in {kind for _, kind in FILES.values()}
    head = await docs.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(text))


@pytest.mark.parametrize(("path", "target"), [("/docs", "docs/"), ("/docs/jobs", "jobs/")])
async def test_a_page_without_its_slash_leads_to_the_one_with_it(
    docs: httpx.AsyncClient, path: str, target: str
) -> None:
    """The target is relative, so that it holds below a proxy's prefix."""
    response = await docs.get(path)
    assert (response.status_code, response.headers["location"]) == (308, target)


async def test_what_a_client_has_is_not_sent_again(docs: httpx.AsyncClient) -> None:
    first = await docs.get("/docs/jobs/")
    for tags in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = await docs.get("/docs/jobs/", headers={"if-none-match": tags})
        assert (again.status_code, again.content) == (304, b"")
        # A browser takes the headers of a 304 in place of those it has.
        for name in ("etag", "cache-control", "content-security-policy"):
            assert again.headers[name] == first.headers[name]
    changed = await docs.get("/docs/jobs/", headers={"if-none-match": '"older"'})
    assert changed.status_code == 200


async def test_a_name_with_a_hash_is_kept_for_a_year(docs: httpx.AsyncClient) -> None:
    response = await docs.get("/docs/assets/main.0123abcd.min.css")
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path",
    [
        "/docs/unlisted.html",
        "/docs/manifest.json",
        "/docs/../secret.txt",
        "/docs/%2e%2e/secret.txt",
        "/docs/..%2fsecret.txt",
        "/docs/jobs/..%2f..%2fsecret.txt",
        "/docs/%2fetc%2fpasswd",
        "/docs//etc/passwd",
        "/docs/..%5csecret.txt",
        "/docs/jobs.md%00.html",
        "/docs/assets",
    ],
)
async def test_what_the_manifest_does_not_list_does_not_exist(docs: httpx.AsyncClient, path: str) -> None:
    raw = path.encode()
    response = await docs.send(
        docs.build_request("GET", httpx.URL("http://127.0.0.1").copy_with(raw_path=raw))
    )
    assert response.status_code == 404
    assert "not for readers" not in response.text
    if "secret" not in path or "%" in path:
        assert response.text == "<h1>Not found</h1>"


async def test_other_methods_are_refused(docs: httpx.AsyncClient) -> None:
    response = await docs.post("/docs/")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/jobs/", "/llms.txt"])
async def test_a_site_that_was_not_built_says_how_to_build_it(tmp_path: Path, path: str) -> None:
    async with client_of(tmp_path) as client:
        response = await client.get(path)
    assert response.status_code == 404
    assert "make docs" in response.text
    assert response.headers["content-type"].startswith("text/plain")
