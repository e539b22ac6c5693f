"""The vault's routes take values in and give none out, to nobody."""

import hashlib

import pytest
from tests.contract.client import TIME, Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import Server

VALUE = "hunter2-and-a-bit-more"


def put(api: Api, name: str, body: Json) -> Json:
    return api.call("PUT", f"/secrets/{name}", json=body)


def set_secret(api: Api, name: str, value: str = VALUE) -> Json:
    response = put(api, name, {"value": value})
    assert response.status_code in {200, 201}, response.text
    return data_of(response, response.status_code)


def test_a_secret_is_set_named_replaced_and_deleted_and_never_shown(api: Api) -> None:
    response = put(api, "SLACK_BOT_TOKEN", {"value": VALUE})
    first = data_of(response, 201)
    assert first.keys() == {"name", "updated_at"}
    assert first["name"] == "SLACK_BOT_TOKEN"
    assert TIME.fullmatch(first["updated_at"])
    assert VALUE[:4] not in response.text
    second = data_of(put(api, "SLACK_BOT_TOKEN", {"value": VALUE + "2"}), 200)
    assert second["updated_at"] >= first["updated_at"]
    listed = api.get("/secrets")
    assert listed.json()["data"] == [second]
    assert VALUE[:4] not in listed.text
    gone = api.delete("/secrets/SLACK_BOT_TOKEN")
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.get("/secrets").json()["data"] == []
    error_of(api.delete("/secrets/SLACK_BOT_TOKEN"), 404, "resource_not_found")
    error_of(api.get("/secrets/SLACK_BOT_TOKEN"), 405, "method_not_allowed")


def test_lists_are_paged_and_searched_like_others(api: Api) -> None:
    for n in range(23):
        set_secret(api, f"TOKEN_{n}")
    first = api.get("/secrets").json()
    assert [one["name"] for one in first["data"]] == [f"TOKEN_{n}" for n in range(22, 2, -1)]
    assert (first["pagination"]["total"], first["pagination"]["has_more"]) == (23, True)
    rest = api.get("/secrets", cursor=first["pagination"]["next_cursor"]).json()
    assert [one["name"] for one in rest["data"]] == ["TOKEN_2", "TOKEN_1", "TOKEN_0"]
    assert [one["name"] for one in api.get("/secrets", q="oken_2").json()["data"]] == [
        *("TOKEN_22", "TOKEN_21", "TOKEN_20", "TOKEN_2")
    ]
    fields_of(api.get("/secrets", nonsense="1"))


def test_a_tenants_secrets_are_its_own(api: Api) -> None:
    other = api.having(tenant=api.tenant + "x")
    mine = set_secret(api, "TOKEN")
    error_of(other.delete("/secrets/TOKEN"), 404, "resource_not_found")
    assert put(other, "TOKEN", {"value": "of the other"}).status_code == 201
    assert api.get("/secrets").json()["data"] == [mine]
    assert other.delete("/secrets/TOKEN").status_code == 204
    assert api.get("/secrets").json()["data"] == [mine]


@pytest.mark.parametrize(
    "name", ["1A", "A-B", "PATH", "LD_PRELOAD", "AVA_OUTPUT", "a b", "ä", "A" * 129, "%00", "."]
)
def test_a_name_that_no_worker_could_list_is_refused(api: Api, name: str) -> None:
    response = put(api, name, {"value": VALUE})
    if name == ".":  # the client resolves it
        assert response.status_code in {404, 405}
        return
    assert fields_of(response).keys() == {"name"}
    error_of(api.delete(f"/secrets/{name}"), 404, "resource_not_found")


BAD: dict[str, Json] = {
    "nothing": {},
    "null": {"value": None},
    "a number": {"value": 8675309867},
    "a list": {"value": [VALUE]},
    "too short": {"value": "abc"},
    "short within white space": {"value": "  abc \n\n"},
    "too long": {"value": "x" * (64 * 1024 + 1)},
    "too long in bytes": {"value": "ä" * (32 * 1024 + 1)},
    "nul": {"value": VALUE + "\0"},
}


@pytest.mark.parametrize("case", BAD)
def test_a_value_that_cannot_be_is_refused_and_not_repeated(api: Api, case: str) -> None:
    response = put(api, "TOKEN", BAD[case])
    assert fields_of(response).keys() == {"value"}
    for shown in (VALUE[:6], "8675309", "abc", "xxxx"):
        assert shown not in response.text.replace(response.json()["error"]["docs_url"], "")


def test_the_refusal_of_a_short_value_says_why(api: Api) -> None:
    assert "could not be hidden" in fields_of(put(api, "TOKEN", {"value": "abc"}))["value"][0]


