"""The OpenAPI document of the AGH API drives schemathesis: no request that it suggests fails the server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.agh.client import Agh
from tests.contract.conftest import Server
from tests.contract.test_document import CHECKS

DOCUMENT = "/api/automation/openapi.json"
LEAST_CASES_PER_OPERATION = 5
_NOT_HERE = {"negative_data_rejection", "unsupported_method"}
"""Unknown parameters and fields are ignored; an unknown method is a 404."""


@pytest.mark.timeout(300)
def test_what_schemathesis_sends_is_answered_as_documented(server: Server, agh: Agh, tmp_path: Path) -> None:
    sent = {**agh.headers, "X-Api-Key": agh.key}
    del sent["authorization"]
    headers = [part for name, value in sent.items() for part in ("-H", f"{name}: {value}")]
    checks = ",".join(check for check in CHECKS if check not in _NOT_HERE)
    command = [
        *(str(Path(sys.executable).with_name("st")), "run", f"{server.url}{DOCUMENT}", *headers),
        *("--checks", checks, "--generation-with-security-parameters", "false", "--max-examples", "4"),
        *("--phases", "examples,fuzzing", "--request-timeout", "30"),
        *("--generation-database", "none", "--seed", "1", "--continue-on-failure"),
        *("--no-color", "--warnings", "off"),
    ]
    environment = os.environ | {"NO_PROXY": "*", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]
    document = agh.http.get(DOCUMENT).json()
    operations = sum(len(path) for path in document["paths"].values())
    assert f"Tested: {operations}\n" in done.stdout
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None, done.stdout[-2000:]
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
