"""What handlers report, keep, publish and start, as the API shows it."""

import pytest
from tests.contract.client import TIME, Api, Json, data_of, error_of, fields_of
from tests.contract.test_audit import entries
from tests.contract.test_log_stream import events as log_events
from tests.contract.test_log_stream import stream as log_stream
from tests.contract.test_stream import opened, sent, until
from tests.contract.test_stream import stream as tenant_stream

USES = """
import time
from runwright import job, log
def handler(input, env):
    log.debug("looked", where="here")
    log.info("fetched", rows=12, who={"name": "Ada"})
    print("plain")
    job.progress(0.5, "pages")
    job.progress(0.75, "the last page")
    job.set("cursor", {"n": input["n"]})
    job.set("other", [1])
    job.emit("custom.counted", {"n": input["n"]})
    return job.start("Echo", {"of": job.id}, key="only")
"""

REPORTS = """
import time
from runwright import job
def handler(input, env):
    if "go" in input:
        return job.set("go", input["go"])
    for at, fraction, message in ((1, 0.25, None), (2, 0.5, "half")):
        job.progress(fraction, message)
        while (job.get("go") or 0) < at:
            time.sleep(0.05)
"""
"""Reports twice, and waits each time until another job of the worker lets it go on."""


@pytest.fixture
def used(api: Api) -> Json:
    """A job that has used everything, of a worker `user`, with a worker `Echo` beside it."""
    api.make_worker()
    return api.run_job(api.make_worker(name="user", source_code=USES)["id"], input={"n": 7})


def test_fields_are_shown_with_their_lines_and_found(api: Api, used: Json) -> None:
    path = f"/jobs/{used['id']}/logs"
    lines = data_of(api.get(path))["logs"]
    shown = [(line["level"], line["msg"], line.get("fields")) for line in lines[1:-1]]
    assert shown == [
        ("debug", "looked", {"where": "here"}),
        ("info", "fetched", {"rows": 12, "who": {"name": "Ada"}}),
        ("info", "plain", None),
    ]
    assert all("fields" not in line for line in (lines[0], lines[3], lines[-1]))

    def found(**query: str) -> list[str]:
        return [line["msg"] for line in data_of(api.get(path, **query))["logs"]]

    assert found(q="rows=12") == ["fetched"]
    assert found(q="ROWS=12") == ["fetched"]
    assert found(q='who={"name":"ada"}') == ["fetched"]
    assert found(q="plai") == ["plain"]
    assert found(q="rows=1", **{"filter[level]": "debug"}) == []
    assert found(**{"filter[level]": "debug"}) == ["looked"]
    with api.http.httpx.stream("GET", f"/v1/ava{path}/stream?q=rows%3D12", headers=api.headers) as response:
        text = response.read().decode()
    assert text.count("event: log") == 1
    assert '"fields":{"rows":12,"who":{"name":"Ada"}}' in text


def test_the_last_progress_stays_with_the_job(api: Api, used: Json) -> None:
    progress = used["progress"]
    assert TIME.fullmatch(progress.pop("updated_at"))
    assert progress == {"fraction": 0.75, "message": "the last page"}
    assert data_of(api.get(f"/jobs/{used['id']}"))["progress"]["fraction"] == 0.75
    rows = api.get("/jobs").json()["data"]
    assert {row["id"]: row["progress"] and row["progress"]["fraction"] for row in rows}[used["id"]] == 0.75


def test_progress_is_seen_live_in_the_streams_and_the_record(api: Api) -> None:
    worker = api.make_worker(source_code=REPORTS)["id"]
    with tenant_stream(api, "?filter[type]=job.progress") as response:
        events = sent(response)
        opened(events)
        job = api.make_job(worker)
        *_, quarter = until(events, "ava.job.progress", name="progress")
        assert (quarter.id, quarter.data["subject_id"], quarter.data["worker_id"]) == ("", job["id"], worker)
        first = quarter.data["progress"]
        assert TIME.fullmatch(first["updated_at"])
        assert (first["fraction"], first["message"]) == (0.25, None)
        shown = data_of(api.get(f"/jobs/{job['id']}"))
        assert (shown["status"], shown["progress"]) == ("running", first)
        with log_stream(api, job["id"], "?filter[level]=error") as log:
            parts = log_events(log)
            assert next(parts) == ("", "progress", first)
            api.run_job(worker, input={"go": 1})
            _, name, second = next(parts)
            assert (name, second["fraction"], second["message"]) == ("progress", 0.5, "half")
            *_, half = until(events, "ava.job.progress", name="progress")
            assert half.data["progress"] == second
            assert data_of(api.get(f"/jobs/{job['id']}"))["status"] == "running"
            api.run_job(worker, input={"go": 2})
            assert [name for _, name, _ in parts] == ["end"]


def test_state_is_read_and_deleted_by_its_tenant(api: Api, used: Json) -> None:
    path = f"/workers/{used['worker_id']}/state"
    cursor, other = data_of(api.get(path))
    assert cursor.keys() == {"key", "value", "bytes", "job_id", "updated_at"}
    assert (cursor["key"], cursor["value"], cursor["bytes"]) == ("cursor", {"n": 7}, 7)
    assert (cursor["job_id"], other["value"]) == (used["id"], [1])
    assert TIME.fullmatch(cursor["updated_at"])
    assert data_of(api.get(f"{path}/cursor")) == cursor
    before = len(entries(api))
    error_of(api.having(role="tenant-admin").delete(f"{path}/cursor"), 403, "forbidden")
    error_of(api.having(tenant=api.tenant + "x").delete(path), 404, "resource_not_found")
    assert api.delete(f"{path}/cursor").status_code == 204
    for missing in ("cursor", "no%20key", "x" * 200):
        error_of(api.get(f"{path}/{missing}"), 404, "resource_not_found")
        error_of(api.delete(f"{path}/{missing}"), 404, "resource_not_found")
    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 204
    assert data_of(api.get(path)) == []
    rows = entries(api)[: len(entries(api)) - before]
    assert [(row["action"], row["subject_id"]) for row in rows] == [
        ("worker.state_delete", used["worker_id"])
    ] * 2
    assert api.run_job(used["worker_id"], input={"n": 8})["status"] == "completed"
    assert data_of(api.get(f"{path}/cursor"))["value"] == {"n": 8}


def test_the_jobs_that_a_job_started_are_listed_by_it(api: Api, used: Json) -> None:
    api.run_job(used["worker_id"], input={"n": 9})
    [child] = api.get("/jobs", **{"filter[parent_job_id]": used["id"]}).json()["data"]
    assert (child["id"], child["parent_job_id"], child["input"]) == (
        used["output"],
        used["id"],
        {"of": used["id"]},
    )
    assert api.get("/jobs", **{"filter[parent_job_id]": child["id"]}).json()["data"] == []
    assert fields_of(api.get("/jobs", **{"filter[parent_job_id]": ""})).keys() == {"filter[parent_job_id]"}


@pytest.mark.parametrize("retries", [0, 1])
def test_the_end_of_a_job_keeps_what_it_reported_last(api: Api, retries: int) -> None:
    source = "from runwright import job\ndef handler(input, env):\n    job.progress(job.attempt / 10, f'attempt {job.attempt}')\n    raise ValueError('no')\n"
    job = api.run_job(api.make_worker(source_code=source, max_retries=retries)["id"])
    assert (job["status"], job["progress"]["message"]) == ("failed", f"attempt {retries + 1}")
