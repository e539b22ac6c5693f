"""What operators ask: liveness, readiness, health, metrics; and the documentation of the API."""

import html.parser

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.client import Api, Json, RawClient, data_of
from tests.waiting import until


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/healthz", "/metrics", "/v1/ava/openapi.json", "/v1/ava/docs"]
)
def test_no_key_is_needed(http: RawClient, path: str) -> None:
    assert http.get(path).status_code == 200


def test_health_says_how_everything_is_and_no_secret(api: Api) -> None:
    health = api.http.get("/healthz").json()
    assert health.keys() == {
        *("status", "version", "isolation", "database", "executors", "schedules", "pool", "runtimes")
    }
    assert 0 <= health["schedules"]["overdue_seconds"] < 60
    assert health["status"] == "ok"
    assert health["isolation"]["level"] in {"strict", "standard", "process"}
    assert {runtime["name"] for runtime in health["runtimes"]} == {
        "nodejs",
        "python",
        "deno",
        "shell",
        "wasm",
    }
    for runtime in health["runtimes"]:
        assert runtime["ready"] or runtime["reason"]
        assert runtime["path"] is None, "the host's paths are nobody's business"
    assert api.key not in str(health)


def test_requests_are_counted_by_route_and_status_and_not_by_tenant(api: Api) -> None:
    def counts() -> dict[tuple[str, ...], float]:
        text = api.http.get("/metrics").text
        assert api.tenant not in text
        return {
            (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "runwright_http_requests_total"
        }

    before = counts()
    api.get("/workers/wkr_01jd9x3v7m0000000000000000")
    api.post("/jobs", {})
    api.get("/nothing/at/all")
    api.http.request("TRACE", "/v1/ava/jobs")
    after = counts()
    for key in (
        ("GET", "/v1/ava/workers/{worker_id}", "404"),
        ("POST", "/v1/ava/jobs", "422"),
        ("GET", "none", "404"),
        ("other", "none", "405"),
    ):
        assert after[key] - before.get(key, 0) == 1, key


def test_metrics_have_what_an_operator_is_woken_for(api: Api) -> None:
    """Queue, executors, times, deliveries and sizes; without a key, and without names of tenants."""
    worker = api.make_worker()["id"]
    api.run_job(worker)
    api.make_job(worker, scheduled_at="2099-01-01T00:00:00Z")

    def read() -> dict[str, float]:
        text = api.http.get("/metrics").text
        assert api.tenant not in text
        return {
            f"{sample.name} {sample.labels.get('state') or sample.labels.get('kind') or ''}".strip(): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    shown = until(
        read,
        lambda found: found.get("runwright_jobs waiting", 0) and found["runwright_job_wait_seconds_count"],
    )
    assert {"runwright_jobs ready", "runwright_jobs running", "runwright_oldest_due_job_seconds"} <= set(
        shown
    )
    assert shown["runwright_executors"] >= 1
    assert shown["runwright_executor_slots"] >= 1
    for kind in ("webhook", "agent"):
        for name in ("pending", "in_flight", "oldest_due_seconds"):
            assert shown[f"runwright_outbox_{name} {kind}"] >= 0
    assert shown["runwright_database_size_bytes"] > 1_000_000
    assert shown["runwright_cache_size_bytes"] >= 0
    assert shown["runwright_job_run_seconds_count"] >= shown["runwright_job_wait_seconds_count"] >= 1


def references(part: Json) -> set[str]:
    """Every reference in a part of a document."""
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set[str]()
        return own.union(*map(references, part.values()))
    if isinstance(part, list):
        return set[str]().union(*map(references, part))
    return set()


def test_every_reference_of_the_document_leads_somewhere(http: RawClient) -> None:
    document = http.get("/v1/ava/openapi.json").json()
    found = references(document)
    assert {"#/components/schemas/Worker", "#/components/schemas/Job"} <= found
    for reference in found:
        part = document
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_the_document_describes_every_field_of_an_answer(api: Api) -> None:
    schemas = api.http.get("/v1/ava/openapi.json").json()["components"]["schemas"]
    worker = api.make_worker()
    job = api.run_job(worker["id"])
    assert list(schemas["Worker"]["properties"]) == list(worker)
    assert list(schemas["Job"]["properties"]) == list(job)
    log = data_of(api.get(f"/jobs/{job['id']}/logs"))
    assert list(schemas["JobLogs"]["properties"]) == [*log, "next_before"], "this page is no tail"
    assert [*schemas["LogLine"]["properties"]] == [*log["logs"][0], "fields"], "this line has no fields"
    assert "fields" not in schemas["LogLine"]["required"]


class Links(html.parser.HTMLParser):
    """What a page links to, and fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                assert value not in self.ids
                self.ids.add(value)
            elif name == "href" and tag == "a" and value:
                self.targets.add(value)
            elif name in {"src", "href", "action", "style"}:
                self.fetched.append(f"{tag} {name}")
        if tag in {"script", "iframe", "img", "form"}:
            self.fetched.append(tag)


def test_the_page_stands_alone_and_explains_every_error(http: RawClient) -> None:
    response = http.get("/v1/ava/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src" not in response.headers["content-security-policy"]
    links = Links()
    links.feed(response.text)
    assert links.fetched == []
    for target in links.targets:
        assert target == "openapi.json" or target.removeprefix("#") in links.ids
    for code in ("bad_request", "unauthorized", "forbidden", "resource_not_found", "validation_error"):
        assert code in links.ids
