"""The routes of triggers: prompts that events and webhooks fire."""

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
from runwright.http.agh.forms import ChangeTriggerBody, CreateTriggerBody
from runwright.http.agh.queries import RunQuery, TriggerQuery
from runwright.http.agh.shapes import trigger_wire
from runwright.http.agh.wire import RunList, TriggerEnvelope, TriggerList
from runwright.http.operations import Operation

_TAG: Final = "Triggers"


class TriggerRoutes(Controller):
    """What events and webhooks fire."""

    path = "/api/automation/triggers"

    @get(
        "/",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("List automation triggers", tag=_TAG, query=TriggerQuery).opt,
    )
    async def list_automation_triggers(self, request: AghRequest) -> TriggerList:
        """By name."""
        rows, cursor = await list_definitions(request, Kind.TRIGGER)
        return TriggerList(triggers=[trigger_wire(one) for one in rows], next_cursor=cursor)

    @post(
        "/",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Create an automation trigger",
            tag=_TAG,
            body=CreateTriggerBody,
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
        """Whether the agent exists is asked when it fires."""
        return TriggerEnvelope(trigger_wire(await create_definition(request, Kind.TRIGGER)))

    @get(
        "/{trigger_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one automation trigger", tag=_TAG, errors=(404,)).opt,
    )
    async def get_automation_trigger(self, request: AghRequest, trigger_id: FromPath[str]) -> TriggerEnvelope:
        return TriggerEnvelope(trigger_wire(await get_definition(request, Kind.TRIGGER, trigger_id)))

    @patch(
        "/{trigger_id:str}",
        guards=[WRITES],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Update one automation trigger",
            tag=_TAG,
            body=ChangeTriggerBody,
            errors=(404, 409),
            example={"enabled": False},
        ).opt,
    )
    async def update_automation_trigger(
        self, request: AghRequest, trigger_id: FromPath[str]
    ) -> TriggerEnvelope:
        """Objects replace what was there. Of a trigger from a file only `enabled` can be changed."""
        return TriggerEnvelope(trigger_wire(await change_definition(request, Kind.TRIGGER, trigger_id)))

    @delete(
        "/{trigger_id:str}",
        guards=[WRITES],
        opt=Operation("Delete one automation trigger", tag=_TAG, errors=(404, 409)).opt,
    )
    async def delete_automation_trigger(self, request: AghRequest, trigger_id: FromPath[str]) -> None:
        """Its runs stay."""
        await delete_definition(request, Kind.TRIGGER, trigger_id)

    @get(
        "/{trigger_id:str}/runs",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation(
            "List run history for one automation trigger", tag=_TAG, query=RunQuery, errors=(404,)
        ).opt,
    )
    async def list_automation_trigger_runs(self, request: AghRequest, trigger_id: FromPath[str]) -> RunList:
        """The latest first."""
        return await list_runs_of(request, Kind.TRIGGER, trigger_id)
