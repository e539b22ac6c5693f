"""Webhooks that come in, by the contract's rows: order of checks, signatures, replay, data, filter, limits, wait."""

import base64
import gzip
import hmac
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY
from tests.webhook_sender import OWN_HMAC, agh_headers, headers_of

Json = Any
"""What a body holds; which of it is right is for the tests to say."""

SECRET = "shared-secret"
BODY = b'{"ref":"refs/heads/main","n":1000000,"nested":{"deep":true}}'


class Hooks:
    """A tenant with a worker that says what it was prompted with, and webhooks for it."""

    def __init__(self, http: RawClient) -> None:
        self.http = http
        self.tenant = f"ten_{uuid4().hex}"
        self.headers = {"authorization": f"Bearer {PLATFORM_KEY}", "x-tenant-id": self.tenant}
        Api(http, key=PLATFORM_KEY, tenant=self.tenant).make_worker(
            name="echo",
            source_code="def handler(input, env):\n    print(input['prompt'])\n    return input\n",
        )

    def ask(self, method: str, path: str, body: Json = None, status: int = 200) -> Json:
        answer = self.http.request(method, f"/api/automation{path}", json=body, headers=self.headers)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def trigger(self, **fields: Json) -> Json:
        body = {
            "scope": "global",
            "name": uuid4().hex,
            "agent_name": "echo",
            "prompt": "got {{.Data.ref}}",
            "event": "webhook",
            "endpoint_slug": "deploys",
            "webhook_secret_value": SECRET,
            "fire_limit": {"max": 1000, "window": "1h"},
        }
        return self.ask("POST", "/triggers", body | fields, 201)["trigger"]

    def path(self, trigger: Json) -> str:
        place = f"workspaces/{trigger['workspace_id']}" if trigger["scope"] == "workspace" else "global"
        return f"/api/webhooks/{place}/{trigger['endpoint_slug']}--{trigger['webhook_id']}"

    def send(
        self,
        trigger: Json | str,
        body: bytes = BODY,
        headers: Mapping[str, str] | None = None,
        *,
        wait: str = "",
    ) -> httpx.Response:
        path = trigger if isinstance(trigger, str) else self.path(trigger)
        signed = agh_headers(SECRET, body) if headers is None else headers
        return self.http.post(path + (f"?wait={wait}" if wait else ""), content=body, headers=signed)

    def runs(self, trigger: Json) -> list[Json]:
        return list(self.ask("GET", f"/runs?trigger_id={trigger['id']}")["runs"])

    def input_of(self, run: Json) -> Json:
        """What the run's agent was given; it gives it back."""
        job = (
            Api(self.http, key=PLATFORM_KEY, tenant=self.tenant)
            .get(f"/jobs/{run['session_id']}")
            .json()["data"]
        )
        return job["output"]


@pytest.fixture
def hooks(http: RawClient) -> Hooks:
    return Hooks(http)


