"""The routes of runs."""

from typing import Final

from runwright.core.ids import RunId
from runwright.http.agh.auth import READS, RUNS
from runwright.http.agh.errors import AGH
from runwright.http.agh.requests import WaitQuery, page_of, read_query, time_cursor
from runwright.http.agh.runs.schemas import (
    AnyRunQuery,
    RunAttemptList,
    RunEnvelope,
    RunList,
    RunQuery,
    run_attempt_out,
    run_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes


async def list_runs(request: Request, query: RunQuery, automation_ids: tuple[str, ...]) -> RunList:
    """Return the page of runs that a query selects."""
    which, before = query.filter(automation_ids), time_cursor(query)
    found = await request.services.automations.runs.list(
        request.tenant_id, which, before=before, limit=query.rows + 1
    )
    rows, cursor = page_of(found, query.rows, lambda run: (run.started_at, run.id))
    return RunList(runs=[run_out(run) for run in rows], next_cursor=cursor)


ROUTES: Final = Routes(AGH, "/api/automation/runs", tag="Runs")


@ROUTES.add("GET", "", READS, "List automation runs", query=AnyRunQuery)
async def list_automation_runs(request: Request) -> RunList:
    """Newest first."""
    query = read_query(request, AnyRunQuery)
    ids = tuple(id for id in (query.job_id, query.trigger_id) if id)
    return await list_runs(request, query, ids)


@ROUTES.add("GET", "/{run_id}", READS, "Get one automation run", errors=(404,))
async def get_automation_run(request: Request) -> RunEnvelope:
    runs = request.services.automations.runs
    return RunEnvelope(run_out(await runs.get(request.tenant_id, RunId(request.params["run_id"].strip()))))


@ROUTES.add("GET", "/{run_id}/attempts", READS, "List the attempts of one automation run", errors=(404,))
async def list_automation_run_attempts(request: Request) -> RunAttemptList:
    """In order; the last one has the state of the run (a Runwright extension)."""
    attempts = await request.services.automations.runs.attempts(
        request.tenant_id, RunId(request.params["run_id"].strip())
    )
    return RunAttemptList([run_attempt_out(attempt) for attempt in attempts])


@ROUTES.add(
    "POST",
    "/{run_id}/retry",
    RUNS,
    "Run one automation run again",
    status=200,
    query=WaitQuery,
    errors=(404, 409),
)
async def retry_automation_run(request: Request) -> RunEnvelope:
    """Answers with a new run, for the same event, webhook or time, as its automation is defined now.

    `wait` waits for its end (default 0). A Runwright extension.
    """
    query = read_query(request, WaitQuery)
    runs = request.services.automations.runs
    run = await runs.retry(request.caller, RunId(request.params["run_id"].strip()))
    if query.wait:
        run = await runs.wait(request.tenant_id, run.id, query.wait)
    return RunEnvelope(run_out(run))


@ROUTES.add("POST", "/{run_id}/cancel", RUNS, "Cancel one automation run", status=200, errors=(404, 409))
async def cancel_automation_run(request: Request) -> RunEnvelope:
    """A waiting run ends at once; a running one when its agent stops (a Runwright extension)."""
    runs = request.services.automations.runs
    return RunEnvelope(run_out(await runs.cancel(request.caller, RunId(request.params["run_id"].strip()))))
