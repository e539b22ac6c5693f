"""Monitoring: every role answers probes and scrapes, and what `contrib/` shows and alerts on is real."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server, serving
from tests.e2e.web.proxies import free_port
from tests.waiting import PATIENCE_SECONDS, until

CONTRIB: Final = Path(__file__).parents[2] / "contrib"
RULES: Final = CONTRIB / "prometheus/alerts.yml"
DASHBOARD: Final = CONTRIB / "grafana/runwright.json"
KEDA: Final = CONTRIB / "keda/executors.yaml"
VAULT_KEY: Final = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
TENANT: Final = "ten_monitored"


class Installation:
    """An API without executor, and an executor without API, on one database."""

    def __init__(self, api: Server, executor: Server) -> None:
        self.api = api
        self.executor = executor
        self.targets = (api.url, _probes(api), _probes(executor))


def _probes(server: Server) -> str:
    found = re.search(r"probes_listening.*(http://[0-9.:]+)", server.log.read_text())
    assert found is not None, server.log.read_text()
    return found[1]


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    shared = {"RUNWRIGHT_PROBE_PORT": "0", "RUNWRIGHT_VAULT_KEY": VAULT_KEY}
    roles = {"RUNWRIGHT_ROLES": "api,scheduler,router,deliverer"}
    with serving(shared | roles) as api:
        database = f"postgresql:///runwright?user=runwright&host={api.data_dir / 'pg.socket'}"
        alone = {"RUNWRIGHT_ROLES": "executor", "RUNWRIGHT_DATABASE_URL": database}
        with serving(shared | alone) as executor:
            _be_busy(api)
            yield Installation(api, executor)


def _be_busy(server: Server) -> None:
    """Let happen what has series of its own: jobs, a firing, a request from a sandbox."""
    with RawClient(server.url) as http:
        api = Api(http, key=PLATFORM_KEY, tenant=TENANT)
        worker = api.make_worker()["id"]
        assert api.run_job(worker)["status"] == "completed"
        server.make_due(api.make_schedule(worker)["id"])


def scraped(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the samples of a process by their names."""
    response = httpx.get(f"{url}/metrics", timeout=PATIENCE_SECONDS)
    assert response.status_code == 200
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.mark.parametrize("target", [1, 2], ids=["beside an API", "without an API"])
def test_every_role_answers_on_its_probe_port(installation: Installation, target: int) -> None:
    url = installation.targets[target]
    assert httpx.get(f"{url}/livez").json() == {"status": "ok"}
    assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}
    assert httpx.get(f"{url}/healthz").json()["database"]["reachable"] is True
    assert httpx.head(f"{url}/livez").content == b""
    assert httpx.post(f"{url}/metrics").status_code == 405
    assert httpx.get(f"{url}/v1/ava/workers").status_code == 404


def test_an_executor_reports_its_slots_its_lease_and_how_jobs_started(installation: Installation) -> None:
    found = scraped(installation.targets[2])
    [(_, slots)] = found["runwright_pool_slots"]
    assert slots >= 1
    [(_, age)] = found["runwright_executor_lease_age_seconds"]
    [(_, lease)] = found["runwright_executor_lease_seconds"]
    assert 0 <= age <= lease == 15.0
    starts = {labels["start"]: n for labels, n in found["runwright_job_starts_total"]}
    assert sum(starts.values()) >= 1
    assert set(starts) <= {"warm", "prebooted", "cold"}
    assert all(labels["runtime"] == "python" for labels, _ in found["runwright_job_starts_total"])
    assert any(n >= 1 for _, n in found["runwright_sandbox_boot_seconds_count"])
    assert "runwright_jobs" not in found, "one that samples the database beside the API would double its work"


def test_the_queue_is_shown_by_runtime_and_priority_class(installation: Installation) -> None:
    with RawClient(installation.api.url) as http:
        api = Api(http, key=PLATFORM_KEY, tenant=TENANT)
        worker = api.make_worker()["id"]
        for priority, count in ((1, 1), (5, 2), (9, 3)):
            for _ in range(count):
                api.make_job(worker, priority=priority, scheduled_at="2099-01-01T00:00:00Z")

    def waiting() -> dict[tuple[str, str], float]:
        samples = scraped(installation.api.url).get("runwright_queue_jobs", [])
        return {
            (labels["runtime"], labels["priority_class"]): n
            for labels, n in samples
            if labels["state"] == "waiting"
        }

    found = until(waiting, lambda seen: seen.get(("python", "low"), 0) == 3)
    assert [found["python", each] for each in ("high", "normal", "low")] == [1, 2, 3]
    assert found["wasm", "high"] == 0, "a scaler must find a zero, and not nothing"


def named_series(text: str) -> set[str]:
    """Return the names of series in a file."""
    return set(re.findall(r"\brunwright_[a-z0-9_]+", text))


@pytest.mark.parametrize("file", [RULES, DASHBOARD, KEDA], ids=lambda path: path.name)
def test_every_series_that_contrib_names_exists(installation: Installation, file: Path) -> None:
    names = named_series(file.read_text())
    assert len(names) >= 2

    def missing() -> set[str]:
        return names - {name for url in installation.targets for name in scraped(url)}

    assert until(missing, lambda left: not left) == set()


def test_no_label_has_what_a_tenant_named(installation: Installation) -> None:
    for url in installation.targets:
        assert TENANT not in httpx.get(f"{url}/metrics").text
        for samples in scraped(url).values():
            assert len(samples) < 1000


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return found


def test_the_metrics_keep_prometheus_conventions(installation: Installation) -> None:
    promtool = _program("promtool")
    for url in installation.targets:
        text = httpx.get(f"{url}/metrics").text
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


@contextmanager
def prometheus(folder: Path, targets: tuple[str, ...]) -> Iterator[str]:
    """Run Prometheus, which scrapes these URLs and has our rules; yield its URL."""
    port = free_port()
    hosts = [url.removeprefix("http://") for url in targets]
    jobs = [{"job_name": "runwright", "static_configs": [{"targets": hosts}]}]
    intervals = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = {"global": intervals, "rule_files": [str(RULES)], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                _program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=log,
            stdout=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def asked(url: str, path: str, **query: str) -> Any:  # noqa: ANN401  what Prometheus answers
    """Return the data of an answer of Prometheus; None while it does not answer."""
    try:
        response = httpx.get(f"{url}/api/v1/{path}", params=query, timeout=PATIENCE_SECONDS)
    except httpx.TransportError:
        return None
    return response.json().get("data") if response.status_code == 200 else None


def expressions() -> list[str]:
    """Return what the panels of the dashboard ask."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]
    ]


def test_prometheus_scrapes_every_process_and_takes_the_rules(
    installation: Installation, tmp_path: Path
) -> None:
    with prometheus(tmp_path, installation.targets) as url:
        targets = until(
            lambda: (asked(url, "targets") or {}).get("activeTargets", []),
            lambda seen: len(seen) == 3 and all(one["health"] == "up" for one in seen),
        )
        assert len(targets) == 3
        groups = until(
            lambda: (asked(url, "rules") or {}).get("groups", []),
            lambda seen: seen and all(one["health"] == "ok" for one in seen[0]["rules"]),
        )
        assert {one["name"] for one in groups[0]["rules"]} >= {"RunwrightDown", "RunwrightQueueOld"}
        for expression in expressions():
            assert asked(url, "query", query=expression) is not None, expression
