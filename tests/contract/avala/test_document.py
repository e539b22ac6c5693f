"""The Avala API's own OpenAPI document drives schemathesis: nothing it says brings the server down."""

from pathlib import Path
from typing import Final

import pytest
from tests.contract import schemathesis_run
from tests.contract.avala.client import AVALA, Avala
from tests.contract.conftest import Server

_NOT_HERE = {"negative_data_rejection"}
"""Unknown parameters and fields, and limits that are no sizes, are passed over."""

UNSAYABLE: Final = {
    "a URL is one that the server may call": (
        "POST /api/v1/webhooks/",
        "PUT /api/v1/webhooks/{uid}/",
        "PATCH /api/v1/webhooks/{uid}/",
    ),
    "… and a worker is one that there is": (
        "POST /api/v1/agents/",
        "PUT /api/v1/agents/{uid}/",
        "PATCH /api/v1/agents/{uid}/",
    ),
    "only pending executions can be claimed": ("GET /api/v1/agents/{uid}/executions/",),
}


@pytest.mark.timeout(300)
def test_what_schemathesis_sends_is_answered_as_documented(
    server: Server, avala: Avala, tmp_path: Path
) -> None:
    document = avala.http.get(f"{AVALA}/openapi.json").json()
    schemathesis_run.check_names(document, UNSAYABLE)
    said = schemathesis_run.run(
        f"{server.url}{AVALA}/openapi.json",
        avala.headers,
        tmp_path,
        *("--phases", "examples,coverage,fuzzing", "--request-timeout", "30"),
        examples=2,
        without=_NOT_HERE,
        unsayable=UNSAYABLE,
    )
    assert f"Tested: {sum(map(len, document['paths'].values()))}\n" in said


def test_every_operation_says_what_it_is(avala: Avala) -> None:
    document = avala.http.get(f"{AVALA}/openapi.json").json()
    assert document["info"]["title"] == "Runwright: Avala API"
    for name, path in document["paths"].items():
        assert name.startswith(f"{AVALA}/")
        assert name.endswith("/")
        for operation in path.values():
            assert operation["summary"]
            assert "Decorator" not in operation["description"]
