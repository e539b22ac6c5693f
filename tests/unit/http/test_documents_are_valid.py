"""The three OpenAPI documents are valid, with their defaults and examples."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from runwright.http.avala.event_names import check_events
from runwright.http.event_catalogue import EVENTS

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


def test_operations_have_names_tags_and_words_of_their_own(documents: dict[str, Any]) -> None:
    for name, document in documents.items():
        found = list(_operations(document))
        ids = [one["operationId"] for one in found]
        assert len(ids) == len(set(ids)), name
        tags = {one["name"] for one in document["tags"]}
        for one in found:
            assert set(one["tags"]) <= tags, one
            assert one["summary"], one
            assert one["description"], one
            for parameter in one["parameters"]:
                assert "$ref" in parameter or parameter["schema"], parameter


def test_every_body_of_ours_that_is_text_has_an_example(documents: dict[str, Any]) -> None:
    bodies = [
        (one["operationId"], kind, content)
        for one in _operations(documents["ava"])
        if not one["operationId"].startswith("send_")
        for kind, content in one.get("requestBody", {}).get("content", {}).items()
        if content["schema"].get("format") != "binary"
    ]
    assert len(bodies) > 20
    assert [(name, kind) for name, kind, content in bodies if not content.get("example")] == []


def test_examples_fit_their_schemas(documents: dict[str, Any]) -> None:
    tried = 0
    for document in documents.values():
        for part in _parts(document):
            schema = part.get("schema", part)
            examples = [part["example"]] if "schema" in part and "example" in part else []
            examples += part.get("examples", []) if isinstance(part.get("examples"), list) else []
            for example in examples:
                whole = {"components": document["components"], **schema}
                assert Draft202012Validator(whole).is_valid(example), (example, schema)
                tried += 1
    assert tried > 100


def test_what_is_one_of_few_words_says_which(documents: dict[str, Any]) -> None:
    """Generated clients have types for states, not texts."""
    found = {
        f"{api} {name}.{field}"
        for api, document in documents.items()
        for name, schema in document["components"]["schemas"].items()
        for field, part in schema.get("properties", {}).items()
        if field in {"status", "state", "runtime", "trigger", "scope", "source", "role", "level", "action"}
        and not re.search(r'"(enum|\$ref|const)"', json.dumps(part))
    }
    assert found == {"ava AuditEntry.action", "ava Attempt.status"}, "these grow with releases"


def test_lists_say_what_their_items_may_be(documents: dict[str, Any]) -> None:
    def items(document: str, schema: str, field: str) -> Any:  # noqa: ANN401  a part of a document
        return documents[document]["components"]["schemas"][schema]["properties"][field]["items"]

    assert {f"ava.{name}" for name in EVENTS} <= set(items("ava", "CreateWebhookBody", "events")["enum"])
    assert re.search(items("ava", "CreateWorkerBody", "secrets")["pattern"], "API_KEY")
    assert not re.search(items("ava", "CreateWorkerBody", "secrets")["pattern"], "1-KEY")
    names = [
        "dataset.created",
        "agent.action",
        "custom.a",
        "custom.a.b-1",
        "custom.*",
        "ava.*",
        "ava.job.failed",
    ]
    for schema in ("NewWebhookBody", "RegisterAgentBody", "WholeAgentBody", "AgentChangesBody"):
        pattern = items("avala", schema, "events")["pattern"]
        for name in (*names, "custom", "custom.", "custom.A", "dataset_created", "ava.job", "", "*"):
            assert bool(re.search(pattern, name)) == (not list(check_events([name]))), name


def test_every_schema_is_used_and_every_answer_has_its_headers(documents: dict[str, Any]) -> None:
    for name, document in documents.items():
        text = json.dumps(document)
        for schema in document["components"]["schemas"]:
            assert f'"#/components/schemas/{schema}"' in text, schema
        assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(
            document["components"]["headers"]
        ), name
        for status in ("429", "503"):
            assert "retry-after" in document["components"]["responses"][status]["headers"], name
        for operation in _operations({"paths": document["paths"]}):
            for status, answer in operation["responses"].items():
                assert status.startswith(("4", "5")) or answer["headers"], operation["operationId"]


def test_requests_that_are_sent_are_described_with_their_signatures(documents: dict[str, Any]) -> None:
    signed = {"ava": {"X-HLD-Signature-256", "webhook-id", "webhook-timestamp", "webhook-signature"}}
    signed["avala"] = {f"X-Avala-Webhook-{name}" for name in ("Signature", "Event", "Delivery")}
    for api, names in signed.items():
        assert {f"ava.{event}" for event in EVENTS} <= set(documents[api]["webhooks"])
        for item in documents[api]["webhooks"].values():
            headers = [one for one in item["post"]["parameters"] if one["in"] == "header"]
            assert {one["name"] for one in headers if one["required"]} == names
            assert item["post"]["requestBody"]["content"]["application/json"]["schema"]["type"] == "object"
    delivery = documents["agh"]["paths"]["/api/webhooks/global/{endpoint}"]["post"]
    found = {one["name"] for one in delivery["parameters"] if one["in"] == "header"}
    assert {"X-AGH-Webhook-Timestamp", "X-AGH-Webhook-Signature", "X-Hub-Signature-256"} <= found


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for items in (document["paths"], document.get("webhooks", {})):
        for item in items.values():
            yield from item.values()


def _parts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(inner)
