"""The OpenAPI document of a dialect, made from its routes.

The structs in it are the ones that handlers validate requests with and return: `Request.query` and
`Request.body` refuse to read any other, and the return type is checked by the type checker. A struct
with a class variable `openapi_name` has that name among the components; else `JobOut` is `Job`.
"""

import asyncio
import inspect
import re
from collections.abc import Callable, Iterable
from functools import partial
from types import UnionType
from typing import Any, Final, cast, get_args, get_origin, get_type_hints

import msgspec
from starlette.responses import Response

from runwright.core.roles import Role
from runwright.http.request import Request
from runwright.http.response import EVENT_STREAM, JSON, Reply
from runwright.http.routing import Dialect, Handler, Route, Routes

Json = dict[str, Any]
"""A part of the document; OpenAPI's own structure is its type."""

REFERENCE: Final = "#/components/schemas/{name}"

_REFERENCE: Final = re.compile(r"#/components/schemas/([\w.]+)")
_MODULE: Final = re.compile(r"[a-z]+\.(?:[a-z_]+\.)*")
_WORD: Final = re.compile(r"[A-Za-z]+")
_NOT_WORD: Final = re.compile(r"[^a-z0-9]+")
_CREATED: Final = 201
_EVENT: Final[Json] = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON.",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class SentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that the server sends, by POST: the document has it among the webhooks."""

    summary: str
    description: str
    body: Json
    """The schema; it refers to those of `types`, by the names of their classes."""
    headers: dict[str, Json]
    """The headers by name, each with a description and a schema."""
    answers: dict[str, Json]
    """The responses by status."""


class DocumentStyle(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a dialect's document that do not come from its routes."""

    title: str
    introduction: str
    tags: tuple[str, ...]
    """The order in which the document shows its parts."""
    path_parameters: dict[str, Json]
    """The schemas of the parameters of paths."""
    security_schemes: dict[str, Json]
    parameters: dict[str, Json]
    """The parameters of every operation; `idempotencyKey` only of those that declare it."""
    headers: dict[str, Json]
    """The headers of every success."""
    errors: dict[int, Json]
    """The error responses by status; `types` are the structs that they refer to."""
    types: tuple[type[msgspec.Struct], ...]
    any_route: tuple[int, ...]
    """The errors that any operation may answer with."""
    any_body: tuple[int, ...]
    """And those of any operation with a body."""
    webhooks: dict[str, SentRequest] = {}
    """What the server sends, by the name of the event."""
    end_slash: bool = False
    """Whether paths are shown with a slash at their end."""


class _Types(msgspec.Struct, frozen=True):
    """The schemas of all types, and the name of each."""

    schemas: Json
    names: dict[Any, str]

    def reference(self, kind: Any) -> Json:  # noqa: ANN401  a type expression has no type
        return {"$ref": REFERENCE.format(name=self.names[kind])}


def describe_routes(routes: Iterable[Route], version: str, style: DocumentStyle) -> Json:
    """Return the OpenAPI document of the routes that have a summary."""
    documented = [route for route in routes if route.summary]
    documented.sort(key=lambda route: (style.tags.index(route.tag), route.path))
    public = partial(_public, _public_names(documented, style))
    types = _name_types(documented, style, public)
    paths: dict[str, Json] = {}
    for route in documented:
        path = route.path + ("/" if style.end_slash else "")
        paths.setdefault(path, {})[route.method.lower()] = _describe(route, style, types)
    document: Json = {
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
            "responses": {str(status): response for status, response in style.errors.items()},
            "schemas": types.schemas,
        },
    }
    if style.webhooks:
        sent = {name: {"post": _describe_sent(name, one)} for name, one in style.webhooks.items()}
        document["webhooks"] = sent
    _drop_unfit_defaults(document)
    text = msgspec.json.encode(document).decode()
    renamed = _REFERENCE.sub(lambda found: REFERENCE.format(name=public(found[1])), text)
    return _without_unused(cast("Json", msgspec.json.decode(renamed)))


def number_header(description: str, *, required: bool = False) -> Json:
    """Return the description of a header with a number."""
    return {"description": description, "required": required, "schema": {"type": "integer", "minimum": 0}}


class LateDocument:
    """A document that is made when it is first read, as most servers never show it.

    It takes half a second and 5 MB, so it is made once, in a thread.
    """

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._made: bytes | None = None

    async def read(self) -> bytes:
        """Return the document."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            return self._made


def document_route(dialect: Dialect, prefix: str, describe: Callable[[], Json]) -> Routes:
    """Return the route that serves a document."""
    document = LateDocument(lambda: msgspec.json.encode(describe()))
    routes = Routes(dialect, prefix)

    @routes.add("GET", "/openapi.json", None)
    async def show_document(_: Request) -> Response:
        return Response(await document.read(), media_type=JSON)

    return routes


def _drop_unfit_defaults(part: Any) -> None:  # noqa: ANN401  any part of a document
    """Remove the empty defaults of texts with a format or an enum: such a field is left out."""
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _drop_unfit_defaults(value)
    if isinstance(part, dict) and part.get("default") == "" and ("format" in part or "enum" in part):
        del part["default"]


def _without_unused(document: Json) -> Json:
    """Return a document without the schemas that nothing refers to: fields of queries are parameters."""
    schemas: Json = document["components"]["schemas"]
    rest = {**document, "components": {**document["components"], "schemas": {}}}
    used: set[str] = set()
    left = set(_REFERENCE.findall(msgspec.json.encode(rest).decode()))
    while left:
        used |= left
        texts = [msgspec.json.encode(schemas[name]).decode() for name in left if name in schemas]
        left = {found for text in texts for found in _REFERENCE.findall(text)} - used
    rest["components"]["schemas"] = {name: schemas[name] for name in schemas if name in used}
    return rest


def success_type(handler: Handler) -> Any:  # noqa: ANN401  a type expression has no type
    """Return the type of a handler's success; None if it has no JSON body."""
    kind = get_type_hints(handler, include_extras=True)["return"]
    if get_origin(kind) is Reply:
        kind = get_args(kind)[0]
    if isinstance(kind, UnionType):  # a body, or a response of the handler's own
        [kind] = (one for one in get_args(kind) if not issubclass(one, Response))
    return None if kind in {type(None), Response} else kind


