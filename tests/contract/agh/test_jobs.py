"""Contract §1 and §3 to §5: jobs, their validation, their schedules, their runs."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.contract.agh.client import JOBS, NEVER, RUNS, TASKS, Agh, answer, invalid, refused
from tests.contract.client import Json
from tests.waiting import until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d*[1-9])?Z")
OWNER = {"kind": "human", "ref": "ada"}


def at(text: str) -> datetime:
    """The time that a text says; its fraction has no zeros at the end, so that texts do not sort as times do."""
    assert TIME.fullmatch(text)
    return datetime.fromisoformat(text)


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_1_1_a_job_has_these_fields_and_leaves_out_what_is_empty(agh: Agh) -> None:
    job = agh.make_job()
    assert job.keys() == {
        *("id", "scope", "name", "agent_name", "prompt", "enabled", "retry", "fire_limit", "source"),
        *("created_at", "updated_at", "schedule", "next_run", "scheduler"),
    }
    assert job["retry"] == {"strategy": "none", "max_retries": 0, "base_delay": ""}
    assert job["fire_limit"] == {"max": 12, "window": "1h"}
    assert job["source"] == "dynamic"
    assert job["schedule"] == NEVER
    assert re.fullmatch("job-[0-9a-f]{16}", job["id"])
    assert TIME.fullmatch(job["created_at"])
    assert job["next_run"] == job["scheduler"]["next_run_at"]
    assert job["scheduler"].keys() == {
        *("job_id", "registered", "next_run_at", "catch_up_policy", "misfire_grace_seconds", "updated_at"),
    }
    assert job["scheduler"]["catch_up_policy"] == "skip_missed"
    assert answer(agh.get(f"{JOBS}/{job['id']}")) == {"job": job}
    assert answer(agh.get(JOBS)) == {"jobs": [job]}


def test_1_2_a_deleted_job_is_gone_and_its_runs_stay(agh: Agh) -> None:
    job = agh.make_job()
    run = agh.run(job["id"])
    gone = agh.delete(f"{JOBS}/{job['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for response in (
        agh.get(f"{JOBS}/{job['id']}"),
        agh.delete(f"{JOBS}/{job['id']}"),
        agh.patch(f"{JOBS}/{job['id']}", {"enabled": False}),
        agh.post(f"{JOBS}/{job['id']}/trigger"),
        agh.get(f"{JOBS}/{job['id']}/runs", status="nonsense"),
    ):
        assert refused(response, 404) == "automation: job not found"
    assert answer(agh.get(RUNS, job_id=job["id"]))["runs"] == [run]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "  "}, "job.name is required"),
        ({"agent_name": None}, "job.agent_name is required"),
        ({"prompt": " "}, "job.prompt is required"),
        ({"scope": None}, 'job.scope must be one of "global" or "workspace": ""'),
        ({"scope": "team"}, 'job.scope must be one of "global" or "workspace": "team"'),
        ({"workspace_id": "ws"}, 'job.workspace_id must be empty when job.scope is "global"'),
        ({"scope": "workspace"}, 'job.workspace_id is required when job.scope is "workspace"'),
        ({"schedule": None}, 'job.schedule.mode must be one of "cron", "every", or "at": ""'),
        (
            {"schedule": {"mode": "cron", "expr": "* * * * *", "time": "x"}},
            'job.schedule.time must be empty when schedule.mode is "cron"',
        ),
        ({"schedule": {"mode": "every"}}, 'job.schedule.interval is required when schedule.mode is "every"'),
        ({"retry": {}}, 'job.retry.strategy must be one of "none" or "backoff": ""'),
        ({"fire_limit": {"window": "1h"}}, "job.fire_limit.max must be positive: 0"),
        ({"fire_limit": {"max": 1}}, "job.fire_limit.window is required"),
        ({"fire_limit": {"max": 1, "window": "-1h"}}, 'job.fire_limit.window must be positive: "-1h"'),
        (
            {"fire_limit": {"max": 1, "window": "1d"}},
            'job.fire_limit.window is invalid: time: unknown unit "d" in duration "1d"',
        ),
        ({"task": {"network_channel": "Ops!"}}, 'job.task.network_channel is invalid: channel="Ops!"'),
        (
            {"task": {"owner": {"kind": "robot", "ref": "x"}}},
            'job.task.owner.kind has unsupported value "robot"',
        ),
        ({"task": {"owner": {"kind": "HUMAN", "ref": " "}}}, "job.task.owner.ref is required"),
        (
            {"task": {}, "retry": {"strategy": "backoff", "max_retries": 1, "base_delay": "1s"}},
            'job.retry.strategy must be "none" when job.task is configured',
        ),
    ],
)
def test_1_3_a_bad_field_is_named(agh: Agh, fields: Json, message: str) -> None:
    invalid(agh.post(JOBS, agh.job_body(**fields)), message)
    assert answer(agh.get(JOBS)) == {"jobs": []}


@pytest.mark.parametrize(
    "expr",
    [
        *("@daily", "* * * *", "* * * * * *", "0 0 30 2 *", "0 0 * * 7", "60 * * * *", "TZ=UTC"),
        *("TZ=Mars/Base * * * * *", "0 0 L * *", "x"),
    ],
)
def test_4_a_bad_expression_is_refused(agh: Agh, expr: str) -> None:
    response = agh.post(JOBS, agh.job_body(schedule={"mode": "cron", "expr": expr}))
    refused(response, 400, "automation validation error: job.schedule.expr is invalid: ")


@pytest.mark.parametrize(
    "schedule",
    [
        {"mode": "cron", "expr": "0 8 * * mon-fri"},
        {"mode": "cron", "expr": "TZ=Europe/Berlin 5/15 0 1 JAN ?"},
        {"mode": "every", "interval": "1.5h"},
        {"mode": "at", "time": "2099-01-01T00:00:00+02:00"},
    ],
)
def test_4_every_mode_has_a_next_run(agh: Agh, schedule: Json) -> None:
    job = agh.make_job(schedule=schedule)
    assert job["schedule"] == schedule
    assert TIME.fullmatch(job["next_run"])


@pytest.mark.parametrize("interval", ["0s", "-1s", "999ms", "1d", "nonsense"])
def test_4_every_is_at_least_a_second(agh: Agh, interval: str) -> None:
    response = agh.post(JOBS, agh.job_body(schedule={"mode": "every", "interval": interval}))
    refused(response, 400, "job.schedule.interval ")


def test_4_an_instant_that_is_over_is_kept_and_has_no_clock(agh: Agh) -> None:
    job = agh.make_job(schedule={"mode": "at", "time": "2020-01-01T00:00:00Z"})
    assert job.keys() & {"next_run", "scheduler"} == set()
    refused(agh.post(JOBS, agh.job_body(schedule={"mode": "at", "time": "2020-01-01"})), 400, "schedule.time")


def test_4_a_pause_takes_the_clock_away_and_a_resume_sets_it_anew(agh: Agh) -> None:
    job = agh.make_job(schedule={"mode": "every", "interval": "1h"})
    path = f"{JOBS}/{job['id']}"
    renamed = answer(agh.patch(path, {"prompt": "something else"}))["job"]
    assert renamed["next_run"] == job["next_run"], "a patch of something else keeps the cursor"
    assert at(renamed["updated_at"]) > at(job["updated_at"])
    paused = answer(agh.patch(path, {"enabled": False}))["job"]
    assert paused.keys() & {"next_run", "scheduler"} == set()
    resumed = answer(agh.patch(path, {"enabled": True}))["job"]
    assert at(resumed["next_run"]) > at(job["next_run"])


def test_ours_the_catch_up_policy_and_the_grace_can_be_chosen(agh: Agh) -> None:
    chosen = {"catch_up_policy": "run_all", "misfire_grace_seconds": 5}
    job = agh.make_job(scheduler=chosen)
    assert chosen.items() <= job["scheduler"].items()
    changed = answer(agh.patch(f"{JOBS}/{job['id']}", {"scheduler": {"catch_up_policy": "run_once"}}))["job"]
    assert changed["scheduler"]["catch_up_policy"] == "run_once"
    assert changed["scheduler"]["misfire_grace_seconds"] == 5
    refused(agh.post(JOBS, agh.job_body(scheduler={"catch_up_policy": "x"})), 400, "catch_up_policy")


def test_1_4_a_patch_replaces_objects_whole_and_checks_the_rest_again(agh: Agh) -> None:
    job = agh.make_job(retry={"strategy": "backoff", "max_retries": 3, "base_delay": "2s"})
    path = f"{JOBS}/{job['id']}"
    for nothing in ({}, {"scope": "workspace"}, {"name": None}, {"surprise": 1}):
        invalid(agh.patch(path, nothing), "automation job update must include at least one field")
    invalid(agh.patch(path, {"retry": {"strategy": "backoff"}}), "job.retry.max_retries must be positive: 0")
    invalid(agh.patch(path, {"prompt": ""}), "job.prompt is required")
    assert answer(agh.get(path))["job"] == job
    changed = answer(agh.patch(path, {"NAME": " other ", "scope": "workspace", "enabled": None}))["job"]
    assert (changed["name"], changed["scope"], changed["enabled"]) == ("other", "global", True)


def test_3_names_are_unique_in_their_scope(agh: Agh) -> None:
    job = agh.make_job(name="same")
    refused(agh.post(JOBS, agh.job_body(name="same")), 409, "automation: job name already exists in scope")
    agh.make_job(name="same", scope="workspace", workspace_id="ws-1")
    agh.make_job(name="same", scope="workspace", workspace_id="ws-2")
    agh.make_job(name="Same")
    agh.make_trigger(name="same")
    agh.having(tenant=agh.tenant + "x").make_job(name="same")
    other = agh.make_job()
    response = agh.patch(f"{JOBS}/{other['id']}", {"name": "same"})
    refused(response, 409, "automation: job name already exists in scope")
    assert answer(agh.get(f"{JOBS}/{job['id']}"))["job"]["name"] == "same"


def test_1_2_lists_are_by_name_filtered_and_walked_by_cursor(agh: Agh) -> None:
    names = ["b", "a", "C", "d", "e"]
    for name in names:
        agh.make_job(name=name)
    agh.make_job(name="w", scope="workspace", workspace_id="ws-1")
    jobs = answer(agh.get(JOBS))["jobs"]
    assert [job["name"] for job in jobs] == ["C", "a", "b", "d", "e", "w"], "in byte order"
    assert [job["name"] for job in answer(agh.get(JOBS, limit=" 2 "))["jobs"]] == ["C", "a"]
    assert len(answer(agh.get(JOBS, limit="0"))["jobs"]) == 6
    walked: list[str] = []
    query = {"limit": "2"}
    while query:
        page = answer(agh.get(JOBS, **query))
        walked += [job["name"] for job in page["jobs"]]
        query = {"limit": "2", "cursor": page["next_cursor"]} if "next_cursor" in page else {}
    assert walked == [job["name"] for job in jobs]
    assert [job["name"] for job in answer(agh.get(JOBS, workspace_id="ws-1"))["jobs"]] == ["w"]
    assert len(answer(agh.get(JOBS, scope="global", source="dynamic"))["jobs"]) == 5
    assert answer(agh.get(JOBS, source="config")) == {"jobs": []}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "x"}, 'invalid integer "x"'),
        ({"limit": "-1"}, "limit must not be negative"),
        ({"scope": "team"}, 'scope must be one of "global" or "workspace": "team"'),
        ({"source": "x"}, 'source must be one of "config", "package", or "dynamic": "x"'),
        ({"scope": "global", "workspace_id": "x"}, "workspace_id"),
        ({"cursor": "nonsense"}, "cursor"),
    ],
)
def test_1_2_a_bad_query_is_a_400(agh: Agh, query: dict[str, str], message: str) -> None:
    refused(agh.get(JOBS, **query), 400, "automation validation error: ", message)


def test_5_a_manual_run_answers_when_it_has_ended(agh: Agh) -> None:
    agh.make_agent(code="return {'got': input}")
    job = agh.make_job(enabled=False)
    run = agh.run(job["id"])
    assert run.keys() == {"id", "job_id", "session_id", "status", "attempt", "started_at", "ended_at"}
    assert (run["status"], run["attempt"], run["job_id"]) == ("completed", 1, job["id"])
    assert re.fullmatch("run-[0-9a-f]{16}", run["id"])
    session = agh.http.get(f"/v1/ava/jobs/{run['session_id']}", headers=agh.headers).json()["data"]
    assert session["output"]["got"] == {
        "prompt": "do it",
        "activation": None,
        "run": {"id": run["id"], "job_id": job["id"], "trigger_id": None, "attempt": 1},
        "workspace_id": None,
    }
    assert answer(agh.get(f"{RUNS}/{run['id']}")) == {"run": run}
    assert answer(agh.get(f"{JOBS}/{job['id']}/runs")) == {"runs": [run]}


def test_5_a_failed_run_is_a_200_that_says_so(agh: Agh) -> None:
    run = agh.run(agh.make_job(agent_name="nobody")["id"])
    assert (run["status"], run["error"]) == ("failed", 'agent "nobody" not found')
    assert "delivery_error" not in run


def test_5_attempts_are_kept_in_one_run(agh: Agh) -> None:
    agh.make_agent(code="raise ValueError(input['run']['attempt'])")
    job = agh.make_job(retry={"strategy": "backoff", "max_retries": 2, "base_delay": "1ms"})
    run = agh.run(job["id"])
    assert (run["status"], run["attempt"]) == ("failed", 3)
    attempts = answer(agh.get(f"{RUNS}/{run['id']}/attempts"))["attempts"]
    assert [(one["attempt"], one["status"]) for one in attempts] == [(n, "failed") for n in (1, 2, 3)]
    assert len({one["session_id"] for one in attempts}) == 3
    assert len(answer(agh.get(RUNS))["runs"]) == 1


def test_5_the_fire_limit_refuses_without_a_row(agh: Agh) -> None:
    job = agh.make_job(agent_name="nobody", fire_limit={"max": 1, "window": "1h"})
    agh.run(job["id"])
    response = agh.post(f"{JOBS}/{job['id']}/trigger")
    refused(response, 409, "automation: fire limit reached: fires=1 limit=1 window=1h0m0s retry_at=20")
    assert len(answer(agh.get(RUNS))["runs"]) == 1


def test_5_a_run_that_waits_can_be_cancelled(agh: Agh) -> None:
    agh.make_agent(code="import asyncio; await asyncio.sleep(60)")
    job = agh.make_job()
    run = answer(agh.post(f"{JOBS}/{job['id']}/trigger", wait="0"))["run"]
    assert run["status"] in {"scheduled", "running"}
    answer(agh.post(f"{RUNS}/{run['id']}/cancel"))
    until(lambda: answer(agh.get(f"{RUNS}/{run['id']}"))["run"], lambda now: now["status"] == "canceled")
    refused(agh.post(f"{RUNS}/{run['id']}/cancel"), 409, "has already ended")


def test_5_a_job_with_a_task_delegates_it(agh: Agh) -> None:
    job = agh.make_job(agent_name=None, prompt=None, task={"title": "Look", "owner": OWNER})
    assert (job["agent_name"], job["prompt"]) == ("", "")
    assert job["task"] == {"title": "Look", "owner": OWNER}
    run = agh.run(job["id"])
    assert run["status"] == "delegated"
    task = answer(agh.get(f"{TASKS}/{run['task_id']}"))["task"]
    assert (task["title"], task["owner"], task["status"]) == ("Look", OWNER, "open")
    assert (task["run_id"], task["task_run_id"]) == (run["id"], run["task_run_id"])
    done = answer(agh.patch(f"{TASKS}/{task['id']}", {"status": "done"}))["task"]
    assert done["status"] == "done"
    assert answer(agh.get(TASKS, status="done"))["tasks"] == [done]
    assert answer(agh.get(TASKS, status="open")) == {"tasks": []}
    refused(agh.patch(f"{TASKS}/{task['id']}", {"status": "x"}), 400, "task.status")


def test_1_2_runs_are_filtered_by_status_and_time(agh: Agh) -> None:
    job = agh.make_job(agent_name="nobody")
    first, second = agh.run(job["id"]), agh.run(job["id"])
    path = f"{JOBS}/{job['id']}/runs"
    assert answer(agh.get(path))["runs"] == [second, first]
    assert answer(agh.get(path, since=second["started_at"]))["runs"] == [second]
    assert answer(agh.get(path, until=first["started_at"]))["runs"] == [first]
    assert answer(agh.get(RUNS, status="completed")) == {"runs": []}
    assert answer(agh.get(RUNS, job_id="job-unknown")) == {"runs": []}
    page = answer(agh.get(RUNS, limit="1"))
    assert page["runs"] == [second]
    assert answer(agh.get(RUNS, limit="1", cursor=page["next_cursor"])) == {"runs": [first]}
    refused(agh.get(RUNS, status="cancelled"), 400, '"canceled": "cancelled"')
    refused(agh.get(RUNS, since="yesterday"), 400, 'invalid time "yesterday"')
    refused(agh.get(RUNS, since=later(60), until=later(0)), 400, "until must not be before since")


def test_10_an_instant_and_an_interval_really_run(agh: Agh) -> None:
    agh.make_agent()
    once = agh.make_job(schedule={"mode": "at", "time": later(3)})
    often = agh.make_job(schedule={"mode": "every", "interval": "1s"})
    runs: list[Json] = until(
        lambda: answer(agh.get(RUNS, status="completed"))["runs"],
        lambda found: {run["job_id"] for run in found} == {once["id"], often["id"]},
    )
    [run] = [run for run in runs if run["job_id"] == once["id"]]
    assert run["fire_id"] == "fire_" + run["id"].removeprefix("run_")
    assert TIME.fullmatch(run["scheduled_at"])
    shown = answer(agh.get(f"{JOBS}/{once['id']}"))["job"]
    assert shown.keys() & {"next_run", "scheduler"} == set()
    assert shown["enabled"] is True
    assert answer(agh.get(f"{JOBS}/{often['id']}"))["job"]["scheduler"]["last_fire_id"].startswith("fire_")
