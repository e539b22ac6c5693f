"""`/jobs`: submitting, reading, listing, cancelling, retrying; every documented field, limit and status."""

import random
import re

import pytest
from tests.contract.client import TIME, Api, Json, data_of, error_of, fields_of

SEED_KEYS = {
    *("id", "worker_id", "tenant_id", "status", "trigger", "priority", "input", "triggered_by", "created_at"),
    *("started_at", "completed_at", "duration_ms", "output", "error"),
}
KEYS = SEED_KEYS | {
    *(
        "worker_version",
        "attempt",
        "max_retries",
        "scheduled_at",
        "cancel_requested_at",
        "retry_of",
        "schedule_id",
        "worker_name",
        "retried_as",
        "parent_job_id",
        "progress",
    ),
}
NOISE = """
import random
def noise(size):
    return "".join(map(chr, random.Random(size).choices(range(33, 127), k=size)))
"""
"""A text that the database cannot compress."""

UNKNOWN_JOB = "job_01jd9x3v7m0000000000000000"
UNKNOWN_WORKER = "wkr_01jd9x3v7m0000000000000000"
FAILS = "def handler(input, env):\n    raise ValueError('no luck')\n"
FAR = "2099-12-31T23:59:59Z"


def noise(size: int) -> str:
    return "".join(map(chr, random.Random(size).choices(range(33, 127), k=size)))


OUTSIDE: dict[str, tuple[Json, ...]] = {
    "worker_id": ("", None, 5, "x" * 65, "nul\0"),
    "input": ([], "x", 1, None, True, {"a": "x" * 1024 * 1024}),
    "trigger": ("cron", "", None, 1),
    "priority": (0, 11, -1, "5", 1.5, None, True),
    "scheduled_at": (
        *(
            "tomorrow",
            "2030-01-01",
            "2030-01-01T00:00:00",
            "2030-13-01T00:00:00Z",
            "2030-02-30T00:00:00Z",
            "",
        ),
        *("2101-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", 1893456000, True),
    ),
    **dict.fromkeys(
        (
            "id",
            "status",
            "output",
            "attempt",
            "retry_of",
            "schedule_id",
            "parent_job_id",
            "progress",
            "colour",
        ),
        ("x",),
    ),
}
"""Values that a new job's fields refuse."""


@pytest.fixture
def worker_id(api: Api) -> str:
    return str(api.make_worker()["id"])


def test_a_new_job_has_the_documented_defaults(api: Api, worker_id: str) -> None:
    job = data_of(api.post("/jobs", {"worker_id": worker_id, "scheduled_at": FAR}), 201)
    assert job.keys() == KEYS
    assert re.fullmatch(r"job_[0-9a-z]{26}", job["id"])
    assert TIME.fullmatch(job["created_at"])
    assert {name: job[name] for name in KEYS - {"id", "created_at"}} == {
        "worker_id": worker_id,
        "tenant_id": api.tenant,
        "status": "queued",
        "trigger": "manual",
        "priority": 5,
        "input": {},
        "triggered_by": "usr_test",
        "started_at": None,
        "completed_at": None,
        "duration_ms": None,
        "output": None,
        "error": None,
        "worker_version": 1,
        "attempt": 1,
        "max_retries": 0,
        "scheduled_at": "2099-12-31T23:59:59.000Z",
        "cancel_requested_at": None,
        "retry_of": None,
        "schedule_id": None,
        "worker_name": "Echo",
        "retried_as": None,
        "parent_job_id": None,
        "progress": None,
    }
    assert data_of(api.get(f"/jobs/{job['id']}")) == job


