"""Operations on jobs and triggers."""

from runwright.automations.definitions import AutomationView
from runwright.automations.errors import DefinitionError
from runwright.automations.model import AutomationKind, AutomationPatch
from runwright.http.agh.jobs.schemas import JobQuery
from runwright.http.agh.requests import name_cursor, page_of, read_query
from runwright.http.agh.runs.routes import list_runs
from runwright.http.agh.runs.schemas import RunList, RunQuery
from runwright.http.request import Request


async def list_definitions(
    request: Request, kind: AutomationKind, query: JobQuery
) -> tuple[list[AutomationView], str]:
    """Return a page of definitions by name, and the cursor of the next page."""
    which, after = query.filter(), name_cursor(query)
    found = await request.services.automations.definitions.list(
        request.tenant_id, kind, which, after=after, limit=query.rows + 1
    )
    return page_of(found, query.rows, lambda view: (view.automation.definition.name, view.automation.id))


async def get_definition(request: Request, kind: AutomationKind, one_id: str) -> AutomationView:
    """Return a definition."""
    definitions = request.services.automations.definitions
    return await definitions.get(request.tenant_id, kind, one_id.strip())


async def change_definition(
    request: Request, kind: AutomationKind, one_id: str, patch: AutomationPatch
) -> AutomationView:
    """Change a definition."""
    if not patch.fields and patch.secret is None:
        raise DefinitionError(f"automation {kind} update must include at least one field")
    definitions = request.services.automations.definitions
    return await definitions.change(request.caller, kind, one_id.strip(), patch)


async def delete_definition(request: Request, kind: AutomationKind, one_id: str) -> None:
    """Delete a definition."""
    await request.services.automations.definitions.delete(request.caller, kind, one_id.strip())


async def list_runs_of(request: Request, kind: AutomationKind, one_id: str) -> RunList:
    """Return a page of the runs of a definition. Raises NotFoundError if it does not exist."""
    await get_definition(request, kind, one_id)
    return await list_runs(request, read_query(request, RunQuery), (one_id.strip(),))
