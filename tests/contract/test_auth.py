"""Who may call what: keys, headers and roles, on every route there is."""

import re
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from tests.contract.client import WEBHOOKS, Api, Json, data_of, error_of
from tests.contract.conftest import MakeKey, Server

from runwright.core.roles import ROLES, KeyScope, Role
from runwright.http.app import build_app
from runwright.http.ava.authorization import AvaAccess
from runwright.http.routing import Access
from runwright.http.services import EdgeSettings, ServerReports, Services
from runwright.telemetry.prometheus import MetricRegistry

OPEN = {"/livez", "/readyz", "/healthz", "/metrics", "/v1/ava/openapi.json", "/v1/ava/docs"}
OPEN |= {
    "/v1/shared/question",
    "/v1/shared/question/answer",
    "/v1/session/redeem",
    "/v1/shared/job",
    "/v1/shared/job/logs",
}
"""Routes that need no key."""

ADMINISTRATION = ("/v1/audit", "/v1/keys")
"""Where also reading is for administrators, and the operator sees all tenants."""

OPERATION = ("/v1/tenants", "/v1/system")
"""Where all is for the operator; tests/contract/test_tenants.py says which tenants are found."""

OWN_USAGE = ("GET", "/v1/tenants/{tenant_id}/usage")
"""But this, which a tenant reads of itself."""

OWN_ACCESS = ("/v1/session", "/v1/tokens")
"""Where every caller opens and ends sessions of their own."""

ANSWER = ("POST", "/v1/ava/inbox/{item_id}/answer")
"""Where people decide."""

GIVES_ACCESS = re.compile(r"(POST|PUT|DELETE) /v1/ava/(sharing|jobs/[^/]+/shares|inbox/[^/]+/links)")
"""What shows jobs to people without a key, as keys do."""

STREAM = ("GET", "/v1/ava/stream")
"""Lasts; tests/contract/test_stream.py opens it."""

Route = tuple[str, str, object]


def nothing(kind: type[Services] | type[ServerReports]) -> dict[str, Any]:
    """Services that are looked at, not called."""
    return dict.fromkeys(kind.__struct_fields__)


def all_routes() -> Iterator[Route]:
    """Every route of the application, as (method, path, access)."""
    reports = ServerReports(**nothing(ServerReports) | {"metrics": MetricRegistry()})
    services = Services(**nothing(Services) | {"reports": reports})
    app = build_app(services, EdgeSettings())
    for route in app.routes:
        yield route.method, route.path, route.access


ROUTES = sorted(
    (method, path) for method, path, _ in all_routes() if path not in OPEN and path.startswith("/v1/")
)
ACCESSES = {(method, path): access for method, path, access in all_routes() if access is not None}
NEEDED = {
    (method, path): access.role for method, path, access in all_routes() if isinstance(access, AvaAccess)
}
WRITES = [(method, path) for method, path in ROUTES if method != "GET"]


def filled(path: str, **ids: str) -> str:
    """The path with ids in place of its parameters."""
    return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], path)


def unknown(path: str) -> str:
    prefixes = {"worker": "wkr", "job": "job", "schedule": "sch", "webhook": "wh", "delivery": "whd"}
    prefixes |= {"key": "key", "operation": "blk", "backfill": "bfl", "event": "evt", "item": "exn"}
    prefixes |= {"share": "shr"}
    ids = {f"{kind}_id": f"{prefix}_01jd9x3v7m0000000000000000" for kind, prefix in prefixes.items()}
    return filled(path, version="1", name="A_SECRET", key="cursor", tenant_id="ten_nobody", **ids)


def test_every_route_says_which_role_it_needs() -> None:
    assert NEEDED.keys() == set(ROUTES)
    for (method, path), role in NEEDED.items():
        if path.startswith(OPERATION) and (method, path) != OWN_USAGE:
            assert role is Role.PLATFORM_ADMIN
            continue
        if (method, path) == ANSWER:
            assert role is Role.TENANT_ADMIN
            continue
        if path.startswith(OWN_ACCESS):
            assert role is Role.TENANT_VIEWER
            continue
        reads = method == "GET" and not path.startswith(ADMINISTRATION)
        assert role is (Role.TENANT_VIEWER if reads else Role.TENANT_SYSTEM_ADMIN)


