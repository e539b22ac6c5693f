"""`/v1/ava/stream`: what happens to a tenant, as it happens, resumable, and for nobody else."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
from tests.contract.client import Api, Json, RawClient, data_of, error_of, fields_of
from tests.contract.conftest import Server, running_server

from runwright import __version__

STREAM = "/v1/ava/stream"
PRINTS = (
    "import time\ndef handler(input, env):\n    print('a line')\n    time.sleep(input.get('seconds', 0))\n"
)
FAILS = "def handler(input, env):\n    raise ValueError('no')\n"


class Sent(NamedTuple):
    """One server-sent event."""

    id: str
    name: str
    data: dict[str, Any]


def sent(response: httpx.Response) -> Iterator[Sent]:
    """The server-sent events of a response, as they come."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield Sent(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
            fields = {}


def stream(api: Api, query: str = "", **headers: str) -> AbstractContextManager[httpx.Response]:
    return api.http.httpx.stream("GET", STREAM + query, headers=api.headers | headers, timeout=60)


def opened(events: Iterator[Sent]) -> Sent:
    first = next(events)
    assert first.name == "open", first
    return first


def until(events: Iterator[Sent], *types: str, name: str = "event") -> list[Sent]:
    """The events up to the first of each type."""
    missing, seen = set(types), []
    for one in events:
        seen.append(one)
        if one.name == name:
            missing.discard(one.data.get("type", ""))
        if not missing:
            return seen
    raise AssertionError(f"the stream ended before {missing}: {seen}")


def types(events: list[Sent]) -> list[str]:
    return [one.data["type"] for one in events if one.name == "event"]


def publish(api: Api, name: str, payload: Json = None) -> Json:
    response = api.post("/events", {"type": f"custom.{name}", "payload": payload or {}})
    assert response.status_code == 201, response.text
    return data_of(response, 201)


def test_what_happens_to_a_job_comes_as_it_happens(api: Api) -> None:
    worker = api.make_worker(source_code=PRINTS, timeout_seconds=600)
    with stream(api) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        events = sent(response)
        start = opened(events)
        assert start.data == {"tenant_id": api.tenant, "server_version": __version__, "resumed": False}
        assert start.id
        job = api.make_job(worker["id"], input={"seconds": 1000})
        seen = until(events, "ava.job.queued", "ava.job.started")
        if "log" not in {one.name for one in seen}:
            seen += until(events, "ava.job.log", name="log")
        api.call("POST", f"/jobs/{job['id']}/cancel")
        seen += until(events, "ava.job.cancelled")
    of_job = [one for one in seen if one.name == "event"]
    assert types(of_job) == ["ava.job.queued", "ava.job.started", "ava.job.cancelled"]
    assert all(one.data["subject_id"] == job["id"] for one in of_job)
    assert all(one.data["worker_id"] == worker["id"] for one in of_job)
    assert of_job[1].data["data"] == {"attempt": 1, "worker_version": 1}
    assert len({one.id for one in of_job}) == 3
    assert [one.data for one in seen if one.name == "log"] == [
        {"type": "ava.job.log", "subject_id": job["id"], "worker_id": worker["id"]}
    ]
    [entry] = api.get("/events", **{"filter[type]": "job.cancelled"}).json()["data"]
    assert entry == of_job[2].data


def test_schedules_deliveries_attempts_and_published_events_come_too(api: Api, server: Server) -> None:
    worker = api.make_worker()
    failing = api.make_worker(source_code=FAILS, max_retries=1)
    schedule = api.make_schedule(worker["id"])
    webhook = api.make_webhook(events=["custom.*"])
    with stream(api) as response:
        events = sent(response)
        opened(events)
        published = publish(api, "note", {"a": 1})
        seen = until(events, "custom.note", "ava.delivery.created", "ava.delivery.failed")
        of_type = {one.data["type"]: one.data for one in seen if one.name == "event"}
        assert of_type["custom.note"] == {k: v for k, v in published.items() if k != "executions"}
        assert of_type["ava.delivery.failed"]["data"]["webhook_id"] == webhook["id"]
        assert of_type["ava.delivery.failed"]["subject_id"].startswith("whd_")
        server.make_due(schedule["id"])
        fired = until(events, "ava.schedule.fired")[-1].data
        assert fired["subject_id"] == schedule["id"]
        assert fired["data"]["job_id"].startswith("job_")
        job = api.make_job(failing["id"])
        failed = until(events, "ava.attempt.failed")[-1].data
        assert (failed["subject_id"], failed["worker_id"]) == (job["id"], failing["id"])
        assert failed["data"]["code"] == "handler_error"


