"""Schedules as the API promises them; each test names the rows of the contract that it proves."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.contract.client import TIME, Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import Server
from tests.waiting import eventually, until

KEYS = {
    *("id", "tenant_id", "worker_id", "name", "cron", "timezone", "input", "enabled", "next_run_at"),
    *("last_run_at", "last_job_id", "created_at", "updated_at", "catch_up", "overlap"),
    *("misfire_grace_seconds", "jitter_seconds", "missed_count", "created_by"),
}
TICK_KEYS = {
    *("scheduled_for", "due_at", "status", "reason", "message", "job_id", "decided_at", "late_ms"),
    *("count", "through", "origin"),
}
BACKFILL_KEYS = {
    *("id", "schedule_id", "from", "to", "status", "matched", "first", "last", "done", "failed", "skipped"),
    *("error", "created_by", "created_at", "completed_at"),
}
UNKNOWN = "/schedules/sch_01jd9x3v7m0000000000000000"


def parsed(text: str) -> datetime:
    assert TIME.fullmatch(text)
    return datetime.fromisoformat(text)


def until_fired(api: Api, schedule_id: str) -> Json:
    """Wait until a schedule has fired, and return its latest tick."""
    return eventually(lambda: api.get(f"/schedules/{schedule_id}/ticks").json()["data"])[0]


def test_create_answers_201_with_the_record_and_its_defaults(api: Api) -> None:
    """Schedules: `worker_id`, `cron`, `timezone` required; `name`, `input`, `enabled` (default true)."""
    worker = api.make_worker()
    before = datetime.now(UTC)
    schedule = api.make_schedule(worker["id"], cron="30 9 * * MON-FRI", timezone="America/New_York")
    assert schedule.keys() == KEYS
    assert schedule["id"].startswith("sch_")
    assert {name: schedule[name] for name in KEYS - {"id", "next_run_at", "created_at", "updated_at"}} == {
        "tenant_id": api.tenant,
        "worker_id": worker["id"],
        "name": None,
        "cron": "30 9 * * MON-FRI",
        "timezone": "America/New_York",
        "input": {},
        "enabled": True,
        "last_run_at": None,
        "last_job_id": None,
        "catch_up": "none",
        "overlap": "allow",
        "misfire_grace_seconds": 30,
        "jitter_seconds": 0,
        "missed_count": 0,
        "created_by": "usr_test",
    }
    next_run = parsed(schedule["next_run_at"])
    assert before < next_run < before + timedelta(days=4)
    assert next_run.minute == 30
    assert parsed(schedule["created_at"]) == parsed(schedule["updated_at"])
    assert data_of(api.get(f"/schedules/{schedule['id']}")) == schedule


def test_every_field_can_be_given(api: Api) -> None:
    given = {
        "worker_id": api.make_worker()["id"],
        "cron": "0 0 1 * *",
        "timezone": "Asia/Tokyo",
        "name": "  Monthly report ",
        "input": {"deep": [1, {"x": None}]},
        "enabled": False,
        "catch_up": "last",
        "overlap": "skip",
        "misfire_grace_seconds": 3600,
        "jitter_seconds": 120,
    }
    schedule = data_of(api.post("/schedules", given), 201)
    assert {name: schedule[name] for name in given} == given | {"name": "Monthly report"}
    assert schedule["next_run_at"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cron", "* * * * * *"),
        ("cron", "0 0 31 2 *"),
        ("cron", "61 * * * *"),
        ("cron", "@daily"),
        ("cron", ""),
        ("cron", "every minute"),
        ("cron", 5),
        ("cron", None),
        ("cron", "0 0 1 1 *" * 40),
        ("timezone", "Mars/Base"),
        ("timezone", "../../etc/passwd"),
        ("timezone", ""),
        ("timezone", None),
        ("timezone", "UTC+2"),
        ("name", ""),
        ("name", "x" * 201),
        ("name", "a\0b"),
        ("input", []),
        ("input", None),
        ("input", {"a": "x" * 1024 * 1024}),
        ("enabled", "yes"),
        ("enabled", None),
        ("catch_up", "all"),
        ("overlap", "queue"),
        ("misfire_grace_seconds", 0),
        ("misfire_grace_seconds", 86_401),
        ("jitter_seconds", -1),
        ("jitter_seconds", 3601),
        ("jitter_seconds", 1.5),
        ("id", "sch_x"),
        ("next_run_at", "2030-01-01T00:00:00Z"),
        ("last_job_id", "job_x"),
        ("tenant_id", "ten_x"),
        ("surprise", 1),
    ],
)
def test_a_bad_field_is_named(api: Api, field: str, value: Json) -> None:
    """Unsatisfiable and malformed expressions, unknown zones: 422 naming the field; PATCH alike."""
    worker = api.make_worker()
    body = {"worker_id": worker["id"], "cron": "0 0 1 1 *", "timezone": "UTC"}
    assert fields_of(api.post("/schedules", body | {field: value})).keys() == {field}
    schedule = api.make_schedule(worker["id"])
    assert fields_of(api.patch(f"/schedules/{schedule['id']}", {field: value})).keys() == {field}
    assert data_of(api.get(f"/schedules/{schedule['id']}")) == schedule


def test_all_bad_fields_are_named_at_once(api: Api) -> None:
    bad = {"cron": "x", "timezone": "y", "jitter_seconds": -1, "what": 1}
    assert fields_of(api.post("/schedules", bad)).keys() == {"worker_id", *bad}
    assert fields_of(api.post("/schedules", {})).keys() == {"worker_id", "cron", "timezone"}


def test_a_misspelt_zone_gets_a_suggestion(api: Api) -> None:
    body = {"worker_id": "wkr_x", "cron": "* * * * *", "timezone": "europe/berlin"}
    (message,) = fields_of(api.post("/schedules", body))["timezone"]
    assert message.endswith("Perhaps Europe/Berlin is meant.")


def test_the_worker_must_exist_and_not_be_deprecated(api: Api) -> None:
    body = {"cron": "0 0 1 1 *", "timezone": "UTC"}
    unknown = body | {"worker_id": "wkr_01jd9x3v7m0000000000000000"}
    error_of(api.post("/schedules", unknown), 404, "resource_not_found")
    worker = api.make_worker()
    data_of(api.delete(f"/workers/{worker['id']}"))
    error_of(api.post("/schedules", body | {"worker_id": worker["id"]}), 409, "resource_conflict")


def test_patch_changes_what_is_given(api: Api) -> None:
    schedule = api.make_schedule(api.make_worker()["id"], name="a")
    path = f"/schedules/{schedule['id']}"
    changed = data_of(api.patch(path, {"name": "b", "input": {"n": 1}}))
    assert changed == schedule | {"name": "b", "input": {"n": 1}, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > schedule["updated_at"]
    assert data_of(api.patch(path, {"name": None}))["name"] is None
    moved = data_of(api.patch(path, {"cron": "0 12 * * *", "timezone": "UTC"}))
    assert parsed(moved["next_run_at"]).hour == 12
    assert parsed(moved["next_run_at"]) < parsed(schedule["next_run_at"])
    assert data_of(api.patch(path, {})) == moved
    assert data_of(api.get(path)) == moved


def test_enabled_false_pauses_and_true_resumes(api: Api) -> None:
    """`enabled: false` pauses."""
    schedule = api.make_schedule(api.make_worker()["id"])
    path = f"/schedules/{schedule['id']}"
    paused = data_of(api.patch(path, {"enabled": False}))
    assert (paused["enabled"], paused["next_run_at"]) == (False, None)
    resumed = data_of(api.patch(path, {"enabled": True}))
    assert (resumed["enabled"], resumed["next_run_at"]) == (True, schedule["next_run_at"])


def test_delete_is_hard_with_204(api: Api) -> None:
    """DELETE is hard (204)."""
    schedule = api.make_schedule(api.make_worker()["id"])
    path = f"/schedules/{schedule['id']}"
    response = api.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    for again in (api.get(path), api.delete(path), api.patch(path, {}), api.get(f"{path}/ticks")):
        error_of(again, 404, "resource_not_found")
    assert api.get("/schedules").json()["data"] == []


def test_deprecating_the_worker_stops_its_schedules(api: Api) -> None:
    """Workers: DELETE; its schedules stop firing."""
    worker = api.make_worker()
    schedule = api.make_schedule(worker["id"], cron="* * * * *")
    data_of(api.delete(f"/workers/{worker['id']}"))
    path = f"/schedules/{schedule['id']}"
    stopped = data_of(api.get(path))
    assert (stopped["enabled"], stopped["next_run_at"]) == (False, None)
    error_of(api.patch(path, {"enabled": True}), 409, "resource_conflict")
    assert api.delete(path).status_code == 204


def test_lists_are_filtered_and_paged(api: Api) -> None:
    worker, other = api.make_worker(), api.make_worker()
    made = [api.make_schedule(worker["id"], name=f"Digest {n}", enabled=n != 1) for n in range(3)]
    api.make_schedule(other["id"], name="else")

    def names(**query: str) -> list[str]:
        return [schedule["name"] for schedule in api.get("/schedules", **query).json()["data"]]

    assert names() == ["else", "Digest 2", "Digest 1", "Digest 0"]
    assert names(**{"filter[worker_id]": other["id"]}) == ["else"]
    assert names(**{"filter[enabled]": "false"}) == ["Digest 1"]
    assert names(**{"filter[enabled]": "true", "q": "dIgEsT"}) == ["Digest 2", "Digest 0"]
    first = api.get("/schedules", per_page="2").json()
    pagination = first["pagination"]
    assert (pagination["total"], pagination["has_more"], pagination["page"]) == (4, True, 1)
    rest = api.get("/schedules", per_page="2", cursor=pagination["next_cursor"]).json()
    assert [one["id"] for one in rest["data"]] == [made[1]["id"], made[0]["id"]]
    assert fields_of(api.get("/schedules", **{"filter[cron]": "x"})).keys() == {"filter[cron]"}
    assert fields_of(api.get("/schedules", **{"filter[enabled]": "maybe"})).keys() == {"filter[enabled]"}


def test_a_preview_of_an_expression_tells_what_the_clock_does(api: Api) -> None:
    """Preview of the next N firings with DST notes, for an expression not saved yet."""
    preview = data_of(
        api.get("/schedules/preview", cron="30 2 * 3,10 SUN", timezone="Europe/Berlin", count="60")
    )
    assert (preview["cron"], preview["timezone"]) == ("30 2 * 3,10 SUN", "Europe/Berlin")
    firings = preview["firings"]
    assert len(firings) == 60
    for firing in firings:
        assert firing.keys() == {"at", "local", "note", "message"}
        assert datetime.fromisoformat(firing["local"]) == parsed(firing["at"])
        assert (firing["note"] is None) == (firing["message"] is None)
    skipped = [one for one in firings if one["note"] == "skipped_local_time"]
    repeated = [one for one in firings if one["note"] == "repeated_local_time"]
    assert skipped
    assert repeated
    for one in skipped:
        assert "T03:00:00+02:00" in one["local"]
        assert "-03-" in one["local"]
    for one in repeated:
        assert "T02:30:00+02:00" in one["local"]
        assert "-10-" in one["local"]
    assert [parsed(one["at"]) for one in firings] == sorted(parsed(one["at"]) for one in firings)


def test_a_preview_names_bad_parameters(api: Api) -> None:
    assert fields_of(api.get("/schedules/preview")).keys() == {"cron", "timezone"}
    bad = {"cron": "0 0 30 2 *", "timezone": "Nowhere", "count": "101", "x": "1"}
    assert fields_of(api.get("/schedules/preview", **bad)).keys() == set(bad)


def test_a_preview_of_a_schedule_begins_with_its_next_run(api: Api) -> None:
    schedule = api.make_schedule(api.make_worker()["id"])
    path = f"/schedules/{schedule['id']}/preview"
    assert len(data_of(api.get(path))["firings"]) == 10
    preview = data_of(api.get(path, count="3"))
    assert preview["firings"][0]["at"] == schedule["next_run_at"]
    assert len(preview["firings"]) == 3
    assert fields_of(api.get(path, count="0")).keys() == {"count"}


def test_ids_that_are_none_are_not_found(api: Api) -> None:
    for path in (
        UNKNOWN,
        "/schedules/sch_x",
        f"/schedules/{uuid4()}",
        f"{UNKNOWN}/ticks",
        f"{UNKNOWN}/preview",
    ):
        error_of(api.get(path), 404, "resource_not_found")


def test_a_schedule_fires_by_itself_and_its_tick_names_the_job(api: Api, server: Server) -> None:
    """Each firing makes a job (`trigger: scheduled`) with the schedule's input; ticks as rows.

    Its time is moved to now in the table, where the clock looks; nobody waits for a minute to pass.
    """
    worker = api.make_worker()
    schedule = api.make_schedule(worker["id"], input={"n": 7})
    paused = api.make_worker()
    quiet = api.make_schedule(paused["id"])
    data_of(api.patch(f"/workers/{paused['id']}", {"status": "paused"}))
    assert api.get(f"/schedules/{schedule['id']}/ticks").json()["data"] == []
    server.make_due(schedule["id"])
    server.make_due(quiet["id"])

    tick = until_fired(api, schedule["id"])
    assert tick.keys() == TICK_KEYS
    assert (tick["status"], tick["reason"], tick["message"]) == ("fired", None, None)
    assert tick["scheduled_for"] == tick["due_at"] < schedule["next_run_at"]
    assert tick["late_ms"] == (parsed(tick["decided_at"]) - parsed(tick["due_at"])) / timedelta(
        milliseconds=1
    )
    assert 0 <= tick["late_ms"] < 30_000
    after = data_of(api.get(f"/schedules/{schedule['id']}"))
    assert (after["last_job_id"], after["last_run_at"]) == (tick["job_id"], tick["decided_at"])
    assert after["next_run_at"] == schedule["next_run_at"], "and from there by the expression again"

    job = api.await_end(tick["job_id"])
    assert (job["trigger"], job["schedule_id"], job["output"]) == ("scheduled", schedule["id"], {"n": 7})
    assert job["scheduled_at"] == tick["scheduled_for"]
    listed = api.get("/jobs", **{"filter[trigger]": "scheduled"}).json()["data"]
    assert [one["id"] for one in listed] == [job["id"]]

    skipped = until_fired(api, quiet["id"])
    assert (skipped["status"], skipped["reason"], skipped["job_id"]) == ("skipped", "worker_paused", None)
    assert skipped["message"]
    assert skipped["late_ms"] is None
    page = api.get(f"/schedules/{quiet['id']}/ticks", **{"filter[status]": "fired"}).json()
    assert (page["data"], page["pagination"]["total"]) == ([], 0)
    bad = api.get(f"/schedules/{quiet['id']}/ticks", **{"filter[status]": "late"})
    assert fields_of(bad).keys() == {"filter[status]"}
    assert api.delete(f"/schedules/{schedule['id']}").status_code == 204
    assert data_of(api.get(f"/jobs/{job['id']}"))["schedule_id"] == schedule["id"]


def test_a_run_fires_now_and_changes_nothing_else(api: Api) -> None:
    worker = api.make_worker()
    schedule = api.make_schedule(worker["id"], input={"n": 5}, enabled=False)
    path = f"/schedules/{schedule['id']}"
    job = data_of(api.post(f"{path}/run"), 201)
    assert (job["schedule_id"], job["trigger"], job["input"]) == (schedule["id"], "scheduled", {"n": 5})
    assert data_of(api.get(path)) == schedule
    [tick] = api.get(f"{path}/ticks").json()["data"]
    assert (tick["origin"], tick["status"], tick["job_id"]) == ("manual", "fired", job["id"])
    assert api.await_end(job["id"])["output"] == {"n": 5}
    key = {"Idempotency-Key": "run"}
    first = data_of(api.post(f"{path}/run", **key), 201)
    assert data_of(api.post(f"{path}/run", **key), 200)["id"] == first["id"]
    other = api.make_schedule(worker["id"])
    error_of(api.post(f"/schedules/{other['id']}/run", **key), 409, "resource_conflict")
    api.patch(f"/workers/{worker['id']}", {"status": "paused"})
    error_of(api.post(f"{path}/run"), 409, "resource_conflict")
    actions = [
        row["action"] for row in api.get("/v1/audit", **{"filter[action]": "schedule.run"}).json()["data"]
    ]
    assert actions == ["schedule.run"] * 2
    error_of(api.having(role="tenant-admin").post(f"{path}/run"), 403, "forbidden")


def test_a_window_is_caught_up_after_a_dry_run(api: Api) -> None:
    schedule = api.make_schedule(api.make_worker()["id"], cron="*/10 * * * *", timezone="UTC", enabled=False)
    path = f"/schedules/{schedule['id']}"
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    window = {"from": (end - timedelta(hours=2)).isoformat(), "to": end.isoformat()}
    dry = data_of(api.post(f"{path}/backfill", window | {"dry_run": True}), 200)
    assert dry.keys() == BACKFILL_KEYS
    assert (dry["id"], dry["status"], dry["matched"]) == (None, None, 13)
    assert (parsed(dry["first"]), parsed(dry["last"])) == (end - timedelta(hours=2), end)
    assert api.get(f"{path}/ticks").json()["data"] == []
    started = data_of(api.post(f"{path}/backfill", window, **{"Idempotency-Key": "b"}), 202)
    assert started.keys() == BACKFILL_KEYS
    assert started["id"].startswith("bfl_")
    done = until(
        lambda: data_of(api.get(f"{path}/backfills/{started['id']}")), lambda now: now["status"] != "running"
    )
    assert (done["status"], done["matched"], done["done"], done["failed"]) == ("completed", 13, 13, 0)
    assert TIME.fullmatch(done["completed_at"])
    ticks = api.get(f"{path}/ticks", per_page="100").json()["data"]
    assert {tick["origin"] for tick in ticks} == {"backfill"}
    jobs = {job["id"]: job for job in api.get("/jobs", per_page="100").json()["data"]}
    assert {jobs[tick["job_id"]]["scheduled_at"] for tick in ticks} == {t["scheduled_for"] for t in ticks}
    assert data_of(api.post(f"{path}/backfill", window, **{"Idempotency-Key": "b"}), 202) == done
    again = data_of(api.post(f"{path}/backfill", window | {"dry_run": True}), 200)
    assert (again["matched"], again["first"], again["last"]) == (0, None, None)
    error_of(api.post(f"{path}/backfills/{started['id']}/cancel"), 409, "resource_conflict")
    rows = api.get("/v1/audit", **{"filter[action]": "schedule.backfill"}).json()["data"]
    assert [row["subject_id"] for row in rows] == [schedule["id"]]


def test_a_backfill_belongs_to_its_tenant_and_needs_the_role_of_a_writer(api: Api) -> None:
    schedule = api.make_schedule(api.make_worker()["id"], enabled=False)
    path = f"/schedules/{schedule['id']}"
    started = data_of(api.post(f"{path}/backfill", {"from": "-1h"}), 202)
    stranger = api.having(tenant=api.tenant + "x")
    for response in (
        stranger.post(f"{path}/run"),
        stranger.post(f"{path}/backfill", {"from": "-1h"}),
        stranger.get(f"{path}/backfills/{started['id']}"),
        stranger.post(f"{path}/backfills/{started['id']}/cancel"),
        api.get(f"{UNKNOWN}/backfills/{started['id']}"),
        api.get(f"{path}/backfills/bfl_01jd9x3v7m0000000000000000"),
        api.get(f"{path}/backfills/x"),
    ):
        error_of(response, 404, "resource_not_found")
    viewer = api.having(role="tenant-viewer")
    assert data_of(viewer.get(f"{path}/backfills/{started['id']}"))["id"] == started["id"]
    error_of(viewer.post(f"{path}/backfill", {"from": "-1h"}), 403, "forbidden")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"from"}),
        ({"from": "yesterday", "to": "soon"}, {"from", "to"}),
        ({"from": "-1h", "to": "-2h"}, {"to"}),
        ({"from": "-200d"}, {"from"}),
        ({"from": "-30d"}, {"from"}),
        ({"from": "-1h", "dry_run": 1, "limit": 5}, {"dry_run", "limit"}),
        ({"from": None, "to": None}, {"from"}),
    ],
)
def test_a_bad_window_is_refused_by_name(api: Api, body: Json, fields: set[str]) -> None:
    schedule = api.make_schedule(api.make_worker()["id"], cron="* * * * *", enabled=False)
    for extra in ({}, {"dry_run": True}):
        response = api.post(f"/schedules/{schedule['id']}/backfill", extra | body)
        assert fields_of(response).keys() == fields
