"""Read requests, and list runs."""

from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from runwright.http.agh.loose_json import decode_loosely
from runwright.http.agh.queries import page_of, parse_query, time_cursor
from runwright.http.agh.runs.schemas import RunList, RunQuery, run_out
from runwright.http.request import Request
from runwright.http.validation import Validator

S = TypeVar("S", bound=msgspec.Struct)

BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024


class LooseValidator(Validator[S]):
    """Decodes bodies and queries with the tolerance of Go; `what` names a body in error messages."""

    def __init__(self, struct: type[S], what: str) -> None:
        super().__init__(struct)
        self._what = what

    def from_json(self, body: bytes | msgspec.Raw) -> S:
        """Return the struct in a JSON body."""
        return decode_loosely(bytes(body), self.struct, self._what)

    def from_query(self, query: bytes) -> S:
        """Return the struct in a query string."""
        return parse_query(query, self.struct)


@cache
def _validator(kind: type[msgspec.Struct], what: str = "") -> LooseValidator[Any]:
    return LooseValidator(kind, what)


async def read_body(request: Request, kind: type[S], what: str) -> S:
    """Return the struct of a request's body; `what` names it in error messages."""
    body: S = await request.body(_validator(kind, what), limit_bytes=BODY_LIMIT_BYTES)
    return body


def read_query(request: Request, kind: type[S]) -> S:
    """Return the struct of a request's query string."""
    query: S = request.query(_validator(kind))
    return query


async def list_runs(request: Request, query: RunQuery, automation_ids: tuple[str, ...]) -> RunList:
    """Return the page of runs that a query selects."""
    which, before = query.filter(automation_ids), time_cursor(query)
    found = await request.services.automations.runs.list(
        request.tenant_id, which, before=before, limit=query.rows + 1
    )
    rows, cursor = page_of(found, query.rows, lambda run: (run.started_at, run.id))
    return RunList(runs=[run_out(run) for run in rows], next_cursor=cursor)
