"""`/v1/ava/inbox`: what agents flag waits for a person, who answers once."""

from uuid import uuid4

import pytest
from tests.contract.client import TIME, Api, Json, data_of, error_of, fields_of
from tests.contract.test_audit import entries
from tests.waiting import eventually

INBOX = "/inbox"


class Flagging:
    """An agent of a tenant that flags what it is given."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.avala = {"x-avala-api-key": api.key} | api.headers
        registration = {"name": f"reviewer-{uuid4().hex[:8]}", "events": ["custom.*"]}
        response = api.http.post("/api/v1/agents", json=registration, headers=self.avala)
        assert response.status_code == 201, response.text
        self.name, self.uid = registration["name"], response.json()["uid"]

    def flag(self, payload: Json, reason: str | None = "Not sure.") -> str:
        """Publish an event, flag its execution, and return the execution's uid."""
        known = {one["uid"] for one in self._pending()}
        data_of(self.api.post("/events", {"type": "custom.paid", "payload": payload}), 201)
        new = eventually(lambda: [one for one in self._pending() if one["uid"] not in known])
        action = {"execution": new[0]["uid"], "action": "flag", "reason": reason}
        done = self.api.http.post("/api/v1/agent-actions", json=action, headers=self.avala)
        assert done.status_code == 200, done.text
        return str(new[0]["uid"])

    def _pending(self) -> list[Json]:
        path = f"/api/v1/agents/{self.uid}/executions?status=pending"
        return list(self.api.http.get(path, headers=self.avala).json()["results"])


@pytest.fixture
def agent(api: Api) -> Flagging:
    return Flagging(api)


def listed(api: Api, **query: str) -> list[Json]:
    response = api.get(INBOX, **query)
    assert response.status_code == 200, response.text
    return list(response.json()["data"])


def test_what_an_agent_flags_waits_for_a_person(api: Api, agent: Flagging) -> None:
    assert listed(api) == []
    agent.flag({"order": 12})
    [item] = listed(api)
    assert TIME.fullmatch(item["asked_at"])
    assert item == {
        "id": item["id"],
        "kind": "execution",
        "status": "waiting",
        "asked_by": agent.name,
        "subject": "custom.paid",
        "question": "Not sure.",
        "answers": ["approve", "reject", "skip"],
        "payload": {"order": 12},
        "payload_omitted": False,
        "job_id": None,
        "role": "tenant-admin",
        "user_ids": [],
        "quorum": 1,
        "four_eyes": False,
        "sensitive": False,
        "asked_at": item["asked_at"],
        "deadline": None,
        "default": None,
        "escalate_at": None,
        "escalated_at": None,
        "ended_at": None,
        "answer": None,
        "given": [],
    }
    assert data_of(api.get(f"{INBOX}/{item['id']}")) == item
    assert api.get(INBOX).json()["pagination"]["waiting"] == 1
    person = api.having(role="tenant-admin")
    answered = data_of(person.post(f"{INBOX}/{item['id']}/answer", {"answer": "approve", "note": "Fine."}))
    assert answered["status"] == "answered"
    given = answered["answer"]
    assert TIME.fullmatch(given.pop("at"))
    assert given == {"answer": "approve", "note": "Fine.", "by": "usr_test", "timed_out": False}
    assert listed(api) == []
    assert api.get(INBOX).json()["pagination"]["waiting"] == 0
    assert listed(api, **{"filter[status]": "answered"}) == [data_of(api.get(f"{INBOX}/{item['id']}"))]
    [entry] = entries(api, subject_id=item["id"])
    assert (entry["action"], entry["user_id"], entry["role"]) == (
        "execution.review",
        "usr_test",
        "tenant-admin",
    )


def test_the_first_answer_stands(api: Api, agent: Flagging) -> None:
    agent.flag({})
    [item] = listed(api)
    answer = f"{INBOX}/{item['id']}/answer"
    first = data_of(api.post(answer, {"answer": "reject", "note": "No."}))
    assert data_of(api.post(answer, {"answer": "reject", "note": "No."})) == first
    for body in ({"answer": "approve"}, {"answer": "reject"}):
        error = error_of(api.post(answer, body), 409, "resource_conflict")
        assert "reject" in error["message"]
    assert data_of(api.get(f"{INBOX}/{item['id']}")) == first
    assert len(entries(api, subject_id=item["id"])) == 1


def test_it_is_paged_newest_first(api: Api, agent: Flagging) -> None:
    for n in range(3):
        agent.flag({"n": n})
    first = api.get(INBOX, per_page="2").json()
    assert [one["payload"]["n"] for one in first["data"]] == [2, 1]
    assert (first["pagination"]["has_more"], first["pagination"]["waiting"]) == (True, 3)
    second = api.get(INBOX, per_page="2", cursor=first["pagination"]["next_cursor"]).json()
    assert [one["payload"]["n"] for one in second["data"]] == [0]
    assert second["pagination"]["next_cursor"] is None
    assert "cursor" in fields_of(api.get(INBOX, cursor="eA"))
    assert "filter[status]" in fields_of(api.get(INBOX, **{"filter[status]": "open"}))


def test_large_payloads_are_left_out_of_lists(api: Api, agent: Flagging) -> None:
    agent.flag({"text": "x" * 20_000}, reason=None)
    [item] = listed(api)
    assert (item["payload"], item["payload_omitted"], item["question"]) == (None, True, None)
    assert len(data_of(api.get(f"{INBOX}/{item['id']}"))["payload"]["text"]) == 20_000


def test_only_people_of_the_tenant_answer_and_only_what_is_asked(api: Api, agent: Flagging) -> None:
    agent.flag({})
    [item] = listed(api)
    answer = f"{INBOX}/{item['id']}/answer"
    for role in ("tenant-viewer", "tenant-member"):
        error_of(api.having(role=role).post(answer, {"answer": "approve"}), 403, "forbidden")
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    assert listed(stranger) == []
    error_of(stranger.get(f"{INBOX}/{item['id']}"), 404, "resource_not_found")
    error_of(stranger.post(answer, {"answer": "approve"}), 404, "resource_not_found")
    for body, bad in (
        ({}, {"answer"}),
        ({"answer": "flag"}, {"answer"}),
        ({"answer": "yes"}, {"answer"}),
        ({"answer": "approve", "note": "x" * 2049}, {"note"}),
        ({"answer": "approve", "note": "nul\u0000"}, {"note"}),
        ({"answer": "approve", "colour": 1}, {"colour"}),
    ):
        assert fields_of(api.post(answer, body)).keys() == bad
    assert listed(api) == [item]
    for nothing in ("exn_01jd9x3v7m0000000000000000", "job_01jd9x3v7m0000000000000000", "x"):
        error_of(api.get(f"{INBOX}/{nothing}"), 404, "resource_not_found")
        error_of(api.post(f"{INBOX}/{nothing}/answer", {"answer": "approve"}), 404, "resource_not_found")
