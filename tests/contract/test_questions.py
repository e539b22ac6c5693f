"""`/v1/ava/inbox`: questions that programs ask, who may answer them, and how they end."""

from uuid import uuid4

import httpx
import pytest
from tests.contract.client import TIME, Api, Json, data_of, error_of, fields_of
from tests.contract.conftest import MakeKey
from tests.contract.test_audit import entries
from tests.waiting import until

INBOX = "/inbox"


def ask(api: Api, **fields: Json) -> Json:
    return data_of(api.post(INBOX, {"question": "Refund?"} | fields), 201)


def answer(
    api: Api, item: Json, text: str, *, user: str = "usr_test", role: str = "tenant-admin"
) -> httpx.Response:
    """Answer as a user that the platform key speaks for."""
    headers = api.having(role=role).headers | {"x-user-id": user}
    return api.http.post(f"/v1/ava/inbox/{item['id']}/answer", json={"answer": text}, headers=headers)


def event_types(api: Api, item: Json) -> list[str]:
    rows = api.get("/events", **{"filter[subject_id]": item["id"]}).json()["data"]
    return [one["type"] for one in reversed(rows)]


def test_a_question_is_asked_and_answered_once(api: Api) -> None:
    item = ask(api, subject="order 12", payload={"amount": 120}, answers=["yes", "no"])
    assert item["id"].startswith("qst_")
    assert TIME.fullmatch(item["asked_at"])
    shown = {name: item[name] for name in ("kind", "status", "asked_by", "subject", "question", "answers")}
    assert shown == {
        "kind": "question",
        "status": "waiting",
        "asked_by": "usr_test",
        "subject": "order 12",
        "question": "Refund?",
        "answers": ["yes", "no"],
    }
    assert data_of(api.get(f"{INBOX}/{item['id']}")) == item
    page = api.get(INBOX).json()
    assert (page["data"], page["pagination"]["waiting"]) == ([item], 1)
    assert "answer" in fields_of(answer(api, item, "maybe"))
    done = data_of(answer(api, item, "no", user="ada"))
    assert done["status"] == "answered"
    assert (done["answer"]["answer"], done["answer"]["by"], done["answer"]["timed_out"]) == (
        "no",
        "ada",
        False,
    )
    assert data_of(answer(api, item, "no", user="ada")) == done, "the same again is a repetition"
    for user, text in (("ada", "yes"), ("bob", "no")):
        assert (
            "no, by ada" in error_of(answer(api, item, text, user=user), 409, "resource_conflict")["message"]
        )
    assert [(one["action"], one["user_id"]) for one in entries(api, subject_id=item["id"])] == [
        ("question.answer", "ada"),
        ("question.ask", "usr_test"),
    ]
    assert event_types(api, item) == ["ava.question.asked", "ava.question.answered"]
    assert api.get(INBOX).json()["pagination"]["waiting"] == 0
    assert api.get(INBOX, **{"filter[status]": "answered"}).json()["data"] == [done]


def test_a_question_is_withdrawn(api: Api) -> None:
    item = ask(api)
    done = data_of(api.delete(f"{INBOX}/{item['id']}"), 200)
    assert (done["status"], done["answer"]) == ("withdrawn", None)
    assert "withdrawn" in error_of(answer(api, item, "approve"), 409, "resource_conflict")["message"]
    error_of(api.delete(f"{INBOX}/{item['id']}"), 409, "resource_conflict")
    assert event_types(api, item)[-1] == "ava.question.withdrawn"
    assert entries(api, subject_id=item["id"])[0]["action"] == "question.withdraw"


def test_as_many_as_the_quorum_give_the_same_answer(api: Api) -> None:
    item = ask(api, quorum=2, timeout_seconds=3600)
    assert data_of(answer(api, item, "approve", user="ada"))["status"] == "waiting"
    assert "already" in error_of(answer(api, item, "reject", user="ada"), 409, "resource_conflict")["message"]
    assert data_of(answer(api, item, "reject", user="bob"))["answer"] is None
    done = data_of(answer(api, item, "approve", user="eve"))
    assert (done["status"], done["answer"]["answer"]) == ("answered", "approve")
    assert [(one["by"], one["answer"]) for one in done["given"]] == [
        ("ada", "approve"),
        ("bob", "reject"),
        ("eve", "approve"),
    ]


def test_a_key_is_one_person_whatever_users_it_names(api: Api, make_key: MakeKey) -> None:
    item = ask(api, quorum=2, timeout_seconds=3600)
    key = make_key(api.tenant, "tenant-admin")
    for user, status in (("ada", 200), ("bob", 409)):
        headers = {"x-internal-secret": key, "x-user-id": user}
        path = f"/v1/ava/inbox/{item['id']}/answer"
        response = api.http.post(path, json={"answer": "approve"}, headers=headers)
        assert response.status_code == status, response.text
    assert data_of(api.get(f"{INBOX}/{item['id']}"))["status"] == "waiting"


