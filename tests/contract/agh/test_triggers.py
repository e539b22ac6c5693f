"""Contract §1.5, §1.6 and §6: triggers, their validation, events that fire them."""

import hashlib
import re

import pytest
from tests.contract.agh.client import EVENTS, RUNS, TRIGGERS, Agh, answer, invalid, refused
from tests.contract.client import Json
from tests.waiting import until


def test_1_1_a_trigger_has_these_fields_and_leaves_out_what_is_empty(agh: Agh) -> None:
    trigger = agh.make_trigger()
    assert trigger.keys() == {
        *("id", "scope", "name", "agent_name", "prompt", "event", "enabled", "retry", "fire_limit"),
        *("source", "webhook_secret_present", "created_at", "updated_at"),
    }
    assert trigger["webhook_secret_present"] is False
    assert re.fullmatch("trg-[0-9a-f]{16}", trigger["id"])
    assert answer(agh.get(f"{TRIGGERS}/{trigger['id']}")) == {"trigger": trigger}
    assert answer(agh.get(TRIGGERS, event="custom.happened")) == {"triggers": [trigger]}
    assert answer(agh.get(TRIGGERS, event="other")) == {"triggers": []}


def test_1_5_a_webhook_trigger_has_an_id_and_a_secret_that_is_never_shown(agh: Agh) -> None:
    trigger = agh.make_webhook_trigger(filter={"data.ref": "main"})
    assert trigger["webhook_secret_present"] is True
    derived = hashlib.sha256(trigger["id"].encode()).hexdigest()[:16]
    assert trigger["webhook_id"] == f"wbh_{derived}"
    name = f"vault:automation/triggers/{trigger['id']}/webhook-secret"
    assert trigger["webhook_secret_hash"] == "sha256:" + hashlib.sha256(name.encode()).hexdigest()
    assert trigger["filter"] == {"data.ref": "main"}
    for response in (agh.get(TRIGGERS), agh.get(f"{TRIGGERS}/{trigger['id']}")):
        assert "a-secret-value" not in response.text


WEBHOOK = {"event": "webhook", "endpoint_slug": "deploy", "webhook_secret_value": "s3cr3t-value"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "trigger.name is required"),
        ({"event": " "}, "trigger.event is required"),
        ({"filter": {"payload.agent": "x"}}, 'trigger.filter["payload.agent"]: unsupported filter path'),
        ({"filter": {"kind": " "}}, 'trigger.filter["kind"] must not be empty'),
        ({"filter": {"data.a..b": "x"}}, "unsupported filter path"),
        ({"prompt": "{{ .Data.a"}, "trigger.prompt is invalid: parse trigger prompt template"),
        ({"prompt": "{{ .EnvelopeID }}"}, "trigger.prompt is invalid: "),
        ({"endpoint_slug": "x"}, 'trigger.endpoint_slug must be empty when event is "custom.happened"'),
        ({"webhook_id": "wbh_x"}, 'trigger.webhook_id must be empty when event is "custom.happened"'),
        (
            {"webhook_secret_value": "x"},
            'trigger.webhook_secret_ref must be empty when event is "custom.happened"',
        ),
        (
            WEBHOOK | {"endpoint_slug": None},
            'trigger.endpoint_slug or trigger.webhook_id is required when event is "webhook"',
        ),
        (WEBHOOK | {"webhook_id": "qa-webhook-id"}, 'must start with "wbh_": "qa-webhook-id"'),
        (WEBHOOK | {"webhook_id": "wbh_a--b"}, "trigger.webhook_id is invalid"),
        (WEBHOOK | {"endpoint_slug": "A b"}, "trigger.endpoint_slug is invalid"),
        (WEBHOOK | {"endpoint_slug": "a--b"}, "trigger.endpoint_slug is invalid"),
        (
            WEBHOOK | {"webhook_secret_value": None},
            'trigger.webhook_secret_ref is required when event is "webhook"',
        ),
        (
            WEBHOOK | {"webhook_secret_value": ""},
            'trigger.webhook_secret_ref is required when event is "webhook"',
        ),
        (WEBHOOK | {"webhook_signature": "md5"}, "trigger.webhook_signature must be one of"),
    ],
)
def test_1_5_a_bad_field_is_named(agh: Agh, fields: Json, message: str) -> None:
    response = agh.post(TRIGGERS, agh.trigger_body(**fields))
    refused(response, 400, "automation validation error: ", message)


