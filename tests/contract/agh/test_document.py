"""The OpenAPI document of the AGH API drives schemathesis: no request that it suggests fails the server."""

import re
from pathlib import Path
from typing import Final

import pytest
from tests.contract import schemathesis_run
from tests.contract.agh.client import Agh
from tests.contract.conftest import Server

DOCUMENT = "/api/automation/openapi.json"
LEAST_CASES_PER_OPERATION = 5
_NOT_HERE = {"negative_data_rejection", "unsupported_method"}
"""Unknown parameters and fields are ignored; an unknown method is a 404."""

UNSAYABLE: Final = {
    "fields are required, or must be absent, by the mode and the kind": (
        "POST /api/automation/jobs",
        "PATCH /api/automation/jobs/{job_id}",
        "POST /api/automation/triggers",
        "PATCH /api/automation/triggers/{trigger_id}",
    ),
    "one of many schemes of signature is required": (
        "POST /api/webhooks/global/{endpoint}",
        "POST /api/webhooks/workspaces/{workspace_id}/{endpoint}",
    ),
    "one of several fields is required, and null counts as absent": ("PATCH /api/tasks/{task_id}",),
}


@pytest.mark.timeout(300)
def test_what_schemathesis_sends_is_answered_as_documented(server: Server, agh: Agh, tmp_path: Path) -> None:
    document = agh.http.get(DOCUMENT).json()
    schemathesis_run.check_names(document, UNSAYABLE)
    headers = {**agh.headers, "X-Api-Key": agh.key}
    del headers["authorization"]
    said = schemathesis_run.run(
        f"{server.url}{DOCUMENT}",
        headers,
        tmp_path,
        *("--phases", "examples,coverage,fuzzing", "--request-timeout", "30"),
        examples=4,
        without=_NOT_HERE,
        unsayable=UNSAYABLE,
    )
    operations = sum(len(path) for path in document["paths"].values())
    assert f"Tested: {operations}\n" in said
    cases = re.search(r"(\d+) generated", said)
    assert cases is not None, said[-2000:]
    assert int(cases[1]) >= LEAST_CASES_PER_OPERATION * operations


def test_every_operation_says_what_it_is(agh: Agh) -> None:
    document = agh.http.get(DOCUMENT).json()
    assert document["info"]["title"] == "Runwright: AGH Automation API"
    assert {"/api/automation/jobs", "/api/automation/triggers/{trigger_id}", "/api/tasks"} <= set(
        document["paths"]
    )
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert "Decorator" not in operation["description"]
