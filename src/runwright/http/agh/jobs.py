"""The routes of jobs: prompts that the clock fires."""

from typing import Final

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath

from runwright.automations.model import Kind, RunFilter
from runwright.http.agh.auth import READS, WRITES, AghRequest
from runwright.http.agh.errors import MEDIA_TYPE
from runwright.http.agh.forms import ChangeJobBody, CreateJobBody, read_changes, read_draft, read_fields
from runwright.http.agh.queries import (
    JobQuery,
    RunQuery,
    WaitQuery,
    page_of,
    read_automation_filter,
    read_limit,
    read_name_cursor,
    read_query,
    read_run_filter,
    read_time_cursor,
    read_wait,
)
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
        query = read_query(request)
        which, limit, after = read_automation_filter(query), read_limit(query), read_name_cursor(query)
        found = await services_of(request).automations.definitions.list(
            request.user.tenant_id, Kind.JOB, which, after=after, limit=limit + 1
        )
        rows, cursor = page_of(found, limit, lambda one: (one.automation.name, one.automation.id))
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
        draft = read_draft(await read_fields(request, "automation job create"), Kind.JOB)
        return JobEnvelope(
            job_wire(await services_of(request).automations.definitions.create(request.user, draft))
        )

    @get(
        "/{job_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one automation job", tag=_TAG, errors=(404,)).opt,
    )
    async def get_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> JobEnvelope:
        definitions = services_of(request).automations.definitions
        return JobEnvelope(job_wire(await definitions.get(request.user.tenant_id, Kind.JOB, job_id.strip())))

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
        changes = read_changes(await read_fields(request, "automation job update"), Kind.JOB)
        definitions = services_of(request).automations.definitions
        return JobEnvelope(
            job_wire(await definitions.change(request.user, Kind.JOB, job_id.strip(), changes))
        )

    @delete(
        "/{job_id:str}",
        guards=[WRITES],
        opt=Operation("Delete one automation job", tag=_TAG, errors=(404, 409)).opt,
    )
    async def delete_automation_job(self, request: AghRequest, job_id: FromPath[str]) -> None:
        """Its runs stay."""
        definitions = services_of(request).automations.definitions
        await definitions.delete(request.user, Kind.JOB, job_id.strip())

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
        await services_of(request).automations.definitions.get(
            request.user.tenant_id, Kind.JOB, job_id.strip()
        )
        query = read_query(request)
        return await list_runs(request, query, read_run_filter(query, (job_id.strip(),)))


async def list_runs(request: AghRequest, query: dict[str, str], which: RunFilter) -> RunList:
    """Return the page of runs that a query asks for."""
    limit, before = read_limit(query), read_time_cursor(query)
    found = await services_of(request).automations.runs.list(
        request.user.tenant_id, which, before=before, limit=limit + 1
    )
    rows, cursor = page_of(found, limit, lambda run: (run.started_at, run.id))
    return RunList(runs=[run_wire(run) for run in rows], next_cursor=cursor)
