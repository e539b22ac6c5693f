"""Contract §6 and §7: which agents get an event, what they are handed, and the one decision that stands."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.contract.avala.client import (
    AVALA,
    FORBIDDEN,
    NOBODY,
    NOT_FOUND,
    TIME,
    UID,
    Avala,
    bad_fields,
    cursor_of,
    good,
    refused,
)
from tests.contract.client import Api, Json

SEED = {
    *("uid", "registration", "event_type", "task", "result", "status", "action", "event_payload"),
    *("response_payload", "error_message", "started_at", "completed_at", "created_at", "updated_at"),
}
OURS = {"decided_by", "leased_until", "review"}
PROJECT = "770a9600-a40d-63f6-c938-668877660000"


def test_an_execution_has_every_published_key(avala: Avala) -> None:
    """§7 Fields; §6 event_payload is an object with `event`; task and result from the payload."""
    agent = avala.make_agent()
    payload: Json = {
        "task_uid": "880b0700-d51e-74a7-d049-779988770000",
        "result_uid": "r-1",
        "result_data": [{}],
    }
    told = avala.publish(**payload)
    assert UID.fullmatch(told["uid"])
    assert (told["event"], told["executions"]) == ("result.submitted", 1)
    [execution] = avala.await_executions(agent, 1)
    assert execution.keys() == SEED | OURS
    expected = {
        "registration": agent["uid"],
        "event_type": "result.submitted",
        "task": payload["task_uid"],
        "result": "r-1",
        "status": "pending",
        "action": None,
        "event_payload": {"event": "result.submitted", **payload},
        "response_payload": None,
        "error_message": None,
        "completed_at": None,
    }
    assert {name: execution[name] for name in expected} == expected
    assert TIME.fullmatch(execution["created_at"])
    assert avala.get(f"/executions/{execution['uid']}/") == execution


def test_agents_get_what_they_subscribed_to_and_match(avala: Avala) -> None:
    """§6: active, event, project, task types taken literally; an empty payload names neither."""
    agents = {
        "all": avala.make_agent(name="all"),
        "project": avala.make_agent(name="project", project=PROJECT.upper()),
        "types": avala.make_agent(name="types", task_types=["polygon", "box"]),
        "other event": avala.make_agent(name="other event", events=["task.completed"]),
        "none": avala.make_agent(name="none", events=[]),
        "inactive": avala.make_agent(name="inactive", is_active=False),
    }
    assert avala.publish(project_uid=PROJECT, task_type="polygon")["executions"] == 3
    assert avala.publish(task_type="line")["executions"] == 1
    assert avala.publish(project_uid="x" * 3000, task_type={"not": "text"})["executions"] == 1
    explicit = {"event": "result.submitted", "project": PROJECT.upper(), "task_type": "box"}
    assert avala.post("/events/", explicit, 201)["executions"] == 3
    avala.await_executions(agents["all"], 4)
    counts = {name: len(avala.executions(agent)) for name, agent in agents.items()}
    assert counts == {"all": 4, "project": 2, "types": 2, "other event": 0, "none": 0, "inactive": 0}


def test_only_documented_and_custom_events_are_published(avala: Avala) -> None:
    """§0: the nine names, and `custom.`; ours are ours to state."""
    for name in (
        "ava.job.failed",
        "job.failed",
        "agent.action",
        "agent.test",
        "x.y",
        "custom.",
        "custom.*",
        "",
    ):
        assert bad_fields(avala.call("POST", "/events/", {"event": name})).keys() == {"event"}
    agent = avala.make_agent(events=["custom.*"])
    assert avala.publish("custom.release.made", n=1)["executions"] == 1
    [execution] = avala.await_executions(agent, 1)
    assert execution["event_payload"] == {"event": "custom.release.made", "n": 1}
    body: Json = {"event": "task.completed", "payload": [], "project": 1, "idempotency_key": ""}
    assert bad_fields(avala.call("POST", "/events/", body)).keys() == body.keys() - {"event"}
    large = {"event": "task.completed", "payload": {"x": "x" * 300_000}}
    assert bad_fields(avala.call("POST", "/events/", large)).keys() == {"payload"}
    deep = {"event": "task.completed", "payload": {"x": json.loads("[" * 80 + "]" * 80)}}
    assert bad_fields(avala.call("POST", "/events/", deep)).keys() == {"payload"}


def test_an_event_with_a_key_is_published_once(avala: Avala) -> None:
    agent = avala.make_agent()
    body = {"event": "result.submitted", "payload": {"n": 1}, "idempotency_key": "once"}
    first = avala.post("/events/", body, 201)
    assert avala.post("/events/", body, 200)["uid"] == first["uid"]
    assert avala.call("POST", "/events/", body | {"payload": {"n": 2}}).status_code == 409
    avala.publish(last=True)
    avala.await_executions(agent, 2)


def test_what_happens_on_this_server_reaches_agents(avala: Avala, api: Api) -> None:
    """Issue 5: an agent can subscribe to `ava.job.failed`."""
    agent = avala.make_agent(events=["ava.job.failed"])
    theirs = api.having(tenant=avala.tenant)
    worker = theirs.make_worker(source_code="def handler(input, env):\n    raise ValueError('no')\n")
    job = theirs.run_job(worker["id"])
    [execution] = avala.await_executions(agent, 1)
    assert execution["event_type"] == "ava.job.failed"
    payload = execution["event_payload"]
    assert (payload["event"], payload["job_id"]) == ("ava.job.failed", job["id"])


def test_a_decision_is_recorded_and_raises_an_event(avala: Avala) -> None:
    """§7 POST /agent-actions/; issue 5: an `agent.action` per decision."""
    agent = avala.make_agent()
    hearer = avala.make_agent(name="hearer", events=["agent.action"])
    avala.publish()
    [execution] = avala.await_executions(agent, 1)
    response = avala.act(execution, "approve", reason="All good", metadata={"score": 0.9})
    expected = {"detail": "Action recorded.", "execution_uid": execution["uid"], "action": "approve"}
    assert good(response) == expected
    decided = avala.get(f"/executions/{execution['uid']}/")
    assert (decided["status"], decided["action"], decided["decided_by"]) == (
        "completed",
        "approve",
        "usr_test",
    )
    assert decided["response_payload"] == {
        "action": "approve",
        "reason": "All good",
        "metadata": {"score": 0.9},
    }
    assert TIME.fullmatch(decided["completed_at"])
    [heard] = avala.await_executions(hearer, 1)
    expected = {
        "event": "agent.action",
        "execution": execution["uid"],
        "registration": agent["uid"],
        "agent": "QC",
        "event_type": "result.submitted",
        "action": "approve",
        "reason": "All good",
        "metadata": {"score": 0.9},
        "decided_by": "usr_test",
    }
    assert heard["event_payload"] == expected


@pytest.mark.parametrize("action", ["approve", "reject", "flag", "skip"])
def test_the_first_decision_stands(avala: Avala, action: str) -> None:
    """§7 Already decided: 409, and the first one is kept; so a runner's fallback skip bounces."""
    agent = avala.make_agent()
    uid = avala.post(f"/agents/{agent['uid']}/test/")["execution_uid"]
    assert avala.act({"uid": uid}, action).status_code == 200
    before = avala.get(f"/executions/{uid}/")
    for later in ("skip", "approve", action):
        response = avala.act({"uid": uid.upper()}, later, reason="later")
        assert response.status_code == 409
        assert isinstance(response.json()["detail"], str)
    assert avala.get(f"/executions/{uid}/") == before


