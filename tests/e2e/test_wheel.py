"""The built wheel, installed into an empty environment: it has all that it needs, and it serves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY, serving
from tests.releases import ROOT, built_wheel, uv

from runwright import __version__

RUNTIMES = {"python", "nodejs", "deno", "shell"}


@pytest.mark.registry
@pytest.mark.timeout(600)
def test_the_wheel_serves_from_an_empty_environment(tmp_path: Path) -> None:
    wheel = built_wheel(ROOT, tmp_path / "dist")
    environment = tmp_path / "environment"
    uv("venv", "--quiet", "--python", sys.executable, str(environment))
    # Only what the wheel itself asks for is installed; the lock decides about versions.
    lock = ROOT / "requirements" / "lock.txt"
    uv(
        "pip",
        "install",
        "--quiet",
        "--python",
        str(environment / "bin" / "python"),
        "--constraint",
        str(lock),
        f"runwright[all] @ {wheel.as_uri()}",
    )
    program = environment / "bin" / "runwright"
    shown = subprocess.run(
        [program, "version"], check=True, capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert shown.stdout == f"runwright {__version__}\n"
    with (
        serving({"RUNWRIGHT_POOL_PREBOOTED_NODEJS": "0"}, program=program) as server,
        RawClient(server.url) as http,
    ):
        api = Api(http, key=PLATFORM_KEY, tenant="ten_wheel")
        worker = api.make_worker()
        assert api.run_job(worker["id"], input={"n": 1})["output"] == {"n": 1}
        offered = {one["name"] for one in api.get("/runtimes").json()["data"] if one["ready"]}
        assert offered >= RUNTIMES
        assert http.get("/healthz").json()["status"] == "ok"
        script = "rw set n 1 && rw log info kept n=1 && rw get n"
        shell = api.make_worker(runtime="shell", source_code=script)
        assert api.run_job(shell["id"])["output"] == 1
        dashboard = http.get("/jobs")
        assert dashboard.headers["content-type"] == "text/html; charset=utf-8"
        [script] = re.findall(r'src="\./(assets/[\w-]+\.js)"', dashboard.text)
        assert http.httpx.get(f"/{script}").headers["content-encoding"] in {"br", "gzip"}
        page = http.get("/docs/quickstart/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "runwright deploy hello" in re.sub("<[^>]+>", "", page.text)
        assert http.get("/llms.txt").text.startswith("# Runwright\n")