RUN = re.compile(
    r"(POST|PATCH|PUT|DELETE) (/v1/ava/jobs|/v1/ava/events|/v1/ava/inbox|/v1/ava/schedules/[^/]+/(run|backfill)"
    r"|/api/v1/(events|agent-actions|executions)|/api/automation/(events|runs)"
    r"|/api/automation/jobs/[^/]+/trigger|/api/tasks)"
)
"""What starts, ends or decides work; every other write changes what runs."""

ANY_SCOPE = {"/v1/ava/whoami", "/v1/session", "/v1/session/links"}


def scope_of(method: str, path: str) -> KeyScope | None:
    """The scope that a route needs, by the rules of docs/limits.md."""
    if path in ANY_SCOPE:
        return None
    administers = path.startswith((*ADMINISTRATION, *OPERATION)) and not path.endswith("/usage")
    if administers or GIVES_ACCESS.match(f"{method} {path}"):
        return KeyScope.ADMIN
    if method == "GET" or path == "/v1/tokens":
        return KeyScope.READ
    return KeyScope.RUN if RUN.match(f"{method} {path}") else KeyScope.DEPLOY


def test_every_route_of_every_api_says_which_scope_it_needs() -> None:
    assert len(ACCESSES) > 120
    for (method, path), access in ACCESSES.items():
        assert isinstance(access, Access)
        assert access.scope is scope_of(method, path), (method, path)


SCOPE_HEADERS = {"/api/v1": "x-avala-api-key", "/api/": "x-api-key", "/v1/": "x-internal-secret"}


@pytest.mark.parametrize("scope", list(KeyScope))
def test_a_key_with_one_scope_comes_in_where_that_is_needed_and_nowhere_else(api: Api, scope: str) -> None:
    operator = api.having(role="platform-admin")
    body = {"role": "platform-admin", "scopes": [scope]}
    key = data_of(operator.post("/v1/keys", body), 201)["key"]
    for (method, path), access in ACCESSES.items():
        assert isinstance(access, Access)
        if access.role > Role.TENANT_SYSTEM_ADMIN or (method, path) == STREAM:
            continue
        header = next(name for prefix, name in SCOPE_HEADERS.items() if path.startswith(prefix))
        some_path = re.sub(r"\{\w+\}", "x", unknown(path) if path.startswith("/v1/") else path)
        response = api.http.request(method, some_path, headers={header: key})
        lacks = response.status_code == 403
        assert lacks == (access.scope not in {None, scope}), (method, path, response.text)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_good_key_every_route_answers_401(api: Api, method: str, path: str) -> None:
    for headers in (
        {},
        {"x-internal-secret": ""},
        {"x-internal-secret": "wrong"},
        {"x-internal-secret": "rwk_" + "a" * 43},
        {"x-internal-secret": "x" * 5000},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {api.key}"},
        {"authorization": api.key},
        {"authorization": "Bearer"},
    ):
        asserted = {name: value for name, value in api.headers.items() if name != "x-internal-secret"}
        response = api.http.request(method, unknown(path), headers=asserted | headers)
        error_of(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("role", list(ROLES))
def test_every_route_lets_pass_who_has_the_role_and_nobody_else(
    api: Api, method: str, path: str, role: str
) -> None:
    if (method, path) == STREAM and ROLES[role] >= NEEDED[method, path]:
        return  # it would not end
    response = api.having(role=role).call(method, unknown(path))
    if ROLES[role] < NEEDED[method, path]:
        error_of(response, 403, "forbidden")
    else:
        assert response.status_code in {200, 201, 400, 404, 422}, response.text


PUT_SECRET = ("PUT", "/v1/ava/secrets/{name}")
"""Makes the caller's own where there is none; tests/contract/test_secrets.py tells tenants apart there."""


QUERIES = {
    "/v1/ava/workers/{worker_id}/diff": {"from": "1", "to": "1"},
    "/v1/ava/workers/{worker_id}/versions/{version}/files/content": {"path": "main.py"},
}
"""What a request has to have before its subject is looked for."""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        route
        for route in ROUTES
        if "{" in route[1] and route != PUT_SECRET and not route[1].startswith((*OPERATION, *ADMINISTRATION))
    ],
)
def test_another_tenants_things_are_not_found_on_every_route(api: Api, method: str, path: str) -> None:
    worker = api.make_worker()
    job = api.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
    stranger = api.having(tenant=api.tenant + "x", role="platform-admin")
    assert api.call("PUT", "/secrets/A_SECRET", json={"value": "its-value"}).status_code == 201
    body: Json = {} if method == "PATCH" or path.endswith("/shares") else None
    assert api.call("PUT", "/sharing", json={"enabled": True}).status_code == 200
    share = data_of(api.post(f"/jobs/{job['id']}/shares", {}), 201)
    schedule = api.make_schedule(worker["id"])
    webhook = api.make_webhook()
    api.post(f"{WEBHOOKS}/{webhook['id']}/test")
    event = data_of(api.post("/events", {"type": "custom.x"}), 201)
    many = data_of(api.post("/jobs/bulk", {"action": "cancel", "ids": ["another"]}), 202)
    [delivery] = api.get(f"{WEBHOOKS}/{webhook['id']}/deliveries").json()["data"]
    theirs = filled(
        path,
        version="1",
        name="A_SECRET",
        key="cursor",
        worker_id=worker["id"],
        job_id=job["id"],
        schedule_id=schedule["id"],
        webhook_id=webhook["id"],
        delivery_id=delivery["id"],
        operation_id=many["id"],
        backfill_id="bfl_01jd9x3v7m0000000000000000",
        event_id=event["id"],
        item_id="exn_01jd9x3v7m0000000000000000",
        share_id=share["id"],
    )
    query = QUERIES.get(path)
    error = error_of(stranger.call(method, theirs, json=body, params=query), 404, "resource_not_found")
    absent = stranger.call(method, unknown(path), json=body, params=query)
    nothing = error_of(absent, 404, "resource_not_found")
    ids = {worker["id"], job["id"], schedule["id"], webhook["id"], delivery["id"], many["id"], share["id"]}
    assert re.sub(r"\w{2,3}_\w{26}", "", error["message"]) == re.sub(
        r"\w{2,3}_\w{26}", "", nothing["message"]
    )
    assert not any(some_id in error["message"] for some_id in ids - set(theirs.split("/")))
    assert data_of(api.get(f"/workers/{worker['id']}")) == worker
    assert data_of(api.get(f"/jobs/{job['id']}")) == job
    assert data_of(api.get(f"/schedules/{schedule['id']}")) == schedule
    assert api.get(f"{WEBHOOKS}/{webhook['id']}").json() == {
        k: v for k, v in webhook.items() if k != "secret"
    }


