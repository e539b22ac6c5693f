"""Bulk operations on jobs: `POST /v1/ava/jobs/bulk`."""

import pytest
from tests.contract.client import TIME, Api, Json, data_of, error_of, fields_of
from tests.waiting import until

FAR = "2099-01-01T00:00:00Z"
FAILING = "def handler(input, env):\n    raise ValueError(f\"no {input['n']}\")\n"
FIELDS = {
    *("id", "action", "version", "status", "matched", "done", "failed", "skipped"),
    *("error", "created_by", "created_at", "completed_at"),
}


def ended(api: Api, operation: Json) -> Json:
    """Follow an operation to its end."""
    path = f"/jobs/bulk/{operation['id']}"
    return until(lambda: data_of(api.get(path)), lambda now: now["status"] != "running")


def test_cancel_500_queued_jobs_with_one_request(api: Api) -> None:
    worker_id = api.make_worker()["id"]
    jobs = [{"worker_id": worker_id, "scheduled_at": FAR}] * 500
    data_of(api.post("/jobs/batch", {"jobs": jobs}), 201)
    body = {"action": "cancel", "filter": {"worker_id": worker_id, "status": ["queued"]}}
    dry = data_of(api.post("/jobs/bulk", body | {"dry_run": True}), 200)
    assert dry.keys() == FIELDS
    assert (dry["id"], dry["status"], dry["matched"], dry["done"]) == (None, None, 500, 0)
    started = data_of(api.post("/jobs/bulk", body), 202)
    assert started.keys() == FIELDS
    assert started["id"].startswith("blk_")
    assert TIME.fullmatch(started["created_at"])
    assert started["created_by"] == "usr_test"
    done = ended(api, started)
    assert (done["status"], done["matched"], done["done"], done["skipped"]) == ("completed", 500, 500, 0)
    assert TIME.fullmatch(done["completed_at"])
    assert api.get("/jobs", **{"filter[status]": "cancelled"}).json()["pagination"]["total"] == 500
    assert api.get("/jobs/bulk").json()["data"] == [done]


def test_retry_of_last_nights_failures_twice_runs_nothing_twice(api: Api) -> None:
    worker_id = api.make_worker(source_code=FAILING)["id"]
    old = [api.run_job(worker_id, input={"n": n})["id"] for n in range(3)]
    last = data_of(api.get(f"/jobs/{old[-1]}"))
    which = {
        "q": "NO ",
        "error_code": "handler_error",
        "created_before": last["created_at"],
    }
    body = {"action": "retry", "filter": which}
    for expected in (3, 0):
        done = ended(api, data_of(api.post("/jobs/bulk", body), 202))
        assert (done["matched"], done["done"], done["failed"]) == (expected, expected, 0)
    repeats = [job["retry_of"] for job in api.get("/jobs").json()["data"] if job["retry_of"]]
    assert sorted(repeats) == sorted(old)


def test_a_retry_runs_the_latest_version_or_the_original(api: Api) -> None:
    worker_id = api.make_worker(source_code=FAILING)["id"]
    old = api.run_job(worker_id, input={"n": 1})
    fixed = "def handler(input, env):\n    return 'fixed'\n"
    assert data_of(api.patch(f"/workers/{worker_id}", {"source_code": fixed}))["version"] == 2
    outcomes = {}
    for version in ("original", "latest"):
        body = {"action": "retry", "ids": [old["id"]], "version": version}
        assert data_of(api.post("/jobs/bulk", body | {"dry_run": True}), 200)["version"] == version
        operation = ended(api, data_of(api.post("/jobs/bulk", body), 202))
        assert (operation["version"], operation["done"]) == (version, 1)
        repeat = next(job for job in api.get("/jobs").json()["data"] if job["retry_of"] == old["id"])
        repeat = api.await_end(repeat["id"])
        outcomes[version] = (repeat["status"], repeat["worker_version"])
        old = repeat
    assert outcomes == {"original": ("failed", 1), "latest": ("completed", 2)}


def test_by_ids(api: Api) -> None:
    worker_id = api.make_worker()["id"]
    one, two, three = [api.make_job(worker_id, scheduled_at=FAR)["id"] for _ in range(3)]
    other = api.having(tenant=api.tenant + "_2")
    ids = [one, three, "job_01jd9x3v7m0000000000000000"]
    assert ended(other, data_of(other.post("/jobs/bulk", {"action": "cancel", "ids": ids}), 202))["done"] == 0
    assert ended(api, data_of(api.post("/jobs/bulk", {"action": "cancel", "ids": ids}), 202))["done"] == 2
    assert data_of(api.get(f"/jobs/{two}"))["status"] == "queued"


