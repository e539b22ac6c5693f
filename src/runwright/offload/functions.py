"""The pure functions, from bytes to bytes, that a separate process computes for the event loop."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from runwright.core.event_filters import compile_filter
from runwright.core.input_schema import InputsTooCostlyError, check_inputs, compiled_schema
from runwright.core.line_diff import StepBudget, diff_texts
from runwright.core.schema_rules import JsonSchemaError
from runwright.core.template_context import Json, TemplateContext
from runwright.core.webhook_body import OversizedBodyError, UnreadableBodyError, read_webhook_body
from runwright.gotemplate import RenderLimits, TemplateError, compile_template


class TemplateTask(msgspec.Struct, frozen=True):
    """A template to compile, and to render where there is a context: JSON text of a `TemplateContext`."""

    template: str
    context: bytes | None = None
    limits: RenderLimits | None = None


class TemplateResult(msgspec.Struct, frozen=True):
    """The rendered text and the warnings; or why there is none, while compiling or rendering."""

    text: str = ""
    warnings: list[str] = []
    error: str | None = None


class _StoredContext(msgspec.Struct, frozen=True):
    kind: str
    scope: str
    source: str
    workspace_id: str
    data: dict[str, Any]


def parse_context(raw: bytes | msgspec.Raw) -> TemplateContext:
    """Return the template context that is stored with a run as JSON text."""
    stored = msgspec.json.decode(raw, type=_StoredContext)
    return TemplateContext(**{name: getattr(stored, name) for name in _StoredContext.__struct_fields__})


def evaluate_template(task: TemplateTask) -> TemplateResult:
    """Compile and render a template."""
    try:
        template = compile_template(task.template)
        if task.context is None:
            return TemplateResult()
        text, warnings = template.render(parse_context(task.context), task.limits or RenderLimits())
    except TemplateError as error:
        return TemplateResult(error=str(error))
    except Exception as error:  # noqa: BLE001  whatever it is, it concerns this template only
        return TemplateResult(error=type(error).__name__)
    return TemplateResult(text, list(warnings))


def _evaluate_encoded(task: bytes) -> bytes:
    return msgspec.msgpack.encode(evaluate_template(msgspec.msgpack.decode(task, type=TemplateTask)))


def canonical_digest(text: bytes) -> bytes:
    """Return the SHA-256 of valid JSON text, the same for all ways to write its value."""
    return hashlib.sha256(msgspec.json.encode(msgspec.json.decode(text), order="sorted")).digest()


class WebhookTask(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a webhook, the context (JSON text) that its fields are added to, and a filter for both."""

    body: bytes
    context: bytes
    filter: dict[str, str]
    content_type: str = ""
    content_encoding: str = ""
    strict: bool = False
    """Whether a body that is not what its content type says is refused."""
    limit_bytes: int
    id_fields: tuple[str, ...] = ()
    """Fields of the body of which the first that is a text or a number identifies the delivery."""
    challenge: tuple[str, str, str] | None = None
    """A field, its value, and the field to echo where it has that value."""


class WebhookResult(msgspec.Struct, frozen=True):
    """Whether the filter matches, and then the whole context as JSON text; or why the body is refused."""

    matched: bool
    context: bytes = b""
    delivery_id: str | None = None
    challenge: str | None = None
    problem: str | None = None
    oversized: bool = False


def evaluate_webhook(task: WebhookTask) -> WebhookResult:
    """Return the template context of a webhook, if the filter matches.

    Its data is the body as text (`payload`), the body's fields, and what the context has already. That has
    priority, but for `headers` where the reading is not strict: there a field of the body may have that name.
    """
    try:
        body = read_webhook_body(
            task.body,
            content_type=task.content_type,
            content_encoding=task.content_encoding,
            strict=task.strict,
            limit_bytes=task.limit_bytes,
        )
    except UnreadableBodyError as error:
        return WebhookResult(matched=False, problem=str(error))
    except OversizedBodyError:
        return WebhookResult(matched=False, oversized=True)
    fields = body.fields or {}
    if task.challenge is not None and fields.get(task.challenge[0]) == task.challenge[1]:
        return WebhookResult(matched=False, challenge=str(fields.get(task.challenge[2], "")))
    context = parse_context(task.context)
    own = dict(context.data)
    if not task.strict and "headers" in fields:
        own.pop("headers", None)
    payload: dict[str, Json] = {"payload": body.text}
    context = msgspec.structs.replace(context, data=payload | fields | own)
    if not compile_filter(task.filter).matches(context):
        return WebhookResult(matched=False)
    return WebhookResult(
        matched=True, context=msgspec.json.encode(context), delivery_id=_delivery_id(fields, task.id_fields)
    )


