"""How long short jobs of twenty tenants take, alone and while another tenant's long jobs hold every slot.

Each tenant submits a job at an even pace and waits for its result. The other tenant has many times more long
jobs than there are slots; they sleep, so that it is the slots that are measured and not the processors.
"""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.connection import Address, Connection
from tests.bench.latency import check_completed
from tests.bench.process import ChildError
from tests.bench.result import Latency
from tests.bench.server import count_jobs, make_worker, run_jobs, serving

ALONE: Final = "alone"
BESIDE: Final = "beside long jobs"
TENANTS: Final = 20
PACE_SECONDS: Final = 1.0
LONG_SECONDS: Final = 600
BACKLOG_FACTOR: Final = 10
FILL_SECONDS: Final = 60.0
_WARM_JOBS: Final = 6
_LONG: Final = f"import time\ndef handler(input, env):\n    time.sleep({LONG_SECONDS})\n"
_ENV: Final = {"RUNWRIGHT_DRAIN_SECONDS": "0"}


async def measure_fairness(folder: Path, requests: int) -> dict[str, Latency]:
    """Measure both on one fresh server; `requests` of each tenant."""
    async with serving(folder, env=_ENV) as server:
        tenants = [_of_tenant(server.address, f"ten_short_{n}") for n in range(TENANTS)]
        workers = [_make_warm_worker(address) for address in tenants]
        figures = {ALONE: _latency(tenants, workers, requests)}
        with Connection(_of_tenant(server.address, "ten_long")) as other:
            _fill_slots(other)
            figures[BESIDE] = _latency(tenants, workers, requests)
    return figures


def _of_tenant(address: Address, tenant: str) -> Address:
    return msgspec.structs.replace(address, headers={**address.headers, "x-tenant-id": tenant})


def _make_warm_worker(address: Address) -> str:
    with Connection(address) as connection:
        worker = make_worker(connection)
        run_jobs(connection, worker, _WARM_JOBS)
    return worker


def _fill_slots(connection: Connection) -> None:
    """Submit many long jobs and return when they run in every slot."""
    slots = int(connection.call("GET", "/healthz")["executors"]["slots"])
    body = {"name": "long", "runtime": "python", "source_code": _LONG, "timeout_seconds": LONG_SECONDS}
    worker = str(connection.call("POST", "/v1/ava/workers", body)["data"]["id"])
    job = {"worker_id": worker, "input": {}}
    connection.call("POST", "/v1/ava/jobs/batch", {"jobs": [job] * (BACKLOG_FACTOR * slots)})
    deadline = time.monotonic() + FILL_SECONDS
    while count_jobs(connection, worker, "running") < slots:
        if time.monotonic() > deadline:
            raise ChildError("the long jobs did not take all slots")


def _latency(tenants: Iterable[Address], workers: Iterable[str], requests: int) -> Latency:
    """Return how long a job takes from its request to its result, over all tenants."""
    seconds: list[float] = []
    errors: list[Exception] = []

    def submit_at_pace(nth: int, address: Address, worker: str) -> None:
        request = address.render("POST", "/v1/ava/jobs?wait=30", {"worker_id": worker, "input": {"n": 1}})
        due = time.monotonic() + PACE_SECONDS * nth / TENANTS
        try:
            with Connection(address) as connection:
                for _ in range(requests):
                    time.sleep(max(0.0, due - time.monotonic()))
                    due += PACE_SECONDS
                    began = time.perf_counter()
                    check_completed(*connection.exchange(request))
                    seconds.append(time.perf_counter() - began)
        except Exception as error:  # noqa: BLE001  raised again by the main thread
            errors.append(error)

    parties = enumerate(zip(tenants, workers, strict=True))
    threads = [threading.Thread(target=submit_at_pace, args=(n, *party)) for n, party in parties]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Latency.of(seconds)
