"""API keys over HTTP: shown once, for one's own tenant and not above one's own role."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.contract.client import ROLES, TIME, Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import MakeKey, Server
from tests.contract.test_audit import entries
from tests.waiting import until

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
        "scopes": ["admin", "deploy", "read", "run"],
        "created_at": made["created_at"],
        "expires_at": None,
        "last_used_at": None,
        "revoked_at": None,
        "previous_until": None,
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


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def test_a_key_does_what_its_scopes_say(api: Api) -> None:
    made = make(api, scopes=["run", "read"])
    assert made["scopes"] == ["read", "run"]
    worker = api.make_worker()
    caller = bearer(made["key"])
    submitted = api.http.post("/v1/ava/jobs", json={"worker_id": worker["id"]}, headers=caller)
    assert submitted.status_code == 201
    assert api.http.get("/v1/ava/jobs", headers=caller).status_code == 200
    refused = api.http.post("/v1/ava/workers", json={"name": "w", "runtime": "python"}, headers=caller)
    assert "deploy" in error_of(refused, 403, "forbidden")["message"]
    error_of(api.http.get(KEYS, headers=caller), 403, "forbidden")


def test_nobody_makes_or_rotates_a_key_with_scopes_that_they_do_not_have(api: Api) -> None:
    admin = bearer(make(api, scopes=["admin"])["key"])
    deploys = make(api, scopes=["deploy"])
    for body in ({"role": "tenant-viewer"}, {"role": "tenant-viewer", "scopes": ["admin", "read"]}):
        error_of(api.http.post(KEYS, json=body, headers=admin), 403, "forbidden")
    assert data_of(
        api.http.post(KEYS, json={"role": "tenant-viewer", "scopes": ["admin"]}, headers=admin), 201
    )
    error_of(api.http.post(f"{KEYS}/{deploys['id']}/rotate", json={}, headers=admin), 403, "forbidden")


def test_an_expired_key_is_refused(api: Api) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=8)
    made = make(api, expires_at=soon.isoformat())
    assert made["expires_at"] == soon.isoformat(timespec="milliseconds")[:23] + "Z"
    caller = bearer(made["key"])
    assert api.http.get("/v1/ava/workers", headers=caller).status_code == 200
    refused = until(
        lambda: api.http.get("/v1/ava/workers", headers=caller), lambda answer: answer.status_code != 200
    )
    assert datetime.now(UTC) >= soon - timedelta(milliseconds=1)
    error_of(refused, 401, "unauthorized")
    error_of(api.post(f"{KEYS}/{made['id']}/rotate", {}), 409, "resource_conflict")
    past = {"role": "tenant-viewer", "expires_at": "2001-01-01T00:00:00Z"}
    assert fields_of(api.post(KEYS, past)).keys() == {"expires_at"}


def test_a_rotated_key_has_two_texts_for_the_overlap(api: Api) -> None:
    made = make(api, name="ci", scopes=["read"])
    old = made.pop("key")
    rotated = data_of(api.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 3600}))
    new = rotated.pop("key")
    assert TIME.fullmatch(rotated["previous_until"])
    assert rotated == made | {"previous_until": rotated["previous_until"]}
    again = data_of(api.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 0}))
    newest = again.pop("key")
    assert len({old, new, newest}) == 3
    for text, status in ((old, 200), (new, 401), (newest, 200)):
        assert api.http.get("/v1/ava/workers", headers=bearer(text)).status_code == status
    shown = data_of(api.get(f"{KEYS}/{made['id']}"))
    assert shown["previous_until"] == rotated["previous_until"]
    data_of(api.delete(f"{KEYS}/{made['id']}"))
    for text in (old, newest):
        error_of(api.http.get("/v1/ava/workers", headers=bearer(text)), 401, "unauthorized")
    error_of(api.post(f"{KEYS}/{made['id']}/rotate", {}), 409, "resource_conflict")
    actions = [entry["action"] for entry in entries(api, subject_id=made["id"])]
    assert actions == ["key.revoke", "key.rotate", "key.rotate", "key.create"]
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    error_of(stranger.post(f"{KEYS}/{made['id']}/rotate", {}), 404, "resource_not_found")
    bad = {"overlap_seconds": -1, "expires_at": "soon", "scopes": ["read"]}
    assert fields_of(api.post(f"{KEYS}/{made['id']}/rotate", bad)).keys() == bad.keys()


def test_bad_scopes_are_named(api: Api) -> None:
    for scopes in ([], ["read", "read"], ["write"], "read", [1]):
        [field] = fields_of(api.post(KEYS, {"role": "tenant-viewer", "scopes": scopes}))
        assert field.startswith("scopes")
