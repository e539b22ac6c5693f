"""`/jobs/:id/logs/stream`: server-sent events while the job runs, resumable, ending with `end`."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
from tests.contract.client import AVA, Api, data_of, error_of, fields_of

STEPS = """
import os, time
def handler(input, env):
    for n in range(input["lines"]):
        print("line", n)
    while input.get("wait") and not os.path.exists("/tmp/never"):
        time.sleep(0.05)
"""

Event = tuple[str, str, dict[str, Any]]


def events(response: httpx.Response) -> Iterator[Event]:
    """(id, event, data) of each event, as they come."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
            fields = {}


def stream(api: Api, job_id: str, params: str = "", **headers: str) -> AbstractContextManager[httpx.Response]:
    url = f"{AVA}/jobs/{job_id}/logs/stream{params}"
    return api.http.httpx.stream("GET", url, headers=api.headers | headers, timeout=60)


def test_the_log_of_an_ended_job_is_given_whole_and_then_the_end(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=STEPS)["id"], input={"lines": 1200})
    with stream(api, job["id"]) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        found = list(events(response))
    *lines, (_, last, end) = found
    assert (last, end) == ("end", {"job_id": job["id"], "job_status": "completed"})
    assert [data["msg"] for _, kind, data in lines if data["msg"].startswith("line")] == [
        f"line {n}" for n in range(1200)
    ]
    assert all(kind == "log" and int(event_id) == data["seq"] for event_id, kind, data in lines)
    shown = data_of(api.get(f"/jobs/{job['id']}/logs"))["logs"][0]
    assert lines[0][2] == shown


def test_lines_are_seen_while_the_job_runs(api: Api) -> None:
    worker = api.make_worker(source_code=STEPS)
    job = api.make_job(worker["id"], input={"lines": 2, "wait": True})
    with stream(api, job["id"]) as response:
        seen = []
        for _, kind, data in events(response):
            seen.append(data.get("msg", kind))
            if data.get("msg") == "line 1":
                assert data_of(api.get(f"/jobs/{job['id']}"))["status"] == "running"
                data_of(api.post(f"/jobs/{job['id']}/cancel"))
    assert seen[:3] == ["Worker handler started", "line 0", "line 1"]
    assert seen[-1] == "end"


def test_a_reader_that_was_cut_off_goes_on_where_it_was(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=STEPS)["id"], input={"lines": 5})
    with stream(api, job["id"]) as response:
        whole = list(events(response))
    with stream(api, job["id"], **{"Last-Event-ID": whole[2][0]}) as response:
        assert list(events(response)) == whole[3:]
    with stream(api, job["id"], f"?after={whole[2][0]}") as response:
        assert list(events(response)) == whole[3:]


def test_a_job_that_waits_is_followed_until_it_is_over(api: Api) -> None:
    job = api.make_job(api.make_worker()["id"], scheduled_at="2099-01-01T00:00:00Z")
    with stream(api, job["id"]) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("retry:")
        data_of(api.post(f"/jobs/{job['id']}/cancel"))
        rest = "\n".join(lines)
    assert '"job_status":"cancelled"' in rest


def test_a_level_narrows_the_stream(api: Api) -> None:
    job = api.run_job(api.make_worker(source_code=STEPS)["id"], input={"lines": 3})
    with stream(api, job["id"], "?filter[level]=error") as response:
        assert [kind for _, kind, _ in events(response)] == ["end"]


def test_a_log_is_followed_only_for_as_long_as_its_reader_has_access(api: Api) -> None:
    job = api.make_job(api.make_worker()["id"], scheduled_at="2099-01-01T00:00:00Z")
    url = f"{AVA}/jobs/{job['id']}/logs/stream"
    operator = api.having(role="platform-admin")
    for end in ("revoke", "rotate", "suspend"):
        key = data_of(api.post("/v1/keys", {"role": "tenant-viewer"}), 201)
        bearer = {"authorization": f"Bearer {key['key']}"}
        with api.http.httpx.stream("GET", url, headers=bearer, timeout=60) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("retry:")
            if end == "revoke":
                data_of(api.delete(f"/v1/keys/{key['id']}"))
            elif end == "rotate":
                data_of(api.post(f"/v1/keys/{key['id']}/rotate", {"overlap_seconds": 0}))
            else:
                data_of(operator.post(f"/v1/tenants/{api.tenant}/suspend"))
            assert "event:" not in "".join(lines)


def test_bad_requests_are_answered_as_elsewhere(api: Api) -> None:
    job = api.run_job(api.make_worker()["id"])
    path = f"/jobs/{job['id']}/logs/stream"
    assert "after" in fields_of(api.get(path, after="x"))
    assert "filter[level]" in fields_of(api.get(path, **{"filter[level]": "loud"}))
    assert "limit" in fields_of(api.get(path, limit="5"))
    for last in ("x", "-1", "9" * 30):
        assert "Last-Event-ID" in fields_of(api.call("GET", path, headers={"Last-Event-ID": last}))
    error_of(api.get("/jobs/job_01jd9x3v7m0000000000000000/logs/stream"), 404, "resource_not_found")
    error_of(api.having(tenant="ten_other").get(path), 404, "resource_not_found")
