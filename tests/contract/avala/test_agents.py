"""Contract §5 and §8: registrations, and the test of one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.contract.avala.client import (
    FORBIDDEN,
    NOT_FOUND,
    REQUIRED,
    TIME,
    UID,
    Avala,
    bad_fields,
    good,
    refused,
)
from tests.contract.client import Api, Json

SEED = {
    *("uid", "name", "description", "events", "callback_url", "is_active", "project", "task_types"),
    *("created_at", "updated_at"),
}
OURS = {"worker", "poll_lease_seconds", "inactive_reason"}
PROJECT = "770a9600-a40d-63f6-c938-668877660000"
NINE = [
    *("dataset.created", "dataset.updated", "dataset.deleted", "export.completed", "export.failed"),
    *("task.completed", "result.submitted", "result.accepted", "result.rejected"),
]


def test_a_new_agent_has_the_published_fields_and_its_secret_once(avala: Avala) -> None:
    """§5 every field; secret answered only when a row is created, 40 lowercase hex."""
    body = {
        "name": "QC Review Agent",
        "description": "Automatically reviews annotation results for quality",
        "events": ["result.submitted"],
        "callback_url": "https://my-agent.example.com/webhook",
        "project": PROJECT,
        "task_types": ["bounding_box", "polygon"],
    }
    made = avala.post("/agents/", body, 201)
    assert made.keys() == SEED | OURS | {"secret"}
    assert {name: made[name] for name in body} == body
    assert made["is_active"] is True
    assert UID.fullmatch(made["uid"])
    assert len(made["secret"]) == 40
    assert set(made["secret"]) <= set("0123456789abcdef")
    assert TIME.fullmatch(made["created_at"])
    without = {name: value for name, value in made.items() if name != "secret"}
    assert avala.get("/agents/")["results"] == [without]
    assert avala.get(f"/agents/{made['uid']}/") == without | {"execution_stats": {}}


def test_unset_fields_are_empty_and_never_null_lists(avala: Avala) -> None:
    """§5 description "", Hard typing; empty events are accepted."""
    made = avala.make_agent(events=[], description=None)
    expected: Json = {
        "description": "",
        "events": [],
        "task_types": [],
        "callback_url": None,
        "project": None,
    }
    assert {name: made[name] for name in expected} == expected


def test_registering_again_updates_what_is_sent_and_keeps_the_rest(avala: Avala) -> None:
    """§5 POST same name: same uid and created_at, no secret; §0 unsent optional fields stay."""
    made = avala.make_agent(description="first", task_types=["polygon"], project=PROJECT)
    again = good(avala.call("POST", "/agents/", {"name": "QC", "events": ["task.completed"]}), 200)
    assert again["events"] == ["task.completed"]
    for name in ("uid", "created_at", "description", "task_types", "project"):
        assert again[name] == made[name]
    assert "secret" not in again
    changed: Json = {"name": "QC", "events": [], "description": "", "project": None, "task_types": []}
    again = good(avala.call("POST", "/agents/", changed), 200)
    assert {name: again[name] for name in changed} == changed
    assert len(avala.get("/agents/")["results"]) == 1


def test_concurrent_first_registrations_end_in_one_agent_and_one_secret(avala: Avala) -> None:
    """§5 Registration races."""

    def register(_: int) -> Json:
        response = avala.call("POST", "/agents/", {"name": "racer", "events": []})
        return response.status_code, response.json()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(register, range(16)))
    assert len({body["uid"] for _, body in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * 15 + [201]
    assert [("secret" in body) for status, body in answers if status == 201] == [True]
    assert not any("secret" in body for status, body in answers if status == 200)


def test_every_bad_field_is_named_at_once(avala: Avala) -> None:
    """§3, §5 write rules, and the known texts."""
    body = {
        "name": "",
        "description": 5,
        "events": ["invalid.event", "result.submitted", "other"],
        "callback_url": "http://my-agent.example.com/",
        "is_active": None,
        "project": "not-a-uuid",
        "task_types": ["x" * 51],
        "secret": "x" * 256,
        "worker": "",
        "poll_lease_seconds": 0,
    }
    fields = bad_fields(avala.call("POST", "/agents/", body))
    assert fields.keys() == body.keys()
    assert fields["events"] == ["Invalid events: invalid.event, other"]
    assert fields["callback_url"] == ["callback_url must use HTTPS."]
    assert bad_fields(avala.call("POST", "/agents/", {})) == {"name": [REQUIRED], "events": [REQUIRED]}
    for bad in ("x" * 256, "   ", "a\0b"):
        assert bad_fields(avala.call("POST", "/agents/", {"name": bad, "events": []})).keys() == {"name"}
    for field in ("events", "task_types", "name"):
        body = {"name": "x", "events": [], field: None}
        assert bad_fields(avala.call("POST", "/agents/", body)).keys() == {field}
    assert avala.get("/agents/")["results"] == []


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://[::1]/", "https://x/\0", "https://a@b.example/", "x" * 3000]
)
def test_a_callback_goes_to_public_https_hosts_only(avala: Avala, url: str) -> None:
    body = {"name": "x", "events": [], "callback_url": url}
    assert bad_fields(avala.call("POST", "/agents/", body)).keys() == {"callback_url"}


def test_all_nine_events_and_ours_can_be_subscribed_to(avala: Avala) -> None:
    """§6 Nine events; §0 `ava.` and `custom.`."""
    events = [*NINE, "ava.job.failed", "ava.job.*", "ava.*", "custom.x", "custom.*", "agent.action"]
    assert avala.make_agent(events=[*events, events[0]])["events"] == events


def test_a_change_changes_what_is_sent(avala: Avala) -> None:
    """§5 PATCH partial; null clears; PUT full replace."""
    made = avala.make_agent(callback_url="https://a.example/", project=PROJECT, description="d")
    path = f"/agents/{made['uid']}/"
    changed = avala.patch(path, {"is_active": False})
    assert (changed["is_active"], changed["callback_url"]) == (False, "https://a.example/")
    assert avala.patch(path, {})["is_active"] is False
    changed = avala.patch(path, {"callback_url": None, "project": None, "name": "renamed"})
    assert (changed["callback_url"], changed["project"], changed["name"]) == (None, None, "renamed")
    assert bad_fields(avala.call("PUT", path, {})) == {"name": [REQUIRED], "events": [REQUIRED]}
    replaced = good(avala.call("PUT", path, {"name": "whole", "events": ["task.completed"]}))
    expected = {"name": "whole", "events": ["task.completed"], "description": "", "is_active": True}
    assert {name: replaced[name] for name in expected} == expected
    assert "secret" not in replaced
    assert replaced["created_at"] == made["created_at"]


def test_a_name_that_is_taken_is_refused(avala: Avala) -> None:
    """§5 rename to a taken name: 400 on `name`."""
    avala.make_agent(name="one")
    two = avala.make_agent(name="two")
    assert bad_fields(avala.call("PATCH", f"/agents/{two['uid']}/", {"name": "one"})).keys() == {"name"}


def test_a_deleted_agent_goes_with_its_executions(avala: Avala) -> None:
    """§5 DELETE 204 empty; executions go too; deleting and registering anew rotates the secret."""
    made = avala.make_agent()
    uid = avala.post(f"/agents/{made['uid']}/test/")["execution_uid"]
    avala.delete(f"/agents/{made['uid']}/")
    for path in (f"/agents/{made['uid']}/", f"/agents/{made['uid']}/executions/", f"/executions/{uid}/"):
        refused(avala.call("GET", path), 404, NOT_FOUND)
    refused(avala.act({"uid": uid}, "approve"), 404, NOT_FOUND)
    again = avala.make_agent()
    assert again["uid"] != made["uid"]
    assert again["secret"] != made["secret"]


def test_a_test_leaves_a_pending_execution(avala: Avala) -> None:
    """§8 the three keys and `success`; visible in the list, pending, also for an inactive agent."""
    agent = avala.make_agent(is_active=False)
    told = good(avala.call("POST", f"/agents/{agent['uid']}/test/"))
    assert told["detail"] == "Test event queued."
    assert (told["has_callback"], told["success"]) == (False, True)
    [execution] = avala.executions(agent)
    assert execution["uid"] == told["execution_uid"]
    assert (execution["event_type"], execution["status"]) == ("agent.test", "pending")
    assert execution["event_payload"].keys() == {"event", "registration", "message"}
    assert execution["event_payload"]["registration"] == agent["uid"]
    assert avala.get(f"/agents/{agent['uid']}/")["execution_stats"] == {"pending": 1}


def test_who_may_only_work_registers_what_is_there_and_changes_nothing(avala: Avala) -> None:
    """An agent's process registers at each start; its key need not be able to change the registration."""
    body = {"name": "worker", "events": ["result.submitted"], "task_types": ["polygon"]}
    member = avala.having(role="tenant-member")
    refused(member.call("POST", "/agents/", body), 403, FORBIDDEN)
    made = avala.post("/agents/", body, 201)
    again = good(member.call("POST", "/agents/", body), 200)
    assert again == {name: value for name, value in made.items() if name != "secret"}
    changes: list[Json] = [
        {"events": []},
        {"task_types": []},
        {"callback_url": "https://a.example/"},
        {"name": "x"},
    ]
    for change in changes:
        refused(member.call("POST", "/agents/", body | change), 403, FORBIDDEN)


