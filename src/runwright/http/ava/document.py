"""The OpenAPI document, made from the routes themselves.

A route gives its path and methods, its guard the role, its `Operation` the summary, query and
body, its return type the success. The structs that requests fill in are the ones that check
them, so the document cannot say something else than the server does.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final, cast, get_args, get_origin

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute

from runwright.core.roles import ROLES, Role
from runwright.http.ava.auth import Needs
from runwright.http.ava.errors import MEANINGS, ErrorBody
from runwright.http.ava.operations import TAGS, Operation
from runwright.http.ava.version_forms import VERSION_PATTERN
from runwright.http.ava.worker_rules import ENV_NAME

Json = dict[str, Any]
"""A part of the document; OpenAPI's own structure is its type."""

_REFS: Final = "#/components/schemas/{name}"
_REFERENCE: Final = re.compile(r"#/components/schemas/([\w.]+)")
_INTERNAL: Final = re.compile(r"(?:[a-z]+\.)+|Wire\b|Wire(?=_)")
_EVERY_ERROR: Final = (400, 401, 403, 500, 503)
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_BODY_ERRORS: Final = (408, 413)
_CREATED: Final = 201
_JSON: Final = "application/json"
_AN_EVENT: Final[Json] = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON.",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
_PARAMETER: Final = re.compile(r"\{(\w+):\w+\}")
_ID_PATTERNS: Final = {
    "version": VERSION_PATTERN,
    "name": ENV_NAME,
    "worker_id": "^wkr_[0-9a-z]{26}$",
    "job_id": "^job_[0-9a-z]{26}$",
    "schedule_id": "^sch_[0-9a-z]{26}$",
    "webhook_id": "^wh_[0-9a-z]{26}$",
    "delivery_id": "^whd_[0-9a-z]{26}$",
}

_INTRODUCTION: Final = """\
Define workers (code to run), run them as jobs, read what they logged.

Every success is `{"data": …}`; lists add `pagination`. Times are ISO 8601 in UTC with milliseconds.
Every response has `x-request-id`; send your own (letters, digits, `_`, `-`, at most 64) to find it again.

A platform key names tenant, user and role in the headers, all three. A tenant key is bound to one tenant
and one highest role: the headers are optional, may lower the role, and get 403 where they claim more.
Reads need any role, writes `tenant-system-admin` or above."""


def describe_api(routes: Iterable[BaseRoute], version: str) -> Json:
    """Return the OpenAPI document of every route that has an operation."""
    operations = sorted(_operations(routes), key=lambda found: (TAGS.index(found[3].tag), found[0]))
    types: list[Any] = [ErrorBody]
    for _, _, handler, operation in operations:
        success = _success_type(handler) if operation.produces == _JSON else None
        types += [kind for kind in (success, operation.query, operation.body) if kind]
    _, generated = msgspec.json.schema_components(types, ref_template=_REFS)
    schemas = {_public(name): _without_title(schema) for name, schema in generated.items()}
    names = {kind: _public(_schema_name(kind)) for kind in types}
    paths: dict[str, Json] = {}
    for path, method, handler, operation in operations:
        described = _describe(path, handler, operation, schemas, names)
        paths.setdefault(_PARAMETER.sub(r"{\1}", path), {})[method.lower()] = described
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Runwright: AVA Workers API", "version": version, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{"internalSecret": []}, {"bearer": []}],
        "tags": [{"name": tag} for tag in TAGS],
        "paths": paths,
        "components": _components(schemas),
    }
    text = msgspec.json.encode(document).decode()
    renamed = _REFERENCE.sub(lambda found: _REFS.format(name=_public(found[1])), text)
    return cast("Json", msgspec.json.decode(renamed))


def _public(name: str) -> str:
    """Return a schema's name without what only the code needs to know."""
    return _INTERNAL.sub("", name).rstrip("_")


def _without_title(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "title"}


def _operations(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, HTTPRouteHandler, Operation]]:
    for route in routes:
        if isinstance(route, HTTPRoute):
            for method in _METHODS:
                handler, *_ = route.route_handler_map.get(method, (None,))
                operation = handler.opt.get("operation") if handler else None
                if handler and isinstance(operation, Operation):
                    yield route.path, method, handler, operation


def _describe(
    path: str,
    handler: HTTPRouteHandler,
    operation: Operation,
    schemas: Json,
    names: dict[Any, str],
) -> Json:
    role = needed_role(handler)
    # Not inspect.getdoc: for a handler without a docstring it finds the decorator's.
    notes = [inspect.cleandoc(handler.fn.__doc__ or ""), f"Needs the role `{role.wire_name}` or above."]
    described: Json = {
        "operationId": handler.fn.__name__,
        "summary": operation.summary,
        "description": "\n\n".join(note for note in notes if note),
        "tags": [operation.tag],
        "parameters": _parameters(path, operation, schemas, names),
        "responses": _responses(handler, operation, names),
    }
    if operation.body is not None:
        reference = {"$ref": _REFS.format(name=names[operation.body])}
        content = {"schema": reference} | ({"example": operation.example} if operation.example else {})
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    if operation.content is not None:
        described["requestBody"] = {"required": True, "content": operation.content}
    return described


