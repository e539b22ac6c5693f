"""The OpenAPI document drives schemathesis: nothing it says or suggests brings the server down."""

from pathlib import Path
from typing import Final

import pytest
from tests.contract import schemathesis_run
from tests.contract.client import Api
from tests.contract.conftest import Server
from tests.contract.rows import REQUESTS

STREAM: Final = "/v1/ava/stream"
"""Its response does not end."""

UNSAYABLE: Final = {
    "parameters exclude one another, or have an order": (
        "GET /v1/ava/jobs",
        "GET /v1/ava/jobs/series",
        "GET /v1/ava/jobs/{job_id}/logs",
        "GET /v1/shared/job/logs",
        "POST /v1/ava/jobs/bulk",
    ),
    "a field is in the query or in the form, but not in both": ("POST /v1/ava/workers/{worker_id}/deploy",),
    "a text has at most 20 ids, with commas between them": ("GET /v1/ava/events",),
    "a text is a cron expression": (
        "GET /v1/ava/schedules/preview",
        "POST /v1/ava/schedules",
        "PATCH /v1/ava/schedules/{schedule_id}",
    ),
    "versions of runtimes are those that the server has": (
        "POST /v1/ava/workers",
        "PATCH /v1/ava/workers/{worker_id}",
    ),
    "a time is in the future, or not long ago": (
        "POST /v1/ava/schedules/{schedule_id}/backfill",
        "POST /v1/keys",
        "POST /v1/keys/{key_id}/rotate",
    ),
    "answers differ, a default is one of them, and a default and a quorum need a time": (
        "POST /v1/ava/inbox",
    ),
    "definitions are as the bodies that create them, which have such rules": ("POST /v1/ava/check",),
    "a URL is one that the server may call": (
        "POST /v1/webhooks",
        "PATCH /v1/webhooks/{webhook_id}",
    ),
}


@pytest.mark.timeout(420)
def test_what_schemathesis_sends_is_answered_as_documented(server: Server, api: Api, tmp_path: Path) -> None:
    document = api.http.get("/v1/ava/openapi.json").json()
    schemathesis_run.check_names(document, UNSAYABLE)
    said = schemathesis_run.run(
        f"{server.url}/v1/ava/openapi.json",
        api.headers,
        tmp_path,
        *("--workers", "2", "--request-timeout", "70", "--exclude-path", STREAM),
        examples=2,
        unsayable=UNSAYABLE,
    )
    operations = sum(map(len, document["paths"].values()))
    assert f"Tested: {operations - len(document['paths'][STREAM])}\n" in said


def test_every_operation_says_what_it_is_in_our_words(api: Api) -> None:
    document = api.http.get("/v1/ava/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= len(REQUESTS)
    for operation in operations:
        assert operation["summary"]
        assert "Decorator" not in operation["description"]