def test_lists_and_submits_do_not_cross_tenants(api: Api) -> None:
    worker = api.make_worker()
    api.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
    stranger = api.having(tenant=api.tenant + "x")
    api.make_schedule(worker["id"])
    assert api.call("PUT", "/secrets/A_SECRET", json={"value": "its-value"}).status_code == 201
    api.make_webhook()
    for path in ("/workers", "/jobs", "/schedules", "/secrets", WEBHOOKS):
        assert stranger.get(path).json()["data"] == []
        assert stranger.get(path).json()["pagination"]["total"] == 0
    error_of(stranger.post("/jobs", {"worker_id": worker["id"]}), 404, "resource_not_found")
    body = {"worker_id": worker["id"], "cron": "0 0 1 1 *", "timezone": "UTC"}
    error_of(stranger.post("/schedules", body), 404, "resource_not_found")
    error_of(stranger.post("/jobs/batch", {"jobs": [{"worker_id": worker["id"]}]}), 404, "resource_not_found")


def test_a_bearer_key_is_as_good_as_the_internal_secret(api: Api) -> None:
    headers = api.headers | {"authorization": f"bearer {api.key}"}
    del headers["x-internal-secret"]
    assert api.http.get("/v1/ava/workers", headers=headers).status_code == 200


@pytest.mark.parametrize("name", ["x-tenant-id", "x-user-id", "x-platform-role"])
def test_a_platform_key_must_say_for_whom_it_calls(api: Api, name: str) -> None:
    headers = {header: value for header, value in api.headers.items() if header != name}
    assert name in error_of(api.http.get("/v1/ava/workers", headers=headers), 400, "bad_request")["message"]
    empty = headers | {name: ""}
    assert name in error_of(api.http.get("/v1/ava/workers", headers=empty), 400, "bad_request")["message"]