def test_of_decisions_at_once_one_is_taken(avala: Avala) -> None:
    agent = avala.make_agent()
    uid = avala.post(f"/agents/{agent['uid']}/test/")["execution_uid"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: avala.act({"uid": uid}, ["approve", "reject"][n % 2]), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    [taken] = [answer.json()["action"] for answer in answers if answer.status_code == 200]
    assert avala.get(f"/executions/{uid}/")["action"] == taken


def test_what_a_decision_holds_is_checked(avala: Avala) -> None:
    """§7 Validation, all at once; an unknown execution is 404."""
    body = {"execution": "x", "action": "maybe", "reason": "x" * 2049, "metadata": []}
    fields = bad_fields(avala.call("POST", "/agent-actions/", body))
    assert fields.keys() == body.keys()
    assert bad_fields(avala.call("POST", "/agent-actions/")).keys() == {"execution", "action"}
    large = {"execution": NOBODY, "action": "skip", "metadata": {"x": "x" * 65_536}}
    assert bad_fields(avala.call("POST", "/agent-actions/", large)).keys() == {"metadata"}
    nul = {"execution": NOBODY, "action": "skip", "reason": "\0"}
    assert bad_fields(avala.call("POST", "/agent-actions/", nul)).keys() == {"reason"}
    for metadata in ('{"x": "\\u0000"}', '{"\\u0000": 1}', '{"x": "\\ud800"}', '{"x": ["\\udc00\\ud800"]}'):
        raw = f'{{"execution": "{NOBODY}", "action": "skip", "metadata": {metadata}}}'
        headers = avala.headers | {"Content-Type": "application/json"}
        assert (
            avala.http.post(f"{AVALA}/agent-actions/", content=raw.encode(), headers=headers).status_code
            == 400
        )
    for number in ("1" * 5000, "1e999", "-0", "1.7976931348623157e308"):
        raw = f'{{"execution": "{NOBODY}", "action": "skip", "metadata": {{"x": {number}}}}}'
        headers = avala.headers | {"Content-Type": "application/json"}
        response = avala.http.post(f"{AVALA}/agent-actions/", content=raw.encode(), headers=headers)
        assert response.status_code in {400, 404}
    refused(avala.act({"uid": NOBODY}, "skip"), 404, NOT_FOUND)
    uid = avala.post(f"/agents/{avala.make_agent()['uid']}/test/")["execution_uid"]
    most = {"reason": "é" * 2048, "metadata": {"x": "x" * 65_000, "\\u0000": "\\\\u0000"}}
    assert avala.act({"uid": uid}, "flag", **most).status_code == 200
    assert avala.get(f"/executions/{uid}/")["response_payload"] == {"action": "flag", **most}


def test_executions_are_listed_by_page_and_status(avala: Avala) -> None:
    """§7 GET: `status`, `cursor`, `limit`, newest first; TaskAgent's other parameters are passed over."""
    agent = avala.make_agent()
    made = [avala.post(f"/agents/{agent['uid']}/test/")["execution_uid"] for _ in range(5)][::-1]
    avala.act({"uid": made[1]}, "skip")
    query = {"status": "pending", "project": PROJECT, "task_types": "a,b"}
    assert [one["uid"] for one in avala.executions(agent, **query)] == [made[0], *made[2:]]
    page = avala.get(f"/agents/{agent['uid']}/executions", status="pending", limit="3")
    rest = good(avala.http.get(page["next"], headers=avala.headers))
    assert [one["uid"] for one in page["results"] + rest["results"]] == [made[0], *made[2:]]
    assert good(avala.http.get(rest["previous"], headers=avala.headers))["results"] == page["results"]
    resent = avala.get(f"/agents/{agent['uid']}/executions/", **cursor_of(page["next"]))
    assert [one["uid"] for one in resent["results"]] == made[4:]
    for name in ("status", "action"):
        response = avala.call("GET", f"/agents/{agent['uid']}/executions/", params={name: "x"})
        assert bad_fields(response).keys() == {name}


def test_a_look_changes_nothing_and_a_claim_holds_what_it_gets(avala: Avala) -> None:
    """§0 Polling lease: plain GETs have no side effects; `claim` leases."""
    agent = avala.make_agent()
    made = [avala.post(f"/agents/{agent['uid']}/test/")["execution_uid"] for _ in range(3)]
    assert avala.executions(agent, status="pending") == avala.executions(agent, status="pending")
    member = avala.having(role="tenant-member")
    first = member.executions(agent, status="pending", claim="60", limit="2")
    assert [one["uid"] for one in first] == made[1::-1]
    assert {one["status"] for one in first} == {"running"}
    assert [one["uid"] for one in member.executions(agent, claim="60")] == made[2:]
    assert member.executions(agent, status="pending", claim="60") == []
    assert member.executions(agent, status="pending") == []
    assert member.act(first[0], "skip").status_code == 200
    path = f"/agents/{agent['uid']}/executions/"
    for claim in ("0", "601", "x", "-1", "1.5", "9" * 40):
        assert bad_fields(member.call("GET", path, params={"claim": claim})).keys() == {"claim"}
    params = {"claim": "5", "status": "completed"}
    assert bad_fields(member.call("GET", path, params=params)).keys() == {"claim"}
    viewer = avala.having(role="tenant-viewer")
    refused(viewer.call("GET", path, params={"claim": "5"}), 403, FORBIDDEN)


def test_an_agent_registered_so_leases_on_every_poll_but_not_to_viewers(avala: Avala) -> None:
    """§0: `poll_lease_seconds` protects unmodified pollers."""
    agent = avala.make_agent(poll_lease_seconds=60)
    avala.post(f"/agents/{agent['uid']}/test/")
    viewer = avala.having(role="tenant-viewer")
    assert len(viewer.executions(agent, status="pending")) == 1
    assert len(avala.executions(agent)) == 1
    assert [one["status"] for one in avala.executions(agent, status="pending")] == ["running"]
    assert avala.executions(agent, status="pending") == []


def test_a_lease_that_ran_out_is_pending_again(avala: Avala) -> None:
    agent = avala.make_agent()
    avala.post(f"/agents/{agent['uid']}/test/")
    [held] = avala.executions(agent, claim="1")
    [again] = avala.await_executions(agent, 1, claim="60")
    assert again["uid"] == held["uid"]


def test_a_person_decides_once_over_a_flag(avala: Avala) -> None:
    """Issue 5: the human inbox; who and when."""
    agent = avala.make_agent()
    made = [avala.post(f"/agents/{agent['uid']}/test/")["execution_uid"] for _ in range(3)]
    person = avala.having(role="tenant-admin")
    path = f"/executions/{made[0]}/decision/"
    assert person.call("POST", path, {"action": "approve"}).status_code == 409
    for uid, action in zip(made, ("flag", "approve", "flag"), strict=True):
        assert avala.act({"uid": uid}, action, reason="hm").status_code == 200
    inbox = avala.get("/executions/", status="completed", action="flag")["results"]
    assert [one["uid"] for one in inbox] == [made[2], made[0]]
    assert bad_fields(person.call("POST", path, {"action": "flag"})).keys() == {"action"}
    refused(avala.having(role="tenant-member").call("POST", path, {"action": "skip"}), 403, FORBIDDEN)
    decided = person.post(path, {"action": "reject", "reason": "seen it"})
    assert (decided["status"], decided["action"]) == ("completed", "reject")
    assert decided["response_payload"]["action"] == "flag"
    review = decided["review"]
    assert (review["action"], review["reason"], review["decided_by"]) == ("reject", "seen it", "usr_test")
    assert TIME.fullmatch(review["decided_at"])
    assert person.call("POST", path, {"action": "approve"}).status_code == 409
    assert person.call("POST", f"/executions/{made[1]}/decision/", {"action": "reject"}).status_code == 409
    assert [one["uid"] for one in avala.get("/executions/", action="flag")["results"]] == [made[2]]
