"""Contract §0: bodies, errors, routing, who is let in."""

import pytest
from tests.contract.agh.client import EVENTS, JOBS, RUNS, TASKS, TRIGGERS, Agh, answer, refused
from tests.contract.client import RawClient
from tests.contract.conftest import PLATFORM_KEY, MakeKey
from tests.contract.test_auth import all_routes, filled

from runwright.core.roles import ROLES, Role
from runwright.http.agh.auth import AghAccess

OURS = ("/api/automation", "/api/tasks")
OPEN = {"/api/automation/openapi.json"}
ROUTES = sorted(
    (method, path) for method, path, _ in all_routes() if path.startswith(OURS) and path not in OPEN
)
NEEDED = {
    (method, path): access.role for method, path, access in all_routes() if isinstance(access, AghAccess)
}
DECODE = "automation validation error: httpapi: decode automation job create request: "


def unknown(path: str) -> str:
    ids = {name: f"{name[:3]}-0123456789abcdef" for name in ("job_id", "trigger_id", "run_id", "task_id")}
    return filled(path, **ids)


def test_every_route_says_which_role_it_needs() -> None:
    assert NEEDED.keys() == set(ROUTES)
    for (method, path), role in NEEDED.items():
        assert role is (Role.TENANT_VIEWER if method == "GET" else Role.TENANT_SYSTEM_ADMIN), (method, path)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_good_key_every_route_answers_401(agh: Agh, method: str, path: str) -> None:
    rest = {name: value for name, value in agh.headers.items() if name != "authorization"}
    for key in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {agh.key}"},
        {"x-api-key": ""},
        {"x-api-key": "x" * 600},
        {"x-api-key": "rwk_" + "a" * 43},
    ):
        response = agh.http.request(method, unknown(path), headers=rest | key)
        refused(response, 401, "API key")
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_lets_pass_who_has_the_role_and_nobody_else(agh: Agh, method: str, path: str) -> None:
    for role in ROLES:
        response = agh.having(role=role).call(method, unknown(path))
        if ROLES[role] < NEEDED[method, path]:
            refused(response, 403, "role")
        else:
            assert response.status_code in {200, 400, 404}, response.text


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if "{" in route[1]])
def test_another_tenants_things_are_not_found_on_every_route(agh: Agh, method: str, path: str) -> None:
    job = agh.make_job(agent_name=None, prompt=None, task={"title": "t"})
    trigger = agh.make_trigger()
    run = agh.run(job["id"])
    theirs = filled(
        path, job_id=job["id"], trigger_id=trigger["id"], run_id=run["id"], task_id=run["task_id"]
    )
    body = {"enabled": False, "status": "done"} if method == "PATCH" else None
    stranger = agh.having(tenant=agh.tenant + "x")
    assert refused(stranger.call(method, theirs, json=body), 404).endswith(" not found")
    assert answer(agh.get(f"{JOBS}/{job['id']}"))["job"] == job
    assert answer(agh.get(f"{TRIGGERS}/{trigger['id']}"))["trigger"] == trigger
    for listed, what in ((JOBS, "jobs"), (TRIGGERS, "triggers"), (RUNS, "runs"), (TASKS, "tasks")):
        assert answer(stranger.get(listed)) == {what: []}


def test_a_tenants_key_names_the_tenant(agh: Agh, make_key: MakeKey) -> None:
    key = make_key(agh.tenant, "tenant-viewer")
    job = agh.make_job()
    for headers in ({"authorization": f"bearer {key}"}, {"X-Api-Key": key}):
        assert answer(agh.http.get(JOBS, headers=headers)) == {"jobs": [job]}
        refused(agh.http.post(JOBS, json=agh.job_body(), headers=headers), 403)
    wrong = {"X-Api-Key": key, "X-Tenant-Id": "ten_other"}
    refused(agh.http.get(JOBS, headers=wrong), 403)