@pytest.mark.parametrize("name", ["x-tenant-id", "x-user-id"])
@pytest.mark.parametrize("value", ["a b", "x" * 129, "a/b", "é", "a,b", "'--"])
def test_a_tenant_or_user_that_is_no_id_is_refused(api: Api, name: str, value: str) -> None:
    headers = {header.encode(): text.encode() for header, text in api.headers.items()}
    headers[name.encode()] = value.encode()
    response = api.http.httpx.get("/v1/ava/workers", headers=headers)
    assert name in error_of(response, 400, "bad_request")["message"]


def test_an_unknown_role_is_refused(api: Api) -> None:
    for role in ("root", "TENANT-VIEWER", "4"):
        error_of(api.having(role=role).get("/workers"), 400, "bad_request")


@pytest.mark.parametrize("name", ["x-internal-secret", "x-tenant-id", "x-user-id", "x-platform-role"])
def test_a_header_given_twice_is_refused(api: Api, name: str) -> None:
    headers = [*api.headers.items(), (name, api.headers[name])]
    assert (
        name
        in error_of(api.http.httpx.get("/v1/ava/workers", headers=headers), 400, "bad_request")["message"]
    )


def test_a_tenant_key_needs_no_headers_and_acts_in_its_own_name(api: Api, make_key: MakeKey) -> None:
    key = make_key(api.tenant, "tenant-system-admin")
    response = api.http.post(
        "/v1/ava/workers", json={"name": "w", "runtime": "python"}, headers={"x-internal-secret": key}
    )
    worker = data_of(response, 201)
    assert worker["tenant_id"] == api.tenant
    assert re.fullmatch(r"key_[0-9a-z]{26}", worker["created_by"])
    named = {"authorization": f"Bearer {key}", "x-user-id": "usr_ada"}
    response = api.http.post("/v1/ava/workers", json={"name": "w", "runtime": "python"}, headers=named)
    assert data_of(response, 201)["created_by"] == "usr_ada"


def test_a_tenant_key_may_claim_less_and_never_more(api: Api, make_key: MakeKey) -> None:
    key = make_key(api.tenant, "tenant-admin")
    body = {"name": "w", "runtime": "python"}
    for role, status in (("tenant-viewer", 200), ("tenant-admin", 200), ("tenant-system-admin", 403)):
        caller = api.having(key=key, role=role)
        assert caller.get("/workers").status_code == status
        error_of(caller.post("/workers", body), 403, "forbidden")
    error_of(api.having(key=key, role="platform-admin").get("/workers"), 403, "forbidden")
    error_of(api.having(key=key, role="tenant-viewer", tenant="ten_other").get("/workers"), 403, "forbidden")
    response = api.http.post("/v1/ava/workers", json=body, headers={"x-internal-secret": key})
    error_of(response, 403, "forbidden")


def test_a_key_does_not_show_in_answers_or_logs(server: Server, api: Api) -> None:
    secret = f"rwk_{uuid4().hex}"
    response = api.having(key=secret).get("/workers")
    assert secret not in response.text
    assert secret not in (server.data_dir / "server.log").read_text()
    assert api.key not in (server.data_dir / "server.log").read_text()


def test_no_other_origin_is_let_in(api: Api) -> None:
    headers = api.headers | {"origin": "https://evil.example"}
    for method in ("GET", "OPTIONS"):
        response = api.http.request(method, "/v1/ava/workers", headers=headers)
        assert not [name for name in response.headers if name.startswith("access-control-")]


def test_every_answer_to_a_known_caller_says_how_many_requests_are_left(api: Api) -> None:
    worker = api.make_worker()
    answers = [
        api.get("/workers"),
        api.post("/jobs", {"worker_id": worker["id"], "scheduled_at": "2099-01-01T00:00:00Z"}),
        api.post("/jobs", {"worker_id": 1}),
        api.having(role="tenant-viewer").post("/jobs", {}),
        api.get(f"/jobs/{worker['id']}"),
        api.get(WEBHOOKS),
    ]
    assert [answer.status_code for answer in answers] == [200, 201, 422, 403, 404, 200]
    for answer in answers:
        limit, left, reset = (
            int(answer.headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")
        )
        assert 0 < left < limit
        assert abs(reset - time.time()) < 60
    unknown_caller = api.having(key="wrong").get("/workers")
    assert "x-ratelimit-limit" not in unknown_caller.headers
