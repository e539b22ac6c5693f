"""`/v1/ava/events`: publishing, once per key, and reading the log by filters and cursor."""

from uuid import uuid4

import pytest
from tests.contract.client import TIME, Api, Json, data_of, error_of, fields_of

EVENTS = "/events"


def publish(api: Api, name: str, payload: Json = None, **headers: str) -> Json:
    body = {"type": f"custom.{name}"} | ({} if payload is None else {"payload": payload})
    return data_of(api.post(EVENTS, body, **headers), 201)


def listed(api: Api, **query: str) -> list[Json]:
    response = api.get(EVENTS, **query)
    assert response.status_code == 200, response.text
    return list(response.json()["data"])


def test_a_published_event_is_in_the_log(api: Api) -> None:
    published = publish(api, "report.done", {"rows": 12, "names": ["ä", None]})
    assert published.pop("executions") == 0
    assert TIME.fullmatch(published["created_at"])
    assert published == {
        "id": published["id"],
        "type": "custom.report.done",
        "subject_id": "",
        "worker_id": None,
        "created_at": published["created_at"],
        "data": {"rows": 12, "names": ["ä", None]},
        "data_omitted": False,
    }
    assert listed(api) == [published]
    assert data_of(api.get(f"{EVENTS}/{published['id']}")) == published
    assert publish(api, "empty")["data"] == {}


def test_a_key_publishes_once(api: Api) -> None:
    key = {"Idempotency-Key": "k 1"}
    first = publish(api, "a", {"n": 1}, **key)
    again = api.post(EVENTS, {"type": "custom.a", "payload": {"n": 1}}, **key)
    assert data_of(again, 200) == first
    error_of(api.post(EVENTS, {"type": "custom.a", "payload": {"n": 2}}, **key), 409, "resource_conflict")
    other = api.having(tenant=f"ten_{uuid4().hex}")
    assert publish(other, "a", {"n": 3}, **key)["id"] != first["id"]
    assert [one["id"] for one in listed(api)] == [first["id"]]
    assert fields_of(api.post(EVENTS, {"type": "custom.a"}, **{"Idempotency-Key": "x" * 256})).keys() == {
        "Idempotency-Key"
    }


def test_the_log_is_listed_newest_first_by_cursor(api: Api) -> None:
    made = [publish(api, f"n{n}")["id"] for n in range(5)][::-1]
    pages, cursor = [], ""
    while True:
        page = api.get(EVENTS, per_page="2", **({"cursor": cursor} if cursor else {})).json()
        pages.append([one["id"] for one in page["data"]])
        assert page["pagination"]["per_page"] == 2
        assert page["pagination"]["has_more"] == (page["pagination"]["next_cursor"] is not None)
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            break
        publish(api, "later")
    assert pages == [made[:2], made[2:4], made[4:]]
    assert "cursor" in fields_of(api.get(EVENTS, cursor="eA"))


def test_filters_narrow_the_log(api: Api) -> None:
    worker = api.make_worker()
    job = api.run_job(worker["id"])
    for name in ("a", "a.b", "ab"):
        publish(api, name)

    def types(**filters: str) -> list[str]:
        return [one["type"] for one in listed(api, **{f"filter[{k}]": v for k, v in filters.items()})]

    of_server = ["ava.job.completed", "ava.worker.created"]
    assert types() == ["custom.ab", "custom.a.b", "custom.a", *of_server]
    assert types(type="custom.a") == ["custom.a"]
    assert types(type="custom.a.*") == ["custom.a.b"]
    assert types(type="custom.*") == ["custom.ab", "custom.a.b", "custom.a"]
    assert types(type="ava.*") == of_server
    assert types(type="ava.job.*") == types(type="job.*") == types(subject_id=job["id"]) == of_server[:1]
    assert types(type="worker.created,custom.ab") == ["custom.ab", "ava.worker.created"]
    assert types(created_after="-1h") == types()
    assert types(created_before="-1h") == []
    assert types(created_after="2099-01-01T00:00:00Z") == []
    assert listed(api, **{"filter[subject_id]": job["id"]})[0]["worker_id"] == worker["id"]


