"""The routes of triggers: prompts that events and webhooks fire."""

from typing import Final

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath

from runwright.automations.model import Kind
from runwright.http.agh.auth import READS, WRITES, AghRequest
from runwright.http.agh.errors import MEDIA_TYPE
from runwright.http.agh.forms import (
    ChangeTriggerBody,
    CreateTriggerBody,
    read_changes,
    read_draft,
    read_fields,
)
from runwright.http.agh.jobs import list_runs
from runwright.http.agh.queries import (
    RunQuery,
    TriggerQuery,
    page_of,
    read_automation_filter,
    read_limit,
    read_name_cursor,
    read_query,
    read_run_filter,
)
from runwright.http.agh.shapes import trigger_wire
from runwright.http.agh.wire import RunList, TriggerEnvelope, TriggerList
from runwright.http.operations import Operation
from runwright.http.services import services_of

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
        query = read_query(request)
        which, limit, after = read_automation_filter(query), read_limit(query), read_name_cursor(query)
        found = await services_of(request).automations.definitions.list(
            request.user.tenant_id, Kind.TRIGGER, which, after=after, limit=limit + 1
        )
        rows, cursor = page_of(found, limit, lambda one: (one.automation.name, one.automation.id))
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
        draft = read_draft(await read_fields(request, "automation trigger create"), Kind.TRIGGER)
        return TriggerEnvelope(
            trigger_wire(await services_of(request).automations.definitions.create(request.user, draft))
        )

    @get(
        "/{trigger_id:str}",
        guards=[READS],
        media_type=MEDIA_TYPE,
        opt=Operation("Get one automation trigger", tag=_TAG, errors=(404,)).opt,
    )
    async def get_automation_trigger(self, request: AghRequest, trigger_id: FromPath[str]) -> TriggerEnvelope:
        definitions = services_of(request).automations.definitions
        return TriggerEnvelope(
            trigger_wire(await definitions.get(request.user.tenant_id, Kind.TRIGGER, trigger_id.strip()))
        )

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
        changes = read_changes(await read_fields(request, "automation trigger update"), Kind.TRIGGER)
        definitions = services_of(request).automations.definitions
        return TriggerEnvelope(
            trigger_wire(await definitions.change(request.user, Kind.TRIGGER, trigger_id.strip(), changes))
        )

    @delete(
        "/{trigger_id:str}",
        guards=[WRITES],
        opt=Operation("Delete one automation trigger", tag=_TAG, errors=(404, 409)).opt,
    )
    async def delete_automation_trigger(self, request: AghRequest, trigger_id: FromPath[str]) -> None:
        """Its runs stay."""
        definitions = services_of(request).automations.definitions
        await definitions.delete(request.user, Kind.TRIGGER, trigger_id.strip())

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
        await services_of(request).automations.definitions.get(
            request.user.tenant_id, Kind.TRIGGER, trigger_id.strip()
        )
        query = read_query(request)
        return await list_runs(request, query, read_run_filter(query, (trigger_id.strip(),)))
