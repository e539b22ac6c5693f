"""The routes of runs."""

from typing import Final

from litestar import Controller, get, post
from litestar.params import FromPath

from runwright.http.agh.auth import READS, WRITES, AghRequest
from runwright.http.agh.errors import MEDIA_TYPE
from runwright.http.agh.requests import list_runs, read_query
from runwright.http.agh.runs.schemas import (
    AnyRunQuery,
    RunAttemptList,
    RunEnvelope,
    RunList,
    run_attempt_out,
    run_out,
)
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Runs"


class RunRoutes(Controller):
    """The firings of jobs and triggers."""

    path = "/api/automation/runs"

    @get(
        "/",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List automation runs", tag=_TAG, query=AnyRunQuery).opt,
    )
    async def list_automation_runs(self, request: AghRequest) -> RunList:
        """Newest first."""
        query = read_query(request, AnyRunQuery)
        ids = tuple(id for id in (query.job_id, query.trigger_id) if id)
        return await list_runs(request, query, ids)

    @get(
        "/{run_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one automation run", tag=_TAG, errors=(404,)).opt,
    )
    async def get_automation_run(self, request: AghRequest, run_id: FromPath[str]) -> RunEnvelope:
        runs = services_of(request).automations.runs
        return RunEnvelope(run_out(await runs.get(request.user.tenant_id, run_id.strip())))

    @get(
        "/{run_id:str}/attempts",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List the attempts of one automation run", tag=_TAG, errors=(404,)).opt,
    )
    async def list_automation_run_attempts(
        self, request: AghRequest, run_id: FromPath[str]
    ) -> RunAttemptList:
        """In order; the last one has the state of the run (a Runwright extension)."""
        attempts = await services_of(request).automations.runs.attempts(
            request.user.tenant_id, run_id.strip()
        )
        return RunAttemptList([run_attempt_out(attempt) for attempt in attempts])

    @post(
        "/{run_id:str}/cancel",
        guards=[WRITES],
        status_code=200,
        media_type=MEDIA_TYPE,
        opt=Operation("Cancel one automation run", tag=_TAG, errors=(404, 409)).opt,
    )
    async def cancel_automation_run(self, request: AghRequest, run_id: FromPath[str]) -> RunEnvelope:
        """A waiting run ends at once; a running one when its agent stops (a Runwright extension)."""
        runs = services_of(request).automations.runs
        return RunEnvelope(run_out(await runs.cancel(request.user, run_id.strip())))