def test_whoever_asks_or_started_the_job_may_not_answer_under_four_eyes(api: Api) -> None:
    worker = data_of(
        api.post("/workers", {"name": f"w-{uuid4().hex[:8]}", "runtime": "python", "source_code": "x = 1"}),
        201,
    )
    headers = api.headers | {"x-user-id": "starter"}
    job = api.http.post("/v1/ava/jobs", json={"worker_id": worker["id"]}, headers=headers).json()["data"]
    item = ask(api, four_eyes=True, job_id=job["id"])
    assert (item["job_id"], item["four_eyes"]) == (job["id"], True)
    for user in ("usr_test", "starter"):
        error_of(answer(api, item, "approve", user=user), 403, "forbidden")
    assert data_of(answer(api, item, "approve", user="ada"))["status"] == "answered"
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    error_of(stranger.post(INBOX, {"question": "?", "job_id": job["id"]}), 404, "resource_not_found")


def test_only_its_audience_answers(api: Api) -> None:
    named = ask(api, user_ids=["ada"])
    error_of(answer(api, named, "approve", user="bob", role="tenant-system-admin"), 403, "forbidden")
    assert data_of(answer(api, named, "approve", user="ada"))["status"] == "answered"
    high = ask(api, role="tenant-system-admin")
    error_of(answer(api, high, "approve"), 403, "forbidden")
    error_of(answer(api, high, "approve", role="tenant-member"), 403, "forbidden")
    assert data_of(answer(api, high, "approve", role="tenant-system-admin"))["status"] == "answered"


def test_another_tenant_sees_nothing_of_it(api: Api) -> None:
    item = ask(api)
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    path = f"{INBOX}/{item['id']}"
    assert stranger.get(INBOX).json()["data"] == []
    for response in (stranger.get(path), stranger.delete(path), answer(stranger, item, "approve")):
        error_of(response, 404, "resource_not_found")
    error_of(api.having(role="tenant-admin").post(INBOX, {"question": "?"}), 403, "forbidden")
    error_of(api.having(role="tenant-admin").delete(path), 403, "forbidden")
    assert data_of(api.get(path)) == item


def test_the_same_request_asks_once(api: Api) -> None:
    key = {"idempotency-key": uuid4().hex}
    first = api.http.post("/v1/ava/inbox", json={"question": "Once?"}, headers=api.headers | key)
    again = api.http.post("/v1/ava/inbox", json={"question": "Once?"}, headers=api.headers | key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert data_of(first, 201) == data_of(again)
    other = api.http.post("/v1/ava/inbox", json={"question": "Other?"}, headers=api.headers | key)
    error_of(other, 409, "resource_conflict")
    assert api.get(INBOX).json()["pagination"]["waiting"] == 1


def test_a_deadline_that_has_passed_takes_the_default(api: Api) -> None:
    """The least time to answer is ten seconds; the other ends are tested with a clock in integration/questions."""
    item = ask(api, timeout_seconds=10, default="reject")
    done = until(lambda: data_of(api.get(f"{INBOX}/{item['id']}")), lambda now: now["status"] != "waiting")
    assert done["status"] == "timed_out"
    assert (done["answer"]["answer"], done["answer"]["by"], done["answer"]["timed_out"]) == (
        "reject",
        None,
        True,
    )
    message = error_of(answer(api, item, "approve"), 409, "resource_conflict")["message"]
    assert "took its default, reject" in message
    assert event_types(api, item)[-1] == "ava.question.timed_out"


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({"question": ""}, "question"),
        ({"question": "x" * 2001}, "question"),
        ({"question": "nul\0"}, "question"),
        ({"payload": [1]}, "payload"),
        ({"answers": []}, "answers"),
        ({"answers": ["a", "a"]}, "answers"),
        ({"answers": ["a\0"]}, "answers.0"),
        ({"role": "tenant-viewer"}, "role"),
        ({"user_ids": ["a", "a"]}, "user_ids"),
        ({"user_ids": [""]}, "user_ids.0"),
        ({"quorum": 0}, "quorum"),
        ({"quorum": 2}, "timeout_seconds"),
        ({"quorum": 2, "user_ids": ["ada"], "timeout_seconds": 60}, "quorum"),
        ({"default": "approve"}, "default"),
        ({"default": "maybe", "timeout_seconds": 60}, "default"),
        ({"timeout_seconds": 9}, "timeout_seconds"),
        ({"escalate_after_seconds": 60}, "escalate_to"),
        ({"escalate_to": {"role": "tenant-admin"}}, "escalate_to"),
        (
            {"escalate_after_seconds": 60, "escalate_to": {"user_ids": ["x\0"]}},
            "escalate_to.user_ids.0",
        ),
        (
            {"timeout_seconds": 60, "escalate_after_seconds": 61, "escalate_to": {"role": "tenant-admin"}},
            "escalate_after_seconds",
        ),
        ({"colour": 1}, "colour"),
    ],
)
def test_bad_fields_are_named(api: Api, fields: Json, bad: str) -> None:
    assert bad in fields_of(api.post(INBOX, {"question": "Refund?"} | fields))
    assert api.get(INBOX).json()["pagination"]["waiting"] == 0