def test_a_stream_that_was_cut_off_goes_on_where_it_was(api: Api) -> None:
    with stream(api) as response:
        events = sent(response)
        start = opened(events)
        publish(api, "a")
        publish(api, "b")
        first = until(events, "custom.a", "custom.b")
    assert types(first) == ["custom.a", "custom.b"]
    publish(api, "c")
    with stream(api, **{"Last-Event-ID": first[1].id}) as response:
        events = sent(response)
        assert opened(events).data["resumed"]
        assert types(until(events, "custom.c")) == ["custom.c"]
        publish(api, "d")
        assert types(until(events, "custom.d")) == ["custom.d"]
    with stream(api, **{"Last-Event-ID": start.id}) as response:
        events = sent(response)
        opened(events)
        assert types(until(events, "custom.d")) == [f"custom.{name}" for name in "abcd"]


def test_a_position_that_is_not_known_any_more_is_gone_and_the_stream_goes_on(api: Api) -> None:
    with stream(api, **{"Last-Event-ID": "1-1"}) as response:
        events = sent(response)
        assert not opened(events).id
        gone = next(events)
        assert gone.name == "gone"
        publish(api, "later")
        until(events, "custom.later")
    with stream(api, **{"Last-Event-ID": gone.id}) as response:
        assert types(until(sent(response), "custom.later")) == ["custom.later"]


def test_filters_narrow_the_stream(api: Api) -> None:
    worker, other = api.make_worker(), api.make_worker()
    for query, expected in (
        ("?filter[type]=custom.b,ava.worker.*", ["ava.worker.updated", "custom.b"]),
        ("?filter[type]=job.completed", ["ava.job.completed", "ava.job.completed"]),
        (f"?filter[worker_id]={worker['id']}&filter[type]=job.completed,worker.*", ["ava.worker.updated"]),
        (f"?filter[subject_id]={worker['id']},{other['id']}", ["ava.worker.updated"]),
    ):
        with stream(api, query) as response:
            events = sent(response)
            opened(events)
            publish(api, "a")
            data_of(api.patch(f"/workers/{worker['id']}", {"name": uuid4().hex}))
            publish(api, "b")
            for _ in range(2):
                api.run_job(other["id"])
            seen: list[str] = []
            while len(seen) < len(expected):
                one = next(events)
                if one.name == "event":
                    seen.append(one.data["type"])
            assert seen == expected


def test_tenants_do_not_see_each_other(api: Api) -> None:
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    with stream(api) as response, stream(stranger) as theirs:
        events, other_events = sent(response), sent(theirs)
        opened(events)
        start = opened(other_events)
        publish(api, "ours")
        publish(stranger, "theirs")
        assert types(until(other_events, "custom.theirs")) == ["custom.theirs"]
        assert types(until(events, "custom.ours")) == ["custom.ours"]
    with stream(stranger, **{"Last-Event-ID": start.id}) as response:
        publish(stranger, "last")
        seen = until(sent(response), "custom.last")
    assert types(seen) == ["custom.theirs", "custom.last"]


