"""`input_schema` of workers: what users submit matches it, or is refused by the path in the input."""

import httpx
import pytest
from tests.contract.client import ECHO, Api, Json, data_of, error_of, fields_of

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "who": {"$ref": "#/$defs/who"}},
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {"who": {"type": "object", "required": ["name"]}},
}
BAD = {"n": 0, "who": {}, "x": 1}
FIELDS = {"n", "who.name", "x"}


@pytest.fixture
def worker(api: Api) -> Json:
    return api.make_worker(input_schema=SCHEMA)


def submit(api: Api, worker: Json, value: Json, **headers: str) -> httpx.Response:
    return api.post("/jobs", {"worker_id": worker["id"], "input": value}, **headers)


def test_a_schema_is_kept_shown_changed_and_removed(api: Api, worker: Json) -> None:
    path = f"/workers/{worker['id']}"
    assert worker["input_schema"] == SCHEMA
    assert data_of(api.get(path))["input_schema"] == SCHEMA
    assert data_of(api.patch(path, {"name": "Other"}))["input_schema"] == SCHEMA
    assert data_of(api.patch(path, {"input_schema": {}}))["input_schema"] == {}
    removed = data_of(api.patch(path, {"input_schema": None}))
    assert (removed["input_schema"], removed["version"]) == (None, 1)
    assert api.make_worker()["input_schema"] is None


def test_an_input_that_does_not_match_is_refused_by_its_path(api: Api, worker: Json) -> None:
    for _ in range(2):  # by the stored schema, and by the one that is cached
        refused = fields_of(submit(api, worker, BAD))
        assert refused == {
            "input.n": ["Must be at least 1."],
            "input.who.name": ["Is required."],
            "input.x": ["Is not a known field."],
        }
    assert fields_of(submit(api, worker, {})) == {"input.n": ["Is required."]}
    assert api.get("/jobs").json()["data"] == []
    assert api.run_job(worker["id"], input={"n": 1})["output"] == {"n": 1}
    assert api.run_job(worker["id"], input={"n": 2, "who": {"name": "Ada"}})["status"] == "completed"


def test_of_a_batch_each_input_is_named_and_none_is_accepted(api: Api, worker: Json) -> None:
    other = api.make_worker()["id"]
    inputs: list[tuple[str, Json]] = [(worker["id"], {"n": 1}), (other, BAD), (worker["id"], BAD)]
    jobs = [{"worker_id": worker_id, "input": value} for worker_id, value in inputs]
    refused = fields_of(api.post("/jobs/batch", {"jobs": jobs}))
    assert refused.keys() == {f"jobs.2.input.{path}" for path in FIELDS}
    assert api.get("/jobs").json()["data"] == []
    assert len(data_of(api.post("/jobs/batch", {"jobs": jobs[:2]}), 201)) == 2


def test_a_change_of_the_schema_counts_from_the_next_submit_on(api: Api, worker: Json) -> None:
    path = f"/workers/{worker['id']}"
    data_of(submit(api, worker, {"n": 1}), 201)
    api.patch(path, {"input_schema": {"required": ["m"]}})
    assert fields_of(submit(api, worker, {"n": 1})).keys() == {"input.m"}
    data_of(submit(api, worker, {"m": 1}), 201)
    api.patch(path, {"input_schema": None})
    data_of(submit(api, worker, BAD), 201)


def test_a_key_returns_the_first_job_whatever_the_schema_is_now(api: Api, worker: Json) -> None:
    key = {"Idempotency-Key": "k"}
    first = data_of(submit(api, worker, {"n": 1}, **key), 201)
    api.patch(f"/workers/{worker['id']}", {"input_schema": {"required": ["m"]}})
    assert data_of(submit(api, worker, {"n": 1}, **key), 200)["id"] == first["id"]
    assert fields_of(submit(api, worker, {"n": 1}, **{"Idempotency-Key": "l"})).keys() == {"input.m"}
    data_of(submit(api, worker, {"m": 1}, **{"Idempotency-Key": "l"}), 201)


