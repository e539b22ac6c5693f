"""How far a reader travels to follow a job: ARCHITECTURE lists the files and shapes, and both are few."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server, serving

ROOT = Path(__file__).parents[2]
MOST_FILES = 30
MOST_SHAPES = 10
SLOW = "import time\ndef handler(input, env):\n    time.sleep(0.2)\n"

# Both ends of the request hand bytes on; the values themselves and the files that run in the sandbox have no
# function that a trace of the server could see.
UNTRACED = {
    "http/asgi_entry.py",
    "http/response.py",
    "jobs/model.py",
    "runtimes/model.py",
    "runtimes/harness/python_harness.py",
    "runtimes/harness/runwright_wire.py",
}
LOST_NOTIFICATIONS = {"jobs/store/read.py"}
"""What only a slow job passes: a wait looks at the tables from time to time, in case a notification was lost."""

NO_SHAPES = {"Request", "Reply", "LogChunk"}
"""The request, the response, and lines that are stored while a job runs."""


@pytest.mark.timeout(300)  # a server that is traced is slow
def test_a_job_passes_the_files_and_shapes_that_the_architecture_lists(tmp_path: Path) -> None:
    out = tmp_path / "trace.json"
    program = tmp_path / "runwright"
    program.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({str(ROOT / 'tests/contract/traced_server.py')!r}, run_name='__main__')\n"
    )
    program.chmod(0o755)
    with (
        serving({"TRACE_OUT": str(out)}, program=program, migrated=True) as server,
        RawClient(server.url) as http,
    ):
        _run_jobs(Api(http, key=PLATFORM_KEY, tenant="ten_walk"), server)
    trace = json.loads(out.read_text())
    files, shapes = _listed()
    assert set(trace["files"]) - LOST_NOTIFICATIONS | UNTRACED == files
    assert set(trace["shapes"]) - NO_SHAPES == shapes
    assert len(files) <= MOST_FILES
    assert len(shapes) <= MOST_SHAPES


def _run_jobs(api: Api, server: Server) -> None:
    """Trace a job that starts at once, and one that waits in the queue until another has ended."""
    warm, limited = api.make_worker(), api.make_worker(source_code=SLOW, max_concurrency=1)
    api.run_job(warm["id"])
    os.kill(server.pid, signal.SIGUSR1)
    api.run_job(warm["id"])
    api.post("/jobs", {"worker_id": limited["id"]})
    api.run_job(limited["id"])


def _listed() -> tuple[set[str], set[str]]:
    """Return the files and shapes that ARCHITECTURE lists."""
    text = (ROOT / "ARCHITECTURE.md").read_text().split("### Its walk through the code")[1].split("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)/` \| (.*) \|$", text, re.MULTILINE)
    files = {f"{room}/{name}.py" for room, names in rows for name in re.findall(r"`([\w/]+)`", names)}
    shapes = set(re.findall(r"`([A-Z]\w+)`", text.split("shapes on the way:")[1].split("([decision")[0]))
    return files, shapes