def refused(answer: httpx.Response, status: int, message: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json; charset=utf-8")
    assert answer.json().keys() == {"error"}
    assert message in answer.json()["error"], answer.text


def test_a_delivery_is_answered_when_it_is_stored_and_its_run_can_be_waited_for(hooks: Hooks) -> None:
    trigger = hooks.trigger()
    answer = hooks.send(trigger)
    assert answer.status_code == 200, answer.text
    result = answer.json()["result"]
    assert result["matched"] == 1
    [run] = result["runs"]
    assert (run["status"], run["trigger_id"], run["attempt"]) == ("scheduled", trigger["id"], 1)
    assert run["id"].startswith("run_wbh_")
    assert run["fire_id"].startswith("webhook:")
    ended = hooks.send(trigger, b'{"ref":"other"}', wait="60").json()["result"]["runs"][0]
    assert ended["status"] == "completed"
    assert hooks.input_of(ended)["prompt"] == "got other"


def test_workspaces_have_routes_of_their_own(hooks: Hooks) -> None:
    trigger = hooks.trigger(scope="workspace", workspace_id="ws1")
    endpoint = f"{trigger['endpoint_slug']}--{trigger['webhook_id']}"
    assert hooks.send(trigger).status_code == 200
    for wrong in (f"/api/webhooks/global/{endpoint}", f"/api/webhooks/workspaces/ws2/{endpoint}"):
        refused(hooks.send(wrong), 404, "automation: webhook trigger not registered")
    refused(hooks.send(f"/api/webhooks/workspaces/%20/{endpoint}"), 400, "workspace_id is required")


@pytest.mark.parametrize("endpoint", ["deploys", "deploys--abc", "--wbh_0000", "wbh_0000", "a--b--hook_1"])
def test_an_endpoint_has_a_slug_and_an_id(hooks: Hooks, endpoint: str) -> None:
    refused(hooks.send(f"/api/webhooks/global/{endpoint}", headers={}), 400, "webhook endpoint is invalid")


def test_the_order_of_the_checks(hooks: Hooks) -> None:
    """Headers before body, body before trigger, trigger before timestamp, timestamp before signature."""
    trigger = hooks.trigger()
    path, unknown = hooks.path(trigger), "/api/webhooks/global/deploys--wbh_ffffffffffffffff"
    large = b"x" * (1024 * 1024 + 1)
    good = agh_headers(SECRET, BODY)
    stale = agh_headers(SECRET, BODY, at=time.time() - 301)
    wrong = good | {"X-AGH-Webhook-Signature": "sha256=" + "0" * 64}
    for where in (path, unknown):
        refused(hooks.send(where, large, {}), 400, "webhook timestamp header is required")
        refused(
            hooks.send(where, large, {"X-AGH-Webhook-Timestamp": "x"}), 400, 'invalid webhook timestamp "x"'
        )
        refused(
            hooks.send(where, large, {"X-AGH-Webhook-Timestamp": "1"}), 400, "signature header is required"
        )
        refused(hooks.send(where, large, good), 413, "request body too large")
    refused(hooks.send(unknown, BODY, stale), 404, "automation: webhook trigger not registered")
    refused(
        hooks.send(path, BODY, stale | {"X-AGH-Webhook-Signature": "nonsense"}),
        401,
        "automation: webhook timestamp outside freshness window",
    )
    refused(hooks.send(path, BODY, wrong), 401, "automation: webhook signature invalid")
    assert hooks.runs(trigger) == []


def test_a_body_may_have_one_mebibyte(hooks: Hooks) -> None:
    body = b"x" * (1024 * 1024)
    trigger = hooks.trigger(prompt="large")
    assert hooks.send(trigger, body).status_code == 200
    assert hooks.send(trigger, body + b"x").status_code == 413


@pytest.mark.parametrize("off", [301, -301])
def test_a_timestamp_must_be_fresh(hooks: Hooks, off: int) -> None:
    trigger = hooks.trigger()
    refused(
        hooks.send(trigger, headers=agh_headers(SECRET, BODY, at=time.time() + off)),
        401,
        "automation: webhook timestamp outside freshness window",
    )
    assert (
        hooks.send(trigger, headers=agh_headers(SECRET, BODY, at=time.time() + off * 0.9)).status_code == 200
    )


def test_a_delivery_comes_once_by_its_id_and_by_what_was_signed(hooks: Hooks) -> None:
    trigger = hooks.trigger()
    first = agh_headers(SECRET, BODY, delivery_id="d1")
    assert hooks.send(trigger, headers=first).status_code == 200
    seen = "automation: webhook delivery already processed"
    refused(hooks.send(trigger, headers=first), 409, seen)
    refused(hooks.send(trigger, headers=first | {"X-AGH-Webhook-Delivery-ID": "d2"}), 409, seen)
    refused(hooks.send(trigger, b"other", agh_headers(SECRET, b"other", delivery_id="d1")), 409, seen)
    bare = {name: value for name, value in first.items() if "Delivery" not in name}
    refused(hooks.send(trigger, headers=bare), 409, seen)
    assert len(hooks.runs(trigger)) == 1
    assert hooks.send(hooks.trigger(), headers=first).status_code == 200


def test_one_of_many_at_the_same_time_is_accepted(hooks: Hooks) -> None:
    trigger = hooks.trigger()
    headers = agh_headers(SECRET, BODY, delivery_id="d1")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: hooks.send(trigger, headers=headers).status_code, range(16)))
    assert sorted(statuses) == [200] + [409] * 15
    assert len(hooks.runs(trigger)) == 1