@pytest.mark.parametrize(
    "fields",
    [
        {"input": {"nested": {"list": [1, 2.5, None, True, "x\0y", "😀"]}}},
        {"input": {"big": 2**70, "deep": [[[[]]]]}},
        {"input": {"text": "x" * (1024 * 1024 - 11)}},
        *[{"trigger": trigger} for trigger in ("manual", "scheduled", "webhook", "event")],
        {"priority": 1},
        {"priority": 10},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_value_within_the_limits_is_stored_as_given(
    api: Api, worker_id: str, fields: dict[str, Json]
) -> None:
    job = api.make_job(worker_id, scheduled_at=FAR, **fields)
    for name, value in fields.items():
        assert job[name] == value
    assert data_of(api.get(f"/jobs/{job['id']}")) == job


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2099-06-01T12:00:00Z", "2099-06-01T12:00:00.000Z"),
        ("2099-06-01T12:00:00+02:00", "2099-06-01T10:00:00.000Z"),
        ("2099-06-01T12:00:00.123456-05:30", "2099-06-01T17:30:00.123Z"),
        (None, None),
    ],
)
def test_times_come_back_in_utc_with_milliseconds(
    api: Api, worker_id: str, given: str | None, shown: str | None
) -> None:
    assert api.make_job(worker_id, scheduled_at=given)["scheduled_at"] == shown


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in OUTSIDE.items() for value in values]
)
def test_a_value_outside_the_limits_is_refused_by_name(
    api: Api, worker_id: str, field: str, value: Json
) -> None:
    assert fields_of(api.post("/jobs", {"worker_id": worker_id, field: value})).keys() == {field}


def test_all_bad_fields_are_reported_at_once(api: Api) -> None:
    body = {"input": [], "priority": 11, "trigger": "x", "scheduled_at": "soon", "colour": "red"}
    expected = {"worker_id", "input", "priority", "trigger", "scheduled_at", "colour"}
    assert fields_of(api.post("/jobs", body)).keys() == expected


def test_an_unknown_worker_is_not_found(api: Api) -> None:
    for unknown in (UNKNOWN_WORKER, "wkr_01hxyz", "anything"):
        error_of(api.post("/jobs", {"worker_id": unknown}), 404, "resource_not_found")


def test_a_job_runs_and_shows_what_the_handler_returned(api: Api, worker_id: str) -> None:
    job = api.run_job(worker_id, input={"n": 1, "text": "é😀"}, priority=1)
    assert job["status"] == "completed"
    assert job["output"] == job["input"] == {"n": 1, "text": "é😀"}
    assert job["error"] is None
    assert job["attempt"] == 1
    assert isinstance(job["duration_ms"], int)
    for name in ("created_at", "started_at", "completed_at"):
        assert TIME.fullmatch(job[name])
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    assert data_of(api.get(f"/jobs/{job['id']}")) == job


def test_a_failed_job_says_why(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=FAILS)["id"])
    assert job["status"] == "failed"
    assert job["output"] is None
    assert job["error"].keys() == {"code", "message", "stack"}
    assert job["error"]["code"] == "handler_error"
    assert "no luck" in job["error"]["message"]
    assert "ValueError" in job["error"]["stack"]


def test_wait_ends_with_the_job_as_it_is_when_time_is_up(api: Api, worker_id: str) -> None:
    body = {"worker_id": worker_id, "scheduled_at": FAR}
    for wait in ("0", "0.2"):
        assert data_of(api.post(f"/jobs?wait={wait}", body), 201)["status"] == "queued"


@pytest.mark.parametrize(
    "query", ["wait=61", "wait=-1", "wait=x", "wait=", "wait=nan", "wait=inf", "seconds=1"]
)
def test_another_query_is_refused_by_name(api: Api, worker_id: str, query: str) -> None:
    assert fields_of(api.post(f"/jobs?{query}", {"worker_id": worker_id})).keys() == {
        query.split("=", maxsplit=1)[0]
    }


def test_a_batch_is_accepted_whole_and_in_order(api: Api, worker_id: str) -> None:
    bodies = [{"worker_id": worker_id, "input": {"n": n}, "scheduled_at": FAR} for n in range(1000)]
    jobs = data_of(api.post("/jobs/batch", {"jobs": bodies}), 201)
    assert [job["input"]["n"] for job in jobs] == list(range(1000))
    assert all(job.keys() == KEYS and job["status"] == "queued" for job in jobs)
    ids = [job["id"] for job in jobs]
    assert ids == sorted(set(ids))
    assert api.get("/jobs").json()["pagination"]["total"] == 1000


def test_a_batch_is_refused_whole(api: Api, worker_id: str) -> None:
    good = {"worker_id": worker_id}
    paused = api.make_worker()["id"]
    api.patch(f"/workers/{paused}", {"status": "paused"})
    error_of(
        api.post("/jobs/batch", {"jobs": [good, {"worker_id": UNKNOWN_WORKER}]}), 404, "resource_not_found"
    )
    error_of(api.post("/jobs/batch", {"jobs": [good, {"worker_id": paused}]}), 409, "resource_conflict")
    bad = [good, {"worker_id": worker_id, "priority": 0, "x": 1}, {}, 5, good]
    fields = fields_of(api.post("/jobs/batch", {"jobs": bad}))
    assert fields.keys() == {"jobs.1.priority", "jobs.1.x", "jobs.2.worker_id", "jobs.3"}
    assert api.get("/jobs").json()["pagination"]["total"] == 0


