"""A dialect's OpenAPI document, made from its routes themselves.

A route gives its path and methods, its guard the role, its `Operation` the summary, query and
body, its return type the success. The structs that requests fill in are the ones that check
them, so the document cannot say something else than the server does.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast, get_args, get_origin

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute

from runwright.core.roles import Role
from runwright.http.guards import Needs
from runwright.http.operations import Operation

Json = dict[str, Any]
"""A part of the document; OpenAPI's own structure is its type."""

REFERENCE: Final = "#/components/schemas/{name}"

_REFERENCE: Final = re.compile(r"#/components/schemas/([\w.]+)")
_INTERNAL: Final = re.compile(r"(?:[a-z]+\.)+|Wire\b|Wire(?=_)")
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CREATED: Final = 201
_JSON: Final = "application/json"
_AN_EVENT: Final[Json] = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON.",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
_PARAMETER: Final = re.compile(r"\{(\w+):\w+\}")


class DocumentStyle(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialect says of itself, and what all of its operations have."""

    prefix: str
    """Where its paths begin."""
    title: str
    introduction: str
    tags: tuple[str, ...]
    """The order in which the document shows its parts."""
    path_parameters: dict[str, Json]
    """The schemas of what paths hold."""
    security_schemes: dict[str, Json]
    parameters: dict[str, Json]
    """What every operation takes besides its own; `idempotencyKey` only those that say so."""
    headers: dict[str, Json]
    """What every success has."""
    errors: dict[int, Json]
    """The answers that are no success, by status; `types` are what they refer to."""
    types: tuple[type[msgspec.Struct], ...]
    any_route: tuple[int, ...]
    """The errors that any operation may answer."""
    any_body: tuple[int, ...]
    """And those of any that takes a body."""
    end_slash: bool = False
    """Whether paths are shown with a slash at their end."""


class _Types(msgspec.Struct, frozen=True):
    """The schemas of all types, and the name of each."""

    schemas: Json
    names: dict[Any, str]

    def reference(self, kind: Any) -> Json:  # noqa: ANN401  a type expression has no type
        return {"$ref": REFERENCE.format(name=self.names[kind])}


def describe_routes(routes: Iterable[BaseRoute], version: str, style: DocumentStyle) -> Json:
    """Return the OpenAPI document of every route of a dialect that has an operation."""
    operations = [found for found in _operations(routes) if found[0].startswith(style.prefix)]
    operations.sort(key=lambda found: (style.tags.index(found[3].tag), found[0]))
    types = _name_types(operations, style)
    paths: dict[str, Json] = {}
    for path, method, handler, operation in operations:
        shown = _PARAMETER.sub(r"{\1}", path) + ("/" if style.end_slash else "")
        paths.setdefault(shown, {})[method.lower()] = _describe(path, handler, operation, style, types)
    document = {
        "openapi": "3.1.0",
        "info": {"title": style.title, "version": version, "description": style.introduction},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in style.security_schemes],
        "tags": [{"name": tag} for tag in style.tags],
        "paths": paths,
        "components": {
            "securitySchemes": style.security_schemes,
            "parameters": style.parameters,
            "headers": style.headers,
            "responses": {str(status): answer for status, answer in style.errors.items()},
            "schemas": types.schemas,
        },
    }
    text = msgspec.json.encode(document).decode()
    renamed = _REFERENCE.sub(lambda found: REFERENCE.format(name=_public(found[1])), text)
    return cast("Json", msgspec.json.decode(renamed))


def needed_role(handler: HTTPRouteHandler) -> Role | None:
    """Return the role that the guard of a route asks for; None where no key is needed."""
    return next((guard.role for guard in handler.guards or () if isinstance(guard, Needs)), None)


def _operations(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, HTTPRouteHandler, Operation]]:
    for route in routes:
        if isinstance(route, HTTPRoute):
            for method in _METHODS:
                handler, *_ = route.route_handler_map.get(method, (None,))
                operation = handler.opt.get("operation") if handler else None
                if handler and isinstance(operation, Operation):
                    yield route.path, method, handler, operation


def _name_types(
    operations: Iterable[tuple[str, str, HTTPRouteHandler, Operation]], style: DocumentStyle
) -> _Types:
    kinds: list[Any] = list(style.types)
    for _, _, handler, operation in operations:
        success = _success_type(handler) if operation.produces == _JSON else None
        kinds += [kind for kind in (success, operation.query, operation.body) if kind]
    _, generated = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schemas = {_public(name): _without_title(schema) for name, schema in generated.items()}
    return _Types(schemas, {kind: _public(_schema_name(kind)) for kind in kinds})


def _public(name: str) -> str:
    """Return a schema's name without what only the code needs to know."""
    return _INTERNAL.sub("", name).rstrip("_")


def _without_title(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "title"}


def _schema_name(kind: Any) -> str:  # noqa: ANN401  a type expression has no type
    """Return the name that msgspec gives to a type among the components."""
    [reference], _ = msgspec.json.schema_components([kind], ref_template="{name}")
    return str(reference["$ref"])


def _describe(
    path: str, handler: HTTPRouteHandler, operation: Operation, style: DocumentStyle, types: _Types
) -> Json:
    role = needed_role(handler)
    # Not inspect.getdoc: for a handler without a docstring it finds the decorator's.
    notes = [inspect.cleandoc(handler.fn.__doc__ or ""), _access(role)]
    described: Json = {
        "operationId": handler.fn.__name__,
        "summary": operation.summary,
        "description": "\n\n".join(note for note in notes if note),
        "tags": [operation.tag],
        "parameters": _parameters(path, operation, style, types),
        "responses": _responses(handler, operation, style, types),
    }
    if role is None:
        described["security"] = []
    if operation.body is not None:
        content = {"schema": types.reference(operation.body)}
        content |= {"example": operation.example} if operation.example else {}
        described["requestBody"] = {"required": True, "content": {_JSON: content}}
    if operation.content is not None:
        described["requestBody"] = {"required": True, "content": operation.content}
    return described


def _access(role: Role | None) -> str:
    return "Needs no key." if role is None else f"Needs the role `{role.wire_name}` or above."


def _parameters(path: str, operation: Operation, style: DocumentStyle, types: _Types) -> list[Json]:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": style.path_parameters[name]}
        for name in _PARAMETER.findall(path)
    ]
    if operation.query is not None:
        schema = types.schemas[types.names[operation.query]]
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
    shared = [name for name in style.parameters if operation.idempotent or name != "idempotencyKey"]
    return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in shared]


def _responses(handler: HTTPRouteHandler, operation: Operation, style: DocumentStyle, types: _Types) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in style.headers}
    success: Json = {"headers": headers}
    kind = _success_type(handler)
    if operation.produces != _JSON:
        success["content"] = {operation.produces: {"schema": _AN_EVENT}}
    elif kind is not None:
        success["content"] = {_JSON: {"schema": types.reference(kind)}}
    statuses = {handler.status_code: "Success"}
    if operation.idempotent:
        statuses = {_CREATED: "Accepted", 200: "Accepted earlier, by a request with the same Idempotency-Key"}
    if operation.unchanged is not None:
        statuses = {_CREATED: "Created", 200: operation.unchanged}
    responses = {str(status): {"description": words, **success} for status, words in statuses.items()}
    takes_body = operation.body is not None or operation.content is not None
    failures = {*style.any_route, *operation.errors, *(style.any_body if takes_body else ())}
    for status in sorted(failures):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _success_type(handler: HTTPRouteHandler) -> Any:  # noqa: ANN401  as above
    """Return the type of a success; None where it has no body."""
    kind = handler.parsed_fn_signature.return_type.annotation
    if kind is type(None):
        return None
    return get_args(kind)[0] if get_origin(kind) is Response else kind