def test_named_jobs_are_retried_however_they_ended(api: Api) -> None:
    worker_id = api.make_worker()["id"]
    cancelled = api.make_job(worker_id, scheduled_at=FAR)["id"]
    completed = api.run_job(worker_id)["id"]
    waiting = api.make_job(worker_id, scheduled_at=FAR)["id"]
    data_of(api.post(f"/jobs/{cancelled}/cancel", {}))
    body = {"action": "retry", "ids": [cancelled, completed, waiting]}
    assert data_of(api.post("/jobs/bulk", body | {"dry_run": True}), 200)["matched"] == 2
    assert ended(api, data_of(api.post("/jobs/bulk", body), 202))["done"] == 2
    by_filter = {"action": "retry", "filter": {"worker_id": worker_id}, "dry_run": True}
    assert data_of(api.post("/jobs/bulk", by_filter), 200)["matched"] == 0


def test_an_operation_belongs_to_its_tenant_and_ends_once(api: Api) -> None:
    api.make_worker()
    body = {"action": "cancel", "filter": {"status": ["queued"]}}
    done = ended(api, data_of(api.post("/jobs/bulk", body), 202))
    other = api.having(tenant=api.tenant + "_2")
    for response in (other.get(f"/jobs/bulk/{done['id']}"), other.post(f"/jobs/bulk/{done['id']}/cancel")):
        error_of(response, 404, "resource_not_found")
    error_of(api.post(f"/jobs/bulk/{done['id']}/cancel"), 409, "resource_conflict")
    error_of(api.get("/jobs/bulk/blk_01jd9x3v7m0000000000000000"), 404, "resource_not_found")


def test_a_key_makes_one_operation(api: Api) -> None:
    body = {"action": "cancel", "filter": {"status": ["queued"]}}
    key = {"Idempotency-Key": "bulk"}
    first = data_of(api.post("/jobs/bulk", body, **key), 202)
    assert data_of(api.post("/jobs/bulk", body, **key), 202)["id"] == first["id"]
    error_of(api.post("/jobs/bulk", body | {"action": "retry", "ids": ["x"]}, **key), 422, "validation_error")
    error_of(api.post("/jobs/bulk", {"action": "cancel", "ids": ["x"]}, **key), 409, "resource_conflict")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"action"}),
        ({"action": "cancel"}, {"filter"}),
        ({"action": "cancel", "filter": {}}, {"filter"}),
        ({"action": "cancel", "ids": []}, {"ids"}),
        ({"action": "cancel", "ids": ["x"] * 1001}, {"ids"}),
        ({"action": "cancel", "ids": ["a\0"]}, {"ids.0"}),
        ({"action": "cancel", "ids": ["x"], "filter": {"trigger": "manual"}}, {"filter"}),
        ({"action": "stop", "ids": ["x"]}, {"action"}),
        ({"action": "cancel", "filter": {"status": ["failed"]}}, {"filter.status"}),
        ({"action": "retry", "filter": {"status": ["queued"]}}, {"filter.status"}),
        ({"action": "retry", "filter": {"status": "failed"}}, {"filter.status"}),
        ({"action": "retry", "filter": {"colour": "red"}}, {"filter"}),
        ({"action": "retry", "filter": {"created_after": "yesterday"}}, {"filter.created_after"}),
        ({"action": "retry", "filter": {"q": "a\0"}}, {"filter.q"}),
        ({"action": "retry", "filter": {"min_duration_ms": -1}}, {"filter.min_duration_ms"}),
        ({"action": "retry", "filter": {"worker_version": 0}}, {"filter.worker_version"}),
        ({"action": "cancel", "filter": {"retried": "no"}}, {"filter.retried"}),
        ({"action": "retry", "ids": ["x"], "dry_run": "no"}, {"dry_run"}),
        ({"action": "retry", "ids": ["x"], "version": "newest"}, {"version"}),
        ({"action": "retry", "ids": ["x"], "version": 2}, {"version"}),
        ({"action": "cancel", "ids": ["x"], "version": "original"}, {"version"}),
    ],
)
def test_bad_input_is_refused_by_name(api: Api, body: Json, fields: set[str]) -> None:
    assert set(fields_of(api.post("/jobs/bulk", body))) == fields


def test_starting_and_stopping_need_the_role_of_a_writer(api: Api) -> None:
    viewer = api.having(role="tenant-admin")
    body = {"action": "cancel", "ids": ["x"]}
    error_of(viewer.post("/jobs/bulk", body), 403, "forbidden")
    assert api.having(role="tenant-viewer").get("/jobs/bulk").json()["data"] == []


def test_it_is_in_the_audit_log(api: Api) -> None:
    done = data_of(api.post("/jobs/bulk", {"action": "retry", "ids": ["x"]}), 202)
    rows = api.get("/v1/audit", **{"filter[action]": "job.bulk_retry"}).json()["data"]
    assert [row["subject_id"] for row in rows] == [done["id"]]
