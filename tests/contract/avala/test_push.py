"""Contract §9: agents that are called, and issue 5's workers that answer in an agent's place."""

import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest
from tests.contract.avala.client import Avala
from tests.contract.client import Api, Json
from tests.documented import assert_as_documented
from tests.receiver import Received, Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_a_callback_is_signed_and_its_answer_is_the_decision(dev: Avala, receiver: Receiver) -> None:
    """§9 body = event_payload plus `execution_uid`, the three headers; a valid `action` decides."""
    receiver.status = 200
    receiver.say = lambda _: b'{"action": "reject", "reason": "blurry", "metadata": {"score": 0.1}}'
    agent = dev.make_agent(callback_url=f"{receiver.url}/hook")
    dev.publish(task_uid="t-1", result_uid="r-1")
    [told] = receiver.wait_for(1)
    assert_as_documented("avala", "agent.callback", told)
    [execution] = dev.await_executions(agent, 1, status="completed")
    assert json.loads(told.body) == {**execution["event_payload"], "execution_uid": execution["uid"]}
    signature = hmac.new(agent["secret"].encode(), told.body, hashlib.sha256).hexdigest()
    assert told.one("X-Avala-Webhook-Signature") == signature
    assert told.one("X-Avala-Webhook-Event") == "result.submitted"
    assert told.one("X-Avala-Webhook-Delivery") == execution["uid"]
    assert told.one("Content-Type") == "application/json"
    assert not told.all("X-Avala-Api-Key")
    assert (execution["action"], execution["error_message"]) == ("reject", None)
    expected = {"action": "reject", "reason": "blurry", "metadata": {"score": 0.1}}
    assert execution["response_payload"] == expected


@pytest.mark.parametrize("said", [b"", b"ok", b"{}", b'{"action": "maybe"}', b'["approve"]'])
def test_an_answer_without_a_decision_acknowledges(dev: Avala, receiver: Receiver, said: bytes) -> None:
    """§9: status running with started_at, then agent-actions decides."""
    receiver.status = 202
    receiver.say = lambda _: said
    agent = dev.make_agent(callback_url=f"{receiver.url}/hook")
    uid = dev.post(f"/agents/{agent['uid']}/test/")["execution_uid"]
    receiver.wait_for(1)
    [execution] = dev.await_executions(agent, 1, status="running")
    assert (execution["uid"], execution["action"]) == (uid, None)
    assert execution["started_at"] is not None
    assert dev.executions(agent, claim="60") == []
    assert dev.act(execution, "approve").status_code == 200
    assert dev.get(f"/agents/{agent['uid']}/")["execution_stats"] == {"completed": 1}


def test_an_agent_that_is_gone_is_deactivated(dev: Avala, receiver: Receiver) -> None:
    """§0: 410 deactivates the agent; the execution has failed with the reason."""
    receiver.status = 410
    agent = dev.make_agent(callback_url=f"{receiver.url}/hook")
    dev.publish()
    [execution] = dev.await_executions(agent, 1, status="failed")
    assert execution["error_message"] == "The callback answered 410."
    shown = dev.get(f"/agents/{agent['uid']}/")
    assert (shown["is_active"], shown["execution_stats"]) == (False, {"failed": 1})
    assert shown["inactive_reason"]
    assert dev.act(execution, "approve").status_code == 409
    assert dev.publish()["executions"] == 0
    assert dev.patch(f"/agents/{agent['uid']}/", {"is_active": True})["inactive_reason"] is None


def test_a_decision_leads_on_to_webhooks(dev: Avala, receiver: Receiver) -> None:
    """Issue 5: an `agent.action` event per decision, to which webhooks may subscribe."""
    dev.make_webhook(target_url=f"{receiver.url}/{dev.tenant}", events=["agent.action"])
    Api(dev.http, key=dev.key, tenant=dev.tenant).make_webhook(
        url=f"{receiver.url}/ava", events=["*", "custom.*"]
    )
    agent = dev.make_agent()
    uid = dev.post(f"/agents/{agent['uid']}/test/")["execution_uid"]
    dev.act({"uid": uid}, "flag", reason="look at this")
    [in_ava] = receiver.wait_for(1, "/ava")
    assert json.loads(in_ava.body)["type"] == "ava.agent.action"
    assert_as_documented("ava", "ava.agent.action", in_ava)
    dev.having(role="tenant-admin").post(f"/executions/{uid}/decision/", {"action": "reject"})
    told = receiver.wait_for(2, f"/{dev.tenant}")
    for one in told:
        assert_as_documented("avala", "agent.action", one)
    assert {one.one("X-Avala-Webhook-Event") for one in told} == {"agent.action"}
    said = sorted((json.loads(one.body) for one in told), key=lambda one: str(one["action"]))
    assert [one["action"] for one in said] == ["flag", "reject"]
    assert {one["execution"] for one in said} == {uid}
    assert {one["event_type"] for one in said} == {"agent.test"}
    assert said[0]["reason"] == "look at this"


DECIDER = """
def handler(input, env):
    if input.get("fail"):
        raise ValueError("cannot tell")
    return {"action": "flag", "reason": input["task_uid"] + input["event"], "metadata": {"got": sorted(input)}}
"""


def test_a_worker_answers_in_an_agents_place(avala: Avala, api: Api) -> None:
    """Issue 5: the event runs the worker as a job, and what it returns is the decision."""
    theirs = api.having(tenant=avala.tenant)
    worker = theirs.make_worker(source_code=DECIDER)
    agent = avala.make_agent(worker=worker["id"])
    avala.publish(task_uid="t-1")
    [decided] = avala.await_executions(agent, 1, status="completed")
    assert decided["action"] == "flag"
    expected: Json = {
        "reason": "t-1result.submitted",
        "metadata": {"got": ["event", "execution_uid", "task_uid"]},
    }
    assert decided["response_payload"] == {"action": "flag", **expected}
    avala.publish(task_uid="t-2", fail=True)
    [failed] = avala.await_executions(agent, 1, status="failed")
    assert "cannot tell" in failed["error_message"]
    assert len(theirs.get("/jobs").json()["data"]) == 2


def test_a_callback_is_not_sent_where_nothing_may_be_sent(avala: Avala, receiver: Receiver) -> None:
    """Without development mode neither http nor loopback is reached, whatever name leads there."""
    agent = avala.make_agent(callback_url="https://localhost.invalid/")
    avala.publish()
    [execution] = avala.await_executions(agent, 1)
    assert execution["status"] in {"pending", "running"}
    assert receiver.received == list[Received]()
