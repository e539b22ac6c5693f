"""Contract §3 and §11: 401, 403 and 404 on every route there is, and nothing across organizations."""

from uuid import uuid4

import pytest
from tests.contract.avala.client import AVALA, FORBIDDEN, NOBODY, NOT_FOUND, UNAUTHORIZED, Avala, refused
from tests.contract.client import Api, Json
from tests.contract.conftest import PLATFORM_KEY, MakeKey, Server
from tests.contract.test_audit import entries
from tests.contract.test_auth import all_routes, filled

from runwright.core.roles import ROLES, Role
from runwright.http.avala.authorization import AvalaAccess

OPEN = {f"{AVALA}/openapi.json"}
"""Routes that need no key."""

ROUTES = sorted(
    (method, path.removeprefix(AVALA))
    for method, path, _ in all_routes()
    if path.startswith(f"{AVALA}/") and path not in OPEN
)
NEEDED = {
    (method, path.removeprefix(AVALA)): access.role
    for method, path, access in all_routes()
    if isinstance(access, AvalaAccess)
}
EXPECTED = {
    ("POST", "/agents"): Role.TENANT_MEMBER,  # to register again what is there; test_agents.py has the rest
    ("POST", "/agent-actions"): Role.TENANT_MEMBER,
    ("POST", "/events"): Role.TENANT_MEMBER,
    ("POST", "/executions/{uid}/decision"): Role.TENANT_ADMIN,
}
"""Where a route needs another role than reads (any) and writes (a system administrator) do."""


def unknown(path: str) -> str:
    return filled(path, uid=NOBODY, slug="nobody") + "/"


def test_every_route_says_which_role_it_needs() -> None:
    assert NEEDED.keys() == set(ROUTES)
    for (method, path), role in NEEDED.items():
        usual = Role.TENANT_VIEWER if method == "GET" else Role.TENANT_SYSTEM_ADMIN
        assert role is EXPECTED.get((method, path), usual), (method, path)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_good_key_every_route_answers_401(avala: Avala, method: str, path: str) -> None:
    rest = {name: value for name, value in avala.headers.items() if name != "X-Avala-Api-Key"}
    for key in (None, "", "wrong", "rwk_" + "a" * 43, "avk_1", "x" * 600, "a" * 40, "\xe9"):
        headers = rest if key is None else rest | {"X-Avala-Api-Key": key}
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        refused(avala.http.httpx.request(method, AVALA + unknown(path), headers=raw), 401, UNAUTHORIZED)
    twice = [*avala.headers.items(), ("X-Avala-Api-Key", avala.key)]
    refused(avala.http.httpx.request(method, AVALA + unknown(path), headers=twice), 401, UNAUTHORIZED)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_lets_pass_who_has_the_role_and_nobody_else(avala: Avala, method: str, path: str) -> None:
    for role in ROLES:
        response = avala.having(role=role).call(method, unknown(path))
        if ROLES[role] < NEEDED[method, path]:
            refused(response, 403, FORBIDDEN)
        else:
            assert response.status_code in {200, 400, 404}, response.text


def make_one_of_each(avala: Avala) -> dict[str, str]:
    """Make one of everything; its UUIDs by where the routes are that show it."""
    webhook = avala.make_webhook()
    avala.post(f"/webhooks/{webhook['uid']}/test/")
    [delivery] = avala.get("/webhook-deliveries/")["results"]
    agent = avala.make_agent()
    execution_uid = avala.post(f"/agents/{agent['uid']}/test/")["execution_uid"]
    return {
        "/agents": agent["uid"],
        "/executions": execution_uid,
        "/webhooks": webhook["uid"],
        "/webhook-deliveries": delivery["uid"],
    }


