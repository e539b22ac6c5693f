"""Checking what users send to workers by the workers' input schemas.

What is small is checked at once, by a compiled schema that is cached; the rest, and the list of all that is
wrong with an input, is made in the process beside the event loop. A check names the revision of the worker
that it was made for: the statement that inserts a job compares it, so that a cached schema which is not the
present one accepts nothing.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from runwright.core.errors import InvalidError, UnavailableError
from runwright.core.ids import WorkerId
from runwright.core.input_schema import (
    CompiledSchema,
    InputsTooCostlyError,
    Problem,
    check_inputs,
    compiled_schema,
)
from runwright.core.schema_rules import JsonSchemaError, measure_schema
from runwright.db.pool import Database, PoolConnection
from runwright.offload.client import Offload, OffloadError, OffloadTimeoutError
from runwright.offload.functions import CheckResult, CheckTask, SchemaProblem

SMALL_BYTES: Final = 4 * 1024
SMALL_PATTERNS: Final = 5
"""Larger schemas are compiled beside the event loop only."""

SMALL_PATTERN_BYTES: Final = (2_000, 8_000, 20_000)
"""Schemas with larger patterns, too; the smaller all of its patterns are, the larger inputs may be."""

SMALL_COST: Final = 20_000
"""Evaluations that are made at once: less than a millisecond."""

SMALL_PATTERN_NS: Final = 10_000_000
"""How long patterns may take at once, at worst."""

SMALL_PROBLEMS_COST: Final = 300
"""Evaluations whose every problem is described at once; a description takes as long as many evaluations."""

_PROBLEM_PASSES: Final = 3
"""How often an input is checked to describe its problems."""

_CACHED: Final = 512
_SMALL_SCHEMAS: Final = 64
TOO_COSTLY: Final = "Has too many or too large values to be checked by the worker's input schema."


class CheckedInputs(msgspec.Struct, frozen=True):
    """For which revision of the worker inputs were checked, and what is wrong with each of them."""

    revision: int
    problems: Sequence[Sequence[Problem]]


class _CachedSchema(msgspec.Struct, frozen=True):
    revision: int
    schema: CompiledSchema


class InputSchemas:
    """The input schemas of workers. Without `offload` everything is computed at once, as in tests."""

    def __init__(self, db: Database, offload: Offload | None = None) -> None:
        self._db = db
        self._offload = offload
        self._cached: OrderedDict[tuple[str, str], _CachedSchema] = OrderedDict()

    def known_revision(self, tenant_id: str, worker_id: WorkerId, text: bytes) -> int | None:
        """Return the revision for which an input is valid, as far as the cache knows; else None."""
        cached = self._cached.get((tenant_id, worker_id))
        if cached is None or not _is_valid(cached.schema, [text]):
            return None
        self._cached.move_to_end((tenant_id, worker_id))
        return cached.revision

    async def check(self, tenant_id: str, worker_id: WorkerId, inputs: Sequence[bytes]) -> CheckedInputs:
        """Check inputs by the worker's present schema; without one, and without a worker, all are valid.

        Raises UnavailableError where it cannot be computed now.
        """
        stored = await _fetch_schema(self._db, tenant_id, worker_id)
        if stored is None:
            return CheckedInputs(0, [() for _ in inputs])
        revision, text = stored
        small = _small_schema(text)
        if small is not None:
            self._remember(tenant_id, worker_id, _CachedSchema(revision, small))
        if small is not None and _is_valid(small, inputs):
            return CheckedInputs(revision, [() for _ in inputs])
        return CheckedInputs(revision, await self._problems(tenant_id, text, small, inputs))

    async def require_valid(self, tenant_id: str, schema: Mapping[str, Any]) -> None:
        """Raise InvalidError about `input_schema` where inputs cannot be checked by a schema."""
        text = msgspec.json.encode(schema)
        problem: SchemaProblem | None
        if self._offload is None:
            problem = _problem_of(text)
        else:
            answer = await self._call(tenant_id, "schema", text)
            problem = msgspec.msgpack.decode(answer, type=SchemaProblem | None)
        if problem is not None:
            name = f"input_schema.{problem.path}" if problem.path else "input_schema"
            raise InvalidError({name: [problem.message]})

    async def problems(self, tenant_id: str, schema: Mapping[str, Any], text: bytes) -> Sequence[Problem]:
        """Return what is wrong with an input by a schema that is valid, and that no worker may have yet."""
        encoded = msgspec.json.encode(schema)
        [found] = await self._problems(tenant_id, encoded, _small_schema(encoded), [text])
        return found

    async def _problems(
        self, tenant_id: str, text: bytes, small: CompiledSchema | None, inputs: Sequence[bytes]
    ) -> Sequence[Sequence[Problem]]:
        if small is not None and _is_quick(small, inputs, SMALL_PROBLEMS_COST, passes=_PROBLEM_PASSES):
            return check_inputs(small, inputs)
        if self._offload is None:
            try:
                return check_inputs(compiled_schema(text), inputs)
            except InputsTooCostlyError:
                return [[("", TOO_COSTLY)]] * len(inputs)
        task = msgspec.msgpack.encode(CheckTask(text, list(inputs)))
        try:
            answer = await self._call(tenant_id, "inputs", task)
        except OffloadTimeoutError:
            return [[("", TOO_COSTLY)]] * len(inputs)
        result = msgspec.msgpack.decode(answer, type=CheckResult)
        return [[("", TOO_COSTLY)]] * len(inputs) if result.problems is None else result.problems

    async def _call(self, tenant_id: str, function: str, argument: bytes) -> bytes:
        assert self._offload is not None  # noqa: S101  the callers have looked
        try:
            return await self._offload.call(tenant_id, function, argument)
        except OffloadTimeoutError:
            raise
        except OffloadError as error:
            raise UnavailableError(f"The input schema cannot be applied now: {error}.") from None

    def _remember(self, tenant_id: str, worker_id: WorkerId, found: _CachedSchema) -> None:
        self._cached[(tenant_id, worker_id)] = found
        self._cached.move_to_end((tenant_id, worker_id))
        if len(self._cached) > _CACHED:
            self._cached.popitem(last=False)


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raise InvalidError about `input` where there are problems with it."""
    fields: dict[str, list[str]] = {}
    for path, message in problems:
        fields.setdefault(f"input.{path}" if path else "input", []).append(message)
    if fields:
        raise InvalidError(fields)


