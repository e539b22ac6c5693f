"""The routes of jobs: prompts that the clock fires."""

from typing import Final

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath

from runwright.automations.model import Kind
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
from runwright.http.agh.forms import ChangeJobBody, CreateJobBody
from runwright.http.agh.queries import JobQuery, RunQuery, WaitQuery, read_query, read_wait
from runwright.http.agh.shapes import job_wire, run_wire
from runwright.http.agh.wire import JobEnvelope, JobList, RunEnvelope, RunList
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Jobs"


class JobRoutes(Controller):
    """What the clock fires."""

    path = "/api/automation/jobs"

    @get(
        "/",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List automation jobs", tag=_TAG, query=JobQuery).opt,
    )
    async def list_automation_jobs(self, request: AghRequest) -> JobList:
        """By name."""
        rows, cursor = await list_definitions(request, Kind.JOB)
        return JobList(jobs=[job_wire(one) for one in rows], next_cursor=cursor)

    @post(
        "/",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Create an automation job",
            tag=_TAG,
            body=CreateJobBody,
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
        """Whether the agent exists is asked when it fires."""
        return JobEnvelope(job_wire(await create_definition(request, Kind.JOB)))

    @get(
        "/{job_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one automation job", tag=_TAG, errors=(404,)).opt,
    )
    async def get_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> JobEnvelope:
        return JobEnvelope(job_wire(await get_definition(request, Kind.JOB, job_id)))

    @patch(
        "/{job_id:str}",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Update one automation job",
            tag=_TAG,
            body=ChangeJobBody,
            errors=(404, 409),
            example={"enabled": False},
        ).opt,
    )
    async def update_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> JobEnvelope:
        """Objects replace what was there. Of a job from a file only `enabled` can be changed."""
        return JobEnvelope(job_wire(await change_definition(request, Kind.JOB, job_id)))

    @delete(
        "/{job_id:str}",
        guards=[WRITES],
        opt=Operation("Delete one automation job", tag=_TAG, errors=(404, 409)).opt,
    )
    async def delete_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> None:
        """Its runs stay."""
        await delete_definition(request, Kind.JOB, job_id)

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
        """Answers with the run when it has ended, or as it is after `wait`; a disabled job runs too."""
        seconds = read_wait(read_query(request))
        runs = services_of(request).automations.runs
        run = await runs.start(request.user, job_id.strip())
        return RunEnvelope(run_wire(await runs.wait(request.user.tenant_id, run.id, seconds)))

    @get(
        "/{job_id:str}/runs",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List run history for one automation job", tag=_TAG, query=RunQuery, errors=(404,)).opt,
    )
    async def list_automation_job_runs(self, request: AghRequest, job_id: FromPath[str]) -> RunList:
        """The latest first."""
        return await list_runs_of(request, Kind.JOB, job_id)
