"""What holds the event loop: the processor time of its longest step, for the worst input to each entry point.

`python -m tests.bench.holders [PART…]` tries those whose name contains one of the parts, or all. Each route gets
hostile bodies, queries and headers (`hostile.py`). `LARGE` has, for each resource, the scenarios with the largest
valid input that it takes and the largest output that it gives; a new resource needs a row there.
"""

import asyncio
import io
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Final

import httpx

from runwright.http.routing import Route
from tests.bench import hostile
from tests.bench.held_loops import connections, mcp, schemas, streams
from tests.bench.prober import BAR_MS, JSON, Json, Prober, say
from tests.bench.process import module_command, temporary_folder
from tests.bench.server import serving
from tests.webhook_sender import agh_headers


def _ended_job(p: Prober, source: str, input: Json) -> str:
    worker = p.http.post("/v1/ava/workers", json={"name": "e", "runtime": "python", "source_code": source})
    body = {"worker_id": worker.json()["data"]["id"], "input": input}
    answer = p.http.post("/v1/ava/jobs", params={"wait": 30}, json=body)
    return str(answer.json()["data"]["id"])


def _submit_inputs(p: Prober) -> None:
    for name, value in hostile.values(1024 * 1024 - 100).items():
        body = b'{"worker_id":"%b","input":{"a":%b}}' % (p.worker.encode(), value)
        p.send(f"POST /v1/ava/jobs input {name}", "POST", "/v1/ava/jobs", content=body, headers=JSON)
        key = {**JSON, "idempotency-key": name.replace(" ", "-")}
        p.send(f"POST /v1/ava/jobs key {name}", "POST", "/v1/ava/jobs", content=body, headers=key)


def _submit_batch(p: Prober) -> None:
    for name, value in hostile.values(1900).items():
        one = b'{"worker_id":"%b","input":{"a":%b}}' % (p.worker.encode(), value)
        body = b'{"jobs":[%b]}' % b",".join([one] * 1000)
        p.send(f"POST batch {name}", "POST", "/v1/ava/jobs/batch", content=body[:], headers=JSON)


def _list_jobs(p: Prober) -> None:
    body = {"worker_id": p.worker, "input": {"a": "x" * 1_000_000}}
    for _ in range(60):
        p.http.post("/v1/ava/jobs", json=body)
    p.send("GET /v1/ava/jobs of large inputs", "GET", "/v1/ava/jobs", params={"per_page": 100})


def _outputs(p: Prober) -> None:
    source = "def handler(input, env):\n    return input['n'] * eval(input['part'])\n"
    for name, part, n in (
        ("strings", "['a']", 200_000),
        ("lists", "[[]]", 250_000),
        ("nested", "[" * 50 + "]" * 50, 9_000),
        ("numbers", "[1e300]", 120_000),
        ("text", "'é'", 300_000),
    ):
        job = _ended_job(p, source, {"n": n, "part": part})
        p.note(f"output of {name}")
        p.send(f"GET job with {name}", "GET", f"/v1/ava/jobs/{job}")


FIELDS: Final = """
from runwright import log
def handler(input, env):
    for n in range(9_900):
        log.info("m", **{f"k{i}": i for i in range(30)})
"""


def _logs(p: Prober) -> None:
    source = "def handler(input, env):\n    for n in range(input['lines']):\n        print(input['text'])\n"
    for name, lines, text in (
        ("long lines", 240, "a" * 16_000),
        ("many lines", 10_000, "a"),
        ("controls", 240, "\x1b[" * 8000),
        ("lines at once", 1, "a\n" * 40_000),
        ("empty lines at once", 1, "\n" * 60_000),
        ("fields", 0, "f"),
    ):
        job = _ended_job(p, FIELDS if not lines else source, {"lines": lines, "text": text})
        p.note(f"log of {name}")
        p.send(f"GET logs of {name}", "GET", f"/v1/ava/jobs/{job}/logs", params={"limit": 500})
        search = {"limit": 500, "q": "nothing"}
        p.send(f"search logs of {name}", "GET", f"/v1/ava/jobs/{job}/logs", params=search)
        p.send(f"GET log stream of {name}", "GET", f"/v1/ava/jobs/{job}/logs/stream")


