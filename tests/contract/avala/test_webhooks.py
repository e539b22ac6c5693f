"""Contract §10: webhooks and their deliveries, and the headers of §9."""

import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest
from tests.contract.avala.client import TIME, UID, Avala, bad_fields, cursor_of, refused
from tests.contract.client import Api
from tests.documented import assert_as_documented
from tests.receiver import Receiver, receiving
from tests.waiting import until

SHOWN = {"uid", "target_url", "events", "is_active", "created_at", "updated_at"}


def test_a_secret_is_shown_once_when_its_webhook_is_created(avala: Avala) -> None:
    """§10 POST: 201 with `secret`, own or generated, only here."""
    made = avala.make_webhook()
    own = avala.make_webhook(secret="my-own-secret")
    assert own["secret"] == "my-own-secret"
    assert len(made["secret"]) == 40
    assert made.keys() == SHOWN | {"secret"}
    assert UID.fullmatch(made["uid"])
    assert TIME.fullmatch(made["created_at"])
    without = {name: value for name, value in made.items() if name != "secret"}
    path = f"/webhooks/{made['uid']}/"
    assert avala.get(path) == without
    assert avala.get("/webhooks/")["results"][1] == without
    assert avala.patch(path, {}) == without


def test_two_webhooks_may_have_one_url(avala: Avala) -> None:
    """§10 Not idempotent."""
    assert avala.make_webhook()["uid"] != avala.make_webhook()["uid"]


def test_a_webhook_is_changed_in_part_or_as_a_whole(avala: Avala) -> None:
    """§10 GET/PATCH/PUT/DELETE."""
    path = f"/webhooks/{avala.make_webhook()['uid']}/"
    assert avala.patch(path, {"is_active": False})["is_active"] is False
    assert avala.patch(path, {"events": ["task.completed", "task.completed"]})["events"] == ["task.completed"]
    changed = avala.patch(path, {"target_url": "https://other.invalid/x"})
    assert (changed["target_url"], changed["is_active"]) == ("https://other.invalid/x", False)
    assert bad_fields(avala.call("PUT", path, {})).keys() == {"target_url", "events"}
    whole = {"target_url": "https://whole.invalid/", "events": ["export.failed"]}
    replaced = avala.call("PUT", path, whole).json()
    assert {name: replaced[name] for name in (*whole, "is_active")} == whole | {"is_active": True}
    avala.delete(path)
    for method in ("GET", "DELETE", "PATCH"):
        refused(avala.call(method, path), 404, "Not found.")


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://x.example/", "http://x.example/", "https://127.0.0.1/", "", "//x"]
)
def test_where_nothing_may_be_sent_is_refused(avala: Avala, url: str) -> None:
    """§10 Events: a target that is no https URL is an error."""
    body = {"target_url": url, "events": ["task.completed"]}
    [message] = bad_fields(avala.call("POST", "/webhooks/", body))["target_url"]
    assert message == "target_url must use HTTPS." or url.startswith("https:")


def test_empty_events_are_refused_and_all_nine_taken(avala: Avala) -> None:
    """§10 Events."""
    body = {"target_url": "https://x.invalid/", "events": []}
    assert bad_fields(avala.call("POST", "/webhooks/", body)).keys() == {"events"}
    nine = [
        *("dataset.created", "dataset.updated", "dataset.deleted", "export.completed", "export.failed"),
        *("task.completed", "result.submitted", "result.accepted", "result.rejected"),
    ]
    more = ["agent.action", "ava.job.failed", "ava.schedule.*", "ava.*", "custom.*", "custom.a-b.c_d"]
    assert avala.make_webhook(events=[*nine, *more])["events"] == [*nine, *more]
    for name in (
        "*",
        "ava.agent.action",
        "job.failed",
        "custom",
        "custom.",
        "custom.A",
        "custom.a\n",
        "x" * 101,
    ):
        body["events"] = [name]
        assert bad_fields(avala.call("POST", "/webhooks/", body))["events"][0].startswith("Invalid events: ")