def test_an_agent_names_a_worker_of_its_own_organization(avala: Avala, api: Api) -> None:
    """Issue 5: `worker`, ours, by id or by name; not together with a callback."""
    ours = api.having(tenant=avala.tenant)
    older, worker = ours.make_worker(name="Judge"), ours.make_worker(name="Judge")
    api.make_worker(name="Judge")
    agent = avala.make_agent(worker=worker["id"])
    assert agent["worker"] == worker["id"]
    path = f"/agents/{agent['uid']}/"
    assert avala.call("PATCH", path, {"worker": older["id"]}).json()["worker"] == older["id"]
    assert avala.call("PATCH", path, {"worker": "Judge"}).json()["worker"] == worker["id"]
    avala.call("PATCH", path, {"worker": older["id"]})
    again = avala.call("POST", "/agents/", {"name": agent["name"], "events": [], "worker": "Judge"})
    assert (again.status_code, again.json()["worker"]) == (200, worker["id"])
    api.make_worker(name="Theirs")
    theirs = api.make_worker()["id"]
    for body in ({"worker": theirs}, {"worker": "wkr_01jd9x3v7m0000000000000000"}, {"worker": "Theirs"}):
        response = avala.call("POST", "/agents/", {"name": "other", "events": [], **body})
        assert bad_fields(response).keys() == {"worker"}
    both = {"name": "both", "events": [], "worker": worker["id"], "callback_url": "https://a.example/"}
    assert bad_fields(avala.call("POST", "/agents/", both)).keys() == {"worker"}
