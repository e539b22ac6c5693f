"""What requests do with jobs and triggers alike."""

from runwright.automations.definitions import Shown
from runwright.automations.model import Kind
from runwright.http.agh.auth import AghRequest
from runwright.http.agh.forms import read_changes, read_draft, read_fields
from runwright.http.agh.queries import (
    page_of,
    read_automation_filter,
    read_limit,
    read_name_cursor,
    read_query,
    read_run_filter,
)
from runwright.http.agh.runs import list_runs
from runwright.http.agh.wire import RunList
from runwright.http.services import services_of


async def list_definitions(request: AghRequest, kind: Kind) -> tuple[list[Shown], str]:
    """Return the page that a query asks for, by name, and where the next one begins."""
    query = read_query(request)
    which, limit, after = read_automation_filter(query), read_limit(query), read_name_cursor(query)
    found = await services_of(request).automations.definitions.list(
        request.user.tenant_id, kind, which, after=after, limit=limit + 1
    )
    return page_of(found, limit, lambda one: (one.automation.name, one.automation.id))


async def create_definition(request: AghRequest, kind: Kind) -> Shown:
    draft = read_draft(await read_fields(request, f"automation {kind} create"), kind)
    return await services_of(request).automations.definitions.create(request.user, draft)


async def get_definition(request: AghRequest, kind: Kind, one_id: str) -> Shown:
    return await services_of(request).automations.definitions.get(
        request.user.tenant_id, kind, one_id.strip()
    )


async def change_definition(request: AghRequest, kind: Kind, one_id: str) -> Shown:
    changes = read_changes(await read_fields(request, f"automation {kind} update"), kind)
    definitions = services_of(request).automations.definitions
    return await definitions.change(request.user, kind, one_id.strip(), changes)


async def delete_definition(request: AghRequest, kind: Kind, one_id: str) -> None:
    await services_of(request).automations.definitions.delete(request.user, kind, one_id.strip())


async def list_runs_of(request: AghRequest, kind: Kind, one_id: str) -> RunList:
    """Return the page of runs that one definition has fired; NotFoundError where it is not there."""
    await get_definition(request, kind, one_id)
    query = read_query(request)
    return await list_runs(request, query, read_run_filter(query, (one_id.strip(),)))