def test_webhooks_of_one_api_are_not_shown_in_another(avala: Avala, api: Api) -> None:
    theirs = api.having(tenant=avala.tenant)
    in_ava, here = theirs.make_webhook(), avala.make_webhook()
    assert [one["url"] for one in theirs.get("/v1/webhooks").json()["data"]] == [in_ava["url"]]
    assert [one["uid"] for one in avala.get("/webhooks/")["results"]] == [here["uid"]]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_a_test_says_whether_it_arrived_and_leaves_a_delivery(dev: Avala, receiver: Receiver) -> None:
    """§10 test: a JSON object with `success` and `message`; §9 headers; §10 deliveries."""
    webhook = dev.make_webhook(target_url=f"{receiver.url}/{dev.tenant}", secret="s3cret")
    tested = dev.post(f"/webhooks/{webhook['uid']}/test/")
    assert tested["success"] is True
    [sent] = receiver.wait_for(1, f"/{dev.tenant}")
    assert_as_documented("avala", "webhook.test", sent)
    assert sent.one("X-Avala-Webhook-Event") == "webhook.test"
    assert sent.one("X-Avala-Webhook-Signature") == hmac.new(b"s3cret", sent.body, hashlib.sha256).hexdigest()
    [delivery] = dev.get("/webhook-deliveries/")["results"]
    assert dev.get(f"/webhook-deliveries/{delivery['uid']}/") == delivery
    assert UID.fullmatch(sent.one("X-Avala-Webhook-Delivery"))
    assert sent.one("X-Avala-Webhook-Delivery") == delivery["uid"]
    assert delivery["payload"] == json.loads(sent.body)
    expected = {"subscription": webhook["uid"], "event_type": "webhook.test", "status": "delivered"}
    expected |= {"response_status": 204, "attempts": 1, "next_retry_at": None, "response_body": None}
    assert {name: delivery[name] for name in expected} == expected
    receiver.answer = lambda sent: 500 if sent.path == f"/{dev.tenant}" else 204
    tested = dev.post(f"/webhooks/{webhook['uid']}/test/")
    assert (tested["success"], tested["message"]) == (False, "The endpoint answered 500.")
    failed, first = dev.get("/webhook-deliveries/")["results"]
    assert (failed["status"], failed["response_status"]) == ("failed", 500)
    assert first == delivery


def test_what_happens_on_this_server_is_told(dev: Avala, receiver: Receiver) -> None:
    """§0: our own bus raises `ava.*` events; the payload itself is the body."""
    receiver.answer = lambda _: 204
    dev.make_webhook(target_url=f"{receiver.url}/{dev.tenant}", events=["ava.worker.*"])
    worker = Api(dev.http, key=dev.key, tenant=dev.tenant).make_worker()
    [sent] = receiver.wait_for(1, f"/{dev.tenant}")
    assert_as_documented("avala", "ava.worker.created", sent)
    assert sent.one("X-Avala-Webhook-Event") == "ava.worker.created"
    told = json.loads(sent.body)
    assert (told["event"], told["id"]) == ("ava.worker.created", worker["id"])


def test_a_webhook_that_is_gone_is_not_active_until_somebody_says_so(dev: Avala, receiver: Receiver) -> None:
    receiver.answer = lambda sent: 410 if sent.path == f"/{dev.tenant}" else 204
    webhook = dev.make_webhook(target_url=f"{receiver.url}/{dev.tenant}")
    path = f"/webhooks/{webhook['uid']}/"
    dev.publish(n=1)
    [sent] = receiver.wait_for(1, f"/{dev.tenant}")
    assert json.loads(sent.body) == {"n": 1}
    until(lambda: dev.get(path)["is_active"], lambda active: not active)
    [delivery] = dev.get("/webhook-deliveries/")["results"]
    assert (delivery["status"], delivery["response_status"], delivery["payload"]) == ("failed", 410, {"n": 1})
    assert dev.patch(path, {"is_active": True})["is_active"] is True


def test_deliveries_of_all_webhooks_are_one_list_of_the_newest_first(dev: Avala) -> None:
    hooks = [dev.make_webhook(target_url="http://127.0.0.1:9/")["uid"] for _ in range(2)]
    for uid in (*hooks, *hooks):
        assert dev.post(f"/webhooks/{uid}/test/")["success"] is False
    page = dev.get("/webhook-deliveries/", limit="3")
    rest = dev.get("/webhook-deliveries/", **cursor_of(page["next"]))
    seen = [one["subscription"] for one in page["results"] + rest["results"]]
    assert seen == [*hooks[::-1], *hooks[::-1]]
    assert dev.get("/webhook-deliveries/", **cursor_of(rest["previous"]))["results"] == page["results"]
