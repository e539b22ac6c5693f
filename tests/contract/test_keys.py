"""API keys over HTTP: shown once, for one's own tenant and not above one's own role."""

import re
from uuid import uuid4

import pytest
from tests.contract.client import ROLES, TIME, Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import MakeKey, Server
from tests.contract.test_audit import entries

KEYS = "/v1/keys"


def make(api: Api, **fields: Json) -> Json:
    return data_of(api.post(KEYS, {"role": "tenant-system-admin"} | fields), 201)


def test_a_key_is_shown_once_and_works_at_once(api: Api) -> None:
    made = make(api, name="deploys")
    text = made.pop("key")
    assert re.fullmatch(r"rwk_[A-Za-z0-9_-]{43}", text)
    assert re.fullmatch(r"key_[0-9a-z]{26}", made["id"])
    assert TIME.fullmatch(made["created_at"])
    assert made == {
        "id": made["id"],
        "tenant_id": api.tenant,
        "role": "tenant-system-admin",
        "name": "deploys",
        "created_at": made["created_at"],
        "last_used_at": None,
        "revoked_at": None,
    }
    assert data_of(api.get(f"{KEYS}/{made['id']}")) == made
    response = api.http.post(
        "/v1/ava/workers",
        json={"name": "w", "runtime": "python"},
        headers={"authorization": f"Bearer {text}"},
    )
    assert data_of(response, 201)["created_by"] == made["id"]
    used = data_of(api.get(f"{KEYS}/{made['id']}"))
    assert TIME.fullmatch(used["last_used_at"])
    assert text not in api.get(KEYS).text + api.get("/v1/audit").text


def test_a_revoked_key_is_refused_and_stays_in_the_list(api: Api) -> None:
    made = make(api)
    bearer = {"authorization": f"Bearer {made['key']}"}
    assert api.http.get("/v1/ava/workers", headers=bearer).status_code == 200
    revoked = data_of(api.delete(f"{KEYS}/{made['id']}"))
    assert TIME.fullmatch(revoked["revoked_at"])
    error_of(api.http.get("/v1/ava/workers", headers=bearer), 401, "unauthorized")
    assert data_of(api.delete(f"{KEYS}/{made['id']}")) == revoked
    assert api.get(KEYS).json()["data"] == [revoked]
    assert [e["action"] for e in entries(api, subject_id=made["id"])] == ["key.revoke", "key.create"]


@pytest.mark.parametrize("role", ROLES)
def test_nobody_makes_or_revokes_a_key_above_their_own_role(api: Api, role: str) -> None:
    above = ROLES.index(role) > ROLES.index(api.role)
    response = api.post(KEYS, {"role": role})
    highest = make(api.having(role="platform-admin"), role=role)
    if above:
        error_of(response, 403, "forbidden")
        error_of(api.delete(f"{KEYS}/{highest['id']}"), 403, "forbidden")
    else:
        assert data_of(response, 201)["role"] == role
        assert data_of(api.delete(f"{KEYS}/{highest['id']}"))["revoked_at"]


def test_keys_of_another_tenant_are_not_there_but_for_the_operator(api: Api, make_key: MakeKey) -> None:
    made = make(api)
    made.pop("key")
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    bound = stranger.having(key=make_key(stranger.tenant, "platform-admin"), role="platform-admin")
    nothing = "key_01jd9x3v7m0000000000000000"
    for caller in (stranger, bound):
        for call in (caller.get, caller.delete):
            for key_id in (made["id"], nothing, "key_x"):
                error_of(call(f"{KEYS}/{key_id}"), 404, "resource_not_found")
        error_of(caller.get(KEYS, **{"filter[tenant_id]": api.tenant}), 403, "forbidden")
        error_of(caller.post(KEYS, {"role": "tenant-viewer", "tenant_id": api.tenant}), 403, "forbidden")
        assert made not in caller.get(KEYS).json()["data"]
    operator = stranger.having(role="platform-admin")
    assert data_of(operator.get(f"{KEYS}/{made['id']}")) == made
    assert operator.get(KEYS, **{"filter[tenant_id]": api.tenant}).json()["data"] == [made]
    theirs = make(operator, tenant_id=api.tenant, role="tenant-viewer")
    assert theirs["tenant_id"] == api.tenant
    assert [entry["user_id"] for entry in entries(api, subject_id=theirs["id"])] == ["usr_test"]


def test_keys_are_listed_by_page(api: Api) -> None:
    made = [make(api, name=f"k{n}") for n in range(3)][::-1]
    for key in made:
        key.pop("key")
    first = api.get(KEYS, per_page="2").json()
    assert first["data"] == made[:2]
    assert (first["pagination"]["total"], first["pagination"]["has_more"]) == (3, True)
    assert api.get(KEYS, cursor=first["pagination"]["next_cursor"]).json()["data"] == made[2:]
    assert api.get(KEYS, page="2", per_page="2").json()["data"] == made[2:]


def test_bad_fields_are_named(api: Api) -> None:
    assert fields_of(api.post(KEYS, {})).keys() == {"role"}
    bad = {"role": "root", "name": "x" * 201, "tenant_id": "a b", "colour": 1}
    assert fields_of(api.post(KEYS, bad)).keys() == bad.keys()


def test_the_command_line_sees_the_same_keys(api: Api, server: Server) -> None:
    made = make(api, name="over http")
    assert made["id"] in server.run("keys", "list", "--tenant", api.tenant)
    server.run("keys", "revoke", made["id"])
    revoked = data_of(api.get(f"{KEYS}/{made['id']}"))
    assert revoked["revoked_at"]
    assert entries(api, subject_id=made["id"])[0]["user_id"] == "cli"
