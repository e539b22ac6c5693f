"""Shares of jobs: what whoever has a link sees, and what not; who makes and revokes them."""

import re
import time
from uuid import uuid4

import httpx
from tests.contract.client import Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import PLATFORM_KEY, MakeKey, Server
from tests.contract.test_audit import entries

SHARING = "/v1/ava/sharing"
PRINTS = (
    "def handler(input, env):\n    print('looked at', input['row'])\n    return {'rows': 9007199254740993}\n"
)


def allow(api: Api, enabled: bool = True) -> None:
    assert data_of(api.call("PUT", SHARING, {"enabled": enabled})) == {"enabled": enabled}


def share(api: Api, job: Json, **body: Json) -> Json:
    return data_of(api.post(f"/jobs/{job['id']}/shares", body), 201)


def visit(api: Api, token: str, path: str = "/v1/shared/job", **params: str) -> httpx.Response:
    """Read as somebody does who has nothing but a link."""
    return api.http.get(path, params=params, headers={"authorization": f"Bearer {token}"})


def until_refused(api: Api, token: str) -> None:
    """Visit until the link is refused, which may take two seconds."""
    deadline = time.monotonic() + 30
    while visit(api, token).status_code != 401:
        assert time.monotonic() < deadline


def test_a_link_shows_one_job_to_whoever_has_it(api: Api, server: Server) -> None:
    worker = api.make_worker(name="Count rows", source_code=PRINTS)
    job = api.run_job(worker["id"], input={"row": 7})
    allow(api)
    made = share(api, job, ttl_seconds=3600)
    assert made["url"] == f"{server.url}/shared#token={made['token']}"
    assert re.fullmatch(r"rwj_[\w-]{43}", made["token"])
    response = visit(api, made["token"])
    shown = data_of(response)
    assert shown == {
        **{name: job[name] for name in shown if name != "shared_until"},
        "shared_until": made["expires_at"],
    }
    assert not shown.keys() & {"tenant_id", "triggered_by", "worker_id", "schedule_id", "parent_job_id"}
    assert api.tenant not in response.text
    assert shown["output"] == {"rows": 9007199254740993}
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-robots-tag"] == "noindex, nofollow"
    assert "set-cookie" not in response.headers
    without = data_of(visit(api, made["token"], payloads="false"))
    assert (without["input"], without["output"], without["status"]) == ({}, None, "completed")
    logs = data_of(visit(api, made["token"], "/v1/shared/job/logs", tail="true"))
    assert "looked at 7" in [line["msg"] for line in logs["logs"]]
    assert made["token"] not in server.log.read_text()


def test_a_link_is_no_key_and_a_key_is_no_link(api: Api, make_key: MakeKey) -> None:
    worker = api.make_worker()
    job, other = api.run_job(worker["id"]), api.run_job(worker["id"])
    allow(api)
    token = share(api, job)["token"]
    for headers in ({"authorization": f"Bearer {token}"}, {"x-internal-secret": token}):
        for path in (
            "/v1/ava/jobs",
            f"/v1/ava/jobs/{job['id']}",
            f"/v1/ava/jobs/{other['id']}",
            "/v1/session",
        ):
            error_of(api.http.get(path, headers=headers), 401, "unauthorized")
    assert api.http.get("/api/v1/agents", headers={"x-avala-api-key": token}).status_code == 401
    assert api.http.get("/api/automation/jobs", headers={"x-api-key": token}).status_code == 401
    reader = data_of(api.post("/v1/tokens", {}), 201)["token"]
    for text in (
        PLATFORM_KEY,
        make_key(api.tenant, "tenant-system-admin"),
        reader,
        "rwj_" + "a" * 43,
        "é",
    ):
        sent = {b"authorization": f"Bearer {text}".encode("latin-1")}
        response = api.http.httpx.get("/v1/shared/job", headers=sent)
        error_of(response, 401, "unauthorized")
    error_of(api.http.get("/v1/shared/job", headers=api.headers), 401, "unauthorized")
    assert fields_of(visit(api, token, job_id=other["id"])).keys() == {"job_id"}


def test_a_tenant_has_to_allow_it_and_forbidding_it_ends_all_links(api: Api) -> None:
    job = api.run_job(api.make_worker()["id"])
    path = f"/jobs/{job['id']}/shares"
    assert data_of(api.get(SHARING)) == {"enabled": False}
    refused = error_of(api.post(path, {}), 403, "forbidden")
    assert "does not allow" in refused["message"]
    allow(api)
    allow(api)
    token = share(api, job)["token"]
    data_of(visit(api, token))
    allow(api, enabled=False)
    until_refused(api, token)
    allow(api)
    error_of(visit(api, token), 401, "unauthorized")
    assert data_of(api.get(path)) == []
    changes = [entry["action"] for entry in entries(api, action="sharing.*")]
    assert changes == ["sharing.change"] * 3