@pytest.mark.parametrize(
    "body",
    [
        {"value": VALUE, "extra": 1},
        {VALUE: "x"},
        {"value": "abc", VALUE: VALUE},
        [VALUE],
        VALUE,
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(api: Api, body: Json) -> None:
    response = put(api, "TOKEN", body)
    assert fields_of(response).keys() <= {"value", "body"}
    assert VALUE[:6] not in response.text


@pytest.mark.parametrize(
    "content",
    [
        b'{"value": "hunter2-and',
        b'{"value": "hunter2\\q-and-a-bit"}',
        b'{"value": "hunter2-\\ud800-and"}',
        b'{"value": "hunter2-\xff-and"}',
        b"hunter2-and-a-bit-more",
        b'{"value": hunter2-and-a-bit}',
    ],
)
def test_a_body_that_is_no_json_is_refused_and_not_repeated(api: Api, content: bytes) -> None:
    response = api.call("PUT", "/secrets/TOKEN", content=content)
    assert response.status_code in {400, 422}, response.text
    assert "hunter2" not in response.text


def test_all_that_is_wrong_is_told_at_once(api: Api) -> None:
    assert fields_of(put(api, "PATH", {"value": "abc"})).keys() == {"name", "value"}


@pytest.mark.parametrize(
    "value",
    [
        "abcd",
        "x" * (64 * 1024),
        "ä" * (32 * 1024),
        "line\nline\r\n\ttab",
        "😀😀😀😀",
        "\"quotes\" \\ and 'more'",
        " padded ",
    ],
    ids=map(str, range(7)),
)
def test_any_value_within_the_limits_reaches_its_job_whole(api: Api, value: str) -> None:
    set_secret(api, "TOKEN", value)
    source = (
        "import hashlib, os\ndef handler(input, env):\n"
        "    return [hashlib.sha256(one.encode()).hexdigest() for one in (env['TOKEN'], os.environ['TOKEN'])]\n"
    )
    worker = api.make_worker(source_code=source, secrets=["TOKEN"])
    job = api.run_job(worker["id"])
    assert job["status"] == "completed", job
    assert job["output"] == [sha256(value)] * 2


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


COPIES = """
INSERT INTO secrets (tenant_id, name, id, key_id, sealed, updated_at)
SELECT tenant_id, 'S' || n, id, key_id, sealed, updated_at FROM secrets, generate_series(1, 998) AS n
WHERE tenant_id = $1 AND name = 'S0'
"""


def test_the_limit_of_a_tenant_is_a_conflict_that_says_what_to_do(api: Api, server: Server) -> None:
    assert put(api, "S0", {"value": VALUE}).status_code == 201
    assert server.write(COPIES, api.tenant) == "INSERT 0 998"
    assert put(api, "S999", {"value": VALUE}).status_code == 201
    error = error_of(put(api, "ONE_MORE", {"value": VALUE}), 409, "resource_conflict")
    assert "1000" in error["message"]
    assert put(api, "S7", {"value": VALUE}).status_code == 200
    assert api.delete("/secrets/S8").status_code == 204
    assert put(api, "ONE_MORE", {"value": VALUE}).status_code == 201
    server.write("DELETE FROM secrets WHERE tenant_id = $1", api.tenant)


def test_no_value_shows_in_the_servers_log_or_metrics(server: Server, api: Api) -> None:
    set_secret(api, "TOKEN")
    put(api, "TOKEN", {"value": VALUE + "\0"})
    api.call("PUT", "/secrets/TOKEN", content=b'{"value": "' + VALUE.encode())
    api.run_job(
        api.make_worker(
            source_code="def handler(i, env):\n    raise ValueError(env['TOKEN'])\n", secrets=["TOKEN"]
        )["id"]
    )
    assert VALUE not in (server.data_dir / "server.log").read_text()
    assert VALUE not in api.http.get("/metrics").text


def test_the_secrets_of_one_worker_have_a_bound_together(api: Api) -> None:
    names = [f"LARGE_{number}" for number in range(9)]
    for name in names:
        set_secret(api, name, name + "x" * 64_000)
    body = {"name": "w", "runtime": "shell", "source_code": "echo 1", "secrets": names}
    assert list(fields_of(api.post("/workers", json=body))) == ["secrets"]
    worker = data_of(api.post("/workers", json=body | {"secrets": names[:8]}), 201)
    assert list(fields_of(api.patch(f"/workers/{worker['id']}", json={"secrets": names}))) == ["secrets"]