def needed_role(handler: HTTPRouteHandler) -> Role:
    """Return the role that the guard of a route asks for."""
    return next(guard.role for guard in handler.guards or () if isinstance(guard, Needs))


def _parameters(path: str, operation: Operation, schemas: Json, names: dict[Any, str]) -> list[Json]:
    parameters: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": _ID_PATTERNS[name]},
        }
        for name in _PARAMETER.findall(path)
    ]
    if operation.query is not None:
        schema = schemas[names[operation.query]]
        for name, property_schema in schema["properties"].items():
            parameters.append(
                {
                    "name": name,
                    "in": "query",
                    "description": property_schema.get("description", ""),
                    "required": name in schema.get("required", ()),
                    "schema": {key: value for key, value in property_schema.items() if key != "description"},
                }
            )
    shared = ["tenant", "user", "role", "requestId"] + (["idempotencyKey"] if operation.idempotent else [])
    return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in shared]


def _responses(handler: HTTPRouteHandler, operation: Operation, names: dict[Any, str]) -> Json:
    success: Json = {"headers": {"x-request-id": {"$ref": "#/components/headers/requestId"}}}
    kind = _success_type(handler)
    if operation.produces != _JSON:
        success["content"] = {operation.produces: {"schema": _AN_EVENT}}
    elif kind is not None:
        success["content"] = {_JSON: {"schema": {"$ref": _REFS.format(name=names[kind])}}}
    statuses = {handler.status_code: "Success"}
    if operation.idempotent:
        statuses = {_CREATED: "Accepted", 200: "Accepted earlier, by a request with the same Idempotency-Key"}
    if operation.unchanged is not None:
        statuses = {_CREATED: "Created", 200: operation.unchanged}
    responses = {str(status): {"description": words, **success} for status, words in statuses.items()}
    takes_body = operation.body is not None or operation.content is not None
    failures = {*_EVERY_ERROR, *operation.errors, *(_BODY_ERRORS if takes_body else ())}
    for status in sorted(failures):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _success_type(handler: HTTPRouteHandler) -> Any:  # noqa: ANN401  a type expression has no type
    """Return the type of a success; None where it has no body."""
    kind = handler.parsed_fn_signature.return_type.annotation
    if kind is type(None):
        return None
    return get_args(kind)[0] if get_origin(kind) is Response else kind


def _schema_name(kind: Any) -> str:  # noqa: ANN401  as above
    """Return the name that msgspec gives to a type among the components."""
    [reference], _ = msgspec.json.schema_components([kind], ref_template="{name}")
    return str(reference["$ref"])


def _components(schemas: Json) -> Json:
    return {
        "securitySchemes": {
            "internalSecret": {"type": "apiKey", "in": "header", "name": "x-internal-secret"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
        "parameters": _shared_parameters(),
        "headers": {
            "requestId": {
                "description": "The id of this request; in an error also `error.request_id`.",
                "required": True,
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
            }
        },
        "responses": {str(meaning.status): _error_response(code) for code, meaning in MEANINGS.items()},
        "schemas": schemas,
    }


def _shared_parameters() -> Json:
    an_id = {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"}

    def header(name: str, description: str, schema: Json) -> Json:
        return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}

    return {
        "tenant": header("x-tenant-id", "For which tenant. Required with a platform key.", an_id),
        "user": header("x-user-id", "For which user. Required with a platform key.", an_id),
        "role": header(
            "x-platform-role",
            "In which role. Required with a platform key.",
            {"type": "string", "enum": list(ROLES)},
        ),
        "requestId": header(
            "x-request-id",
            "Your own id for this request: letters, digits, `_`, `-`, at most 64; another form is replaced.",
            {"type": "string"},
        ),
        "idempotencyKey": header(
            "Idempotency-Key",
            "The same key with the same body within 24 hours returns the first answer with 200; "
            "with another body it is a 409.",
            {"type": "string", "pattern": "^[ -~]{1,255}$"},
        ),
    }


def _error_response(code: str) -> Json:
    meaning = MEANINGS[code]
    return {
        "description": f"{HTTPStatus(meaning.status).phrase} (`{meaning.code}`): {meaning.when}",
        "headers": {"x-request-id": {"$ref": "#/components/headers/requestId"}},
        "content": {"application/json": {"schema": {"$ref": _REFS.format(name="ErrorBody")}}},
    }