def test_a_link_is_revoked_and_who_did_what_is_in_the_audit_log(api: Api) -> None:
    job = api.run_job(api.make_worker()["id"])
    allow(api)
    first, second = share(api, job), share(api, job)
    listed = data_of(api.get(f"/jobs/{job['id']}/shares"))
    assert [one["id"] for one in listed] == [second["id"], first["id"]]
    assert all(not one.keys() & {"token", "url"} for one in listed)
    assert api.delete(f"/jobs/{job['id']}/shares/{first['id']}").status_code == 204
    until_refused(api, first["token"])
    data_of(visit(api, second["token"]))
    error_of(api.delete(f"/jobs/{job['id']}/shares/{first['id']}"), 404, "resource_not_found")
    actions = [entry["action"] for entry in entries(api, subject_id=first["id"])]
    assert actions == ["job.unshare", "job.share"]
    assert first["token"] not in api.get("/v1/audit").text


def test_another_tenant_neither_sees_nor_ends_it(api: Api) -> None:
    job = api.run_job(api.make_worker()["id"])
    allow(api)
    made = share(api, job)
    other = api.having(tenant=f"ten_{uuid4().hex}")
    allow(other)
    for response in (
        other.get(f"/jobs/{job['id']}/shares"),
        other.post(f"/jobs/{job['id']}/shares", {}),
        other.delete(f"/jobs/{job['id']}/shares/{made['id']}"),
    ):
        error_of(response, 404, "resource_not_found")
    allow(other, enabled=False)
    data_of(visit(api, made["token"]))


def test_only_those_who_manage_access_share_and_only_what_they_may_read(api: Api) -> None:
    job = api.run_job(api.make_worker()["id"])
    path = f"/jobs/{job['id']}/shares"
    allow(api)
    for role in ("tenant-viewer", "tenant-member", "tenant-admin"):
        lower = api.having(role=role)
        error_of(lower.post(path, {}), 403, "forbidden")
        assert data_of(lower.get(path)) == []
        error_of(lower.call("PUT", SHARING, {"enabled": False}), 403, "forbidden")
        assert data_of(lower.get(SHARING)) == {"enabled": True}
    for scopes in (["read", "run", "deploy"], ["admin"]):
        key = data_of(api.post("/v1/keys", {"role": "tenant-system-admin", "scopes": scopes}), 201)["key"]
        headers = {"x-internal-secret": key}
        error_of(api.http.post(f"/v1/ava{path}", json={}, headers=headers), 403, "forbidden")


def test_a_link_ends_with_the_key_that_it_was_made_with(api: Api) -> None:
    job = api.run_job(api.make_worker()["id"])
    allow(api)
    key = data_of(api.post("/v1/keys", {"role": "tenant-system-admin"}), 201)
    made = api.http.post(
        f"/v1/ava/jobs/{job['id']}/shares", json={}, headers={"x-internal-secret": key["key"]}
    )
    token = data_of(made, 201)["token"]
    data_of(visit(api, token))
    data_of(api.delete(f"/v1/keys/{key['id']}"))
    until_refused(api, token)


def test_a_suspended_tenant_shows_nothing(api: Api) -> None:
    job = api.run_job(api.make_worker()["id"])
    allow(api)
    token = share(api, job)["token"]
    operator = api.having(role="platform-admin")
    data_of(operator.post(f"/v1/tenants/{api.tenant}/suspend"))
    assert visit(api, token).status_code == 403
    data_of(operator.post(f"/v1/tenants/{api.tenant}/reactivate"))
    data_of(visit(api, token))


def test_bad_fields_are_named(api: Api) -> None:
    job = api.run_job(api.make_worker()["id"])
    allow(api)
    path = f"/jobs/{job['id']}/shares"
    for seconds in (59, 30 * 86400 + 1, "x"):
        assert fields_of(api.post(path, {"ttl_seconds": seconds})).keys() == {"ttl_seconds"}
    assert fields_of(api.call("PUT", SHARING, {"enabled": "yes"})).keys() == {"enabled"}
    error_of(api.post("/jobs/job_01jd9x3v7m0000000000000000/shares", {}), 404, "resource_not_found")
    error_of(api.delete(f"{path}/shr_x"), 404, "resource_not_found")
