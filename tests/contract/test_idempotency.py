"""`Idempotency-Key`: one request, one job, however often it is sent."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.contract.client import Api, data_of, error_of, fields_of

FAR = "2099-01-01T00:00:00Z"


@pytest.fixture
def worker_id(api: Api) -> str:
    return str(api.make_worker()["id"])


def test_the_same_key_and_body_return_the_first_job(api: Api, worker_id: str) -> None:
    body = {"worker_id": worker_id, "input": {"a": 1, "b": 2}, "scheduled_at": FAR}
    first = data_of(api.post("/jobs", body, **{"Idempotency-Key": "k"}), 201)
    assert data_of(api.post("/jobs", body, **{"Idempotency-Key": "k"}), 200) == first
    reordered = {"scheduled_at": FAR, "input": {"b": 2, "a": 1}, "worker_id": worker_id}
    assert data_of(api.post("/jobs", reordered, **{"Idempotency-Key": "k"}), 200) == first
    assert api.get("/jobs").json()["pagination"]["total"] == 1


def test_the_same_key_with_another_body_is_a_conflict(api: Api, worker_id: str) -> None:
    body = {"worker_id": worker_id, "scheduled_at": FAR}
    data_of(api.post("/jobs", body, **{"Idempotency-Key": "k"}), 201)
    error_of(api.post("/jobs", body | {"priority": 1}, **{"Idempotency-Key": "k"}), 409, "resource_conflict")
    error_of(api.post("/jobs/batch", {"jobs": [body]}, **{"Idempotency-Key": "k"}), 409, "resource_conflict")


def test_another_key_or_tenant_makes_another_job(api: Api, worker_id: str) -> None:
    body = {"worker_id": worker_id, "scheduled_at": FAR}
    first = data_of(api.post("/jobs", body, **{"Idempotency-Key": "a"}), 201)
    assert data_of(api.post("/jobs", body, **{"Idempotency-Key": "b"}), 201)["id"] != first["id"]
    assert data_of(api.post("/jobs", body), 201)["id"] != first["id"]
    other = api.having(tenant=api.tenant + "_2")
    theirs = {"worker_id": other.make_worker()["id"], "scheduled_at": FAR}
    assert data_of(other.post("/jobs", theirs, **{"Idempotency-Key": "a"}), 201)["id"] != first["id"]


def test_a_refused_request_does_not_use_up_its_key(api: Api, worker_id: str) -> None:
    key = {"Idempotency-Key": "k"}
    fields_of(api.post("/jobs", {"worker_id": worker_id, "priority": 0}, **key))
    error_of(
        api.post("/jobs", {"worker_id": "wkr_01jd9x3v7m0000000000000000"}, **key), 404, "resource_not_found"
    )
    data_of(api.post("/jobs", {"worker_id": worker_id, "scheduled_at": FAR}, **key), 201)


def test_a_batch_is_replayed_whole(api: Api, worker_id: str) -> None:
    body = {"jobs": [{"worker_id": worker_id, "input": {"n": n}, "scheduled_at": FAR} for n in range(3)]}
    first = data_of(api.post("/jobs/batch", body, **{"Idempotency-Key": "k"}), 201)
    assert data_of(api.post("/jobs/batch", body, **{"Idempotency-Key": "k"}), 200) == first
    assert api.get("/jobs").json()["pagination"]["total"] == 3


def test_twenty_at_once_make_one_job(api: Api, worker_id: str) -> None:
    body = {"worker_id": worker_id, "scheduled_at": FAR}

    def submit(_: int) -> httpx.Response:
        return api.post("/jobs", body, **{"Idempotency-Key": "k"})

    with ThreadPoolExecutor(20) as threads:
        responses = list(threads.map(submit, range(20)))
    assert sorted(response.status_code for response in responses) == [200] * 19 + [201]
    assert len({response.json()["data"]["id"] for response in responses}) == 1
    assert api.get("/jobs").json()["pagination"]["total"] == 1


def test_a_replay_may_wait_for_the_end(api: Api, worker_id: str) -> None:
    body = {"worker_id": worker_id, "input": {"n": 1}}
    first = data_of(api.post("/jobs", body, **{"Idempotency-Key": "k"}), 201)
    ended = data_of(api.post("/jobs?wait=60", body, **{"Idempotency-Key": "k"}), 200)
    assert (ended["id"], ended["status"], ended["output"]) == (first["id"], "completed", {"n": 1})


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tbed", "é"])
def test_a_key_that_is_not_printable_ascii_is_refused(api: Api, worker_id: str, key: str) -> None:
    headers = {name.encode(): value.encode() for name, value in api.headers.items()}
    headers[b"idempotency-key"] = key.encode("latin-1")
    response = api.http.httpx.post("/v1/ava/jobs", json={"worker_id": worker_id}, headers=headers)
    assert fields_of(response).keys() == {"Idempotency-Key"}
