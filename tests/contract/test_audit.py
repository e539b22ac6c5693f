"""The audit log: every write leaves a row that says who did what, and nothing secret."""

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from uuid import uuid4

import pytest
from tests.contract.bundles import deploy
from tests.contract.client import ECHO, WEBHOOKS, Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import MakeKey, Server
from tests.contract.test_auth import WRITES
from tests.preloaded import preloaded
from tests.waiting import until

AUDIT = "/v1/audit"
SECRET = "a-value-that-must-not-show"
NEVER = "2099-01-01T00:00:00Z"

PROVED_ELSEWHERE = {
    ("POST", "/v1/ava/jobs/bulk/{operation_id}/cancel"): "integration/bulk/test_bulk.py",
    ("DELETE", "/v1/ava/workers/{worker_id}/state"): "contract/test_handlers.py",
    ("DELETE", "/v1/ava/workers/{worker_id}/state/{key}"): "as above",
    ("POST", "/v1/ava/inbox/{item_id}/answer"): "contract/test_inbox.py",
    ("POST", "/v1/ava/inbox/{item_id}/links"): "contract/test_question_links.py",
    ("POST", "/v1/ava/inbox"): "contract/test_questions.py",
    ("DELETE", "/v1/ava/inbox/{item_id}"): "as above",
    ("POST", "/v1/ava/jobs/{job_id}/shares"): "contract/test_shares.py",
    ("DELETE", "/v1/ava/jobs/{job_id}/shares/{share_id}"): "as above",
    ("PUT", "/v1/ava/sharing"): "as above",
    (
        "POST",
        "/v1/ava/schedules/{schedule_id}/backfills/{backfill_id}/cancel",
    ): "integration/schedules/test_backfills.py",
}
LEAVE_NO_ROW = {
    ("POST", "/v1/ava/jobs"): "the job says who submitted it",
    ("POST", "/v1/ava/jobs/batch"): "as above",
    ("POST", "/v1/ava/jobs/{job_id}/retry"): "as above",
    ("POST", "/v1/ava/events"): "the event is its own record",
    ("POST", "/v1/ava/check"): "nothing is created",
}


def entries(api: Api, **filters: str) -> list[Json]:
    """The entries that the caller sees, newest first."""
    response = api.get(AUDIT, per_page="100", **{f"filter[{name}]": text for name, text in filters.items()})
    assert response.status_code == 200, response.text
    return list(response.json()["data"])


def _call(method: str, path: str, json: Json = None) -> Callable[[Api, Json], None]:
    def call(api: Api, ids: Json) -> None:
        response = api.call(method, path.format(**ids), json=json)
        assert response.status_code in {200, 201, 202, 204}, response.text

    return call


def _deploy(api: Api, ids: Json) -> None:
    deploy(api, ids["worker"], {"main.py": ECHO + "# new\n"})


_SCHEDULE = {"cron": "0 0 1 1 *", "timezone": "UTC"}
_HOOK = {"url": "https://hooks.invalid/", "events": ["*"], "secret": SECRET}

WROTE: dict[tuple[str, str], tuple[str, str, Callable[[Api, Json], None]]] = {
    ("POST", "/v1/ava/jobs/bulk"): (
        "job.bulk_cancel",
        "",
        _call("POST", "/jobs/bulk", {"action": "cancel", "ids": ["another"]}),
    ),
    ("POST", "/v1/ava/workers"): (
        "worker.create",
        "",
        _call("POST", "/workers", {"name": "w", "runtime": "python", "config": {"K": SECRET}}),
    ),
    ("PATCH", "/v1/ava/workers/{worker_id}"): (
        "worker.change",
        "worker",
        _call("PATCH", "/workers/{worker}", {"name": "other"}),
    ),
    ("DELETE", "/v1/ava/workers/{worker_id}"): (
        "worker.deprecate",
        "worker",
        _call("DELETE", "/workers/{worker}"),
    ),
    ("POST", "/v1/ava/workers/{worker_id}/deploy"): ("worker.deploy", "worker", _deploy),
    ("POST", "/v1/ava/workers/{worker_id}/rollback"): (
        "worker.rollback",
        "worker",
        _call("POST", "/workers/{worker}/rollback", {"version": 1}),
    ),
    ("PUT", "/v1/ava/secrets/{name}"): (
        "secret.put",
        "name",
        _call("PUT", "/secrets/{name}", {"value": SECRET}),
    ),
    ("DELETE", "/v1/ava/secrets/{name}"): ("secret.delete", "name", _call("DELETE", "/secrets/{name}")),
    ("POST", "/v1/ava/jobs/{job_id}/cancel"): (
        "job.cancel",
        "job",
        _call("POST", "/jobs/{job}/cancel"),
    ),
    ("POST", "/v1/ava/schedules"): (
        "schedule.create",
        "",
        lambda api, ids: _call("POST", "/schedules", {"worker_id": ids["worker"], **_SCHEDULE})(api, ids),
    ),
    ("PATCH", "/v1/ava/schedules/{schedule_id}"): (
        "schedule.change",
        "schedule",
        _call("PATCH", "/schedules/{schedule}", {"enabled": False}),
    ),
    ("POST", "/v1/ava/schedules/{schedule_id}/run"): (
        "schedule.run",
        "schedule",
        _call("POST", "/schedules/{schedule}/run"),
    ),
    ("POST", "/v1/ava/schedules/{schedule_id}/backfill"): (
        "schedule.backfill",
        "schedule",
        _call("POST", "/schedules/{schedule}/backfill", {"from": "-1h"}),
    ),
    ("DELETE", "/v1/ava/schedules/{schedule_id}"): (
        "schedule.delete",
        "schedule",
        _call("DELETE", "/schedules/{schedule}"),
    ),
    ("POST", WEBHOOKS): ("webhook.create", "", _call("POST", WEBHOOKS, _HOOK)),
    ("PATCH", "/v1/webhooks/{webhook_id}"): (
        "webhook.change",
        "webhook",
        _call("PATCH", WEBHOOKS + "/{webhook}", {"secret": SECRET}),
    ),
    ("DELETE", "/v1/webhooks/{webhook_id}"): (
        "webhook.delete",
        "webhook",
        _call("DELETE", WEBHOOKS + "/{webhook}"),
    ),
    ("POST", "/v1/webhooks/{webhook_id}/test"): (
        "webhook.test",
        "webhook",
        _call("POST", WEBHOOKS + "/{webhook}/test"),
    ),
    ("POST", "/v1/webhooks/{webhook_id}/rotate-secret"): (
        "webhook.rotate_secret",
        "webhook",
        _call("POST", WEBHOOKS + "/{webhook}/rotate-secret", {"secret": SECRET}),
    ),
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): (
        "delivery.redeliver",
        "delivery",
        _call("POST", WEBHOOKS + "/{webhook}/deliveries/{delivery}/redeliver"),
    ),
}