def test_1_5_a_secret_of_blanks_is_none(agh: Agh) -> None:
    response = agh.post(TRIGGERS, agh.trigger_body(**WEBHOOK | {"webhook_secret_value": "  "}))
    assert refused(response, 400) == "automation: webhook secret is required"


def test_3_webhook_ids_are_unique_over_all_tenants(agh: Agh) -> None:
    own = f"wbh_{agh.tenant}"
    trigger = agh.make_webhook_trigger(webhook_id=own)
    assert trigger["webhook_id"] == own
    for caller in (agh, agh.having(tenant=agh.tenant + "x")):
        response = caller.post(TRIGGERS, caller.trigger_body(**WEBHOOK, webhook_id=own))
        assert refused(response, 409) == "automation: trigger webhook id already exists"


def test_1_6_leaving_the_webhook_event_drops_what_belongs_to_it(agh: Agh) -> None:
    trigger = agh.make_webhook_trigger()
    path = f"{TRIGGERS}/{trigger['id']}"
    left = answer(agh.patch(path, {"event": "custom.other"}))["trigger"]
    assert left.keys() & {"webhook_id", "endpoint_slug", "webhook_secret_hash"} == set()
    assert left["webhook_secret_present"] is False
    back = agh.patch(path, {"event": "webhook", "endpoint_slug": "again"})
    assert refused(back, 400) == "automation: webhook secret is required"
    assert answer(agh.get(path))["trigger"] == left
    again = answer(agh.patch(path, {"event": "webhook", "webhook_secret_value": "new-secret"}))["trigger"]
    assert again["webhook_id"] == trigger["webhook_id"]
    assert again["webhook_secret_present"] is True


def test_1_6_a_patch_is_checked_like_a_new_one(agh: Agh) -> None:
    trigger = agh.make_trigger(filter={"data.a": "1"})
    path = f"{TRIGGERS}/{trigger['id']}"
    invalid(agh.patch(path, {"filter": None}), "automation trigger update must include at least one field")
    assert "filter" not in answer(agh.patch(path, {"filter": {}}))["trigger"]
    invalid(agh.patch(path, {"prompt": ""}), "trigger.prompt is required")
    refused(agh.patch(path, {"prompt": "{{ if }}"}), 400, "trigger.prompt is invalid")
    refused(agh.patch(path, {"filter": {"nope": "x"}}), 400, "unsupported filter path")
    refused(agh.patch(path, {"endpoint_slug": "x"}), 400, "must be empty")
    refused(agh.patch(path, {"webhook_secret_value": "x"}), 400, "must be empty")
    refused(agh.patch(path, {"retry": {"strategy": "x"}}), 400, "trigger.retry.strategy")


def test_1_6_the_secret_can_be_rotated_with_an_overlap_and_the_hash_stays(agh: Agh) -> None:
    trigger = agh.make_webhook_trigger()
    path = f"{TRIGGERS}/{trigger['id']}"
    assert refused(agh.patch(path, {"webhook_secret_value": ""}), 400).endswith("secret is required")
    rotated = answer(
        agh.patch(path, {"webhook_secret_value": "second", "webhook_secret_overlap_seconds": 60})
    )["trigger"]
    assert rotated["webhook_secret_hash"] == trigger["webhook_secret_hash"]
    regenerated = answer(agh.patch(path, {"webhook_id": ""}))["trigger"]
    assert regenerated["webhook_id"] == trigger["webhook_id"]


def ended_runs(agh: Agh, trigger: Json, count: int) -> list[Json]:
    """Wait until so many runs of a trigger have ended."""
    return until(
        lambda: answer(agh.get(f"{TRIGGERS}/{trigger['id']}/runs"))["runs"],
        lambda runs: sum("ended_at" in run for run in runs) >= count,
    )


