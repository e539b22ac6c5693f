"""`/v1/ava/whoami`: what the headers and the key add up to."""

from tests.contract.client import TIME, Api, Json, data_of
from tests.contract.conftest import MakeKey

from runwright import __version__

SCOPES = ["admin", "deploy", "read", "run"]
PLATFORM: Json = {"id": "platform", "name": "", "role": "platform-admin", "created_at": None}
PLATFORM |= {"scopes": SCOPES, "expires_at": None}


def test_a_platform_key_speaks_for_whom_the_headers_name(api: Api) -> None:
    shown = {
        "tenant_id": api.tenant,
        "user_id": "usr_test",
        "role": "tenant-viewer",
        "operator": False,
        "key": PLATFORM,
        "session": None,
        "server_version": __version__,
    }
    assert data_of(api.having(role="tenant-viewer").get("/whoami")) == shown
    operator = data_of(api.having(role="platform-admin").get("/whoami"))
    assert operator == shown | {"role": "platform-admin", "operator": True}


def test_a_tenant_key_speaks_for_its_tenant(api: Api, make_key: MakeKey) -> None:
    text = make_key(api.tenant, "platform-admin")
    shown = data_of(api.http.get("/v1/ava/whoami", headers={"authorization": f"Bearer {text}"}))
    key = shown.pop("key")
    assert shown.pop("user_id") == key["id"]
    assert TIME.fullmatch(key["created_at"])
    assert (key["scopes"], key["expires_at"]) == (SCOPES, None)
    assert shown == {
        "tenant_id": api.tenant,
        "role": "platform-admin",
        "operator": False,
        "session": None,
        "server_version": __version__,
    }
    lowered = {"authorization": f"Bearer {text}", "x-user-id": "usr_ada", "x-platform-role": "tenant-member"}
    shown = data_of(api.http.get("/v1/ava/whoami", headers=lowered))
    assert (shown["user_id"], shown["role"], shown["key"]) == ("usr_ada", "tenant-member", key)
    assert text not in str(shown)
