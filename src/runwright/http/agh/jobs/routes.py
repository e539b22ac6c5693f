"""The routes of jobs."""

from typing import Final

from msgspec import UNSET

from runwright.automations.model import AutomationKind
from runwright.http.agh.auth import READS, RUNS, WRITES
from runwright.http.agh.definitions import (
    change_definition,
    delete_definition,
    get_definition,
    list_definitions,
    list_runs_of,
)
from runwright.http.agh.errors import AGH
from runwright.http.agh.jobs.schemas import (
    JobEnvelope,
    JobIn,
    JobList,
    JobPatch,
    JobQuery,
    job_create,
    job_out,
    job_patch,
)
from runwright.http.agh.requests import DEFAULT_WAIT_SECONDS, WaitQuery, read_body, read_query
from runwright.http.agh.runs.schemas import RunEnvelope, RunList, RunQuery, run_out
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AGH, "/api/automation/jobs", tag="Jobs")


@ROUTES.add("GET", "", READS, "List automation jobs", query=JobQuery)
async def list_automation_jobs(request: Request) -> JobList:
    """By name."""
    query = read_query(request, JobQuery)
    rows, cursor = await list_definitions(request, AutomationKind.JOB, query)
    return JobList(jobs=[job_out(one) for one in rows], next_cursor=cursor)


@ROUTES.add(
    "POST",
    "",
    WRITES,
    "Create an automation job",
    body=JobIn,
    errors=(409,),
    example={
        "scope": "global",
        "name": "Morning digest",
        "agent_name": "digest",
        "prompt": "Sum up what happened since yesterday.",
        "schedule": {"mode": "cron", "expr": "0 8 * * mon-fri"},
    },
)
async def create_automation_job(request: Request) -> JobEnvelope:
    """The agent need not exist before the job fires."""
    body = await read_body(request, JobIn, "automation job create")
    definitions = request.services.automations.definitions
    return JobEnvelope(job_out(await definitions.create(request.caller, job_create(body))))


@ROUTES.add("GET", "/{job_id}", READS, "Get one automation job", errors=(404,))
async def get_automation_job(request: Request) -> JobEnvelope:
    return JobEnvelope(job_out(await get_definition(request, AutomationKind.JOB, request.params["job_id"])))


@ROUTES.add(
    "PATCH",
    "/{job_id}",
    WRITES,
    "Update one automation job",
    body=JobPatch,
    errors=(404, 409),
    example={"enabled": False},
)
async def update_automation_job(request: Request) -> JobEnvelope:
    """Objects are replaced as a whole. Of a job from a file only `enabled` can be changed."""
    body = await read_body(request, JobPatch, "automation job update")
    return JobEnvelope(
        job_out(
            await change_definition(request, AutomationKind.JOB, request.params["job_id"], job_patch(body))
        )
    )


@ROUTES.add("DELETE", "/{job_id}", WRITES, "Delete one automation job", errors=(404, 409))
async def delete_automation_job(request: Request) -> None:
    """Its runs are kept."""
    await delete_definition(request, AutomationKind.JOB, request.params["job_id"])


@ROUTES.add(
    "POST",
    "/{job_id}/trigger",
    RUNS,
    "Trigger one automation job immediately",
    status=200,
    query=WaitQuery,
    errors=(404, 409),
)
async def trigger_automation_job(request: Request) -> RunEnvelope:
    """Responds when the run has ended, or after `wait` seconds (default 30). A disabled job runs too."""
    query = read_query(request, WaitQuery)
    seconds = DEFAULT_WAIT_SECONDS if query.wait is UNSET else query.wait
    runs = request.services.automations.runs
    run = await runs.start(request.caller, request.params["job_id"].strip())
    run = await request.while_connected(runs.wait(request.tenant_id, run.id, seconds))
    return RunEnvelope(run_out(run))


@ROUTES.add(
    "GET", "/{job_id}/runs", READS, "List run history for one automation job", query=RunQuery, errors=(404,)
)
async def list_automation_job_runs(request: Request) -> RunList:
    """Newest first."""
    return await list_runs_of(request, AutomationKind.JOB, request.params["job_id"])