def furnish(api: Api) -> Json:
    """Make one of everything for a tenant, and return the ids."""
    worker = api.make_worker()["id"]
    job = api.make_job(worker, scheduled_at=NEVER)["id"]
    data_of(api.call("PUT", "/secrets/TOKEN", json={"value": "an-older-value"}), 201)
    webhook = api.make_webhook()["id"]
    api.post(f"{WEBHOOKS}/{webhook}/test")
    [delivery] = api.get(f"{WEBHOOKS}/{webhook}/deliveries").json()["data"]
    schedule = api.make_schedule(worker)["id"]
    return {
        "worker": worker,
        "job": job,
        "name": "TOKEN",
        "webhook": webhook,
        "delivery": delivery["id"],
        "schedule": schedule,
    }


def test_every_route_that_writes_is_in_the_log_or_says_why_not() -> None:
    mine = {route for route in WRITES if route[1].startswith(("/v1/ava", WEBHOOKS))}
    # those of tenants and keys: test_tenants.py, test_keys.py
    assert mine == WROTE.keys() | LEAVE_NO_ROW.keys() | PROVED_ELSEWHERE.keys()


@pytest.mark.parametrize("route", WROTE, ids=str)
def test_a_write_leaves_one_row_that_says_who_did_what(api: Api, route: tuple[str, str]) -> None:
    action, subject, write = WROTE[route]
    ids = furnish(api)
    before = entries(api)
    write(api, ids)
    [entry] = entries(api)[: len(entries(api)) - len(before)]
    assert entry["action"] == action
    assert not subject or entry["subject_id"] == ids[subject]
    assert (entry["tenant_id"], entry["user_id"]) == (api.tenant, "usr_test")
    assert (entry["key_id"], entry["role"]) == ("platform", "tenant-system-admin")
    assert re.fullmatch(r"aud_[0-9a-z]{26}", entry["id"])
    assert re.fullmatch(r"req_[0-9a-z]{26}", entry["request_id"])
    for name in ("before_hash", "after_hash"):
        assert entry[name] is None or re.fullmatch(r"[0-9a-f]{64}", entry[name])
    created, deleted = entry["before_hash"] is None, entry["after_hash"] is None
    assert created or not action.endswith(".create")
    assert deleted or not action.endswith((".delete", ".redeliver"))
    assert SECRET not in str(entries(api))


def test_reads_refusals_and_submits_leave_none(api: Api) -> None:
    worker = api.make_worker()["id"]
    before = entries(api)
    api.get("/workers")
    fields_of(api.patch(f"/workers/{worker}", {"name": 1}))
    error_of(api.having(role="tenant-admin").delete(f"/workers/{worker}"), 403, "forbidden")
    data_of(api.patch(f"/workers/{worker}", {"name": "Echo"}))
    job = api.make_job(worker, scheduled_at=NEVER)
    data_of(api.post("/jobs/batch", {"jobs": [{"worker_id": worker, "scheduled_at": NEVER}]}), 201)
    data_of(api.post(f"/jobs/{job['id']}/cancel"))
    error_of(api.post(f"/jobs/{job['id']}/cancel"), 409, "resource_conflict")
    data_of(api.post(f"/jobs/{job['id']}/retry"), 201)
    assert [entry["action"] for entry in entries(api)] == ["job.cancel"] + [e["action"] for e in before]


