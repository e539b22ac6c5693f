"""Tenants: the operator makes, limits, suspends and reactivates them; a suspended one stands still."""

import random
import time
from uuid import uuid4

import httpx
import pytest
from tests.contract.bundles import send, zip_of
from tests.contract.client import ECHO, WEBHOOKS, Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import MakeKey, Server
from tests.contract.test_audit import entries
from tests.waiting import until

TENANTS = "/v1/tenants"
NO_LIMITS = dict.fromkeys(
    ("requests_per_second", "request_burst", "queued_jobs", "running_jobs", "schedules", "stored_bytes")
)


@pytest.fixture
def operator(api: Api) -> Api:
    """The operator, who says that they act in a tenant of their own."""
    return api.having(tenant="ten_operator", role="platform-admin")


def suspend(operator: Api, tenant: str) -> Json:
    return data_of(operator.post(f"{TENANTS}/{tenant}/suspend"))


def reactivate(operator: Api, tenant: str) -> Json:
    return data_of(operator.post(f"{TENANTS}/{tenant}/reactivate"))


def test_a_tenant_is_made_shown_changed_and_listed(operator: Api) -> None:
    tenant_id = f"acme-{uuid4().hex}"
    body = {"id": tenant_id, "name": "Acme Corp.", "limits": {"queued_jobs": 5, "stored_bytes": 2**40}}
    made = data_of(operator.post(TENANTS, body), 201)
    assert made == {
        "id": tenant_id,
        "name": "Acme Corp.",
        "status": "active",
        "status_reason": None,
        "limits": made["limits"],
        "overrides": NO_LIMITS | {"queued_jobs": 5, "stored_bytes": 2**40},
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert made["limits"]["queued_jobs"] == 5
    assert made["limits"]["requests_per_second"] > 100
    assert data_of(operator.get(f"{TENANTS}/{tenant_id}")) == made
    changes = {"name": None, "limits": {"queued_jobs": None, "running_jobs": 3}}
    changed = data_of(operator.patch(f"{TENANTS}/{tenant_id}", changes))
    assert changed["name"] is None
    assert changed["overrides"] == NO_LIMITS | {"running_jobs": 3, "stored_bytes": 2**40}
    assert changed["updated_at"] > made["updated_at"]
    assert operator.get(TENANTS, q=tenant_id[3:].upper()).json()["data"] == [changed]
    error_of(operator.post(TENANTS, {"id": tenant_id}), 409, "resource_conflict")
    actions = [entry["action"] for entry in entries(operator, subject_id=tenant_id)]
    assert actions == ["tenant.change", "tenant.create"]


def test_a_tenant_without_an_id_gets_one(operator: Api) -> None:
    made = data_of(operator.post(TENANTS, {}), 201)
    assert made["id"].startswith("ten_")
    assert data_of(operator.get(f"{TENANTS}/{made['id']}")) == made


def test_whoever_writes_is_a_tenant(api: Api, operator: Api) -> None:
    error_of(operator.get(f"{TENANTS}/{api.tenant}"), 404, "resource_not_found")
    api.get("/workers")
    error_of(operator.get(f"{TENANTS}/{api.tenant}"), 404, "resource_not_found")
    api.make_worker()
    assert data_of(operator.get(f"{TENANTS}/{api.tenant}"))["overrides"] == NO_LIMITS


def test_tenants_are_listed_by_page_and_filtered(operator: Api) -> None:
    mark = uuid4().hex
    made = [data_of(operator.post(TENANTS, {"id": f"{mark}-{n}"}), 201) for n in range(3)]
    suspended = suspend(operator, made[1]["id"])
    first = operator.get(TENANTS, q=mark, per_page="2").json()
    assert first["data"] == [made[2], suspended]
    assert first["pagination"]["total"] == 3
    second = operator.get(TENANTS, q=mark, cursor=first["pagination"]["next_cursor"]).json()
    assert second["data"] == [made[0]]
    only = operator.get(TENANTS, q=mark, **{"filter[status]": "suspended"}).json()
    assert only["data"] == [suspended]
    reactivate(operator, made[1]["id"])


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        ({"id": "a b"}, {"id"}),
        ({"id": ""}, {"id"}),
        ({"name": "x" * 201}, {"name"}),
        ({"name": "a\u0000b"}, {"name"}),
        ({"status": "suspended"}, {"status"}),
        ({"limits": {"queued_jobs": 0}}, {"limits.queued_jobs"}),
        ({"limits": {"queued_jobs": "many"}}, {"limits.queued_jobs"}),
        ({"limits": {"colours": 3}}, {"limits"}),
        ({"limits": {"requests_per_second": 9, "request_burst": 3}}, {"limits.request_burst"}),
        ({"id": 1, "name": 2, "colour": 3}, {"id", "name", "colour"}),
    ],
)
def test_bad_fields_are_named(operator: Api, body: Json, bad: set[str]) -> None:
    assert fields_of(operator.post(TENANTS, body)).keys() == bad