def test_large_inputs_and_large_schemas_are_checked_too(api: Api) -> None:
    wide = {f"f{n}": {"type": "string", "pattern": f"^{n}"} for n in range(40)}
    worker = api.make_worker(input_schema={"properties": wide | {"l": {"items": {"type": "integer"}}}})
    data_of(submit(api, worker, {"l": list(range(50_000)), "f1": "1"}), 201)
    assert fields_of(submit(api, worker, {"l": [*range(50_000), "x"]})).keys() == {"input.l.50000"}
    assert fields_of(submit(api, worker, {"f3": "4", "f4": 4})).keys() == {"input.f3", "input.f4"}
    heavy = {"properties": {"l": {"items": {"allOf": [{"type": "integer"}] * 900}}}}
    costly = api.make_worker(input_schema=heavy)
    [message] = fields_of(submit(api, costly, {"l": [1] * 50_000}))["input"]
    assert "too many or too large values" in message


def test_numbers_that_take_long_to_compare_do_not_take_the_server(api: Api) -> None:
    """Compared at once, these hold all requests for ten seconds."""
    worker = api.make_worker(input_schema={"properties": {"l": {"uniqueItems": True}}})
    large = {"l": [2**64 + n for n in range(4_000)]}
    for _ in range(2):  # by the stored schema, and by the one that is cached
        [message] = fields_of(submit(api, worker, large))["input"]
        assert "too many or too large values" in message
        data_of(submit(api, worker, {"l": [1, 2, 2**64]}), 201)


def test_what_is_not_submitted_by_a_user_is_not_checked_again(api: Api) -> None:
    worker = api.make_worker(source_code=ECHO)
    path = f"/workers/{worker['id']}"
    old = api.run_job(worker["id"], input=BAD)
    schedule = api.make_schedule(worker["id"], input=BAD)
    api.patch(path, {"input_schema": SCHEMA})
    again = data_of(api.post(f"/jobs/{old['id']}/retry"), 201)
    assert again["input"] == BAD
    assert data_of(api.post(f"/schedules/{schedule['id']}/run"), 201)["input"] == BAD
    operation = data_of(api.post("/jobs/bulk", {"action": "retry", "ids": [again["id"]]}), 202)
    assert operation["id"].startswith("blk_")


def test_the_input_of_a_schedule_is_checked_when_it_is_given(api: Api, worker: Json) -> None:
    body = {"worker_id": worker["id"], "cron": "0 0 1 1 *", "timezone": "UTC"}
    assert fields_of(api.post("/schedules", body | {"input": BAD})).keys() == {
        f"input.{one}" for one in FIELDS
    }
    assert fields_of(api.post("/schedules", body)).keys() == {"input.n"}
    schedule = api.make_schedule(worker["id"], input={"n": 1})
    path = f"/schedules/{schedule['id']}"
    assert fields_of(api.patch(path, {"input": {"n": "x"}})).keys() == {"input.n"}
    other = api.make_worker(input_schema={"required": ["m"]})
    assert fields_of(api.patch(path, {"worker_id": other["id"]})).keys() == {"input.m"}
    assert data_of(api.get(path)) == schedule
    data_of(api.patch(path, {"worker_id": other["id"], "input": {"m": 1}}))


def test_another_tenants_schema_reveals_nothing(api: Api, worker: Json) -> None:
    data_of(submit(api, worker, {"n": 1}), 201)
    stranger = api.having(tenant=api.tenant + "x")
    error_of(submit(stranger, worker, BAD), 404, "resource_not_found")


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        ([], {"input_schema"}),
        ("object", {"input_schema"}),
        ({"type": "strin"}, {"input_schema.type"}),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, {"input_schema.properties.a.pattern"}),
        ({"$ref": "http://169.254.169.254/"}, {"input_schema.$ref"}),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, {"input_schema.$defs.a.not.$ref"}),
        ({"title": "nul\0"}, {"input_schema"}),
        ({"description": "x" * 33_000}, {"input_schema"}),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_by_name(
    api: Api, worker: Json, schema: Json, fields: set[str]
) -> None:
    for response in (
        api.post("/workers", {"name": "x", "runtime": "python", "input_schema": schema}),
        api.patch(f"/workers/{worker['id']}", {"input_schema": schema}),
    ):
        assert fields_of(response).keys() == fields
    assert data_of(api.get(f"/workers/{worker['id']}")) == worker