def test_the_hashes_are_those_of_the_subject_before_and_after(api: Api) -> None:
    worker = api.make_worker()["id"]
    for name in ("one", "two"):
        data_of(api.patch(f"/workers/{worker}", {"name": name}))
    second, first, made = entries(api, subject_id=worker)
    assert made["before_hash"] is None
    assert made["after_hash"] == first["before_hash"] != first["after_hash"]
    assert first["after_hash"] == second["before_hash"] != second["after_hash"]


def test_the_log_is_paged_and_filtered(api: Api, make_key: MakeKey) -> None:
    start = datetime.now(UTC)
    key = make_key(api.tenant, "tenant-system-admin")
    worker = api.make_worker()["id"]
    for number in range(4):
        data_of(api.patch(f"/workers/{worker}", {"name": f"w{number}"}))
    webhook = api.make_webhook()["id"]
    own = api.http.post(
        "/v1/ava/workers",
        json={"name": "w", "runtime": "python"},
        headers={"x-internal-secret": key, "x-request-id": "my-own-id"},
    )
    made = data_of(own, 201)
    everything = entries(api)
    assert len(everything) == 8
    assert everything[0]["request_id"] == "my-own-id"
    assert (everything[-1]["action"], everything[-1]["user_id"]) == ("key.create", "cli")
    assert everything[0]["user_id"] == everything[0]["key_id"] == made["created_by"]
    assert entries(api, action="worker.change") == everything[2:6]
    assert entries(api, action="worker.*") == [everything[0], *everything[2:7]]
    assert entries(api, action="webhook.create") == entries(api, subject_id=webhook) == everything[1:2]
    assert entries(api, user_id="usr_test") == everything[1:7]
    assert entries(api, tenant_id=api.tenant) == everything
    assert entries(api, created_after=everything[3]["created_at"])[:4] == everything[:4]
    assert entries(api, created_before=everything[3]["created_at"])[-5:] == everything[3:]
    assert entries(api, created_before=start.isoformat()) == []
    walked: list[Json] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get(AUDIT, per_page="3", **cursor).json()
        walked += page["data"]
        assert page["pagination"]["total"] == 8
        if not page["pagination"]["has_more"]:
            break
        cursor = {"cursor": page["pagination"]["next_cursor"]}
    assert walked == everything
    assert fields_of(api.get(AUDIT, **{"filter[action]": "Robert'); --"})).keys() == {"filter[action]"}
    assert fields_of(api.get(AUDIT, **{"filter[colour]": "red"})).keys() == {"filter[colour]"}


def test_who_reads_the_log_of_whom(api: Api, make_key: MakeKey) -> None:
    worker = api.make_worker()["id"]
    [entry] = entries(api)
    for role in ("tenant-viewer", "tenant-member", "tenant-admin"):
        error_of(api.having(role=role).get(AUDIT), 403, "forbidden")
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    assert entries(stranger) == entries(stranger, subject_id=worker) == []
    error_of(stranger.get(AUDIT, **{"filter[tenant_id]": api.tenant}), 403, "forbidden")
    operator = stranger.having(role="platform-admin")
    assert entries(operator, tenant_id=api.tenant) == entries(operator, subject_id=worker) == [entry]
    key = make_key(stranger.tenant, "platform-admin")
    bound = stranger.having(key=key, role="platform-admin")
    assert entries(bound, subject_id=worker) == []
    error_of(bound.get(AUDIT, **{"filter[tenant_id]": api.tenant}), 403, "forbidden")


def audit(server: Server, *arguments: str) -> CompletedProcess[str]:
    """Run `runwright audit` beside the server."""
    environment = {**os.environ, "RUNWRIGHT_DATA_DIR": str(server.data_dir)}
    return preloaded.run("audit", *arguments, env=environment)


def test_an_operator_verifies_the_log_and_an_export_of_it(api: Api, server: Server, tmp_path: Path) -> None:
    worker = api.make_worker()["id"]
    exported = until(lambda: audit(server, "export").stdout, lambda text: worker in text)
    whole = audit(server, "verify")
    assert (whole.returncode, whole.stderr) == (0, "")
    head = re.search(r"^head: (\d+:[0-9a-f]{64})$", whole.stdout, re.MULTILINE)
    assert head is not None
    assert audit(server, "verify", "--head", head[1]).returncode == 0
    remade = audit(server, "verify", "--head", head[1][:-1] + ("0" if head[1][-1] != "0" else "1"))
    assert (remade.returncode, "made anew" in remade.stderr) == (1, True)
    assert audit(server, "verify", "--head", "the last one").returncode == 2
    file = tmp_path / "audit.jsonl"
    file.write_text(exported)
    assert audit(server, "verify", "--file", str(file)).returncode == 0
    changed = next(line for line in exported.splitlines() if worker in line)
    position = json.loads(changed)["position"]
    file.write_text(exported.replace(changed, changed.replace("usr_test", "usr_else")))
    found = audit(server, "verify", "--file", str(file))
    assert (found.returncode, f"at {position}: " in found.stderr) == (1, True)
    file.write_text("no json")
    assert "line 1" in audit(server, "verify", "--file", str(file)).stderr
