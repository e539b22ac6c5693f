"""The OpenAPI document drives schemathesis: nothing it says or suggests brings the server down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.client import Api
from tests.contract.conftest import Server
from tests.contract.rows import REQUESTS

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "ignored_auth",
)
"""Not: positive_data_acceptance (rules that a schema cannot say), use_after_free (deleting is soft)."""

LASTS = "/v1/ava/stream"
"""Its response does not end."""


@pytest.mark.timeout(420)
def test_what_schemathesis_sends_is_answered_as_documented(server: Server, api: Api, tmp_path: Path) -> None:
    headers = [part for name, value in api.headers.items() for part in ("-H", f"{name}: {value}")]
    command = [
        *(str(Path(sys.executable).with_name("st")), "run", f"{server.url}/v1/ava/openapi.json"),
        *(*headers, "--checks", ",".join(CHECKS), "--generation-with-security-parameters", "false"),
        *("--max-examples", "4", "--workers", "2", "--request-timeout", "70", "--exclude-path", LASTS),
        *(
            "--generation-database",
            "none",
            "--seed",
            "1",
            "--continue-on-failure",
            "--no-color",
            "--warnings",
            "off",
        ),
    ]
    environment = os.environ | {"NO_PROXY": "*", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]
    document = api.http.get("/v1/ava/openapi.json").json()
    operations = sum(map(len, document["paths"].values()))
    assert f"Tested: {operations - len(document['paths'][LASTS])}\n" in done.stdout


def test_every_operation_says_what_it_is_in_our_words(api: Api) -> None:
    document = api.http.get("/v1/ava/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= len(REQUESTS)
    for operation in operations:
        assert operation["summary"]
        assert "Decorator" not in operation["description"]
