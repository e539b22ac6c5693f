"""Runs schemathesis on an OpenAPI document of the server.

`SCHEMATHESIS_EXAMPLES=50 make test ARGS=tests/contract/test_document.py` sends that many random requests to each
operation; by default there are few, and the boundaries of every schema.
"""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

EXAMPLES: Final = os.environ.get("SCHEMATHESIS_EXAMPLES")
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "ignored_auth",
)
"""Not: use_after_free (deleting is soft)."""

ACCEPTANCE: Final = "positive_data_acceptance"


def run(
    url: str,
    headers: Mapping[str, str],
    folder: Path,
    *options: str,
    examples: int,
    without: Collection[str] = (),
    unsayable: Mapping[str, Sequence[str]],
) -> str:
    """Return what schemathesis says of a document, after checking that it found nothing.

    `unsayable` has operations by what OpenAPI cannot say of them: for these, valid data by the document may be
    refused. Elsewhere it is accepted at every boundary of the schemas; random data is not asked for that, as a
    test must find the same in every run.
    """
    config = folder / "schemathesis.toml"
    config.write_text(_config([check for check in CHECKS if check not in without], unsayable))
    command = [
        *(str(Path(sys.executable).with_name("st")), "--config-file", str(config), "run", url),
        *(part for name, value in headers.items() for part in ("-H", f"{name}: {value}")),
        *("--generation-with-security-parameters", "false", "--max-examples", EXAMPLES or str(examples)),
        *("--generation-database", "none", "--seed", "1", "--continue-on-failure", "--no-color"),
        *("--warnings", "off", *options),
    ]
    environment = os.environ | {"NO_PROXY": "*", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=None, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    return done.stdout


def check_names(document: Mapping[str, Any], unsayable: Mapping[str, Sequence[str]]) -> None:
    """Check that each operation of `unsayable` is one of the document, and is there once."""
    paths = document["paths"].items()
    known = {f"{method.upper()} {path}" for path, operations in paths for method in operations}
    names = [name for names in unsayable.values() for name in names]
    assert set(names) <= known, set(names) - known
    assert len(set(names)) == len(names)


def _config(checks: Sequence[str], unsayable: Mapping[str, Sequence[str]]) -> str:
    excepted = sorted(name for names in unsayable.values() for name in names)
    lines = ["[checks]", "enabled = false", *(f"{check}.enabled = true" for check in checks)]
    for phase in ("examples", "fuzzing", "stateful"):
        lines += [f"[phases.{phase}.checks]", f"{ACCEPTANCE}.enabled = false"]
    if excepted:
        lines += ["[[operations]]", f"include-name = {json.dumps(excepted)}"]
        lines += ["[operations.checks]", f"{ACCEPTANCE}.enabled = false"]
    return "\n".join(lines)
