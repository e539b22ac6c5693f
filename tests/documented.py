"""What the section `webhooks` of the OpenAPI documents says of the requests that the server sends."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from jsonschema_rs import Draft202012Validator

from runwright.http.ava.document import describe_api as describe_ava
from runwright.http.avala.document import describe_api as describe_avala
from tests.receiver import Received

_DOCUMENTS: Final[Mapping[str, Callable[..., Any]]] = {"ava": describe_ava, "avala": describe_avala}


@cache
def _webhooks(api: str) -> Any:  # noqa: ANN401  a part of a document
    """The document without routes: its webhooks and the schemas that they refer to."""
    return _DOCUMENTS[api]((), "")


def assert_as_documented(api: str, name: str, request: Received) -> None:
    """Check the headers and the body of a request that was received."""
    document = _webhooks(api)
    name = "custom" if name.startswith("custom.") else name
    operation = document["webhooks"][name]["post"]
    for header in operation["parameters"]:
        assert request.all(header["name"]), f"{name} has no header {header['name']}"
        for value in request.all(header["name"]):
            _validate(document, header["schema"], value)
    content = operation["requestBody"]["content"]["application/json"]
    _validate(document, content["schema"], json.loads(request.body))


def _validate(document: Any, schema: Any, value: object) -> None:  # noqa: ANN401  as above
    problems = [one.message for one in Draft202012Validator({**document, **schema}).iter_errors(value)]
    assert problems == []
