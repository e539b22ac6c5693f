"""Tools about events, and their deliveries to webhooks."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from runwright.mcp.field_selection import select_fields
from runwright.mcp.grants import Grant
from runwright.mcp.results import ToolOutput, ToolResult
from runwright.mcp.tools import TOOLS, Parameters, ToolContext
from runwright.mcp.windows import PageParameters, list_page, list_part

_EVENT: Final = ("id", "type", "created_at", "executions")
_DELIVERY: Final = ("id", "event_type", "event", "status", "attempts", "created_at", "completed_at")


class ListDeliveries(PageParameters, frozen=True, kw_only=True):
    """Which deliveries."""

    webhook_id: Annotated[str, Meta(description="Without it the webhooks are listed.")] | UnsetType = UNSET
    status: Annotated[str, Meta(description="pending, delivered or abandoned.")] | UnsetType = UNSET


@TOOLS.add("List webhook deliveries")
async def list_deliveries(context: ToolContext, parameters: ListDeliveries) -> ToolResult:
    """List what was sent to a webhook, newest first; without `webhook_id` the webhooks themselves."""
    if parameters.webhook_id is UNSET:
        webhooks = [
            select_fields(each, ("id", "url", "events", "status"))
            async for each in context.api.webhooks.list()
        ]
        part, cursor = list_part(webhooks, parameters.cursor, most=parameters.limit)
        return ToolResult(f"{len(webhooks)} webhooks.", ToolOutput(data=part, next_cursor=cursor))
    status = None if parameters.status is UNSET else parameters.status
    webhook_id = parameters.webhook_id
    return await list_page(
        "deliveries",
        lambda rows: context.api.deliveries.list(webhook_id, status=status, per_page=rows),
        parameters,
        _DELIVERY,
    )


class PublishEvent(Parameters, frozen=True, kw_only=True):
    """Which event."""

    type: Annotated[str, Meta(max_length=200, description="`custom.…`")]
    payload: dict[str, Any] | UnsetType = UNSET
    idempotency_key: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET


@TOOLS.add("Publish an event", Grant.RUN, destructive=True)
async def publish_event(context: ToolContext, parameters: PublishEvent) -> ToolResult:
    """Publish a custom event; webhooks, agents and automations that subscribe to it get it."""
    options = parameters.given("payload", "idempotency_key")
    event = await context.api.events.publish(parameters.type, **options)
    return ToolResult(f"Event {event.id} was published.", ToolOutput(data=select_fields(event, _EVENT)))
