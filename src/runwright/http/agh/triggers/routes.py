"""The routes of triggers."""

from typing import Final

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath

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
from runwright.http.agh.requests import read_body, read_query
from runwright.http.agh.runs.schemas import RunList, RunQuery
from runwright.http.agh.triggers.schemas import (
    TriggerEnvelope,
    TriggerIn,
    TriggerList,
    TriggerPatch,
    TriggerQuery,
    trigger_create,
    trigger_out,
    trigger_patch,
)
from runwright.http.operations import Operation

_TAG: Final = "Triggers"


class TriggerRoutes(Controller):
    """Prompts that events and webhooks fire."""

    path = "/api/automation/triggers"

    @get(
        "/",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List automation triggers", tag=_TAG, query=TriggerQuery).opt,
    )
    async def list_automation_triggers(self, request: AghRequest) -> TriggerList:
        """By name."""
        query = read_query(request, TriggerQuery)
        rows, cursor = await list_definitions(request, AutomationKind.TRIGGER, query)
        return TriggerList(triggers=[trigger_out(one) for one in rows], next_cursor=cursor)

    @post(
        "/",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Create an automation trigger",
            tag=_TAG,
            body=TriggerIn,
            errors=(409,),
            example={
                "scope": "global",
                "name": "Failed jobs",
                "agent_name": "triage",
                "event": "ava.job.failed",
                "prompt": "Why did {{ .Data.job_id }} fail?",
            },
        ).opt,
    )
    async def create_automation_trigger(self, request: AghRequest) -> TriggerEnvelope:
        """The agent need not exist before the trigger fires."""
        body = await read_body(request, TriggerIn, "automation trigger create")
        return TriggerEnvelope(trigger_out(await create_definition(request, trigger_create(body))))

    @get(
        "/{trigger_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one automation trigger", tag=_TAG, errors=(404,)).opt,
    )
    async def get_automation_trigger(self, request: AghRequest, trigger_id: FromPath[str]) -> TriggerEnvelope:
        return TriggerEnvelope(trigger_out(await get_definition(request, AutomationKind.TRIGGER, trigger_id)))

    @patch(
        "/{trigger_id:str}",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Update one automation trigger",
            tag=_TAG,
            body=TriggerPatch,
            errors=(404, 409),
            example={"enabled": False},
        ).opt,
    )
    async def update_automation_trigger(
        self, request: AghRequest, trigger_id: FromPath[str]
    ) -> TriggerEnvelope:
        """Objects are replaced as a whole. Of a trigger from a file only `enabled` can be changed."""
        body = await read_body(request, TriggerPatch, "automation trigger update")
        view = await change_definition(request, AutomationKind.TRIGGER, trigger_id, trigger_patch(body))
        return TriggerEnvelope(trigger_out(view))

    @delete(
        "/{trigger_id:str}",
        guards=[WRITES],
        opt=Operation("Delete one automation trigger", tag=_TAG, errors=(404, 409)).opt,
    )
    async def delete_automation_trigger(self, request: AghRequest, trigger_id: FromPath[str]) -> None:
        """Its runs are kept."""
        await delete_definition(request, AutomationKind.TRIGGER, trigger_id)

    @get(
        "/{trigger_id:str}/runs",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "List run history for one automation trigger", tag=_TAG, query=RunQuery, errors=(404,)
        ).opt,
    )
    async def list_automation_trigger_runs(self, request: AghRequest, trigger_id: FromPath[str]) -> RunList:
        """Newest first."""
        return await list_runs_of(request, AutomationKind.TRIGGER, trigger_id)
