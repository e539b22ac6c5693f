"""The AGH API's own OpenAPI document drives schemathesis: nothing it says brings the server down."""

import os
import subprocess
import sys
from pathlib import Path

from tests.contract.agh.client import Agh
from tests.contract.conftest import Server
from tests.contract.test_document import CHECKS

DOCUMENT = "/api/automation/openapi.json"
SECONDS = 6
_NOT_HERE = {"negative_data_rejection", "unsupported_method"}
"""Unknown parameters and fields are passed over; a method that a path has not is a 404."""


def test_what_schemathesis_sends_is_answered_as_documented(server: Server, agh: Agh, tmp_path: Path) -> None:
    sent = {**agh.headers, "X-Api-Key": agh.key}
    del sent["authorization"]
    headers = [part for name, value in sent.items() for part in ("-H", f"{name}: {value}")]
    checks = ",".join(check for check in CHECKS if check not in _NOT_HERE)
    command = [
        *(str(Path(sys.executable).with_name("st")), "run", f"{server.url}{DOCUMENT}", *headers),
        *("--checks", checks, "--generation-with-security-parameters", "false", "--max-examples", "8"),
        *("--phases", "examples,coverage,fuzzing", "--max-time", str(SECONDS), "--request-timeout", "30"),
        *("--generation-database", "none", "--seed", "1", "--continue-on-failure"),
        *("--no-color", "--warnings", "off"),
    ]
    environment = os.environ | {"NO_PROXY": "*", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]


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