@pytest.mark.parametrize("body", [{}, {"jobs": []}, {"jobs": {}}, {"jobs": [{}] * 1001}, {"jobs": None}])
def test_a_batch_has_one_to_a_thousand_jobs(api: Api, body: Json) -> None:
    assert fields_of(api.post("/jobs/batch", body)).keys() == {"jobs"}


def test_a_queued_job_is_cancelled_at_once_and_only_once(api: Api, worker_id: str) -> None:
    job = api.make_job(worker_id, scheduled_at=FAR)
    cancelled = data_of(api.post(f"/jobs/{job['id']}/cancel"))
    assert cancelled["status"] == "cancelled"
    assert cancelled["error"]["code"] == "cancelled"
    assert TIME.fullmatch(cancelled["completed_at"])
    error_of(api.post(f"/jobs/{job['id']}/cancel"), 409, "resource_conflict")
    assert data_of(api.get(f"/jobs/{job['id']}")) == cancelled


def test_a_finished_job_cannot_be_cancelled(api: Api, worker_id: str) -> None:
    job = api.run_job(worker_id)
    error_of(api.post(f"/jobs/{job['id']}/cancel"), 409, "resource_conflict")


def test_a_running_job_is_cancelled_whatever_its_handler_does(api: Api) -> None:
    worker = api.make_worker(source_code="import time\ndef handler(input, env):\n    time.sleep(300)\n")
    job = api.make_job(worker["id"])
    assert api.await_start(job["id"])["status"] == "running"
    data_of(api.post(f"/jobs/{job['id']}/cancel"))
    ended = api.await_end(job["id"])
    assert ended["status"] == "cancelled"
    assert ended["error"]["code"] == "cancelled"
    assert TIME.fullmatch(ended["cancel_requested_at"])


def test_a_retry_is_a_new_job_that_names_the_old_one(api: Api, worker_id: str) -> None:
    old = api.run_job(worker_id, input={"n": 7}, priority=2)
    new = data_of(api.post(f"/jobs/{old['id']}/retry"), 201)
    assert new["id"] != old["id"]
    assert new["retry_of"] == old["id"]
    assert (new["input"], new["priority"], new["worker_id"]) == ({"n": 7}, 2, worker_id)
    assert data_of(api.get(f"/jobs/{old['id']}")) == old | {"retried_as": new["id"]}
    rows = {row["id"]: row for row in api.get("/jobs").json()["data"]}
    assert (rows[old["id"]]["retried_as"], rows[new["id"]]["retried_as"]) == (new["id"], None)


def test_only_a_job_that_has_ended_can_be_retried(api: Api, worker_id: str) -> None:
    job = api.make_job(worker_id, scheduled_at=FAR)
    error_of(api.post(f"/jobs/{job['id']}/retry"), 409, "resource_conflict")


def test_each_attempt_keeps_its_error(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=FAILS, max_retries=1)["id"])
    assert (job["status"], job["attempt"], job["max_retries"]) == ("failed", 2, 1)
    attempts = data_of(api.get(f"/jobs/{job['id']}/attempts"))
    assert [attempt["attempt"] for attempt in attempts] == [1, 2]
    for attempt in attempts:
        assert attempt.keys() == {
            *("attempt", "status", "worker_version", "executor_id", "started_at", "completed_at"),
            *("duration_ms", "error", "claimed_at"),
        }
        assert attempt["status"] == "failed"
        assert attempt["error"]["code"] == "handler_error"
        assert TIME.fullmatch(attempt["started_at"])
        assert TIME.fullmatch(attempt["claimed_at"])
        assert attempt["claimed_at"] <= attempt["started_at"]


def test_a_waiting_job_explains_itself(api: Api, worker_id: str) -> None:
    job = api.make_job(worker_id, scheduled_at=FAR)
    why = data_of(api.get(f"/jobs/{job['id']}/explain"))
    assert why.keys() == {"job_id", "status", "summary", "reasons"}
    assert (why["job_id"], why["status"]) == (job["id"], "queued")
    assert why["summary"]
    assert all(reason.keys() == {"code", "message", "details"} for reason in why["reasons"])