def test_a_filter_that_does_not_match_leaves_nothing_behind(hooks: Hooks) -> None:
    trigger = hooks.trigger(
        filter={"data.ref": "refs/heads/main", "data.nested.deep": "true", "data.n": "1000000"}
    )
    other = b'{"ref":"refs/heads/other"}'
    headers = agh_headers(SECRET, other, delivery_id="d1")
    for _ in range(2):
        assert hooks.send(trigger, other, headers).json() == {"result": {"matched": 0}}
    assert hooks.runs(trigger) == []
    assert (
        hooks.send(trigger, headers=agh_headers(SECRET, BODY, delivery_id="d1")).json()["result"]["matched"]
        == 1
    )


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b'{"a":1,"payload":"mine","endpoint":"forged","timestamp":"forged"}', {"a": 1, "payload": "mine"}),
        (b'{"a":[1,{"b":null}]}', {"a": [1, {"b": None}], "payload": '{"a":[1,{"b":null}]}'}),
        (b"", {"payload": ""}),
        (b"{}", {"payload": "{}"}),
        (b"not json", {"payload": "not json"}),
        (b"[1,2]", {"payload": "[1,2]"}),
        (b'"text"', {"payload": '"text"'}),
        (b"\xff\xfe", {"payload": "\ufffd\ufffd"}),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", {"payload": '{"a":' + "[" * 70 + "]" * 70 + "}"}),
        (b'{"a":"\\ud800"}', {"payload": '{"a":"\\ud800"}'}),
        (b'{"a":"\\u0000"}', {"a": "\x00", "payload": '{"a":"\\u0000"}'}),
    ],
)
def test_what_filters_prompts_and_agents_see_of_a_body(hooks: Hooks, body: bytes, data: Json) -> None:
    trigger = hooks.trigger(prompt='{{index .Data "payload"}}')
    [run] = hooks.send(trigger, body, wait="60").json()["result"]["runs"]
    assert run["status"] == "completed", run
    activation = hooks.input_of(run)["activation"]
    about = {
        name: activation["data"].pop(name)
        for name in ("endpoint", "endpoint_slug", "webhook_id", "timestamp")
    }
    assert activation["data"] == data
    assert about["endpoint"] == f"deploys--{trigger['webhook_id']}"
    assert (about["endpoint_slug"], about["webhook_id"]) == ("deploys", trigger["webhook_id"])
    assert about["timestamp"].endswith("Z")
    assert (activation["kind"], activation["source"], activation["scope"]) == ("webhook", "webhook", "global")


@pytest.mark.parametrize(
    "scheme",
    [
        "agh",
        "github",
        "gitlab",
        "bitbucket",
        "stripe",
        "slack",
        "shopify",
        "standard",
        "svix",
        "meta",
        "hmac",
    ],
)
def test_others_forms_of_signature(hooks: Hooks, scheme: str) -> None:
    trigger = hooks.trigger(
        webhook_signature=scheme, **({"webhook_hmac": OWN_HMAC} if scheme == "hmac" else {})
    )
    assert trigger.get("webhook_hmac") == (OWN_HMAC if scheme == "hmac" else None)
    signed = headers_of(scheme, SECRET, BODY, "m1")
    assert hooks.send(trigger, headers=signed).status_code == 200
    refused(hooks.send(trigger, headers=signed), 409, "already processed")
    refused(hooks.send(trigger, b"{}", headers_of(scheme, "wrong", b"{}", "m2")), 401, "signature invalid")
    other = "stripe" if scheme == "agh" else "agh"
    refused(hooks.send(trigger, b"{}", headers_of(other, SECRET, b"{}", "m3")), 400, "required")


