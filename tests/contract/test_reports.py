"""`/queues` and `/analytics`: the documented shapes, and what is counted."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.contract.client import TIME, Api, data_of, error_of, fields_of
from tests.waiting import let_midnight_pass

FAILS = "def handler(input, env):\n    raise ValueError('no')\n"


def test_queues_have_the_documented_shape(api: Api) -> None:
    worker = api.make_worker()
    for priority in (2, 5):
        api.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z", priority=priority)
    queues = data_of(api.get("/queues"))
    assert queues.keys() == {"total_queued", "total_running", "by_worker", "sampled_at"}
    assert TIME.fullmatch(queues["sampled_at"])
    row = {"worker_id": worker["id"], "queued": 2, "running": 0, "high_priority": 1}
    assert queues["by_worker"] == [row]
    assert (queues["total_queued"], queues["total_running"]) == (2, 0)
    assert data_of(api.get(f"/queues/{worker['id']}")) == row


def test_a_series_counts_jobs_by_when_they_were_created(api: Api) -> None:
    good, bad = api.make_worker(), api.make_worker(source_code=FAILS)
    done = api.run_job(good["id"])
    api.run_job(bad["id"])
    later = api.make_job(good["id"], scheduled_at="2099-01-01T00:00:00Z")
    begin = datetime.fromisoformat(done["created_at"]) - timedelta(minutes=1)
    period = {"filter[created_after]": begin.isoformat(), "filter[created_before]": "2099-01-01T00:00:00Z"}
    fields_of(api.get("/jobs/series", **period))  # it is too long
    period["filter[created_before]"] = (begin + timedelta(minutes=10)).isoformat()
    found = data_of(api.get("/jobs/series", parts="10", **period))
    assert (found["step_ms"], found["cut_at"]) == (60_000, None)
    [series] = found["series"]
    assert (series["worker_id"], series["total"]) == (None, 3)
    assert [sum(series[status]) for status in ("completed", "failed", "queued", "running", "cancelled")] == [
        1, 1, 1, 0, 0,
    ]  # fmt: skip
    assert {len(numbers) for numbers in series.values() if isinstance(numbers, list)} == {10}
    assert series["completed"][1] + series["completed"][2] == 1
    assert series["whole"]["p99_run_ms"] >= series["whole"]["p50_run_ms"] >= 0
    assert series["whole"]["p95_wait_ms"] >= 0
    each = data_of(api.get("/jobs/series", by="worker", **period))["series"]
    assert [(one["worker_id"], one["total"]) for one in each] == [(good["id"], 2), (bad["id"], 1)]
    [failed] = data_of(api.get("/jobs/series", **{**period, "filter[status]": "failed"}))["series"]
    assert failed["total"] == sum(failed["failed"]) == 1
    assert later["status"] == "queued"
    empty = {
        "filter[created_after]": "2024-01-01T00:00:00Z",
        "filter[created_before]": "2024-01-02T00:00:00Z",
    }
    assert data_of(api.get("/jobs/series", **empty))["series"][0]["total"] == 0


def test_a_series_of_another_tenant_is_empty(api: Api) -> None:
    api.run_job(api.make_worker()["id"])
    assert data_of(api.having(tenant="ten_other").get("/jobs/series", by="worker"))["series"] == []


def test_a_series_refuses_a_period_that_is_none(api: Api) -> None:
    assert fields_of(api.get("/jobs/series", **{"filter[created_after]": "2099-01-01T00:00:00Z"})).keys() == {
        "filter[created_after]"
    }
    assert fields_of(api.get("/jobs/series", parts="201")).keys() == {"parts"}


def test_analytics_have_the_documented_shape(api: Api) -> None:
    let_midnight_pass()
    good, bad = api.make_worker(), api.make_worker(source_code=FAILS)
    done = [api.run_job(good["id"]), api.run_job(good["id"], trigger="webhook")]
    api.run_job(bad["id"])
    cancelled = api.make_job(good["id"], scheduled_at="2099-01-01T00:00:00Z")
    data_of(api.post(f"/jobs/{cancelled['id']}/cancel"))
    analytics = data_of(api.get("/analytics"))
    today = datetime.now(UTC).date()
    assert analytics["period_days"] == 30
    assert analytics["since"] == f"{today - timedelta(days=29)}T00:00:00.000Z"
    jobs = analytics["jobs"]
    assert {name: jobs[name] for name in ("total", "completed", "failed", "cancelled", "success_rate")} == {
        "total": 4,
        "completed": 2,
        "failed": 1,
        "cancelled": 1,
        "success_rate": 50.0,
    }
    assert jobs["by_trigger"] == {"manual": 3, "webhook": 1, "scheduled": 0, "event": 0}
    assert jobs["failures_by_code"] == {"handler_error": 1}
    assert 0 <= jobs["p50_duration_ms"] <= jobs["p95_duration_ms"] <= jobs["p99_duration_ms"]
    row = analytics["by_worker"][good["id"]]
    assert (row["total"], row["completed"], row["failed"]) == (3, 2, 0)
    assert row["avg_duration_ms"] == round(sum(job["duration_ms"] for job in done) / 2)
    assert [day["date"] for day in analytics["by_day"]] == [
        str(today - timedelta(days=n)) for n in range(29, -1, -1)
    ]
    assert analytics["by_day"][-1]["total"] == 4


def test_analytics_of_one_worker(api: Api) -> None:
    good, bad = api.make_worker(), api.make_worker(source_code=FAILS)
    api.run_job(good["id"])
    api.run_job(bad["id"])
    found = data_of(api.get(f"/analytics/workers/{bad['id']}", days="7"))
    assert found.keys() == {"worker_id", "period_days", "since", "jobs", "by_day"}
    assert (found["worker_id"], found["period_days"], len(found["by_day"])) == (bad["id"], 7, 7)
    assert (found["jobs"]["total"], found["jobs"]["failed"], found["jobs"]["success_rate"]) == (1, 1, 0.0)


def test_analytics_by_worker_have_the_documented_shape(api: Api) -> None:
    good, bad = (
        api.make_worker(name="good"),
        api.make_worker(name="bad", source_code=FAILS, max_concurrency=2),
    )
    for worker in (good, good, bad):
        api.run_job(worker["id"])
    for at in ("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z"):
        api.make_job(bad["id"], scheduled_at=at)
    found = data_of(api.get("/analytics/workers", days="7"))
    assert found.keys() == {"period_days", "since", "workers", "total", "sampled_at"}
    assert (found["period_days"], found["total"]) == (7, 2)
    assert TIME.fullmatch(found["sampled_at"])
    assert [one["worker_name"] for one in found["workers"]] == ["good", "bad"]
    row = found["workers"][1]
    alone = data_of(api.get(f"/analytics/workers/{bad['id']}", days="7"))["jobs"]
    assert row == {
        "worker_id": bad["id"],
        "worker_name": "bad",
        "max_concurrency": 2,
        "queued": 2,
        "running": 0,
        "oldest_due_at": None,
        **{name: value for name, value in alone.items() if name not in {"by_trigger", "failures_by_code"}},
    }


def test_analytics_by_worker_are_sorted_limited_and_of_one_tenant(api: Api) -> None:
    good, bad = api.make_worker(name="good"), api.make_worker(name="bad", source_code=FAILS)
    for worker in (good, good, bad):
        api.run_job(worker["id"])
    api.make_job(bad["id"], scheduled_at="2099-01-01T00:00:00Z")

    def names(**query: str) -> list[str]:
        return [one["worker_name"] for one in data_of(api.get("/analytics/workers", **query))["workers"]]

    assert names(sort="total") == ["good", "bad"]
    assert names(sort="failure_rate") == names(sort="queued") == ["bad", "good"]
    limited = data_of(api.get("/analytics/workers", limit="1", sort="queued"))
    assert ([one["worker_name"] for one in limited["workers"]], limited["total"]) == (["bad"], 2)
    other = data_of(api.having(tenant=f"ten_{uuid4().hex}").get("/analytics/workers"))
    assert (other["workers"], other["total"]) == ([], 0)
    for bad_query in ({"sort": "name"}, {"limit": "0"}, {"limit": "1001"}, {"days": "91"}, {"order": "x"}):
        assert fields_of(api.get("/analytics/workers", **bad_query)).keys() == bad_query.keys()


def test_nothing_ended_has_no_rates(api: Api) -> None:
    jobs = data_of(api.get("/analytics"))["jobs"]
    assert (jobs["total"], jobs["success_rate"], jobs["avg_duration_ms"], jobs["p99_duration_ms"]) == (
        0,
        None,
        None,
        None,
    )


def test_a_period_is_1_to_90_days(api: Api) -> None:
    for days in ("0", "91", "-1", "x", "1.5", ""):
        assert "days" in fields_of(api.get("/analytics", days=days))
    assert "day" in fields_of(api.get("/analytics", day="3"))
    assert data_of(api.get("/analytics", days="90"))["period_days"] == 90


def test_unknown_workers_have_no_queue_and_no_report(api: Api) -> None:
    for path in ("/queues", "/analytics/workers"):
        for worker_id in ("wkr_01jd9x3v7m0000000000000000", "x"):
            error_of(api.get(f"{path}/{worker_id}"), 404, "resource_not_found")