def test_only_the_operator_comes_in(api: Api, make_key: MakeKey) -> None:
    worker = api.make_worker()
    key = make_key(api.tenant, "platform-admin")
    bound = api.having(key=key, role="platform-admin")
    assert data_of(bound.get(f"/workers/{worker['id']}")) == worker
    for response in (
        bound.get(TENANTS),
        bound.post(TENANTS, {}),
        bound.get(f"{TENANTS}/{api.tenant}"),
        bound.patch(f"{TENANTS}/{api.tenant}", {"limits": {"queued_jobs": 10**6}}),
        bound.post(f"{TENANTS}/{api.tenant}/reactivate"),
        api.get(TENANTS),
    ):
        error_of(response, 403, "forbidden")


def test_a_suspended_tenants_calls_are_refused_until_it_works_again(
    api: Api, operator: Api, make_key: MakeKey
) -> None:
    worker = api.make_worker()
    key = make_key(api.tenant, "tenant-viewer")
    reason = {"status": "suspended", "status_reason": "The bill is not paid."}
    suspended = data_of(operator.patch(f"{TENANTS}/{api.tenant}", reason))
    assert (suspended["status"], suspended["status_reason"]) == ("suspended", "The bill is not paid.")
    for response in (
        api.get("/workers"),
        api.post("/jobs", {"worker_id": worker["id"]}),
        api.post("/jobs/batch", {"jobs": [{"worker_id": worker["id"]}]}),
        api.get(WEBHOOKS),
        api.get("/v1/audit"),
        api.having(role="platform-admin").get("/workers"),
        api.having(key=key, role="tenant-viewer").get("/workers"),
    ):
        assert "The bill is not paid." in error_of(response, 403, "tenant_suspended")["message"]
    own = api.having(role="platform-admin")
    assert data_of(own.get(f"{TENANTS}/{api.tenant}")) == suspended, "the operator's call is not the tenant's"
    again = reactivate(operator, api.tenant)
    assert (again["status"], again["status_reason"]) == ("active", None)
    assert data_of(api.get(f"/workers/{worker['id']}")) == worker
    actions = [entry["action"] for entry in entries(api, action="tenant.*")]
    assert actions == ["tenant.reactivate", "tenant.suspend"]


def test_a_tenant_may_have_a_rate_of_its_own(api: Api, operator: Api) -> None:
    worker = api.make_worker()["id"]
    limits = {"limits": {"requests_per_second": 1, "request_burst": 4}}
    data_of(operator.patch(f"{TENANTS}/{api.tenant}", limits))
    job = {"worker_id": worker, "scheduled_at": "2099-01-01T00:00:00Z"}
    began = time.monotonic()
    answers = [api.post("/jobs", job), api.get("/workers"), api.get(WEBHOOKS)]
    while answers[-1].status_code != 429:
        answers.append(api.post("/jobs", job))
        assert len(answers) - 1 <= 4 + 1 + (time.monotonic() - began), "of each second one is permitted"
    assert len(answers) - 1 >= 4
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"4"}
    assert int(answers[0].headers["x-ratelimit-remaining"]) == 3
    assert all(int(answer.headers["x-ratelimit-remaining"]) <= 3 for answer in answers)
    refused = answers[-1]
    error_of(refused, 429, "rate_limited")
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.headers["retry-after"] == "1"
    assert api.having(tenant=api.tenant + "x").get("/workers").status_code == 200
    data_of(operator.patch(f"{TENANTS}/{api.tenant}", {"limits": dict.fromkeys(limits["limits"])}))
    assert int(api.get("/workers").headers["x-ratelimit-remaining"]) > 100