def test_a_platform_key_alone_speaks_for_the_default_tenant(http: RawClient) -> None:
    assert answer(http.get(RUNS, params={"limit": "1"}, headers={"x-api-key": PLATFORM_KEY}))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1:1"}, 200),
        ({"host": "[::1]:8080"}, 200),
        ({"host": "localhost"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:5000"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:8080", "origin": "http://localhost:8080"}, 200),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
    ],
)
def test_0_a_strangers_page_is_not_let_in(agh: Agh, headers: dict[str, str], status: int) -> None:
    response = agh.call("GET", JOBS, headers=headers)
    if status == 200:
        answer(response)
    else:
        refused(response, status, "not allowed")
        assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "EOF"),
        (b"   ", "EOF"),
        (b"[]", "json: cannot unmarshal array into Go value"),
        (b'{"name": 5}', "json: cannot unmarshal number 5 into Go struct field name of type string"),
        (b'{"enabled": "yes"}', "json: cannot unmarshal string into Go struct field enabled of type bool"),
        (b'{"fire_limit": {"max": 1.5}}', "json: cannot unmarshal number 1.5 into Go struct field"),
        (b'{"retry": []}', "json: cannot unmarshal array into Go struct field retry"),
        (b'{"name": NaN}', "invalid character"),
        (b'{"name": ', "unexpected EOF"),
        (b"[" * 200_000, "exceeded max depth"),
    ],
)
def test_0_a_body_that_cannot_be_read_says_why(agh: Agh, body: bytes, reason: str) -> None:
    assert refused(agh.call("POST", JOBS, content=body), 400).startswith(DECODE + reason)


def test_0_names_match_in_any_case_and_what_follows_is_ignored(agh: Agh) -> None:
    body = (
        b'{"NAME": " x ", "Agent_Name": "a", "prompt": "p", "scope": "global", "source": "config",'
        b' "id": "mine", "schedule": {"Mode": "every", "INTERVAL": "1h"}, "retry": null} {"trailing":'
    )
    response = agh.call("POST", JOBS, content=body, headers={"content-type": "text/plain"})
    job = answer(response, 201)["job"]
    assert (job["name"], job["source"], job["schedule"]["mode"]) == ("x", "dynamic", "every")
    assert job["id"] != "mine"


def test_0_what_postgres_cannot_hold_is_refused(agh: Agh) -> None:
    refused(agh.post(JOBS, agh.job_body(name="a\0b")), 400, "name must not hold the character NUL")
    half = agh.call("POST", JOBS, content=b'{"scope": "global", "name": "\\ud800"}')
    refused(half, 400, "job.agent_name is required")
    for path in (f"{JOBS}/%00", f"{RUNS}/%00/attempts", f"{TASKS}/a%00b"):
        assert agh.get(path).status_code in {400, 404}
    refused(agh.get(RUNS, job_id="\0"), 400, "NUL")


def test_0_a_body_over_4_mib_is_a_413(agh: Agh) -> None:
    body = agh.job_body(prompt="x" * (4 * 1024 * 1024))
    assert refused(agh.post(JOBS, body), 413) == "request body too large"
    refused(agh.post(JOBS, agh.job_body(prompt="x" * 300_000)), 400, "job.prompt must have at most")


def test_0_an_unknown_path_or_method_is_a_plain_404(agh: Agh) -> None:
    for method, path in (("GET", "/api/automation/nope"), ("PUT", JOBS), ("DELETE", RUNS), ("GET", "/api/x")):
        response = agh.call(method, path)
        assert (response.status_code, response.text) == (404, "404 page not found")
        assert response.headers["content-type"].startswith("text/plain")


def test_0_a_slash_at_the_end_redirects(agh: Agh) -> None:
    response = agh.call("GET", f"{JOBS}/", params={"limit": "1"})
    assert (response.status_code, response.headers["location"]) == (301, f"{JOBS}?limit=1")
    assert agh.call("POST", f"{EVENTS}/").status_code == 307


def test_0_options_is_a_204(agh: Agh) -> None:
    assert agh.http.request("OPTIONS", JOBS).status_code == 204


def test_0_secrets_in_messages_are_hidden(agh: Agh) -> None:
    message = refused(agh.post(JOBS, agh.job_body(scope="token=abcdef Bearer xyz")), 400)
    assert "abcdef" not in message
    assert "xyz" not in message


def test_0_a_rate_limit_is_told(agh: Agh) -> None:
    assert int(agh.get(JOBS).headers["x-ratelimit-remaining"]) > 0