def test_filters_narrow_the_list(api: Api, worker_id: str) -> None:
    other = api.make_worker()["id"]
    done = api.run_job(worker_id)
    waiting = api.make_job(worker_id, scheduled_at=FAR, trigger="webhook")
    elsewhere = api.make_job(other, scheduled_at=FAR, trigger="event")

    def ids(**params: str) -> list[str]:
        return [job["id"] for job in api.get("/jobs", **params).json()["data"]]

    assert ids() == [elsewhere["id"], waiting["id"], done["id"]]
    assert ids(**{"filter[worker_id]": worker_id}) == [waiting["id"], done["id"]]
    assert ids(**{"filter[worker_id]": "wkr_01hxyz"}) == []
    assert ids(**{"filter[status]": "completed"}) == [done["id"]]
    assert ids(**{"filter[status]": "queued"}) == [elsewhere["id"], waiting["id"]]
    assert ids(**{"filter[status]": "running"}) == []
    assert ids(**{"filter[status]": "completed,queued"}) == [elsewhere["id"], waiting["id"], done["id"]]
    assert ids(**{"filter[status]": "completed,failed"}) == [done["id"]]
    assert ids(**{"filter[min_duration_ms]": "0"}) == [done["id"]]
    assert ids(**{"filter[error_code]": "timeout"}) == []
    assert ids(**{"filter[schedule_id]": "sch_01jd9x3v7m0000000000000000"}) == []
    assert ids(**{"filter[retried]": "true"}) == []
    assert ids(**{"filter[worker_version]": "1"}) == [elsewhere["id"], waiting["id"], done["id"]]
    assert ids(**{"filter[worker_version]": "1", "filter[status]": "completed"}) == [done["id"]]
    assert ids(**{"filter[worker_version]": "2"}) == []
    assert ids(q="some text") == []
    assert ids(**{"filter[created_after]": "-1h", "filter[status]": "completed"}) == [done["id"]]
    assert ids(**{"filter[created_before]": "-1h"}) == []
    assert ids(**{"filter[trigger]": "webhook"}) == [waiting["id"]]
    assert ids(**{"filter[created_after]": waiting["created_at"]})[-1] in {waiting["id"], done["id"]}
    assert ids(**{"filter[created_before]": done["created_at"]})[-1] == done["id"]
    assert ids(**{"filter[created_after]": "2098-01-01T00:00:00Z"}) == []
    assert ids(**{"filter[created_before]": "1999-01-01T00:00:00+02:00"}) == []
    assert ids(**{"filter[status]": "queued", "filter[worker_id]": other}) == [elsewhere["id"]]


def test_a_list_has_large_payloads_too_unless_they_are_left_out(api: Api) -> None:
    worker = api.make_worker(source_code=f"{NOISE}def handler(input, env):\n    return noise(input['out'])\n")
    sizes = [(10, 10), (900_000, 10), (10, 900_000), (900_000, 900_000), (5_000, 5_000), (10, 10)]
    texts = [(noise(given), out) for given, out in sizes]
    jobs = [api.run_job(worker["id"], input={"text": text, "out": out}) for text, out in texts]
    for params in ({}, {"sort": "-duration"}, {"per_page": "3"}):
        response = api.get("/jobs", **params)
        shown = response.json()["data"]
        assert response.headers["content-type"] == "application/json"
        by_id = {job["id"]: job for job in jobs}
        assert all(job == by_id[job["id"]] for job in shown)
        assert len(shown) == min(len(jobs), int(params.get("per_page", 20)))
    without = api.get("/jobs", payloads="false").json()["data"]
    assert without == [job | {"input": {}, "output": None} for job in reversed(jobs)]


def test_a_list_is_sorted_either_way_by_creation_start_and_duration(api: Api) -> None:
    naps = "import time\ndef handler(input, env):\n    time.sleep(input['s'])\n"
    worker_id = api.make_worker(source_code=naps)["id"]
    slow, quick = (api.run_job(worker_id, input={"s": s})["id"] for s in (2, 0))
    waiting = api.make_job(worker_id, scheduled_at=FAR)["id"]
    orders = {
        "created": [slow, quick, waiting],
        "-created": [waiting, quick, slow],
        "started": [slow, quick, waiting],
        "-started": [quick, slow, waiting],
        "duration": [quick, slow, waiting],
        "-duration": [slow, quick, waiting],
    }
    for sort, ids in orders.items():
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            body = api.get("/jobs", sort=sort, per_page="2", **more).json()
            found += [job["id"] for job in body["data"]]
            pagination = body["pagination"]
            assert (pagination["total"], pagination["cut"]) == (3, False)
            if not pagination["has_more"]:
                break
            more = {"cursor": pagination["next_cursor"]}
            for other in orders.keys() - {sort}:
                assert fields_of(api.get("/jobs", sort=other, **more)).keys() == {"cursor"}
        assert found == ids, sort