def test_twilio_signs_the_url_that_it_was_given(hooks: Hooks) -> None:
    trigger = hooks.trigger(webhook_signature="twilio", prompt="{{.Data.Body}} of {{.Data.From}}")
    url = f"{hooks.http.url.rstrip('/')}{hooks.path(trigger)}?wait=60"
    form = {"From": "+14158675309", "Body": "hi there", "Empty": ""}
    text = url + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(hmac.new(SECRET.encode(), text.encode(), "sha1").digest()).decode()
    answer = hooks.http.httpx.post(url, data=form, headers={"X-Twilio-Signature": signature})
    [run] = answer.json()["result"]["runs"]
    assert hooks.input_of(run)["prompt"] == "hi there of +14158675309"
    other = hooks.http.httpx.post(url, data=form | {"More": "1"}, headers={"X-Twilio-Signature": signature})
    refused(other, 401, "signature invalid")


def test_a_sender_repeats_a_delivery_under_a_new_signature_and_it_runs_once(hooks: Hooks) -> None:
    stripe = hooks.trigger(webhook_signature="stripe", prompt="{{.Data.type}}")
    event, now = b'{"id":"evt_1","type":"charge.succeeded"}', time.time()
    first = hooks.send(stripe, event, headers_of("stripe", SECRET, event, "", at=now - 200), wait="60")
    assert [run["status"] for run in first.json()["result"]["runs"]] == ["completed"]
    again = hooks.send(stripe, event, headers_of("stripe", SECRET, event, "", at=now))
    assert again.status_code == 409, again.text
    github = hooks.trigger(webhook_signature="github")
    same = [hooks.send(github, headers=headers_of("github", SECRET, BODY, name)) for name in ("1", "2", "1")]
    assert [answer.status_code for answer in same] == [200, 200, 409], "equal bodies are different events"


def test_a_redelivery_after_a_failed_run_runs_again(hooks: Hooks) -> None:
    trigger = hooks.trigger(webhook_signature="github", agent_name="nobody")
    headers = headers_of("github", SECRET, BODY, "guid")
    [first] = hooks.send(trigger, headers=headers, wait="60").json()["result"]["runs"]
    assert first["status"] == "failed"
    hooks.ask("PATCH", f"/triggers/{trigger['id']}", {"agent_name": "echo"})
    [again] = hooks.send(trigger, headers=headers, wait="60").json()["result"]["runs"]
    assert (again["status"], again["fire_id"]) == ("completed", first["fire_id"])
    refused(hooks.send(trigger, headers=headers), 409, "already processed")
    retried = hooks.ask("POST", f"/runs/{first['id']}/retry?wait=60")["run"]
    assert (retried["status"], retried["fire_id"]) == ("completed", first["fire_id"])
    assert len({first["id"], again["id"], retried["id"]}) == 3
    seen = [hooks.input_of(run)["activation"]["data"] for run in (retried, again)]
    assert seen[0] | {"timestamp": ""} == seen[1] | {"timestamp": ""}


def test_a_delivery_that_the_fire_limit_refused_may_come_again(hooks: Hooks) -> None:
    trigger = hooks.trigger(webhook_signature="github", fire_limit={"max": 1, "window": "1h"})
    assert hooks.send(trigger, headers=headers_of("github", SECRET, BODY, "1")).status_code == 200
    late = headers_of("github", SECRET, BODY, "2")
    for _ in range(2):
        refused(hooks.send(trigger, headers=late), 409, "fire limit reached")
    hooks.ask("PATCH", f"/triggers/{trigger['id']}", {"fire_limit": {"max": 2, "window": "1h"}})
    assert hooks.send(trigger, headers=late).status_code == 200


def test_filters_and_prompts_see_what_happened_and_no_credential(hooks: Hooks) -> None:
    trigger = hooks.trigger(
        webhook_signature="github",
        filter={"data.headers.X-GitHub-Event": "push"},
        prompt='{{index .Data.headers "x-github-event"}}',
    )
    secret = {"Authorization": "Bearer s", "Cookie": "c=1", "X-Api-Key": "k", "X-Forwarded-For": "::1"}
    ping = headers_of("github", SECRET, BODY, "1") | {"X-GitHub-Event": "ping"}
    assert hooks.send(trigger, headers=ping).json() == {"result": {"matched": 0}}
    push = headers_of("github", SECRET, BODY, "1") | {"X-GitHub-Event": "push"} | secret
    [run] = hooks.send(trigger, headers=push, wait="60").json()["result"]["runs"]
    seen = hooks.input_of(run)
    assert seen["prompt"] == "push"
    assert seen["activation"]["data"]["headers"] == {"x-github-delivery": "1", "x-github-event": "push"}