def _delivery_id(fields: dict[str, Json], paths: Sequence[str]) -> str | None:
    """Return the first of these fields that is a text or a number."""
    for path in paths:
        value: Json = fields
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value and isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return None


def _evaluate_encoded_webhook(task: bytes) -> bytes:
    return msgspec.msgpack.encode(evaluate_webhook(msgspec.msgpack.decode(task, type=WebhookTask)))


class TextPair(msgspec.Struct, frozen=True):
    """A text file before and after."""

    path: str
    old: str
    new: str


class DiffTask(msgspec.Struct, frozen=True, kw_only=True):
    """Files to compare, with the steps and the length of the answer for all of them together."""

    files: list[TextPair]
    steps: int
    characters: int


class DiffedText(msgspec.Struct, frozen=True):
    """How many lines a file gained and lost, and the unified diff; None where there was no room for it."""

    added: int
    removed: int
    diff: str | None


class DiffResult(msgspec.Struct, frozen=True):
    """The diffs, in the order of the files."""

    diffs: list[DiffedText]


def diff_files(task: DiffTask) -> DiffResult:
    """Compare the lines of files."""
    budget, left = StepBudget(task.steps), task.characters
    diffs = []
    for file in task.files:
        found = diff_texts(file.old, file.new, budget)
        fits = len(found.text) <= left
        left -= len(found.text) if fits else 0
        diffs.append(DiffedText(found.added, found.removed, found.text if fits else None))
    return DiffResult(diffs)


def _diff_encoded(task: bytes) -> bytes:
    return msgspec.msgpack.encode(diff_files(msgspec.msgpack.decode(task, type=DiffTask)))


class SchemaProblem(msgspec.Struct, frozen=True):
    """Why inputs cannot be checked by a schema, and where in it."""

    path: str
    message: str


class CheckTask(msgspec.Struct, frozen=True):
    """Inputs, JSON texts of objects, to be checked by a schema."""

    schema: bytes
    inputs: list[bytes]


class CheckResult(msgspec.Struct, frozen=True):
    """The problems of each input; None where the inputs are too large for the schema."""

    problems: list[list[tuple[str, str]]] | None


def _check_schema(schema: bytes) -> bytes:
    problem = None
    try:
        compiled_schema(schema)
    except JsonSchemaError as error:
        problem = SchemaProblem(error.path, error.message)
    return msgspec.msgpack.encode(problem)


def _check_inputs(task: bytes) -> bytes:
    given = msgspec.msgpack.decode(task, type=CheckTask)
    result = CheckResult(None)
    try:
        found = check_inputs(compiled_schema(given.schema), given.inputs)
        result = CheckResult([list(problems) for problems in found])
    except InputsTooCostlyError:
        pass
    except JsonSchemaError as error:  # of another release's rules
        result = CheckResult(
            [[("", f"The input schema cannot be applied: {error.message}")]] * len(given.inputs)
        )
    return msgspec.msgpack.encode(result)


FUNCTIONS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "template": _evaluate_encoded,
    "digest": canonical_digest,
    "webhook": _evaluate_encoded_webhook,
    "diff": _diff_encoded,
    "schema": _check_schema,
    "inputs": _check_inputs,
}

MOST_PROCESSOR_SECONDS: Final = 10.0
"""How much of a processor one call may use."""

PROCESSOR_SECONDS: Final[Mapping[str, float]] = {"inputs": 1.0}
"""The same for functions whose own bound is too rough: what a pattern costs depends on the text."""
