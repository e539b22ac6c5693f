"""Read requests, and list runs."""

from typing import Final, TypeVar

import msgspec

from runwright.http.agh.auth import AghRequest
from runwright.http.agh.loose_json import decode_loosely
from runwright.http.agh.queries import page_of, parse_query, time_cursor
from runwright.http.agh.runs.schemas import RunList, RunQuery, run_out
from runwright.http.body import read_any_body
from runwright.http.services import services_of

S = TypeVar("S", bound=msgspec.Struct)

BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024


async def read_body(request: AghRequest, kind: type[S], what: str) -> S:
    """Return the struct of a request's body; `what` names it in error messages."""
    headers = dict(request.scope["headers"])
    body = await read_any_body(headers, request.receive, request.app.state.edge, limit_bytes=BODY_LIMIT_BYTES)
    return decode_loosely(body, kind, what)


def read_query(request: AghRequest, kind: type[S]) -> S:
    """Return the struct of a request's query string."""
    return parse_query(request.scope["query_string"], kind)


async def list_runs(request: AghRequest, query: RunQuery, automation_ids: tuple[str, ...]) -> RunList:
    """Return the page of runs that a query selects."""
    which, before = query.filter(automation_ids), time_cursor(query)
    found = await services_of(request).automations.runs.list(
        request.user.tenant_id, which, before=before, limit=query.rows + 1
    )
    rows, cursor = page_of(found, query.rows, lambda run: (run.started_at, run.id))
    return RunList(runs=[run_out(run) for run in rows], next_cursor=cursor)
