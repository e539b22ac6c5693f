"""The routes of jobs."""

from typing import Final

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET

from runwright.automations.model import AutomationKind
from runwright.http.agh.auth import READS, WRITES, AghRequest
from runwright.http.agh.definitions import (
    change_definition,
    create_definition,
    delete_definition,
    get_definition,
    list_definitions,
    list_runs_of,
)
from runwright.http.agh.errors import MEDIA_TYPE
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
from runwright.http.agh.queries import DEFAULT_WAIT_SECONDS, WaitQuery
from runwright.http.agh.requests import read_body, read_query
from runwright.http.agh.runs.schemas import RunEnvelope, RunList, RunQuery, run_out
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Jobs"


class JobRoutes(Controller):
    """Prompts that a schedule fires."""

    path = "/api/automation/jobs"

    @get(
        "/",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List automation jobs", tag=_TAG, query=JobQuery).opt,
    )
    async def list_automation_jobs(self, request: AghRequest) -> JobList:
        """By name."""
        query = read_query(request, JobQuery)
        rows, cursor = await list_definitions(request, AutomationKind.JOB, query)
        return JobList(jobs=[job_out(one) for one in rows], next_cursor=cursor)

    @post(
        "/",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Create an automation job",
            tag=_TAG,
            body=JobIn,
            errors=(409,),
            example={
                "scope": "global",
                "name": "Morning digest",
                "agent_name": "digest",
                "prompt": "Sum up what happened since yesterday.",
                "schedule": {"mode": "cron", "expr": "0 8 * * mon-fri"},
            },
        ).opt,
    )
    async def create_automation_job(self, request: AghRequest) -> JobEnvelope:
        """The agent need not exist before the job fires."""
        body = await read_body(request, JobIn, "automation job create")
        return JobEnvelope(job_out(await create_definition(request, job_create(body))))

    @get(
        "/{job_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one automation job", tag=_TAG, errors=(404,)).opt,
    )
    async def get_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> JobEnvelope:
        return JobEnvelope(job_out(await get_definition(request, AutomationKind.JOB, job_id)))

    @patch(
        "/{job_id:str}",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Update one automation job",
            tag=_TAG,
            body=JobPatch,
            errors=(404, 409),
            example={"enabled": False},
        ).opt,
    )
    async def update_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> JobEnvelope:
        """Objects are replaced as a whole. Of a job from a file only `enabled` can be changed."""
        body = await read_body(request, JobPatch, "automation job update")
        return JobEnvelope(
            job_out(await change_definition(request, AutomationKind.JOB, job_id, job_patch(body)))
        )

    @delete(
        "/{job_id:str}",
        guards=[WRITES],
        opt=Operation("Delete one automation job", tag=_TAG, errors=(404, 409)).opt,
    )
    async def delete_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> None:
        """Its runs are kept."""
        await delete_definition(request, AutomationKind.JOB, job_id)

    @post(
        "/{job_id:str}/trigger",
        guards=[WRITES],
        status_code=200,
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Trigger one automation job immediately", tag=_TAG, query=WaitQuery, errors=(404, 409)
        ).opt,
    )
    async def trigger_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> RunEnvelope:
        """Responds when the run has ended, or after `wait` seconds (default 30). A disabled job runs too."""
        query = read_query(request, WaitQuery)
        seconds = DEFAULT_WAIT_SECONDS if query.wait is UNSET else query.wait
        runs = services_of(request).automations.runs
        run = await runs.start(request.user, job_id.strip())
        return RunEnvelope(run_out(await runs.wait(request.user.tenant_id, run.id, seconds)))

    @get(
        "/{job_id:str}/runs",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List run history for one automation job", tag=_TAG, query=RunQuery, errors=(404,)).opt,
    )
    async def list_automation_job_runs(self, request: AghRequest, job_id: FromPath[str]) -> RunList:
        """Newest first."""
        return await list_runs_of(request, AutomationKind.JOB, job_id)
