"""Webhooks and events: what the API promises, with a real receiver behind TLS."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.contract.client import TIME, WEBHOOKS, Api, Json, RawClient, data_of, error_of, fields_of
from tests.contract.conftest import PLATFORM_KEY, Server, running_server
from tests.documented import assert_as_documented
from tests.receiver import Received, Receiver, make_certificate, receiving, server_tls
from tests.waiting import until

KEYS = {
    "id",
    "url",
    "events",
    "status",
    "created_at",
    "tenant_id",
    "status_reason",
    "created_by",
    "updated_at",
}
DELIVERY_KEYS = {
    *("id", "webhook_id", "event_id", "event", "status", "attempt_count", "attempts", "created_at"),
    *("completed_at", "next_attempt_at"),
}
URL = "https://hooks.example.com/x"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def trusting_server(certificate: Path) -> Iterator[Server]:
    """A server that may send to this host, and trusts the receivers' certificate."""
    with running_server(RUNWRIGHT_WEBHOOK_TRUSTED="127.0.0.1", SSL_CERT_FILE=str(certificate)) as server:
        yield server


@pytest.fixture(scope="module")
def trusting(trusting_server: Server) -> Iterator[RawClient]:
    with RawClient(trusting_server.url) as client:
        yield client


@pytest.fixture
def caller(trusting: RawClient) -> Api:
    return Api(trusting, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")


@pytest.fixture
def receiver(certificate: Path) -> Iterator[Receiver]:
    with receiving(server_tls(certificate)) as one:
        yield one


def shown(webhook: Json) -> Json:
    """A webhook as it is shown after its creation."""
    return {name: value for name, value in webhook.items() if name != "secret"}


def bare(response: httpx.Response, status: int = 200) -> Json:
    assert response.status_code == status, response.text
    return response.json()


def deliveries(api: Api, webhook: Json, **params: str) -> list[Json]:
    page = bare(api.get(f"{WEBHOOKS}/{webhook['id']}/deliveries", **params))
    assert page.keys() == {"data", "pagination"}
    return list(page["data"])


def settled(api: Api, webhook: Json, attempts: int = 1) -> Json:
    """The only delivery of a webhook, once it has had that many attempts."""
    [delivery] = until(
        lambda: deliveries(api, webhook), lambda found: found and found[0]["attempt_count"] >= attempts
    )
    return delivery


def verify(request: Received, secret: str) -> Json:
    """Check both signatures as a receiver would, and return the body."""
    plain = f"sha256={hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()}"
    assert plain in request.all("X-HLD-Signature-256")
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    signed = f"{request.one('webhook-id')}.{request.one('webhook-timestamp')}.".encode() + request.body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert f"v1,{signature}" in request.one("webhook-signature").split(" ")
    assert abs(int(request.one("webhook-timestamp")) - time.time()) < 60
    assert request.one("content-type") == "application/json"
    body = json.loads(request.body)
    assert_as_documented("ava", body["type"], request)
    assert body.keys() == {"id", "type", "created_at", "tenant_id", "data"}
    assert body["id"] == request.one("webhook-id")
    assert TIME.fullmatch(body["created_at"])
    return body


# --- defining them -------------------------------------------------------------------------


def test_a_webhook_is_answered_bare_as_published(api: Api) -> None:
    webhook = bare(api.post(WEBHOOKS, {"url": URL, "events": ["ava.job.completed"], "secret": "s3cret"}), 201)
    assert list(webhook)[:5] == ["id", "url", "events", "status", "created_at"]
    assert webhook.keys() == KEYS
    assert webhook["id"].startswith("wh_")
    assert (webhook["url"], webhook["events"], webhook["status"]) == (URL, ["ava.job.completed"], "active")
    assert TIME.fullmatch(webhook["created_at"])
    assert bare(api.get(f"{WEBHOOKS}/{webhook['id']}")) == webhook


def test_a_secret_that_was_made_is_shown_once_and_one_that_was_given_never(api: Api) -> None:
    webhook = bare(api.post(WEBHOOKS, {"url": URL, "events": ["*"]}), 201)
    assert webhook.keys() == KEYS | {"secret"}
    assert len(base64.b64decode(webhook["secret"].removeprefix("whsec_"))) == 32
    assert bare(api.get(f"{WEBHOOKS}/{webhook['id']}")) == shown(webhook)
    given = bare(api.post(WEBHOOKS, {"url": URL, "events": ["*"], "secret": "my-own-secret"}), 201)
    assert "my-own-secret" not in json.dumps([given, api.get(WEBHOOKS).json()])


def test_webhooks_are_listed_newest_first(api: Api) -> None:
    made = [shown(api.make_webhook()) for _ in range(3)]
    page = bare(api.get(WEBHOOKS, per_page="2"))
    assert page["data"] == [made[2], made[1]]
    assert page["pagination"]["total"] == 3
    rest = bare(api.get(WEBHOOKS, cursor=page["pagination"]["next_cursor"]))
    assert rest["data"] == [made[0]]


@pytest.mark.parametrize(
    "events",
    [
        ["ava.job.queued", "ava.job.started", "ava.job.completed", "ava.job.failed", "ava.job.cancelled"],
        ["ava.worker.created", "ava.worker.updated", "ava.worker.deprecated"],
        ["ava.schedule.fired", "ava.schedule.skipped"],
        ["ava.job.*", "ava.worker.*", "ava.schedule.*"],
        ["*"],
    ],
)
def test_every_event_and_wildcard_can_be_subscribed_to(api: Api, events: list[str]) -> None:
    assert api.make_webhook(events=events)["events"] == events


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({"url": None}, "url"),
        ({"url": ""}, "url"),
        ({"url": "hooks.example.com"}, "url"),
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "ftp://hooks.example.com/"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://me:pw@hooks.example.com/"}, "url"),
        ({"url": "https://hooks.example.com/#x"}, "url"),
        ({"url": "https://hooks.example.com/a b"}, "url"),
        ({"url": "https://hooks.example.com\\@evil.example/"}, "url"),
        ({"url": "https://hooks.example.com:0/"}, "url"),
        ({"url": "https://hooks.example.com:99999/"}, "url"),
        ({"url": "https://" + "a" * 2048 + ".example/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://2130706433/"}, "url"),
        ({"url": "https://0177.0.0.1/"}, "url"),
        ({"url": "https://0x7f.1/"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": "https://[64:ff9b::a00:1]/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://printer.local/"}, "url"),
        ({"events": []}, "events"),
        ({"events": None}, "events"),
        ({"events": ["ava.job.exploded"]}, "events.0"),
        ({"events": ["ava.job.failed", "job.failed"]}, "events.1"),
        ({"events": ["ava.job.failed", "ava.job.failed"]}, "events"),
        ({"events": ["ava.*.failed"]}, "events.0"),
        ({"secret": ""}, "secret"),
        ({"secret": "x" * 257}, "secret"),
        ({"secret": "a b"}, "secret"),
        ({"secret": "a\nb"}, "secret"),
        ({"status": "active"}, "status"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_field_is_refused_by_name(api: Api, fields: Json, bad: str) -> None:
    assert fields_of(api.post(WEBHOOKS, {"url": URL, "events": ["*"]} | fields)).keys() == {bad}


def test_all_bad_fields_are_reported_at_once(api: Api) -> None:
    body = {"url": "http://x/", "events": ["nope"], "secret": 5, "id": "wh_1"}
    assert fields_of(api.post(WEBHOOKS, body)).keys() == {"url", "events.0", "secret", "id"}


def test_a_webhook_is_changed_paused_and_made_active(api: Api) -> None:
    webhook = shown(api.make_webhook())
    path = f"{WEBHOOKS}/{webhook['id']}"
    changed = bare(api.patch(path, {"url": URL, "events": ["ava.job.failed"], "status": "paused"}))
    assert changed == webhook | {
        "url": URL,
        "events": ["ava.job.failed"],
        "status": "paused",
        "updated_at": changed["updated_at"],
    }
    assert bare(api.patch(path, {"status": "active"}))["status"] == "active"
    assert fields_of(api.patch(path, {"status": "degraded"})).keys() == {"status"}
    assert fields_of(api.patch(path, {"url": "http://hooks.example.com/"})).keys() == {"url"}


def test_a_deleted_webhook_is_gone(api: Api) -> None:
    path = f"{WEBHOOKS}/{api.make_webhook()['id']}"
    assert api.delete(path).status_code == 204
    error_of(api.get(path), 404, "resource_not_found")
    error_of(api.delete(path), 404, "resource_not_found")
    error_of(api.get(f"{path}/deliveries"), 404, "resource_not_found")


def test_a_tenant_has_a_bounded_number_of_webhooks(api: Api) -> None:
    for _ in range(50):
        api.make_webhook()
    message = error_of(api.post(WEBHOOKS, {"url": URL, "events": ["*"]}), 409, "resource_conflict")["message"]
    assert "50" in message
    assert api.having(tenant=api.tenant + "x").make_webhook()


def recorded(job: Json) -> Json:
    """A job as events have it: without what may change after its end."""
    return {name: value for name, value in job.items() if name not in {"worker_name", "retried_as"}}


# --- what is sent --------------------------------------------------------------------------


def test_a_completed_job_is_told_with_its_whole_record_and_both_signatures(
    caller: Api, receiver: Receiver
) -> None:
    webhook = caller.make_webhook(
        url=f"{receiver.url}/hook?a=1", events=["ava.job.completed"], secret="my own secret".replace(" ", "-")
    )
    worker = caller.make_worker()
    job = caller.run_job(worker["id"], input={"n": 1})
    [request] = receiver.wait_for(1)
    body = verify(request, "my-own-secret")
    assert request.path == "/hook?a=1"
    assert body["type"] == "ava.job.completed"
    assert body["tenant_id"] == caller.tenant
    assert body["data"] == recorded(data_of(caller.get(f"/jobs/{job['id']}")))
    assert body["data"]["output"] == {"n": 1}
    delivery = settled(caller, webhook)
    assert delivery.keys() == DELIVERY_KEYS
    assert (delivery["status"], delivery["event"], delivery["event_id"]) == (
        "delivered",
        "ava.job.completed",
        body["id"],
    )
    [attempt] = delivery["attempts"]
    assert (attempt["number"], attempt["response_status"], attempt["error"]) == (1, 204, None)


def test_every_state_of_a_job_is_told_to_who_wants_it(caller: Api, receiver: Receiver) -> None:
    caller.make_webhook(url=receiver.url, events=["ava.job.*"], secret="s")
    worker = caller.make_worker(source_code="def handler(input, env):\n    raise ValueError('no')\n")
    failed = caller.run_job(worker["id"])
    waiting = caller.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
    data_of(caller.post(f"/jobs/{waiting['id']}/cancel"))
    told = [verify(request, "s") for request in receiver.wait_for(5)]
    by_job = {
        job: {t["type"]: t["data"] for t in told if t["data"]["id"] == job}
        for job in (failed["id"], waiting["id"])
    }
    assert by_job[failed["id"]].keys() == {"ava.job.queued", "ava.job.started", "ava.job.failed"}
    queued, started = (by_job[failed["id"]][f"ava.job.{state}"] for state in ("queued", "started"))
    assert (queued["status"], queued["attempt"], queued["started_at"]) == ("queued", 1, None)
    assert (started["status"], started["completed_at"]) == ("running", None)
    assert TIME.fullmatch(started["started_at"])
    assert by_job[failed["id"]]["ava.job.failed"]["error"]["code"] == "handler_error"
    assert by_job[waiting["id"]].keys() == {"ava.job.queued", "ava.job.cancelled"}
    assert by_job[waiting["id"]]["ava.job.queued"] == recorded(waiting)


def test_a_worker_is_told_as_it_was_when_it_happened(caller: Api, receiver: Receiver) -> None:
    caller.make_webhook(url=receiver.url, events=["ava.worker.*"], secret="s")
    worker = caller.make_worker()
    updated = data_of(
        caller.patch(f"/workers/{worker['id']}", {"source_code": "def handler(i, e): return 2\n"})
    )
    deprecated = data_of(caller.delete(f"/workers/{worker['id']}"))
    told = {body["type"]: body["data"] for body in (verify(r, "s") for r in receiver.wait_for(3))}
    assert told == {
        "ava.worker.created": worker,
        "ava.worker.updated": updated,
        "ava.worker.deprecated": deprecated,
    }


def test_a_skipped_firing_is_told_with_its_schedule_and_its_tick(
    caller: Api, receiver: Receiver, trusting_server: Server
) -> None:
    caller.make_webhook(url=receiver.url, events=["ava.schedule.*"], secret="s")
    worker = caller.make_worker()
    schedule = caller.make_schedule(worker["id"])
    data_of(caller.patch(f"/workers/{worker['id']}", {"status": "paused"}))
    trusting_server.make_due(schedule["id"])
    [request] = receiver.wait_for(1)
    body = verify(request, "s")
    assert body["type"] == "ava.schedule.skipped"
    assert body["data"].keys() == schedule.keys() | {"tick"}
    assert body["data"]["id"] == schedule["id"]
    [tick] = caller.get(f"/schedules/{schedule['id']}/ticks").json()["data"]
    assert body["data"]["tick"] == tick
    assert tick["reason"] == "worker_paused"


def test_the_end_of_an_automations_run_is_told_as_documented(caller: Api, receiver: Receiver) -> None:
    caller.make_webhook(url=receiver.url, events=["ava.automation.*", "custom.*"], secret="s")
    answer = {"events": [{"event": "custom.done", "payload": {"n": 1}}]}
    caller.make_worker(name="agent", source_code=f"def handler(i, e): return {answer}\n")
    definition = {
        "scope": "global",
        "name": "nightly",
        "agent_name": "agent",
        "prompt": "p",
        "schedule": {"mode": "every", "interval": "24h"},
    }
    headers = {"authorization": f"Bearer {PLATFORM_KEY}", "x-tenant-id": caller.tenant}
    made = caller.http.post("/api/automation/jobs", json=definition, headers=headers).json()["job"]
    started = caller.http.post(f"/api/automation/jobs/{made['id']}/trigger?wait=60", headers=headers)
    assert started.status_code == 200, started.text
    told = {body["type"]: body["data"] for body in (verify(r, "s") for r in receiver.wait_for(2))}
    assert told["custom.done"] == {"n": 1}
    ended = told["ava.automation.run.completed"]
    assert (ended["job_id"], ended["answer"]) == (made["id"], answer)


def test_what_nobody_subscribed_to_is_not_told_nor_what_is_another_tenants(
    caller: Api, receiver: Receiver
) -> None:
    caller.make_webhook(url=receiver.url, events=["ava.job.completed"], secret="s")
    stranger = caller.having(tenant=caller.tenant + "x")
    stranger.run_job(stranger.make_worker()["id"])
    job = caller.run_job(caller.make_worker()["id"])
    [request] = receiver.wait_for(1)
    assert verify(request, "s")["data"]["id"] == job["id"]
    assert len(receiver.received) == 1


def test_a_paused_webhook_is_sent_nothing(caller: Api, receiver: Receiver) -> None:
    webhook = caller.make_webhook(url=receiver.url, events=["ava.job.completed"])
    bare(caller.patch(f"{WEBHOOKS}/{webhook['id']}", {"status": "paused"}))
    worker = caller.make_worker()
    caller.run_job(worker["id"])
    bare(caller.patch(f"{WEBHOOKS}/{webhook['id']}", {"status": "active"}))
    second = caller.run_job(worker["id"])
    [request] = receiver.wait_for(1)
    assert json.loads(request.body)["data"]["id"] == second["id"]


def test_a_refused_delivery_is_tried_again_and_shows_its_attempts(caller: Api, receiver: Receiver) -> None:
    receiver.answer = lambda _: 500 if len(receiver.received) == 1 else 200
    webhook = caller.make_webhook(url=receiver.url, events=["ava.job.completed"], secret="s")
    caller.run_job(caller.make_worker()["id"])
    first = settled(caller, webhook)
    assert (first["status"], first["attempts"][0]["response_status"]) == ("pending", 500)
    assert first["next_attempt_at"] is not None
    one, two = receiver.wait_for(2)
    assert 4.9 <= two.at - one.at <= 12
    assert (verify(one, "s"), one.body) == (verify(two, "s"), two.body)
    delivery = settled(caller, webhook, attempts=2)
    assert (delivery["status"], [a["response_status"] for a in delivery["attempts"]]) == (
        "delivered",
        [500, 200],
    )
    assert deliveries(caller, webhook, **{"filter[status]": "delivered"}) == [delivery]
    assert deliveries(caller, webhook, **{"filter[status]": "abandoned"}) == []


def test_410_stops_at_once_until_a_test_succeeds(caller: Api, receiver: Receiver) -> None:
    receiver.status = 410
    webhook = caller.make_webhook(url=receiver.url, events=["ava.job.completed"])
    worker = caller.make_worker()
    caller.run_job(worker["id"])
    delivery = settled(caller, webhook)
    assert (delivery["status"], delivery["attempt_count"], delivery["next_attempt_at"]) == (
        "abandoned",
        1,
        None,
    )
    path = f"{WEBHOOKS}/{webhook['id']}"
    after = bare(caller.get(path))
    assert after["status"] == "degraded"
    assert "410" in after["status_reason"]
    error_of(caller.post(f"{path}/deliveries/{delivery['id']}/redeliver"), 409, "resource_conflict")
    failed = bare(caller.post(f"{path}/test"))
    assert (failed["success"], failed["response_status"], failed["webhook"]["status"]) == (
        False,
        410,
        "degraded",
    )
    receiver.status = 200
    passed = bare(caller.post(f"{path}/test"))
    assert (passed["success"], passed["webhook"]["status"]) == (True, "active")
    assert bare(caller.get(path))["status_reason"] is None
    job = caller.run_job(worker["id"])
    assert json.loads(receiver.wait_for(4)[3].body)["data"]["id"] == job["id"]


def test_a_test_is_signed_sent_at_once_and_kept_among_the_deliveries(caller: Api, receiver: Receiver) -> None:
    webhook = caller.make_webhook(url=receiver.url, secret="s", events=["ava.job.failed"])
    tested = bare(caller.post(f"{WEBHOOKS}/{webhook['id']}/test"))
    body = verify(receiver.received[0], "s")
    assert (body["type"], body["data"]["webhook_id"]) == ("ava.webhook.test", webhook["id"])
    assert tested.keys() == {"success", "event_id", "response_status", "duration_ms", "error", "webhook"}
    assert (tested["success"], tested["event_id"], tested["error"]) == (True, body["id"], None)
    [delivery] = deliveries(caller, webhook)
    assert (delivery["event"], delivery["status"]) == ("ava.webhook.test", "delivered")


def test_a_test_that_fails_says_why_and_degrades_nothing(caller: Api) -> None:
    webhook = caller.make_webhook(url="https://127.0.0.1:9/")
    tested = bare(caller.post(f"{WEBHOOKS}/{webhook['id']}/test"))
    assert (tested["success"], tested["response_status"]) == (False, None)
    assert tested["error"] == "The connection was refused."
    assert tested["webhook"]["status"] == "active"


def test_a_delivery_can_be_sent_again(caller: Api, receiver: Receiver) -> None:
    webhook = caller.make_webhook(url=receiver.url, secret="s", events=["ava.job.completed"])
    caller.run_job(caller.make_worker()["id"])
    delivery = settled(caller, webhook)
    again = bare(caller.post(f"{WEBHOOKS}/{webhook['id']}/deliveries/{delivery['id']}/redeliver"))
    assert (again["id"], again["status"]) == (delivery["id"], "pending")
    one, two = receiver.wait_for(2)
    assert verify(one, "s") == verify(two, "s")
    assert settled(caller, webhook, attempts=2)["status"] == "delivered"
    other = caller.make_webhook(url=receiver.url)
    path = f"{WEBHOOKS}/{other['id']}/deliveries/{delivery['id']}/redeliver"
    error_of(caller.post(path), 404, "resource_not_found")


def test_a_rotated_secret_signs_along_with_the_old_one_which_ends(caller: Api, receiver: Receiver) -> None:
    webhook = caller.make_webhook(url=receiver.url, secret="old")
    path = f"{WEBHOOKS}/{webhook['id']}"
    rotated = bare(caller.post(f"{path}/rotate-secret", {}))
    assert rotated.keys() == {"webhook", "secret", "old_secret_valid_until"}
    bare(caller.post(f"{path}/test"))
    request = receiver.received[0]
    assert verify(request, "old") == verify(request, rotated["secret"])
    newest = hmac.new(rotated["secret"].encode(), request.body, hashlib.sha256).hexdigest()
    assert request.all("X-HLD-Signature-256")[0] == f"sha256={newest}"
    third = bare(caller.post(f"{path}/rotate-secret", {"secret": "third", "overlap_seconds": 0}))
    assert "secret" not in third
    bare(caller.post(f"{path}/test"))
    request = receiver.received[1]
    verify(request, "third")
    assert len(request.all("X-HLD-Signature-256")) == 1
    assert len(request.one("webhook-signature").split(" ")) == 1
    assert fields_of(caller.post(f"{path}/rotate-secret", {"overlap_seconds": -1})).keys() == {
        "overlap_seconds"
    }


def test_a_deleted_webhook_is_sent_nothing(caller: Api, receiver: Receiver) -> None:
    doomed = caller.make_webhook(url=f"{receiver.url}/doomed", events=["ava.job.completed"])
    caller.make_webhook(url=f"{receiver.url}/other", events=["ava.job.completed"])
    assert caller.delete(f"{WEBHOOKS}/{doomed['id']}").status_code == 204
    caller.run_job(caller.make_worker()["id"])
    receiver.wait_for(1, "/other")
    assert [request.path for request in receiver.received] == ["/other"]
