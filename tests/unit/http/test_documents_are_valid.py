"""The three OpenAPI documents are valid, with their defaults and examples."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("openapi")
    subprocess.run([sys.executable, ROOT / "scripts/openapi_documents", folder], check=True)
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def test_all_three_documents_are_valid(documents: dict[str, Any]) -> None:
    assert documents.keys() == {"agh", "ava", "avala"}
    for name, document in documents.items():
        problems = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
        assert problems == [], name


def test_no_default_contradicts_its_format_or_enum(documents: dict[str, Any]) -> None:
    for part in _parts(documents):
        if part.get("default") == "":
            assert "format" not in part, part
            assert "enum" not in part, part


def _parts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(inner)
