"""The routes of triggers."""

from typing import Final

from runwright.automations.model import (
    AutomationKind,
)
from runwright.http.agh.auth import READS, WRITES
from runwright.http.agh.definitions import (
    change_definition,
    delete_definition,
    get_definition,
    list_definitions,
    list_runs_of,
)
from runwright.http.agh.errors import AGH
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
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AGH, "/api/automation/triggers", tag="Triggers")


@ROUTES.add("GET", "", READS, "List automation triggers", query=TriggerQuery)
async def list_automation_triggers(request: Request) -> TriggerList:
    """By name."""
    query = read_query(request, TriggerQuery)
    rows, cursor = await list_definitions(request, AutomationKind.TRIGGER, query)
    return TriggerList(triggers=[trigger_out(one) for one in rows], next_cursor=cursor)


@ROUTES.add(
    "POST",
    "",
    WRITES,
    "Create an automation trigger",
    body=TriggerIn,
    errors=(409,),
    example={
        "scope": "global",
        "name": "Failed jobs",
        "agent_name": "triage",
        "event": "ava.job.failed",
        "prompt": "Why did {{ .Data.job_id }} fail?",
    },
)
async def create_automation_trigger(request: Request) -> TriggerEnvelope:
    """The agent need not exist before the trigger fires."""
    body = await read_body(request, TriggerIn, "automation trigger create")
    definitions = request.services.automations.definitions
    return TriggerEnvelope(trigger_out(await definitions.create(request.caller, trigger_create(body))))


@ROUTES.add("GET", "/{trigger_id}", READS, "Get one automation trigger", errors=(404,))
async def get_automation_trigger(request: Request) -> TriggerEnvelope:
    return TriggerEnvelope(
        trigger_out(await get_definition(request, AutomationKind.TRIGGER, request.params["trigger_id"]))
    )


@ROUTES.add(
    "PATCH",
    "/{trigger_id}",
    WRITES,
    "Update one automation trigger",
    body=TriggerPatch,
    errors=(404, 409),
    example={"enabled": False},
)
async def update_automation_trigger(request: Request) -> TriggerEnvelope:
    """Objects are replaced as a whole. Of a trigger from a file only `enabled` can be changed."""
    body = await read_body(request, TriggerPatch, "automation trigger update")
    view = await change_definition(
        request, AutomationKind.TRIGGER, request.params["trigger_id"], trigger_patch(body)
    )
    return TriggerEnvelope(trigger_out(view))


@ROUTES.add("DELETE", "/{trigger_id}", WRITES, "Delete one automation trigger", errors=(404, 409))
async def delete_automation_trigger(request: Request) -> None:
    """Its runs are kept."""
    await delete_definition(request, AutomationKind.TRIGGER, request.params["trigger_id"])


@ROUTES.add(
    "GET",
    "/{trigger_id}/runs",
    READS,
    "List run history for one automation trigger",
    query=RunQuery,
    errors=(404,),
)
async def list_automation_trigger_runs(request: Request) -> RunList:
    """Newest first."""
    return await list_runs_of(request, AutomationKind.TRIGGER, request.params["trigger_id"])