def test_6_a_published_event_fires_who_wants_it(agh: Agh) -> None:
    agh.make_agent(code="return {'prompt': input['prompt'], 'activation': input['activation']}")
    plain = agh.make_trigger(event="session.stopped", prompt="{{ .Kind }} {{ .Source }} {{ .Data.n }}")
    picky = agh.make_trigger(event="session.stopped", filter={"data.state": "done", "data.n": "1000000"})
    local = agh.make_trigger(event="session.stopped", scope="workspace", workspace_id="ws-1", prompt="local")
    said = {"state": "done", "n": 1000000, "what": "this"}
    event = answer(agh.post(EVENTS, {"event": "session.stopped", "data": said}), 202)["event"]
    assert event.keys() == {"id", "event", "created_at", "replayed"}
    answer(agh.post(EVENTS, {"event": "session.stopped", "workspace_id": "ws-1", "data": {}}), 202)
    [run] = ended_runs(agh, plain, 1)
    session = agh.http.get(f"/v1/ava/jobs/{run['session_id']}", headers=agh.headers).json()["data"]
    assert session["output"] == {
        "prompt": "session.stopped observer 1000000",
        "activation": {
            "kind": "session.stopped",
            "scope": "global",
            "workspace_id": "",
            "source": "observer",
            "data": said,
        },
    }
    assert len(ended_runs(agh, picky, 1)) == 1
    assert len(ended_runs(agh, local, 1)) == 1
    assert len(answer(agh.get(RUNS, trigger_id=plain["id"]))["runs"]) == 1


def test_6_an_event_is_published_once_for_a_key(agh: Agh) -> None:
    body = {"event": "ext.build", "data": {"n": 1}, "idempotency_key": "k"}
    first = answer(agh.post(EVENTS, body), 202)["event"]
    second = answer(agh.post(EVENTS, body), 202)["event"]
    assert (first["id"], first["replayed"], second["replayed"]) == (second["id"], False, True)
    refused(agh.post(EVENTS, body | {"data": {"n": 2}}), 409, "idempotency key")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"event": "job.completed"},
        {"event": "automation.run.failed"},
        {"event": "No Such"},
        {"event": "custom.x", "data": []},
        {"event": "custom.x", "data": {"a": "\0"}},
        {"event": "custom.x", "data": {"a": "x" * 300_000}},
        {"event": "custom.x", "workspace_id": "\0"},
    ],
)
def test_6_a_bad_event_is_refused(agh: Agh, body: Json) -> None:
    refused(agh.post(EVENTS, body), 400, "automation validation error: ")


def test_6_a_missing_key_fails_the_run_and_a_missing_index_is_a_warning(agh: Agh) -> None:
    agh.make_agent()
    missing = agh.make_trigger(prompt="{{ .Data.missing }}")
    index = agh.make_trigger(prompt='[{{ index .Data "missing" }}]')
    answer(agh.post(EVENTS, {"event": "custom.happened"}), 202)
    [failed] = ended_runs(agh, missing, 1)
    assert failed["status"] == "failed"
    assert "render trigger prompt template" in failed["error"]
    [fine] = ended_runs(agh, index, 1)
    assert fine["status"] == "completed"
    assert len(fine["warnings"]) == 1


def test_6_our_own_facts_and_an_answers_events_fire_triggers(agh: Agh) -> None:
    agh.make_agent(code="return {'events': [{'event': 'custom.raised', 'payload': {'by': 'agent'}}]}")
    raised = agh.make_trigger(event="custom.raised", agent_name="nobody", prompt="{{ .Data.by }}")
    done = agh.make_trigger(
        event="ava.automation.run.completed", agent_name="nobody", prompt="{{ .Data.name }}"
    )
    job = agh.make_job(name="raiser")
    assert agh.run(job["id"])["status"] == "completed"
    assert len(ended_runs(agh, raised, 1)) == 1
    assert len(ended_runs(agh, done, 1)) == 1
