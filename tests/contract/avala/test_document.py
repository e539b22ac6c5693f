"""The Avala API's own OpenAPI document drives schemathesis: nothing it says brings the server down."""

import os
import subprocess
import sys
from pathlib import Path

from tests.contract.avala.client import AVALA, Avala
from tests.contract.conftest import Server
from tests.contract.test_document import CHECKS

SECONDS = 4
_NOT_HERE = {"negative_data_rejection"}
"""Unknown parameters and fields, and limits that are no sizes, are passed over."""


def test_what_schemathesis_sends_is_answered_as_documented(
    server: Server, avala: Avala, tmp_path: Path
) -> None:
    headers = [part for name, value in avala.headers.items() for part in ("-H", f"{name}: {value}")]
    checks = ",".join(check for check in CHECKS if check not in _NOT_HERE)
    command = [
        *(str(Path(sys.executable).with_name("st")), "run", f"{server.url}{AVALA}/openapi.json", *headers),
        *("--checks", checks, "--generation-with-security-parameters", "false", "--max-examples", "5"),
        *("--phases", "examples,coverage,fuzzing", "--max-time", str(SECONDS), "--request-timeout", "30"),
        *("--generation-database", "none", "--seed", "1", "--continue-on-failure"),
        *("--no-color", "--warnings", "off"),
    ]
    environment = os.environ | {"NO_PROXY": "*", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]


def test_every_operation_says_what_it_is(avala: Avala) -> None:
    document = avala.http.get(f"{AVALA}/openapi.json").json()
    assert document["info"]["title"] == "Runwright: Avala API"
    for name, path in document["paths"].items():
        assert name.startswith(f"{AVALA}/")
        assert name.endswith("/")
        for operation in path.values():
            assert operation["summary"]
            assert "Decorator" not in operation["description"]