def test_the_command_line_says_and_does_the_same(api: Api, operator: Api, server: Server) -> None:
    tenant = f"cli-{uuid4().hex}"
    assert server.run("tenants", "create", tenant, "--name", "By hand") == tenant
    assert data_of(operator.get(f"{TENANTS}/{tenant}"))["name"] == "By hand"
    theirs = api.having(tenant=tenant)
    assert theirs.get("/workers").status_code == 200
    server.run("tenants", "suspend", tenant, "--reason", "Moved away.")
    refused = until(lambda: theirs.get("/workers"), lambda answer: answer.status_code != 200)
    assert "Moved away." in error_of(refused, 403, "tenant_suspended")["message"]
    [line] = [
        line for line in server.run("tenants", "list", "--status", "suspended").split("\n") if tenant in line
    ]
    assert line.split()[:2] == [tenant, "By"]
    assert "suspended" in line
    server.run("tenants", "reactivate", tenant)
    assert data_of(operator.get(f"{TENANTS}/{tenant}"))["status"] == "active"
    assert [entry["user_id"] for entry in entries(operator, subject_id=tenant)] == ["cli"] * 3


def over_quota(response: httpx.Response, name: str, limit: int, current: int) -> None:
    error = error_of(response, 429, "quota_exceeded")
    assert error["quota"] == {"name": name, "limit": limit, "current": current}
    assert name in error["message"]
    assert int(response.headers["retry-after"]) >= 1


def test_a_full_queue_takes_no_more_until_there_is_room(api: Api, operator: Api) -> None:
    worker = api.make_worker()["id"]
    data_of(operator.patch(f"{TENANTS}/{api.tenant}", {"limits": {"queued_jobs": 4}}))
    job = {"worker_id": worker, "scheduled_at": "2099-01-01T00:00:00Z"}
    first = api.make_job(worker, scheduled_at=job["scheduled_at"])
    data_of(api.post("/jobs/batch", {"jobs": [job, job]}), 201)
    over_quota(api.post("/jobs/batch", {"jobs": [job, job]}), "queued_jobs", 4, 3)
    data_of(api.post("/jobs?wait=0", job, **{"idempotency-key": "k"}), 201)
    data_of(api.post(f"/jobs/{first['id']}/cancel"))
    until(lambda: api.post("/jobs", job).status_code, lambda status: status == 201)
    for response in (
        api.post("/jobs", job),
        api.post("/jobs?wait=1", job),
        api.post(f"/jobs/{first['id']}/retry"),
    ):
        over_quota(response, "queued_jobs", 4, 4)
    assert api.get("/queues").json()["data"]["total_queued"] == 4


def test_a_repeated_request_is_answered_at_the_quota_too(api: Api, operator: Api) -> None:
    """It makes nothing, so a client that lost the answer gets it."""
    worker = api.make_worker()["id"]
    run = f"/schedules/{api.make_schedule(worker)['id']}/run"
    data_of(operator.patch(f"{TENANTS}/{api.tenant}", {"limits": {"queued_jobs": 3}}))
    job = {"worker_id": worker, "scheduled_at": "2099-01-01T00:00:00Z"}
    fired = data_of(api.post(run, {}, **{"idempotency-key": "r"}), 201)["id"]
    assert api.get(f"/jobs/{fired}/logs/stream").status_code == 200, "it ends with the job"
    one = data_of(api.post("/jobs", job, **{"idempotency-key": "1"}), 201)
    two = data_of(api.post("/jobs/batch", {"jobs": [job, job]}, **{"idempotency-key": "2"}), 201)
    for _ in range(3):
        assert data_of(api.post("/jobs", job, **{"idempotency-key": "1"}), 200) == one
        assert data_of(api.post("/jobs/batch", {"jobs": [job, job]}, **{"idempotency-key": "2"}), 200) == two
        assert data_of(api.post(run, {}, **{"idempotency-key": "r"}), 200)["id"] == fired
        for path in ("/jobs", run):
            body = job if path == "/jobs" else {}
            over_quota(api.post(path, body, **{"idempotency-key": "new"}), "queued_jobs", 3, 3)
    error_of(api.post("/jobs", job | {"priority": 1}, **{"idempotency-key": "1"}), 409, "resource_conflict")


