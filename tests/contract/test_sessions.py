"""Sessions of browsers, sign-in links and read tokens: what they may do, from where, and until when."""

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from tests.contract.client import TIME, Api, Json, RawClient, data_of, error_of, fields_of
from tests.contract.conftest import MakeKey, Server, running_server
from tests.contract.test_audit import entries
from tests.waiting import until

SESSION = "/v1/session"
TOKENS = "/v1/tokens"
WORKER = {"name": "w", "runtime": "python"}


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    """A client that keeps cookies."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        yield client


def sign_in(browser: httpx.Client, api: Api, **body: Json) -> Json:
    return data_of(browser.post(SESSION, json=body, headers=api.headers), 201)


def test_a_browser_signs_in_reads_writes_and_signs_out(browser: httpx.Client, api: Api) -> None:
    response = browser.post(SESSION, json={}, headers=api.headers)
    session = data_of(response, 201)
    cookie = response.headers["set-cookie"]
    assert re.fullmatch(
        r"rw_[0-9a-f]{8}=rws_[\w-]{43}; Max-Age=(43200|431\d\d); Path=/; HttpOnly; SameSite=Strict", cookie
    )
    assert session == {
        "id": session["id"],
        "tenant_id": api.tenant,
        "user_id": "usr_test",
        "role": "tenant-system-admin",
        "scopes": ["admin", "deploy", "read", "run"],
        "key_id": "platform",
        "created_at": session["created_at"],
        "expires_at": session["expires_at"],
        "csrf_token": session["csrf_token"],
    }
    assert TIME.fullmatch(session["expires_at"])
    assert data_of(browser.get(SESSION)) == session
    who = data_of(browser.get("/v1/ava/whoami"))
    assert (who["tenant_id"], who["user_id"], who["role"]) == (api.tenant, "usr_test", "tenant-system-admin")
    assert who["session"] == {"id": session["id"], "kind": "session", "expires_at": session["expires_at"]}
    csrf = {"x-csrf-token": session["csrf_token"]}
    worker = data_of(browser.post("/v1/ava/workers", json=WORKER, headers=csrf), 201)
    assert (worker["tenant_id"], worker["created_by"]) == (api.tenant, "usr_test")
    assert browser.delete(SESSION, headers=csrf).status_code == 204
    error_of(browser.get("/v1/ava/workers"), 401, "unauthorized")
    browser.headers["cookie"] = cookie.split(";")[0]
    error_of(browser.get("/v1/ava/workers"), 401, "unauthorized")
    actions = [entry["action"] for entry in entries(api, subject_id=session["id"])]
    assert actions == ["session.end", "session.create"]
    log = api.get("/v1/audit").text
    assert cookie.partition("=")[2].split(";")[0] not in log
    assert session["csrf_token"] not in log


def test_what_a_key_has_made_ends_with_the_text_that_made_it(browser: httpx.Client, api: Api) -> None:
    key = data_of(api.post("/v1/keys", {"role": "tenant-system-admin"}), 201)
    rotate = f"/v1/keys/{key['id']}/rotate"
    old = {"authorization": f"Bearer {key['key']}"}
    data_of(browser.post(SESSION, json={}, headers=old), 201)
    token = data_of(browser.post(TOKENS, json={}, headers=old), 201)["token"]
    rotated = data_of(api.post(rotate, {"overlap_seconds": 3600}))
    assert data_of(browser.get(SESSION))["expires_at"] <= rotated["previous_until"]
    late = data_of(browser.post(SESSION, json={"ttl_seconds": 36_000}, headers=old), 201)
    assert late["expires_at"] <= rotated["previous_until"]
    new = {"authorization": f"Bearer {rotated['key']}"}
    assert data_of(browser.post(SESSION, json={}, headers=new), 201)["expires_at"] > late["expires_at"]
    data_of(api.post(rotate, {"overlap_seconds": 0}))
    ended = {"authorization": f"Bearer {token}"}
    for headers in ({}, ended):
        until_refused(browser, headers)


def until_refused(browser: httpx.Client, headers: dict[str, str]) -> None:
    """Call until the credentials are refused, which may take two seconds."""
    until(lambda: browser.get("/v1/ava/workers", headers=headers).status_code, lambda status: status == 401)


def test_writes_need_the_csrf_token(browser: httpx.Client, api: Api) -> None:
    session = sign_in(browser, api)
    with httpx.Client(base_url=browser.base_url, trust_env=False, timeout=60) as second:
        other = sign_in(second, api)
    for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": "x"}, {"x-csrf-token": other["csrf_token"]}):
        error_of(browser.post("/v1/ava/workers", json=WORKER, headers=headers), 403, "forbidden")
        error_of(browser.delete(SESSION, headers=headers), 403, "forbidden")
    assert browser.get("/v1/ava/workers").json()["data"] == []
    good = {"x-csrf-token": session["csrf_token"]}
    assert browser.post("/v1/ava/workers", json=WORKER, headers=good).status_code == 201


def test_pages_of_other_origins_cannot_use_the_cookie(browser: httpx.Client, api: Api) -> None:
    good = {"x-csrf-token": sign_in(browser, api)["csrf_token"]}
    own = str(browser.base_url).rstrip("/")
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": own.replace("http:", "https:")},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        error_of(browser.get("/v1/ava/workers", headers=headers), 403, "forbidden")
        error_of(browser.post("/v1/ava/workers", json=WORKER, headers=headers | good), 403, "forbidden")
    for headers in ({"origin": own}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        assert browser.get("/v1/ava/workers", headers=headers).status_code == 200


def test_a_session_may_lower_its_role_and_nothing_else(browser: httpx.Client, api: Api) -> None:
    good = {"x-csrf-token": sign_in(browser, api.having(role="tenant-admin"))["csrf_token"]}
    for name, value in (
        ("x-platform-role", "platform-admin"),
        ("x-tenant-id", "ten_other"),
        ("x-user-id", "usr_other"),
    ):
        error_of(browser.get("/v1/ava/workers", headers={name: value}), 403, "forbidden")
    error_of(browser.post("/v1/ava/workers", json=WORKER, headers=good), 403, "forbidden")
    assert browser.get("/v1/ava/workers", headers={"x-platform-role": "tenant-viewer"}).status_code == 200
    for path in (SESSION, "/v1/session/links", TOKENS):
        error_of(browser.post(path, json={}, headers=good), 403, "forbidden")


def test_the_operator_acts_for_any_tenant_in_a_session(browser: httpx.Client, api: Api) -> None:
    worker = api.make_worker()
    operator = api.having(tenant="ten_operator", role="platform-admin")
    sign_in(browser, operator)
    assert browser.get("/v1/system").status_code == 200
    [shown] = browser.get("/v1/ava/workers", headers={"x-tenant-id": api.tenant}).json()["data"]
    assert shown["id"] == worker["id"]


def test_a_session_ends_with_its_key(browser: httpx.Client, api: Api) -> None:
    key = data_of(api.post("/v1/keys", {"role": "tenant-viewer", "scopes": ["read"]}), 201)
    opened = data_of(
        browser.post(SESSION, json={"ttl_seconds": 60}, headers={"x-internal-secret": key["key"]}), 201
    )
    assert (opened["user_id"], opened["role"], opened["scopes"]) == (key["id"], "tenant-viewer", ["read"])
    assert browser.get("/v1/ava/workers").status_code == 200
    data_of(api.delete(f"/v1/keys/{key['id']}"))
    until_refused(browser, {})
    error_of(browser.get("/v1/ava/workers"), 401, "unauthorized")


def test_the_other_apis_take_the_cookie_too(browser: httpx.Client, api: Api) -> None:
    good = {"x-csrf-token": sign_in(browser, api)["csrf_token"]}
    assert browser.get("/api/v1/agents").status_code == 200
    assert browser.get("/api/automation/jobs").status_code == 200
    for path in ("/api/v1/events", "/api/automation/events"):
        assert browser.post(path, json={}).status_code == 403
        assert browser.post(path, json={}, headers=good).status_code in {400, 422}


def test_a_link_signs_in_once(browser: httpx.Client, api: Api, server: Server) -> None:
    link = data_of(api.having(role="platform-admin").post("/v1/session/links"), 201)
    assert link["url"] == f"{server.url}/sign-in#token={link['token']}"
    redeemed = browser.post(f"{SESSION}/redeem", json={"token": link["token"]})
    session = data_of(redeemed, 201)
    assert (session["tenant_id"], session["role"]) == (api.tenant, "platform-admin")
    assert browser.get("/v1/system").status_code == 200
    for token in (link["token"], "rwl_" + "a" * 43, "x", session["csrf_token"]):
        error_of(browser.post(f"{SESSION}/redeem", json={"token": token}), 401, "unauthorized")
    error_of(api.having(key=link["token"]).get("/workers"), 401, "unauthorized")
    evil = {"origin": "https://evil.example"}
    another = data_of(api.having(role="platform-admin").post("/v1/session/links"), 201)
    error_of(
        browser.post(f"{SESSION}/redeem", json={"token": another["token"]}, headers=evil), 403, "forbidden"
    )
    assert fields_of(browser.post(f"{SESSION}/redeem", json={})).keys() == {"token"}
    assert link["token"] not in server.log.read_text()
    actions = [entry["action"] for entry in entries(api)]
    assert actions[:3] == ["link.create", "session.redeem", "link.create"]


def test_links_are_made_on_the_servers_own_machine_or_by_the_operator(api: Api, make_key: MakeKey) -> None:
    bound = api.having(key=make_key(api.tenant, "tenant-admin"), role="tenant-admin")
    assert bound.post("/v1/session/links").status_code == 201
    forwarded = {"x-forwarded-for": "203.0.113.9"}
    error_of(bound.post("/v1/session/links", None, **forwarded), 403, "forbidden")
    operator = api.having(role="platform-admin")
    assert operator.post("/v1/session/links", None, **forwarded).status_code == 201


def test_a_token_only_reads(api: Api) -> None:
    worker = api.make_worker()
    made = data_of(api.post(TOKENS, {"ttl_seconds": 60}), 201)
    assert re.fullmatch(r"rwt_[\w-]{43}", made["token"])
    assert {k: made[k] for k in ("tenant_id", "role", "scopes")} == {
        "tenant_id": api.tenant,
        "role": "tenant-viewer",
        "scopes": ["read"],
    }
    bearer = {"authorization": f"Bearer {made['token']}"}
    [shown] = api.http.get("/v1/ava/workers", headers=bearer).json()["data"]
    assert shown["id"] == worker["id"]
    error_of(api.http.post("/v1/ava/workers", json=WORKER, headers=bearer), 403, "forbidden")
    error_of(api.http.post(TOKENS, json={}, headers=bearer), 403, "forbidden")
    other = bearer | {"x-tenant-id": f"ten_{uuid4().hex}"}
    error_of(api.http.get("/v1/ava/workers", headers=other), 403, "forbidden")
    who = data_of(api.http.get("/v1/ava/whoami", headers=bearer))
    assert (who["role"], who["session"]["kind"]) == ("tenant-viewer", "token")
    runs = data_of(api.post("/v1/keys", {"role": "tenant-system-admin", "scopes": ["run"]}), 201)
    error_of(api.http.post(TOKENS, json={}, headers={"x-internal-secret": runs["key"]}), 403, "forbidden")


def test_bad_fields_are_named(api: Api) -> None:
    for path, most in ((SESSION, 30 * 86400), (TOKENS, 3600)):
        for seconds in (9, most + 1, "x"):
            assert fields_of(api.post(path, {"ttl_seconds": seconds})).keys() == {"ttl_seconds"}
        assert fields_of(api.post(path, {"colour": 1})).keys() == {"colour"}
    error_of(api.get(SESSION), 404, "resource_not_found")
    error_of(api.delete(SESSION), 404, "resource_not_found")


def test_pages_of_configured_origins_may_call_with_a_key_and_without_cookies(api: Api) -> None:
    page = "https://app.example"
    with (
        running_server(RUNWRIGHT_CORS_ORIGINS=page, RUNWRIGHT_PUBLIC_URL="https://run.example") as server,
        RawClient(server.url) as http,
    ):
        client = http.httpx
        caller = Api(http, key=api.key, tenant=api.tenant)
        asked = {"origin": page, "access-control-request-method": "POST"}
        preflight = client.options("/v1/ava/jobs", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == page
        assert "x-internal-secret" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers
        for path in ("/v1/ava/workers", "/v1/ava/nothing", "/api/automation/jobs"):
            shown = client.get(path, headers=caller.headers | {"x-api-key": api.key, "origin": page})
            assert shown.headers["access-control-allow-origin"] == page
            assert "origin" in shown.headers["vary"]
            assert shown.status_code in {200, 404}
        for origin in ("https://app.example.evil", "http://app.example", "null", "https://APP.example"):
            for headers in (caller.headers, asked):
                other = client.request("GET", "/v1/ava/workers", headers=headers | {"origin": origin})
                assert "access-control-allow-origin" not in other.headers
            assert (
                "access-control-allow-origin"
                not in client.options("/v1/ava/jobs", headers=asked | {"origin": origin}).headers
            )
        opened = client.post(SESSION, json={}, headers=caller.headers)
        assert "; Secure" in opened.headers["set-cookie"]
        client.headers["cookie"] = opened.headers["set-cookie"].split(";")[0]
        error_of(client.get("/v1/ava/workers", headers={"origin": page}), 403, "forbidden")
        assert client.get("/v1/ava/workers", headers={"origin": "https://run.example"}).status_code == 200