async def refuse_tool_inputs(db: PoolConnection, inputs: Sequence[tuple[str, bytes]]) -> Sequence[str | None]:
    """Return, for each (worker, input) of a tool call, what is wrong with it in a sentence, or None.

    Large schemas and inputs are not checked: the transaction must not wait for another process.
    """
    rows = await db.fetch(
        "SELECT id, input_schema FROM workers WHERE id = ANY ($1) AND input_schema IS NOT NULL",
        [worker_id for worker_id, _ in inputs],
    )
    schemas = {row["id"]: _small_schema(bytes(row["input_schema"])) for row in rows}
    return [_refusal(schemas.get(worker_id), text) for worker_id, text in inputs]


def _refusal(schema: CompiledSchema | None, text: bytes) -> str | None:
    if schema is None or not _is_quick(schema, [text]) or schema.accepts(text):
        return None
    few = _is_quick(schema, [text], SMALL_PROBLEMS_COST, passes=_PROBLEM_PASSES)
    problems = schema.problems(text) if few else [schema.first_problem(text)]
    return " ".join(f"{f'input.{path}' if path else 'input'}: {message}" for path, message in problems)


def _is_valid(schema: CompiledSchema, inputs: Sequence[bytes]) -> bool:
    return _is_quick(schema, inputs) and all(map(schema.accepts, inputs))


def _is_quick(
    schema: CompiledSchema, inputs: Sequence[bytes], cost: int = SMALL_COST, *, passes: int = 1
) -> bool:
    """Return whether inputs may be checked on the event loop, so many times."""
    return (
        sum(map(schema.cost, inputs)) <= cost
        and passes * sum(map(schema.pattern_nanoseconds, inputs)) <= SMALL_PATTERN_NS
        and not any(map(schema.computes_with_large_numbers, inputs))
    )


@lru_cache(_SMALL_SCHEMAS)
def _small_schema(text: bytes) -> CompiledSchema | None:
    """Return a schema that may be compiled on the event loop; None for others."""
    if len(text) > SMALL_BYTES:
        return None
    with contextlib.suppress(JsonSchemaError):  # of another release's rules; the other process reports it
        if measure_schema(msgspec.json.decode(text)).patterns > SMALL_PATTERNS:
            return None
        for pattern_bytes in SMALL_PATTERN_BYTES:
            with contextlib.suppress(JsonSchemaError):
                return CompiledSchema(msgspec.json.decode(text), pattern_bytes)
    return None


def _problem_of(text: bytes) -> SchemaProblem | None:
    try:
        compiled_schema(text)
    except JsonSchemaError as error:
        return SchemaProblem(error.path, error.message)
    return None


async def _fetch_schema(db: Database, tenant_id: str, worker_id: WorkerId) -> tuple[int, bytes] | None:
    row = await db.fetchrow(
        "SELECT revision, input_schema FROM workers WHERE tenant_id = $1 AND id = $2", tenant_id, worker_id
    )
    if row is None or row["input_schema"] is None:
        return None
    return row["revision"], bytes(row["input_schema"])