def test_there_are_quotas_of_schedules_and_of_stored_bytes(api: Api, operator: Api) -> None:
    worker = api.make_worker()["id"]
    limits = {"schedules": 2, "stored_bytes": 10_000}
    data_of(operator.patch(f"{TENANTS}/{api.tenant}", {"limits": limits}))
    for _ in range(2):
        api.make_schedule(worker)
    body = {"worker_id": worker, "cron": "0 0 1 1 *", "timezone": "UTC"}
    over_quota(api.post("/schedules", body), "schedules", 2, 2)
    has = len(ECHO)
    large = "#" * 6000
    new = {"name": "w", "runtime": "python", "source_code": large}
    data_of(api.patch(f"/workers/{worker}", {"source_code": large}))
    over_quota(api.post("/workers", new), "stored_bytes", 10_000, has + 6000)
    over_quota(
        api.patch(f"/workers/{worker}", {"source_code": large + "#"}), "stored_bytes", 10_000, has + 6000
    )
    bundle = zip_of({"main.py": random.Random(1).randbytes(9000)})
    over_quota(send(api, worker, bundle), "stored_bytes", 10_000, has + 6000)
    data_of(api.patch(f"/workers/{worker}", {"source_code": large, "name": "the same code"}))
    data_of(api.post("/workers", {"name": "w", "runtime": "python", "source_code": ECHO}), 201)


def test_jobs_over_the_quota_of_running_ones_wait_and_say_why(api: Api, operator: Api) -> None:
    worker = api.make_worker(
        source_code="import time\n\n\ndef handler(input, env):\n    time.sleep(input.get('s', 0))\n"
    )["id"]
    data_of(operator.patch(f"{TENANTS}/{api.tenant}", {"limits": {"running_jobs": 1}}))
    first = api.make_job(worker, input={"s": 60})
    second = api.make_job(worker)
    assert api.await_start(first["id"])["status"] == "running"
    why = data_of(api.get(f"/jobs/{second['id']}/explain"))
    [reason] = [reason for reason in why["reasons"] if reason["code"] == "tenant_running_jobs"]
    assert reason["details"] == {"running": 1, "running_jobs": 1}
    data_of(api.post(f"/jobs/{first['id']}/cancel"))
    done = data_of(api.post("/jobs?wait=20", {"worker_id": worker}), 201)
    ended = data_of(api.get(f"/jobs/{second['id']}"))
    first_ended = data_of(api.get(f"/jobs/{first['id']}"))
    assert [job["status"] for job in (first_ended, ended, done)] == ["cancelled", "completed", "completed"]
    assert first_ended["completed_at"] <= ended["started_at"]


def test_a_tenant_sees_how_much_of_its_quotas_it_uses(api: Api, operator: Api) -> None:
    usage = f"{TENANTS}/{api.tenant}/usage"
    data_of(operator.post(TENANTS, {"id": api.tenant, "limits": {"queued_jobs": 7, "schedules": 3}}), 201)
    worker = api.make_worker()
    for _ in range(2):
        api.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
    api.make_schedule(worker["id"])
    shown = data_of(api.having(role="tenant-viewer").get(usage))
    size = shown["quotas"]["stored_bytes"].pop("used")
    assert 0 < size < 1000
    assert shown["tenant_id"] == api.tenant
    assert shown["quotas"] == {
        "queued_jobs": {"used": 2, "limit": 7},
        "running_jobs": {"used": 0, "limit": None},
        "schedules": {"used": 1, "limit": 3},
        "stored_bytes": {"limit": 20 * 2**30},
    }
    assert shown["requests"] == {"per_second": 2000, "burst": 60_000}
    assert data_of(operator.get(usage))["quotas"]["queued_jobs"] == {"used": 2, "limit": 7}


def test_usage_of_another_tenant_is_not_found(api: Api, operator: Api, make_key: MakeKey) -> None:
    api.make_worker()
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    bound = stranger.having(key=make_key(stranger.tenant, "platform-admin"), role="platform-admin")
    for caller in (stranger, bound):
        error_of(caller.get(f"{TENANTS}/{api.tenant}/usage"), 404, "resource_not_found")
    for path in ("ten_nobody", "a%20b"):
        error_of(operator.get(f"{TENANTS}/{path}/usage"), 404, "resource_not_found")
