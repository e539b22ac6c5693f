"""While the database hangs, every route of every dialect refuses: 503 with `Retry-After`, also without a cache.

How soon a request is refused is proved in tests/integration/db/test_patience.py; here a request that waited
longer than `GUARD_SECONDS` has no patience at all.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.contract.conftest import PLATFORM_KEY, Server, running_server

from runwright.http.agh.routes import agh_routes
from runwright.http.ava.routes import ava_routes
from runwright.http.avala.routes import avala_routes

GUARD_SECONDS: Final = 9.0
"""Shorter than what a read may take in the server, on a busy machine longer than any patience."""

MOST_OF_THEM: Final = 60
"""Of the routes; the others refuse the ids or the queries of this test first."""

BY_PLATFORM_KEY: Final = {
    "x-internal-secret": PLATFORM_KEY,
    "x-avala-api-key": PLATFORM_KEY,
    "authorization": f"Bearer {PLATFORM_KEY}",
    "x-tenant-id": "ten_a",
    "x-user-id": "usr_1",
    "x-platform-role": "platform-admin",
}
WITHOUT_DATABASE: Final = re.compile(
    r"openapi\.json|/docs|/runtimes|/organizations|schedules/preview|ava/stream|whoami|v1/shared"
)
"""What needs no database; a key is refused as the token of a shared job without one."""
_ULID: Final = "01arz3ndektsv4rrffq69g5fav"
IDS: Final = {
    "version": "1",
    "uid": "00000000-0000-4000-8000-000000000000",
    "tenant_id": "ten_b",
    "worker_id": f"wkr_{_ULID}",
    "job_id": f"job_{_ULID}",
    "schedule_id": f"sch_{_ULID}",
    "operation_id": f"blk_{_ULID}",
    "backfill_id": f"bfl_{_ULID}",
    "webhook_id": f"wh_{_ULID}",
    "delivery_id": f"whd_{_ULID}",
    "key_id": f"key_{_ULID}",
    "event_id": f"evt_{_ULID}",
}
JOB: Final = {"worker_id": IDS["worker_id"], "input": {}}
WRITES: Final[dict[tuple[str, str], Any]] = {
    ("POST", "/v1/ava/jobs"): JOB,
    ("POST", "/v1/ava/jobs/batch"): {"jobs": [JOB]},
    ("POST", "/v1/ava/jobs/job_01arz3ndektsv4rrffq69g5fav/cancel"): None,
    ("POST", "/v1/ava/jobs/job_01arz3ndektsv4rrffq69g5fav/retry"): None,
    ("POST", "/v1/ava/jobs/bulk"): {"action": "cancel", "filter": {"worker_id": IDS["worker_id"]}},
    ("POST", "/v1/ava/workers"): {"name": "w", "runtime": "shell", "source_code": "x"},
    ("PATCH", "/v1/ava/workers/wkr_01arz3ndektsv4rrffq69g5fav"): {"name": "v"},
    ("DELETE", "/v1/ava/workers/wkr_01arz3ndektsv4rrffq69g5fav"): None,
    ("POST", "/v1/ava/schedules"): {"worker_id": JOB["worker_id"], "cron": "* * * * *", "timezone": "UTC"},
    ("PUT", "/v1/ava/secrets/SOME_NAME"): {"value": "x" * 20},
    ("POST", "/v1/webhooks"): {"url": "https://example.com/", "events": ["ava.job.completed"]},
    ("POST", "/v1/keys"): {"tenant_id": "ten_a", "role": "tenant-viewer"},
    ("POST", "/api/v1/agents"): {"name": "a", "events": ["result.submitted"]},
    ("POST", "/api/automation/jobs/job_1/trigger"): None,
    ("POST", "/api/webhooks/global/slug--wbh_1"): {},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as one:
        yield one


@contextlib.contextmanager
def hanging(data_dir: Path) -> Iterator[None]:
    """Stop the embedded server and its backends."""
    postmaster = int((data_dir / "pg" / "postmaster.pid").read_text().splitlines()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    pids = [postmaster, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def requests() -> dict[tuple[str, str], Any]:
    """All that reads, and the writes."""
    reads = {
        ("GET", re.sub(r"\{(\w+)\}", lambda name: IDS.get(name[1], "x_1"), route.path))
        for route in (*ava_routes(), *avala_routes(), *agh_routes())
        if route.method == "GET" and not WITHOUT_DATABASE.search(route.path)
    }
    return dict.fromkeys(sorted(reads)) | WRITES


async def test_every_route_refuses_while_the_database_hangs(server: Server) -> None:
    """With the platform key the first wait is the route's own; with a tenant's key it is that for the key."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        made = await http.post(
            "/v1/keys", json={"tenant_id": "ten_a", "role": "tenant-system-admin"}, headers=BY_PLATFORM_KEY
        )
        by_key = {
            "x-internal-secret": made.json()["data"]["key"],
            "x-user-id": "usr_1",
            "x-tenant-id": "ten_a",
        }

        async def call(method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[str, int, bool]:  # noqa: ANN401  JSON
            try:
                async with asyncio.timeout(GUARD_SECONDS):
                    answer = await http.request(method, path, json=body, headers=headers)
            except TimeoutError:
                return f"{method} {path} had no answer", 0, False
            return f"{method} {path}", answer.status_code, "retry-after" in answer.headers

        with hanging(server.data_dir):
            answers = await asyncio.gather(
                *(call(*request, body, BY_PLATFORM_KEY) for request, body in requests().items()),
                *(call(*request, WRITES[request], by_key) for request in list(WRITES)[:12]),
            )
        refused = {name for name, status, retry in answers if (status, retry) == (503, True)}
        others = {f"{name}: {status}" for name, status, retry in answers if name not in refused}
        bad_input = (": 400", ": 404", ": 422")
        assert {one for one in others if not one.endswith(bad_input)} == set()
        assert {" ".join(request) for request in WRITES} <= refused
        assert len(refused) >= MOST_OF_THEM, sorted(others)
        async with asyncio.timeout(60):
            while (await http.get("/readyz")).status_code != 200:  # noqa: ASYNC110  only the server knows
                await asyncio.sleep(0.1)
