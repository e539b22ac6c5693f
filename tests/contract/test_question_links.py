"""Links to questions: read as often as one likes, used once, by whom they were made for."""

import re
from uuid import uuid4

import httpx
from tests.contract.client import Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import MakeKey, Server
from tests.contract.test_audit import entries
from tests.contract.test_questions import answer, ask

PATH = "/v1/shared/question"


def link(api: Api, item: Json, user: str = "ada", **body: Json) -> Json:
    return data_of(api.post(f"/inbox/{item['id']}/links", {"user_id": user} | body), 201)


def visit(api: Api, token: str) -> httpx.Response:
    return api.http.get(PATH, headers={"authorization": f"Bearer {token}"})


def submit(api: Api, token: str, text: str = "approve") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return api.http.post(f"{PATH}/answer", json={"answer": text}, headers=headers)


def status(api: Api, item: Json) -> Json:
    return data_of(api.get(f"/inbox/{item['id']}"))["status"]


def test_reading_a_link_changes_nothing_and_an_answer_uses_it(api: Api, server: Server) -> None:
    item = ask(api, subject="order 12", payload={"amount": 9007199254740993}, quorum=2, timeout_seconds=3600)
    made = link(api, item)
    assert made["url"] == f"{server.url}/answer#token={made['token']}"
    assert re.fullmatch(r"rwa_[\w-]{43}", made["token"])
    for _ in range(3):
        page = api.http.httpx.get(f"{server.url}/answer")
        assert page.status_code == 200
        api.http.httpx.head(f"{server.url}/answer")
        headers = {"authorization": f"Bearer {made['token']}"}
        api.http.httpx.head(f"{server.url}{PATH}", headers=headers)
        response = visit(api, made["token"])
        shown = data_of(response)
        assert (shown["question"], shown["payload"]) == ("Refund?", {"amount": 9007199254740993})
        assert (shown["user_id"], shown["used"], shown["status"]) == ("ada", False, "waiting")
        assert api.tenant not in response.text
        assert response.headers["x-robots-tag"] == "noindex, nofollow"
        assert "set-cookie" not in response.headers
    assert data_of(api.get(f"/inbox/{item['id']}")) == item
    assert "answer" in fields_of(submit(api, made["token"], "maybe"))
    done = data_of(submit(api, made["token"]))
    assert (done["used"], done["status"]) == (True, "waiting")
    assert "works once" in error_of(submit(api, made["token"]), 409, "resource_conflict")["message"]
    assert data_of(visit(api, made["token"]))["used"] is True
    second = link(api, item)
    error_of(submit(api, second["token"], "reject"), 409, "resource_conflict")
    assert data_of(submit(api, link(api, item, "bob")["token"]))["answer"] == "approve"
    first, *_ = [one for one in entries(api, subject_id=item["id"]) if one["user_id"] == "ada"]
    assert (first["action"], first["key_id"]) == ("question.answer", made["id"])
    assert sum(one["action"] == "question.link" for one in entries(api, subject_id=item["id"])) == 3


def test_a_sensitive_question_asks_for_a_sign_in(api: Api) -> None:
    item = ask(api, subject="secret", payload={"amount": 12}, sensitive=True)
    made = link(api, item)
    shown = data_of(visit(api, made["token"]))
    assert (shown["sensitive"], shown["question"], shown["payload"], shown["subject"]) == (
        True,
        None,
        None,
        "",
    )
    assert "signed in" in error_of(submit(api, made["token"]), 403, "forbidden")["message"]
    assert (status(api, item), data_of(visit(api, made["token"]))["used"]) == ("waiting", False)


def test_links_are_made_for_those_who_may_answer_by_those_who_may_make_keys(api: Api) -> None:
    item = ask(api, user_ids=["ada"])
    path = f"/inbox/{item['id']}/links"
    error_of(api.post(path, {"user_id": "bob"}), 403, "forbidden")
    error_of(api.having(role="tenant-admin").post(path, {"user_id": "ada"}), 403, "forbidden")
    error_of(
        api.having(tenant=f"ten_{uuid4().hex}").post(path, {"user_id": "ada"}), 404, "resource_not_found"
    )
    for body, bad in (({}, "user_id"), ({"user_id": "a", "ttl_seconds": 59}, "ttl_seconds")):
        assert bad in fields_of(api.post(path, body))
    barred = ask(api, four_eyes=True)
    error_of(api.post(f"/inbox/{barred['id']}/links", {"user_id": "usr_test"}), 403, "forbidden")
    answer(api, item, "approve", user="ada")
    error_of(api.post(path, {"user_id": "ada"}), 409, "resource_conflict")


def test_a_link_that_is_wrong_or_whose_key_ended_shows_nothing(api: Api, make_key: MakeKey) -> None:
    item = ask(api)
    made = link(api, item)
    for token in ("x", made["token"][:-1] + "!", "rwa_" + "a" * 43, api.key):
        error_of(visit(api, token), 401, "unauthorized")
        error_of(submit(api, token), 401, "unauthorized")
    key = make_key(api.tenant, "tenant-system-admin")
    headers = {"x-internal-secret": key}
    other = api.http.post(f"/v1/ava/inbox/{item['id']}/links", json={"user_id": "bob"}, headers=headers)
    token = data_of(other, 201)["token"]
    key_id = api.http.get("/v1/ava/whoami", headers=headers).json()["data"]["key"]["id"]
    assert visit(api, token).status_code == 200
    assert api.call("DELETE", f"/v1/keys/{key_id}").status_code in {200, 204}
    error_of(submit(api, token), 401, "unauthorized")
    assert status(api, item) == "waiting"


def test_a_link_to_what_has_ended_says_how_and_stays_unused(api: Api) -> None:
    item = ask(api)
    made = link(api, item)
    answer(api, item, "reject", user="bob")
    assert "reject, by bob" in error_of(submit(api, made["token"]), 409, "resource_conflict")["message"]
    shown = data_of(visit(api, made["token"]))
    assert (shown["used"], shown["status"], shown["answer"]) == (False, "answered", "reject")