def test_another_organizations_things_are_not_found_and_stay_as_they_are(avala: Avala) -> None:
    """§11: 404 for foreign rows, with nothing that tells them from rows that are not there."""
    uids = make_one_of_each(avala)
    stranger = avala.having(tenant=avala.tenant + "x", role="platform-admin")
    before = {path: avala.get(f"{path}/{uid}/") for path, uid in uids.items()}
    for method, path in ROUTES:
        for start, uid in uids.items():
            if "{uid}" in path and path.startswith(f"{start}/"):
                theirs = stranger.call(method, filled(path, uid=uid) + "/", body_of(method))
                refused(theirs, 404, NOT_FOUND)
    refused(stranger.act({"uid": uids["/executions"]}, "approve"), 404, NOT_FOUND)
    assert {path: avala.get(f"{path}/{uid}/") for path, uid in uids.items()} == before


def body_of(method: str) -> Json:
    return {} if method in {"PATCH", "PUT", "POST"} else None


def test_lists_do_not_cross_organizations(avala: Avala) -> None:
    make_one_of_each(avala)
    stranger = avala.having(tenant=avala.tenant + "x")
    for method, path in ROUTES:
        if method == "GET" and "{" not in path and path != "/organizations":
            assert avala.get(path)["results"], path
            assert stranger.get(path)["results"] == [], path


def test_events_do_not_cross_organizations(avala: Avala) -> None:
    stranger = avala.having(tenant=avala.tenant + "x")
    mine, theirs = avala.make_agent(), stranger.make_agent()
    assert mine["uid"] != theirs["uid"]
    assert avala.publish()["executions"] == 1
    avala.await_executions(mine, 1)
    assert stranger.executions(theirs) == []


def test_a_tenants_key_is_its_organization(server: Server, avala: Avala, make_key: MakeKey) -> None:
    """§11: the key decides the organization; §10: one row that `avala configure` understands."""
    key = make_key(avala.tenant, "tenant-viewer")
    headers = {"X-Avala-Api-Key": key}
    made = avala.make_webhook()
    shown = avala.http.get(f"{AVALA}/webhooks/", headers=headers).json()["results"]
    assert [one["uid"] for one in shown] == [made["uid"]]
    refused(avala.http.delete(f"{AVALA}/webhooks/{made['uid']}/", headers=headers), 403, FORBIDDEN)
    [organization] = avala.http.get(f"{AVALA}/organizations/", headers=headers).json()["results"]
    assert (organization["name"], organization["slug"]) == (avala.tenant, avala.tenant)
    assert avala.get(f"/organizations/{avala.tenant}/")["uid"] == organization["uid"]
    other = headers | {"X-Tenant-Id": f"ten_{uuid4().hex}"}
    refused(avala.http.get(f"{AVALA}/webhooks/", headers=other), 403, FORBIDDEN)
    assert key not in (server.data_dir / "server.log").read_text()


def test_a_platform_key_must_say_for_whom_it_calls(avala: Avala) -> None:
    response = avala.http.get(f"{AVALA}/webhooks/", headers={"X-Avala-Api-Key": PLATFORM_KEY})
    assert response.status_code == 400
    assert "x-tenant-id" in response.json()["detail"]


def test_every_write_leaves_a_row_that_says_who_did_it(avala: Avala) -> None:
    """Decisions of agents leave none: the execution says whose they are, and cannot be changed."""
    agent = avala.make_agent()
    avala.make_agent()
    avala.make_agent(description="changed")
    uid = avala.post(f"/agents/{agent['uid']}/test/")["execution_uid"]
    avala.act({"uid": uid}, "flag")
    avala.having(role="tenant-admin").post(f"/executions/{uid}/decision/", {"action": "approve"})
    avala.delete(f"/agents/{agent['uid']}/")
    webhook = avala.make_webhook()
    avala.patch(f"/webhooks/{webhook['uid']}/", {"is_active": False})
    avala.delete(f"/webhooks/{webhook['uid']}/")
    rows = entries(Api(avala.http, key=avala.key, tenant=avala.tenant))
    assert {row["user_id"] for row in rows} == {"usr_test"}
    assert [row["action"] for row in rows[::-1]] == [
        *("agent.create", "agent.change", "agent.test", "execution.review", "agent.delete"),
        *("webhook.create", "webhook.change", "webhook.delete"),  # as this route calls endpoints
    ]