def test_a_worker_is_named_where_its_name_is_its_own(api: Api) -> None:
    one, two, three = (api.make_worker(name=name)["id"] for name in ("alone", "shared", "shared"))
    job = api.make_job(one, scheduled_at=FAR)

    def ids(worker: str) -> list[str]:
        return [row["id"] for row in api.get("/jobs", **{"filter[worker]": worker}).json()["data"]]

    assert ids("alone") == ids(one) == [job["id"]]
    for response in (
        api.get("/jobs", **{"filter[worker]": "shared"}),
        api.post("/jobs/bulk", {"action": "cancel", "filter": {"worker": "shared"}}),
    ):
        [(name, [message])] = fields_of(response).items()
        assert name in {"filter[worker]", "filter.worker"}
        assert two in message
        assert three in message
    for name in ("Alone", "nothing", "wkr_01jd9x3v7m0000000000000000"):
        assert fields_of(api.get("/jobs", **{"filter[worker]": name})).keys() == {"filter[worker]"}
    api.delete(f"/workers/{three}")
    assert ids("shared") == []
    assert ids(three) == []
    both = {"filter[worker]": "alone", "filter[worker_id]": one}
    assert fields_of(api.get("/jobs", **both)).keys() == {"filter[worker]"}
    stranger = api.having(tenant=api.tenant + "x")
    assert fields_of(stranger.get("/jobs", **{"filter[worker]": "alone"})).keys() == {"filter[worker]"}
    body = {"action": "cancel", "filter": {"worker": "alone"}, "dry_run": True}
    assert data_of(api.post("/jobs/bulk", body))["matched"] == 1


def test_a_zones_plus_sign_survives_the_query_string(api: Api, worker_id: str) -> None:
    job = api.make_job(worker_id, scheduled_at=FAR)
    response = api.call("GET", "/jobs?filter[created_after]=2020-01-01T00:00:00+02:00")
    assert [found["id"] for found in response.json()["data"]] == [job["id"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filter[status]", "done"),
        ("filter[status]", "queued,"),
        ("filter[status]", ""),
        ("filter[error_code]", "boom"),
        ("filter[min_duration_ms]", "-1"),
        ("filter[worker_version]", "0"),
        ("filter[retried]", "perhaps"),
        ("filter[created_after]", "-24"),
        ("filter[created_after]", "-99999h"),
        ("filter[created_before]", "0001-01-01T00:00:00Z"),
        ("q", ""),
        ("sort", "priority"),
        ("sort", ""),
        ("filter[worker]", ""),
        ("filter[worker]", "nul\0"),
        ("filter[trigger]", "cron"),
        ("filter[worker_id]", ""),
        ("filter[worker_id]", "nul\0"),
        *[("filter[created_after]", at) for at in ("yesterday", "2030-01-01", "1700000000", "", "null")],
        ("filter[created_before]", "2030-01-01T00:00:00"),
        ("filter[created_before]", "0001-01-01T00:00:00+23:59"),
        ("filter[priority]", "1"),
        ("colour", "x"),
    ],
)
def test_an_unknown_filter_or_value_is_refused_by_name(api: Api, name: str, value: str) -> None:
    assert fields_of(api.get("/jobs", **{name: value})).keys() == {name}


@pytest.mark.parametrize("job_id", [UNKNOWN_JOB, "job_01hxyz", UNKNOWN_WORKER, "x", "%00"])
def test_an_unknown_job_is_not_found(api: Api, job_id: str) -> None:
    for path in ("", "/attempts", "/logs", "/explain"):
        error_of(api.get(f"/jobs/{job_id}{path}"), 404, "resource_not_found")
    for path in ("/cancel", "/retry"):
        error_of(api.post(f"/jobs/{job_id}{path}"), 404, "resource_not_found")