def test_a_stream_ends_when_its_key_is_revoked_or_its_tenant_suspended(api: Api) -> None:
    operator = api.having(role="platform-admin")
    key = data_of(api.post("/v1/keys", {"role": "tenant-viewer"}), 201)
    bearer = {"authorization": f"Bearer {key['key']}"}
    with api.http.httpx.stream("GET", STREAM, headers=bearer, timeout=60) as response:
        events = sent(response)
        opened(events)
        data_of(api.delete(f"/v1/keys/{key['id']}"))
        *_, last = events
    assert (last.name, last.data["reason"]) == ("end", "access_ended")
    with stream(api) as response:
        events = sent(response)
        opened(events)
        data_of(operator.post(f"/v1/tenants/{api.tenant}/suspend"))
        *_, last = events
    assert (last.name, last.data["reason"]) == ("end", "access_ended")


def test_a_stream_ends_with_the_text_of_its_key_and_one_of_the_new_text_goes_on(api: Api) -> None:
    """A text that has leaked is replaced with an overlap of 0, and must read nothing from then on."""
    key = data_of(api.post("/v1/keys", {"role": "tenant-viewer", "scopes": ["read"]}), 201)
    rotate = f"/v1/keys/{key['id']}/rotate"
    leaked = {"authorization": f"Bearer {key['key']}"}
    with api.http.httpx.stream("GET", STREAM, headers=leaked, timeout=60) as response:
        events = sent(response)
        opened(events)
        new = data_of(api.post(rotate, {"overlap_seconds": 3600}))["key"]
        with api.http.httpx.stream(
            "GET", STREAM, headers={"authorization": f"Bearer {new}"}, timeout=60
        ) as other:
            renewed = sent(other)
            opened(renewed)
            publish(api, "within")
            assert types(until(events, "custom.within")) == ["custom.within"]
            newest = data_of(api.post(rotate, {"overlap_seconds": 0}))["key"]
            *_, last = renewed
            assert (last.name, last.data["reason"]) == ("end", "access_ended")
        publish(api, "still")  # the overlap of the first text is not over
        assert types(until(events, "custom.still")) == ["custom.still"]
    error_of(api.http.get(STREAM, headers={"authorization": f"Bearer {new}"}), 401, "unauthorized")
    with api.http.httpx.stream(
        "GET", STREAM, headers={"authorization": f"Bearer {newest}"}, timeout=60
    ) as response:
        opened(sent(response))


def test_streams_of_one_tenant_are_limited_and_leave_others_room(api: Api) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    with RawClient(api.http.url, limits=limits) as client:
        crowd = Api(client, key=api.key, tenant=api.tenant)
        open_streams = [stream(crowd) for _ in range(64)]
        readers = [sent(one.__enter__()) for one in open_streams]
        for events in readers:
            opened(events)
        error_of(crowd.get(STREAM), 503, "integration_unavailable")
        with stream(crowd.having(tenant=f"ten_{uuid4().hex}")) as response:
            opened(sent(response))
        publish(api, "all")
        for events in readers:
            assert types(until(events, "custom.all")) == ["custom.all"]
        for one in open_streams:
            one.__exit__(None, None, None)


def test_a_server_that_stops_ends_its_streams(api: Api) -> None:
    with running_server() as server, RawClient(server.url) as client:
        caller = Api(client, key=api.key, tenant=api.tenant)
        with stream(caller) as response:
            events = sent(response)
            opened(events)
            os.kill(server.pid, signal.SIGTERM)
            *_, last = events
    assert (last.name, last.data["reason"]) == ("end", "server_stopping")


def test_bad_requests_are_answered_as_elsewhere(api: Api) -> None:
    for name, value in (
        ("filter[type]", "Job.*"),
        ("filter[type]", "a,,b"),
        ("filter[type]", ",".join(["a.b"] * 21)),
        ("filter[subject_id]", "a b"),
        ("filter[worker_id]", ""),
        ("filter[status]", "failed"),
    ):
        assert name in fields_of(api.get(STREAM, **{name: value}))
    for last in ("x", "-1", "1-1-1", "9" * 600):
        assert "Last-Event-ID" in fields_of(api.call("GET", STREAM, headers={"Last-Event-ID": last}))
