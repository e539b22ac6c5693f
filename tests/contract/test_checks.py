"""`/v1/ava/check`: what the requests that create would refuse, named before anything is created."""

from tests.contract.client import Api, Json, data_of, fields_of

WORKER: Json = {"name": "digest", "runtime": "python"}
SCHEDULE: Json = {"cron": "0 9 * * *", "timezone": "UTC"}
WEBHOOK: Json = {"url": "https://hooks.example.com/x", "events": ["ava.job.failed"]}
JOB: Json = {
    "scope": "global",
    "name": "nightly",
    "agent_name": "digest",
    "prompt": "Sum up.",
    "schedule": {"mode": "cron", "expr": "0 8 * * *"},
}
TRIGGER: Json = {
    "scope": "global",
    "name": "triage",
    "agent_name": "digest",
    "prompt": "Why did {{ .Data.job_id }} fail?",
    "event": "ava.job.failed",
}


def worker(*schedules: Json, **fields: object) -> Json:
    return {"definition": WORKER | fields, "schedules": list(schedules)}


def problems_of(api: Api, body: Json) -> dict[str, list[str]]:
    return fields_of(api.post("/check", json=body))


def test_all_that_is_wrong_is_named_at_once_and_nothing_is_created(api: Api) -> None:
    found = problems_of(
        api,
        {
            "workers": [
                worker(),
                worker(
                    SCHEDULE | {"cron": "61 * * * *"},
                    SCHEDULE | {"timezone": "Europe/Atlantis"},
                    secrets=["GOOD", "not-a-name"],
                    input_schema={"type": "nonsense"},
                ),
                worker(name=" ", memory_mb=1, runtime_version="9.9"),
                worker(runtime_version="9.9"),
            ],
            "webhooks": [
                WEBHOOK,
                WEBHOOK | {"url": "ftp://x", "events": ["job.exploded"]},
                WEBHOOK | {"url": "http://169.254.169.254/"},
            ],
            "automation_jobs": [
                JOB,
                JOB | {"schedule": {"mode": "cron", "expr": "nonsense"}},
                JOB | {"name": 5},
            ],
            "automation_triggers": [TRIGGER, TRIGGER | {"prompt": "{{ .Data"}],
        },
    )
    assert found.keys() == {
        "workers.1.definition.secrets.1",
        "workers.1.definition.input_schema.type",
        "workers.1.schedules.0.cron",
        "workers.1.schedules.1.timezone",
        "workers.2.definition.name",
        "workers.2.definition.memory_mb",
        "workers.2.definition.runtime_version",
        "workers.3.definition.runtime_version",
        "webhooks.1.url",
        "webhooks.1.events.0",
        "webhooks.2.url",
        "automation_jobs.1.schedule.expr",
        "automation_jobs.2.name",
        "automation_triggers.1.prompt",
    }
    assert api.get("/workers").json()["data"] == []


def test_what_the_requests_would_accept_is_valid(api: Api) -> None:
    schema = {"type": "object", "properties": {"rows": {"type": "integer"}}}
    valid = worker(SCHEDULE | {"input": {"rows": 3}}, input_schema=schema)
    webhook_trigger = TRIGGER | {"event": "webhook", "endpoint_slug": "deploys"}
    body = {"workers": [valid], "webhooks": [WEBHOOK], "automation_jobs": [JOB]}
    answer = data_of(api.post("/check", json=body | {"automation_triggers": [TRIGGER, webhook_trigger]}))
    assert answer == {"valid": True, "warnings": {}}


def test_the_input_of_a_schedule_is_checked_by_the_schema_beside_it(api: Api) -> None:
    schema = {"type": "object", "properties": {"rows": {"type": "integer"}}}
    wrong = worker(SCHEDULE | {"input": {"rows": "many"}}, input_schema=schema)
    assert problems_of(api, {"workers": [wrong]}).keys() == {"workers.0.schedules.0.input.rows"}


def test_an_event_that_can_never_come_has_a_warning(api: Api) -> None:
    answer = data_of(api.post("/check", json={"automation_triggers": [TRIGGER | {"event": "ava.job.faild"}]}))
    [(field, [message])] = answer["warnings"].items()
    assert field == "automation_triggers.0.event"
    assert "Did you mean ava.job.failed?" in message


def test_problems_are_bounded(api: Api) -> None:
    assert len(problems_of(api, {"webhooks": [{}] * 400})) == 100
    assert problems_of(api, {"webhooks": [{}] * 501}).keys() == {"webhooks"}
    assert problems_of(api, {"workers": [worker(*[SCHEDULE] * 251)] * 2}).keys() == {"workers"}