def test_aghs_own_deliveries_may_have_a_field_named_headers(hooks: Hooks) -> None:
    body = b'{"ref":"x","headers":{"X-GitHub-Event":"mine"}}'
    trigger = hooks.trigger(filter={"data.headers.X-GitHub-Event": "mine"})
    signed = agh_headers(SECRET, body) | {"X-GitHub-Event": "theirs"}
    [run] = hooks.send(trigger, body, signed, wait="60").json()["result"]["runs"]
    assert hooks.input_of(run)["activation"]["data"]["headers"] == {"X-GitHub-Event": "mine"}


def test_githubs_forms_and_compressed_bodies_are_read_and_others_refused(hooks: Hooks) -> None:
    trigger = hooks.trigger(webhook_signature="github", filter={"data.ref": "refs/heads/main"})
    form = urlencode({"payload": BODY.decode()}).encode()
    for body, extra in (
        (form, {"Content-Type": "application/x-www-form-urlencoded"}),
        (gzip.compress(BODY, mtime=0), {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
        (BODY.decode().encode("utf-16"), {"Content-Type": "application/json"}),
    ):
        signed = headers_of("github", SECRET, body, uuid4().hex)
        answer = hooks.send(trigger, body, {**signed, **extra})
        assert answer.json()["result"].get("matched") == 1, answer.text
    bomb = gzip.compress(bytes(2 * 1024 * 1024))
    refused(hooks.send(trigger, bomb, headers_of("github", SECRET, bomb, "9")), 413, "too large")
    broken = {**headers_of("github", SECRET, b"{", "8"), "Content-Type": "application/json"}
    refused(hooks.send(trigger, b"{", broken), 400, "webhook body is not valid JSON")


def test_slack_and_meta_verify_the_url_before_they_send(hooks: Hooks) -> None:
    slack = hooks.trigger(webhook_signature="slack")
    body = b'{"type":"url_verification","challenge":"3eZbrw1a","token":"x"}'
    answer = hooks.send(slack, body, headers_of("slack", SECRET, body, ""))
    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw1a"})
    assert hooks.runs(slack) == []
    meta = hooks.trigger(webhook_signature="meta")
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": meta["webhook_id"]}
    answer = hooks.http.get(hooks.path(meta), params=asked)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    refused(hooks.http.get(hooks.path(meta), params=asked | {"hub.verify_token": "x"}), 403, "verify_token")
    refused(hooks.http.get(hooks.path(meta), params=asked | {"hub.challenge": "<b>"}), 400, "hub.challenge")
    refused(hooks.http.get(hooks.path(slack), params=asked), 404, "not registered")


@pytest.mark.parametrize(
    ("custom", "problem"),
    [
        (None, "webhook_hmac is required"),
        ({}, "signature_header is required"),
        ({"signature_header": "X Y"}, "signature_header must be the name of a header"),
        ({"signature_header": "X-S", "encoding": "rot13"}, "encoding must be one of"),
        ({"signature_header": "X-S", "signed": "{secret}.{body}"}, "signed must have {body}"),
        ({"signature_header": "X-S", "signed": "{timestamp}"}, "signed must have {body}"),
        ({"signature_header": "X-S", "signed": "{timestamp}.{body}"}, "timestamp_header is required"),
        ({"signature_header": "X-S", "signed": "{id}.{body}"}, "id_header is required"),
        ({"signature_header": "X-S", "headers": ["Authorization"]}, "no credentials"),
        ({"signature_header": "X-S", "headers": "X-Kind"}, "cannot unmarshal string"),
    ],
)
def test_a_description_of_a_sender_that_cannot_be_is_refused(
    hooks: Hooks, custom: Json, problem: str
) -> None:
    body = {
        "scope": "global",
        "name": uuid4().hex,
        "agent_name": "echo",
        "prompt": "p",
        "event": "webhook",
        "endpoint_slug": "x",
        "webhook_secret_value": SECRET,
        "webhook_signature": "hmac",
        "webhook_hmac": custom,
    }
    answer = hooks.http.post("/api/automation/triggers", json=body, headers=hooks.headers)
    refused(answer, 400, problem)


def test_a_run_that_lives_or_belongs_to_others_is_not_retried(hooks: Hooks) -> None:
    trigger = hooks.trigger(agent_name="nobody")
    [run] = hooks.send(trigger, wait="60").json()["result"]["runs"]
    others = hooks.headers | {"x-tenant-id": "ten_other"}
    path = f"/api/automation/runs/{run['id']}/retry"
    refused(hooks.http.post(path, headers=others), 404, "run not found")
    refused(hooks.http.post(path, headers=hooks.headers | {"x-platform-role": "tenant-viewer"}), 403, "")
    hooks.ask("DELETE", f"/triggers/{trigger['id']}", status=204)
    refused(hooks.http.post(path, headers=hooks.headers), 409, "was deleted")


def test_a_new_secret_is_good_at_once_and_no_answer_shows_one(hooks: Hooks) -> None:
    trigger = hooks.trigger()
    changed = hooks.ask("PATCH", f"/triggers/{trigger['id']}", {"webhook_secret_value": "  new-secret\n"})
    assert hooks.send(trigger, headers=agh_headers("new-secret", BODY)).status_code == 200
    assert "new-secret" not in json.dumps(changed)
    assert "new-secret" not in json.dumps(hooks.ask("GET", "/triggers"))


def test_what_changes_of_a_trigger_counts_at_once(hooks: Hooks) -> None:
    trigger = hooks.trigger()
    hooks.ask("PATCH", f"/triggers/{trigger['id']}", {"enabled": False})
    refused(hooks.send(trigger), 404, "not registered")
    hooks.ask("PATCH", f"/triggers/{trigger['id']}", {"enabled": True, "endpoint_slug": "moved"})
    refused(hooks.send(trigger), 404, "not registered")
    moved = trigger | {"endpoint_slug": "moved"}
    assert hooks.send(moved).status_code == 200
    hooks.ask("DELETE", f"/triggers/{trigger['id']}", status=204)
    refused(hooks.send(moved, b"{}"), 404, "not registered")


def test_the_fire_limit_refuses_and_what_it_refuses_does_not_count(hooks: Hooks) -> None:
    trigger = hooks.trigger(fire_limit={"max": 2, "window": "1h"})
    answers = [hooks.send(trigger, b'{"ref":%d}' % n) for n in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 409, 409, 409]
    for answer in answers[2:]:
        refused(answer, 409, "automation: fire limit reached: fires=2 limit=2 window=1h0m0s retry_at=")


def test_a_prompt_that_cannot_be_filled_in_is_a_failed_run_and_no_error(hooks: Hooks) -> None:
    trigger = hooks.trigger(prompt="{{.Data.missing}}")
    [run] = hooks.send(trigger, wait="60").json()["result"]["runs"]
    assert run["status"] == "failed"
    assert 'no entry for key "missing"' in run["error"]


@pytest.mark.parametrize("wait", ["61", "-1", "x"])
def test_a_wait_has_bounds(hooks: Hooks, wait: str) -> None:
    refused(hooks.send(hooks.trigger(), wait=wait), 400, "wait must be between 0 and 60")


def test_pages_of_strangers_are_refused_and_repeated_headers_too(hooks: Hooks) -> None:
    trigger = hooks.trigger()
    headers = agh_headers(SECRET, BODY)
    refused(
        hooks.send(trigger, headers=headers | {"Origin": "https://evil.example"}), 403, "origin not allowed"
    )
    twice = [*headers.items(), ("X-AGH-Webhook-Timestamp", "1")]
    answer = hooks.http.httpx.post(hooks.path(trigger), content=BODY, headers=twice)
    refused(answer, 400, "given more than once")


def test_a_key_is_neither_needed_nor_looked_at(hooks: Hooks) -> None:
    headers = agh_headers(SECRET, BODY) | {"Authorization": "Bearer nonsense", "X-Api-Key": "nonsense"}
    assert hooks.send(hooks.trigger(), headers=headers).status_code == 200
