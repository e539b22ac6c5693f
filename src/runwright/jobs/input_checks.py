"""Checking the inputs of submissions by the input schemas of their workers."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from runwright.core.errors import InvalidError
from runwright.core.ids import WorkerId
from runwright.jobs.store.submit import Submission
from runwright.workers.input_schemas import InputSchemas

_MOST_PROBLEMS: Final = 100

FieldOf = Callable[[int], str]
"""Returns the name of the field that holds the input of a submission, by its index."""


async def checked_inputs(
    schemas: InputSchemas, items: Sequence[Submission], field_of: FieldOf
) -> Sequence[Submission]:
    """Return submissions of a tenant whose inputs match the present schemas of their workers.

    InvalidError names what does not match.
    """
    by_worker: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        if item.schema_revision is not None:
            by_worker.setdefault(item.worker_id, []).append(index)
    problems, checked = dict[str, list[str]](), list(items)
    for worker_id, indexes in by_worker.items():
        inputs = [items[index].input for index in indexes]
        found = await schemas.check(items[0].tenant_id, WorkerId(worker_id), inputs)
        for index, wrong in zip(indexes, found.problems, strict=True):
            checked[index] = replace(items[index], schema_revision=found.revision)
            for path, message in wrong:
                name = f"{field_of(index)}.{path}" if path else field_of(index)
                problems.setdefault(name, []).append(message)
        if len(problems) >= _MOST_PROBLEMS:
            break
    if problems:
        raise InvalidError(dict(islice(problems.items(), _MOST_PROBLEMS)))
    return checked