def test_a_large_payload_is_left_out_of_lists(api: Api) -> None:
    payload = {"text": "x" * 20_000}
    published = publish(api, "large", payload)
    assert published["data"] == payload
    [entry] = listed(api)
    assert (entry["data"], entry["data_omitted"]) == (None, True)
    got = data_of(api.get(f"{EVENTS}/{published['id']}"))
    assert (got["data"], got["data_omitted"]) == (payload, False)
    for nothing in ("evt_01jd9x3v7m0000000000000000", "evt_7zzzzzzzzzzzzzzzzzzzzzzzzz", "evt_x"):
        error_of(api.get(f"{EVENTS}/{nothing}"), 404, "resource_not_found")
    stranger = api.having(tenant=f"ten_{uuid4().hex}")
    error_of(stranger.get(f"{EVENTS}/{published['id']}"), 404, "resource_not_found")
    assert listed(stranger) == []


def test_the_servers_own_events_show_what_is_documented(api: Api) -> None:
    worker = api.make_worker(config={"K": "a value of the worker"})
    [entry] = listed(api)
    assert (entry["type"], entry["subject_id"]) == ("ava.worker.created", worker["id"])
    assert entry["data"] is None


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        ({}, {"type"}),
        ({"type": "job.completed"}, {"type"}),
        ({"type": "ava.job.completed"}, {"type"}),
        ({"type": "custom."}, {"type"}),
        ({"type": "custom.A"}, {"type"}),
        ({"type": "custom." + "x" * 100}, {"type"}),
        ({"type": "custom.a", "payload": []}, {"payload"}),
        ({"type": "custom.a", "payload": "x"}, {"payload"}),
        ({"type": "custom.a", "payload": None}, {"payload"}),
        ({"type": "custom.a", "payload": {"x": "y" * 262_144}}, {"payload"}),
        ({"type": "custom.a", "payload": {"x": "nul\u0000"}}, {"payload"}),
        ({"type": "custom.a", "payload": {"x": [[]] * 3}, "colour": 1}, {"colour"}),
    ],
)
def test_bad_fields_are_named(api: Api, body: Json, bad: set[str]) -> None:
    assert fields_of(api.post(EVENTS, body)).keys() == bad
    assert listed(api) == []


def test_payloads_are_at_most_64_levels_deep(api: Api) -> None:
    deep: Json = {}
    for _ in range(70):
        deep = {"a": deep}
    assert fields_of(api.post(EVENTS, {"type": "custom.a", "payload": deep})).keys() == {"payload"}


def test_bad_filters_are_named(api: Api) -> None:
    for name, value in (
        ("filter[type]", "A.b"),
        ("filter[type]", "*.a"),
        ("filter[type]", ",".join(["a.b"] * 21)),
        ("filter[subject_id]", "a;b"),
        ("filter[created_after]", "yesterday"),
        ("per_page", "0"),
        ("per_page", "101"),
        ("page", "1"),
    ):
        assert name in fields_of(api.get(EVENTS, **{name: value}))


def test_the_webhook_body_of_an_event_is_what_webhooks_get(api: Api) -> None:
    published = publish(api, "sent", {"n": 1})
    got = api.get(f"{EVENTS}/{published['id']}/webhook")
    assert got.status_code == 200, got.text
    assert got.json() == {
        "id": published["id"],
        "type": "custom.sent",
        "created_at": published["created_at"],
        "tenant_id": api.tenant,
        "data": {"n": 1},
    }
    worker = api.make_worker()
    job = api.run_job(worker["id"], input={"n": 2})
    [completed] = listed(api, **{"filter[type]": "job.completed"})
    data = api.get(f"{EVENTS}/{completed['id']}/webhook").json()["data"]
    record = data_of(api.get(f"/jobs/{job['id']}"))
    assert data == {
        name: value for name, value in record.items() if name not in {"worker_name", "retried_as"}
    }
    other = api.having(tenant=f"ten_{uuid4().hex}")
    for path in (f"{published['id']}/webhook", "evt_01jd9x3v7m0000000000000000/webhook", "x/webhook"):
        error_of(other.get(f"{EVENTS}/{path}"), 404, "resource_not_found")