def _shared(p: Prober) -> None:
    job = _ended_job(p, "def handler(input, env):\n    return input\n", {"a": "x" * 1_000_000})
    p.http.put("/v1/ava/sharing", json={"enabled": True}).raise_for_status()
    share = p.http.post(f"/v1/ava/jobs/{job}/shares", json={}).json()["data"]
    visitor = {"authorization": f"Bearer {share['token']}"}
    p.send("GET a shared job", "GET", "/v1/shared/job", headers=visitor)
    p.send("GET its log", "GET", "/v1/shared/job/logs", headers=visitor, params={"limit": 500, "q": "x"})


def _archive(files: int, size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.py", "def handler(input, env):\n    return 1\n")
        for number in range(files):
            archive.writestr(f"d{number % 100}/f{number}", b"x" * size)
    return file.getvalue()


def _deploys(p: Prober) -> None:
    kind = {"content-type": "application/zip"}
    for name, files, size in (
        ("many files", 9000, 1),
        ("large files", 40, 1_000_000),
        ("too many files", 60_000, 0),
    ):
        path = f"/v1/ava/workers/{p.worker}/deploy"
        p.send(f"deploy of {name}", "POST", path, content=_archive(files, size), headers=kind)
    p.send("GET versions", "GET", f"/v1/ava/workers/{p.worker}/versions")


def _secrets(p: Prober) -> None:
    for number in range(300):
        p.http.put(f"/v1/ava/secrets/S{number}", json={"value": "x" * 60_000})
    p.note("PUT secrets")
    p.send("GET secrets", "GET", "/v1/ava/secrets", params={"per_page": 100})


def _schedules(p: Prober) -> None:
    rare = "0,1 0 29 2 1"
    for number in range(100):
        body = {"name": f"s{number}", "worker_id": p.worker, "cron": rare, "timezone": "America/Nuuk"}
        p.http.post("/v1/ava/schedules", json=body)
    p.note("POST schedules")
    p.send("GET schedules", "GET", "/v1/ava/schedules", params={"per_page": 100})
    query = {"cron": rare, "timezone": "Africa/Casablanca", "count": 100}
    p.send("GET preview", "GET", "/v1/ava/schedules/preview", params=query)


def _checks(p: Prober) -> None:
    path, worker = "/v1/ava/check", {"name": "w", "runtime": "python"}
    rare = [{"cron": "0,1 0 29 2 1", "timezone": "America/Nuuk"}] * 500
    p.send(
        "POST check of schedules", "POST", path, json={"workers": [{"definition": worker, "schedules": rare}]}
    )
    prompts = [{"scope": "global", "name": f"t{n}", "event": "some.event", "agent_name": "a", "filter": {"data.a": "x"},
                "prompt": "{{.Data.a}}" * 350} for n in range(500)]  # fmt: skip
    p.send("POST check of triggers", "POST", path, json={"automation_triggers": prompts})
    for name, value in hostile.values(1024 * 1024).items():
        body = b'{"workers":[{"definition":{"name":"w","runtime":"python","config":{"A":%b}}}]}' % value
        p.send(f"POST check of a worker's config {name}", "POST", path, content=body, headers=JSON)
        body = (
            b'{"workers":[{"definition":{"name":"w","runtime":"python","input_schema":{"enum":[%b]}}}]}'
            % value
        )
        p.send(f"POST check of an input schema {name}", "POST", path, content=body, headers=JSON)


def _events(p: Prober) -> None:
    for number in range(20):
        path = {"data." + ".".join("a" * 40): "x", f"data.k{number}": "y"}
        body = {"scope": "global", "name": f"t{number}", "event": "some.event", "agent_name": "a",
                "prompt": "{{.Data.a}}", "filter": path}  # fmt: skip
        p.http.post("/api/automation/triggers", json=body)
    p.note("POST triggers")
    for name, value in hostile.values(250 * 1024).items():
        event = b'{"event":"some.event","payload":{"a":%b}}' % value
        p.send(f"POST event {name}", "POST", "/api/v1/events/", content=event, headers=JSON)
        event = b'{"event":"some.event","data":{"a":%b}}' % value
        p.send(f"POST AGH event {name}", "POST", "/api/automation/events", content=event, headers=JSON)
    p.send("GET runs", "GET", "/api/automation/runs", params={"limit": 500})
    p.send("GET triggers", "GET", "/api/automation/triggers", params={"limit": 500})


def _event_log(p: Prober) -> None:
    body = b'{"event":"some.event","payload":{"a":%b}}' % hostile.values(250 * 1024)["nested lists"]
    for _ in range(40):
        p.http.post("/api/v1/events/", content=body, headers=JSON)
    p.send("GET event log", "GET", "/v1/ava/events", params={"per_page": 100})


def _agents(p: Prober) -> None:
    for number in range(50):
        p.http.post("/api/v1/agents", json={"name": f"a{number}", "events": ["result.submitted"]})
    body = b'{"event":"result.submitted","payload":{"a":%b}}' % hostile.values(250 * 1024)["nested lists"]
    for _ in range(4):
        p.http.post("/api/v1/events/", content=body, headers=JSON)
    p.note("POST events for agents")
    p.send("GET agents", "GET", "/api/v1/agents", params={"limit": 200})
    p.send("GET executions", "GET", "/api/v1/executions", params={"limit": 200})


def _questions(p: Prober) -> None:
    for name, value in hostile.values(250 * 1024).items():
        body = b'{"question":"q","payload":{"a":%b}}' % value
        p.send(f"POST question {name}", "POST", "/v1/ava/inbox", content=body, headers=JSON)
    for text in ("q" * 1000, "é" * 1000):
        p.send("POST question of a long text", "POST", "/v1/ava/inbox", json={"question": text})
    p.send("GET inbox", "GET", "/v1/ava/inbox", params={"per_page": 100})


def _webhooks(p: Prober) -> None:
    body = {"url": "https://example.com/" + "a" * 1900, "events": ["*"]}
    for _ in range(20):
        p.http.post("/v1/webhooks", json=body)
    p.send("GET webhooks", "GET", "/v1/webhooks", params={"per_page": 100})


def _workers(p: Prober) -> None:
    for name, value in hostile.values(60 * 1024).items():
        body = b'{"name":"w","runtime":"python","source_code":"x","config":{"A":%b}}' % value
        p.send(f"POST worker config {name}", "POST", "/v1/ava/workers", content=body, headers=JSON)
    source = {"name": "w", "runtime": "python", "source_code": "é{[" * 260_000}
    for _ in range(20):
        p.send("POST worker with a large source", "POST", "/v1/ava/workers", json=source)
    p.send("GET workers", "GET", "/v1/ava/workers", params={"per_page": 100})
    p.send("GET audit", "GET", "/v1/audit", params={"per_page": 100})


def _reports(p: Prober) -> None:
    for path in ("/v1/ava/analytics", f"/v1/ava/analytics/workers/{p.worker}", "/v1/ava/queues"):
        p.send(f"GET {path}", "GET", path)
    for path in (
        "/v1/ava/openapi.json",
        "/api/v1/openapi.json",
        "/api/automation/openapi.json",
        "/healthz",
        "/metrics",
    ):
        p.send(f"GET {path}", "GET", path)


def _ingress(p: Prober) -> None:
    body = {"scope": "global", "name": "hook", "event": "webhook", "agent_name": "a", "prompt": "p",
            "endpoint_slug": "hook", "webhook_secret_value": SECRET}  # fmt: skip
    trigger = p.http.post("/api/automation/triggers", json=body).json()["trigger"]
    path = f"/api/webhooks/global/hook--{trigger['webhook_id']}"
    for name, value in hostile.values(4 * 1024 * 1024 - 100).items():
        content = b'{"a":%b}' % value
        headers = JSON | agh_headers(SECRET, content, at=time.time())
        p.send(f"POST webhook {name}", "POST", path, content=content, headers=headers)


def _bulk(p: Prober) -> None:
    p.send(
        "POST bulk", "POST", "/v1/ava/jobs/bulk", json={"action": "cancel", "filter": {"worker_id": p.worker}}
    )
    for _ in range(40):
        p.http.get("/livez")
    p.note("bulk steps")


SECRET: Final = "a secret of the bench"
SCENARIOS: Final[dict[str, Callable[[Prober], None]]] = {
    one.__name__.strip("_"): one
    for one in (
        *(_submit_inputs, _submit_batch, _list_jobs, _outputs, _logs, _deploys, _secrets, _schedules),
        *(
            _checks,
            _events,
            _event_log,
            _ingress,
            _agents,
            _questions,
            _webhooks,
            _workers,
            _reports,
            _bulk,
            _shared,
        ),
        *(connections, schemas, streams, mcp),
    )
}


SMALL: Final = ("reports",)
"""For resources whose requests and answers are small: a scenario reads them all."""

LARGE: Final[dict[str, tuple[str, ...]]] = {
    "/v1/ava/workers": ("workers", "deploys"),
    "/v1/ava/secrets": ("secrets",),
    "/v1/ava/check": ("checks",),
    "/v1/ava/jobs": (
        *("submit_inputs", "submit_batch", "list_jobs", "outputs", "logs", "bulk"),
        *("connections", "schemas", "mcp"),
    ),
    "/v1/ava/schedules": ("schedules",),
    "/v1/ava/queues": SMALL,
    "/v1/ava/runtimes": SMALL,
    "/v1/ava/analytics": SMALL,
    "/v1/ava/events": ("event_log",),
    "/v1/ava/stream": ("event_log", "streams"),
    "/v1/ava/inbox": ("agents", "questions"),
    "/v1/ava/whoami": SMALL,
    "/v1/ava/sharing": SMALL,
    "/v1/shared": ("shared",),
    "/v1/session": SMALL,
    "/v1/tokens": SMALL,
    "/v1/system": SMALL,
    "/v1/ava/openapi.json": SMALL,
    "/v1/ava/docs": SMALL,
    "/v1/webhooks": ("webhooks",),
    "/v1/tenants": SMALL,
    "/v1/keys": SMALL,
    "/v1/audit": ("workers",),
    "/api/v1/agents": ("agents",),
    "/api/v1/executions": ("agents",),
    "/api/v1/agent-actions": SMALL,
    "/api/v1/events": ("events",),
    "/api/v1/organizations": SMALL,
    "/api/v1/webhooks": ("webhooks",),
    "/api/v1/webhook-deliveries": ("webhooks",),
    "/api/v1/openapi.json": SMALL,
    "/api/automation/jobs": ("events",),
    "/api/automation/triggers": ("events",),
    "/api/automation/runs": ("events",),
    "/api/automation/events": ("events",),
    "/api/automation/openapi.json": SMALL,
    "/api/tasks": SMALL,
    "/api/webhooks": ("ingress",),
}


def _hostile(p: Prober, route: Route) -> Iterator[None]:
    path = route.path.replace("{version}", "1")
    for name in ("worker_id", "job_id", "schedule_id", "webhook_id", "key_id", "trigger_id", "run_id"):
        path = path.replace(f"{{{name}}}", f"{name[:3]}_00000000000000000000000001")
    path = path.replace("{name}", "NAME").replace("{", "").replace("}", "")
    label = f"{route.method} {route.path}"
    for name, query in hostile.queries(route.query):
        p.send(f"{label} ?{name}", route.method, f"{path}?{query}")
        yield
    if route.body is not None:
        for name, body in hostile.bodies(route.body):
            p.send(f"{label} {name}", route.method, path, content=body, headers=JSON)
            yield
    for name, headers in hostile.HEADERS.items():
        p.send(f"{label} {name}", route.method, path, headers=headers)
        yield


async def main(parts: list[str]) -> int:
    """Try everything, print what held the loop longest, and return 1 where that is too long."""
    with temporary_folder() as folder:
        report = folder / "held"
        report.touch()
        report.chmod(0o666)
        program = (*module_command("tests.bench.metered_server"), str(report))
        async with serving(folder, program=program) as server:
            prober = await asyncio.to_thread(Prober, server, report)
            await asyncio.to_thread(_probe, prober, parts)
    ranked = sorted(prober.worst.items(), key=lambda one: -one[1][0])
    sys.stdout.write(f"\nOf {len(ranked)}, the longest:\n")
    for name, (ms, what, status) in ranked[:40]:
        say(name, ms, what, status)
    return int(ranked[0][1][0] > BAR_MS)


def _probe(prober: Prober, parts: list[str]) -> None:
    prober.note("start")
    for name, scenario in SCENARIOS.items():
        if not parts or any(part in name for part in parts):
            try:
                scenario(prober)
            except (httpx.HTTPError, KeyError) as error:
                sys.stdout.write(f"{name}: {error!r}\n")
    for route in hostile.routes():
        label = f"{route.method} {route.path}"
        if not parts or any(part in label for part in parts):
            try:
                for _ in _hostile(prober, route):
                    pass
            except httpx.HTTPError as error:
                sys.stdout.write(f"{label}: {error!r}\n")


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(sys.argv[1:])))
