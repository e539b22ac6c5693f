"""The published examples, replayed as printed: shapes and keys as documented, ours may be added."""

import json
import re
import shlex
import subprocess

import pytest
from tests.contract.client import TIME, Api, Json
from tests.contract.conftest import Server
from tests.contract.test_jobs import SEED_KEYS
from tests.contract.test_workers import KEYS as WORKER_KEYS

CREATE_WORKER = """curl -X POST https://api.hldgroup.org/v1/ava/workers \\
-H "x-internal-secret: <key>" \\
-H "x-tenant-id: ten_01hxyz" \\
-H "x-user-id: usr_01hxyz" \\
-H "x-platform-role: tenant-system-admin" \\
-H "Content-Type: application/json" \\
-d '{
"name": "Incident enrichment pipeline",
"runtime": "python",
"description": "Pulls threat intel for new critical incidents and posts enriched summary to Slack",
"timeout_seconds": 120,
"max_retries": 1,
"config": {
"SLACK_CHANNEL": "#security-ops",
"MIN_SEVERITY": "high"
},
"secrets": ["SLACK_BOT_TOKEN", "VIRUSTOTAL_API_KEY"],
"source_code": "async def handler(input, env):\\n # ... enrichment logic"
}'"""

QUICK_START_WORKER = """curl -X POST https://api.hldgroup.org/v1/ava/workers \\
  -H "x-internal-secret: <key>" \\
  -H "x-tenant-id: ten_01hxyz" \\
  -H "x-user-id: usr_01hxyz" \\
  -H "x-platform-role: tenant-system-admin" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "Daily security digest",
    "runtime": "nodejs",
    "description": "Fetches open Sentinel incidents and sends a Slack digest",
    "timeout_seconds": 60,
    "max_retries": 2,
    "source_code": "module.exports = async ({ input, env }) => { /* ... */ }"
  }'"""

TRIGGER_JOB = """curl -X POST https://api.hldgroup.org/v1/ava/jobs \\
  -H "x-internal-secret: <key>" \\
  -H "x-tenant-id: ten_01hxyz" \\
  -H "x-user-id: usr_01hxyz" \\
  -H "x-platform-role: tenant-system-admin" \\
  -H "Content-Type: application/json" \\
  -d '{
    "worker_id": "wkr_01hxyz",
    "priority": 2,
    "input": {
      "incident_id": "inc_01hxyz",
      "channel": "#security-ops"
    }
  }'"""

LIST_WORKERS = """curl https://api.hldgroup.org/v1/ava/workers \\
  -H "x-internal-secret: <your-api-key>" \\
  -H "x-user-id: usr_01hxyz" \\
  -H "x-tenant-id: ten_01hxyz" \\
  -H "x-platform-role: tenant-system-admin\""""


@pytest.fixture
def replay(server: Server, api: Api) -> "Replay":
    return Replay(server.url, api)


class Replay:
    """Runs a printed curl command against this server, with the test's own key and tenant."""

    def __init__(self, url: str, api: Api) -> None:
        self.url = url
        self.api = api

    def __call__(self, command: str, **ids: str) -> tuple[int, Json]:
        command = command.replace("https://api.hldgroup.org", self.url)
        command = re.sub(r"<(your-api-)?key>", self.api.key, command).replace("ten_01hxyz", self.api.tenant)
        for old, new in (ids | {"\\\n": " "}).items():
            command = command.replace(old, new)
        words = [*shlex.split(command), "-s", "-w", "\\n%{http_code}", "--noproxy", "*"]
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body)


def test_create_a_worker(replay: Replay) -> None:
    status, body = replay(CREATE_WORKER)
    assert status == 201
    assert body.keys() == {"data"}
    worker = body["data"]
    assert worker.keys() == WORKER_KEYS
    assert worker["config"] == {"SLACK_CHANNEL": "#security-ops", "MIN_SEVERITY": "high"}
    assert worker["secrets"] == ["SLACK_BOT_TOKEN", "VIRUSTOTAL_API_KEY"]
    assert worker["source_code"] == "async def handler(input, env):\n # ... enrichment logic"
    assert (worker["timeout_seconds"], worker["max_retries"]) == (120, 1)


def test_quick_start(replay: Replay) -> None:
    status, body = replay(QUICK_START_WORKER)
    assert status == 201
    worker = body["data"]
    status, body = replay(TRIGGER_JOB, wkr_01hxyz=worker["id"])
    assert status == 201
    assert body.keys() == {"data"}
    job = body["data"]
    assert job.keys() >= SEED_KEYS
    assert list(job)[: len(SEED_KEYS)] == [
        *(
            "id",
            "worker_id",
            "tenant_id",
            "status",
            "trigger",
            "priority",
            "input",
            "triggered_by",
            "created_at",
        ),
        *("started_at", "completed_at", "duration_ms", "output", "error"),
    ]
    assert TIME.fullmatch(job["created_at"])
    assert {name: job[name] for name in SEED_KEYS - {"id", "created_at"}} == {
        "worker_id": worker["id"],
        "tenant_id": replay.api.tenant,
        "status": "queued",
        "trigger": "manual",
        "priority": 2,
        "input": {"incident_id": "inc_01hxyz", "channel": "#security-ops"},
        "triggered_by": "usr_01hxyz",
        "started_at": None,
        "completed_at": None,
        "duration_ms": None,
        "output": None,
        "error": None,
    }


def test_list_workers(replay: Replay) -> None:
    status, body = replay(LIST_WORKERS)
    assert status == 200
    assert body == {
        "data": [],
        "pagination": {"page": 1, "per_page": 20, "total": 0, "has_more": False, "next_cursor": None},
    }


def test_an_unknown_worker_of_the_printed_form_is_not_found(replay: Replay) -> None:
    status, body = replay(TRIGGER_JOB)
    assert (status, body["error"]["code"]) == (404, "resource_not_found")