def _kinds(routes: Iterable[Route], style: DocumentStyle) -> list[Any]:
    kinds: list[Any] = list(style.types)
    for route in routes:
        success = success_type(route.handler) if route.produces == JSON else None
        kinds += [kind for kind in (success, route.query, route.body) if kind]
    return kinds


def _public_names(routes: Iterable[Route], style: DocumentStyle) -> dict[str, str]:
    """Return the `openapi_name` of every struct that has one, by the name of its class."""
    found: dict[type[msgspec.Struct], None] = {}
    for kind in _kinds(routes, style):
        _collect_structs(kind, found)
    return {
        struct.__name__: vars(struct)["openapi_name"] for struct in found if "openapi_name" in vars(struct)
    }


def _collect_structs(kind: Any, found: dict[type[msgspec.Struct], None]) -> None:  # noqa: ANN401  as above
    for part in get_args(kind):
        _collect_structs(part, found)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
        found[kind] = None
        for field in msgspec.structs.fields(kind):
            _collect_structs(field.type, found)


def _public(names: dict[str, str], name: str) -> str:
    """Return the public name for msgspec's name of a schema: `Data_JobOut_` is `Data_Job`."""
    name = _MODULE.sub("", name)
    return _WORD.sub(lambda word: names.get(word[0], word[0].removesuffix("Out")), name).rstrip("_")


def _name_types(routes: Iterable[Route], style: DocumentStyle, public: Callable[[str], str]) -> _Types:
    kinds = _kinds(routes, style)
    _, generated = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schemas = {public(name): _tidied(schema) for name, schema in generated.items()}
    return _Types(schemas, {kind: public(_schema_name(kind)) for kind in kinds})


def _tidied(schema: Json) -> Json:
    """Return a schema without its title, and with its description as Python 3.13 keeps docstrings."""
    tidied = {key: value for key, value in schema.items() if key != "title"}
    if "description" in tidied:
        tidied["description"] = inspect.cleandoc(tidied["description"])
    return tidied


def _schema_name(kind: Any) -> str:  # noqa: ANN401  as above
    """Return msgspec's name for a type among the components."""
    [reference], _ = msgspec.json.schema_components([kind], ref_template="{name}")
    return str(reference["$ref"])


def _describe(route: Route, style: DocumentStyle, types: _Types) -> Json:
    role = None if route.access is None else route.access.role
    notes = [inspect.cleandoc(route.handler.__doc__ or ""), _access(role)]
    described: Json = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": "\n\n".join(note for note in notes if note),
        "tags": [route.tag],
        "parameters": _parameters(route, style, types),
        "responses": _responses(route, style, types),
    }
    if role is None:
        described["security"] = []
    if route.body is not None:
        content = {"schema": types.reference(route.body)}
        content |= {"example": route.example} if route.example else {}
        described["requestBody"] = {"required": True, "content": {JSON: content}}
    if route.content is not None:
        described["requestBody"] = {"required": True, "content": route.content}
    return described


def _describe_sent(name: str, sent: SentRequest) -> Json:
    return {
        "operationId": "send_" + _NOT_WORD.sub("_", name).strip("_"),
        "summary": sent.summary,
        "description": sent.description,
        "tags": ["Webhooks"],
        "security": [],
        "parameters": [
            {"name": header, "in": "header", "required": True, **described}
            for header, described in sent.headers.items()
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": sent.body}}},
        "responses": sent.answers,
    }


def _access(role: Role | None) -> str:
    return "Needs no key." if role is None else f"Needs the role `{role.wire_name}` or above."


def _parameters(route: Route, style: DocumentStyle, types: _Types) -> list[Json]:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": style.path_parameters[name]}
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        schema = types.schemas[types.names[route.query]]
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
    parameters += [{"in": "header", **header} for header in route.headers]
    shared = [name for name in style.parameters if route.idempotent or name != "idempotencyKey"]
    return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in shared]


def _responses(route: Route, style: DocumentStyle, types: _Types) -> Json:
    success: Json = {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in style.headers}}
    if route.produces != JSON:
        sent = _EVENT if route.produces == EVENT_STREAM else {"type": "string"}
        success["content"] = {route.produces: {"schema": sent}}
    elif (kind := success_type(route.handler)) is not None:
        success["content"] = {JSON: {"schema": types.reference(kind)}}
    statuses = {route.status: "Success"}
    if route.idempotent:
        statuses = {_CREATED: "Accepted", 200: "Accepted earlier, by a request with the same Idempotency-Key"}
    if route.unchanged is not None:
        statuses = {max(route.status, _CREATED): "Created", 200: route.unchanged}
    responses = {str(status): {"description": words, **success} for status, words in statuses.items()}
    takes_body = route.body is not None or route.content is not None
    failures = {*style.any_route, *route.errors, *(style.any_body if takes_body else ())}
    for status in sorted(failures):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses
