"""The route of the audit log, at `/v1/audit`."""

from typing import Final

from litestar import Controller, get

from runwright.http.ava.audit_forms import LIST_ENTRIES, AuditEntryWire, AuditQuery, audit_filter, entry_wire
from runwright.http.ava.auth import ADMINISTERS, AvaRequest
from runwright.http.ava.paging import read_page, show_page
from runwright.http.ava.wire import Page
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Audit"


class AuditRoutes(Controller):
    """Who did what."""

    path = "/audit"

    @get(
        "/",
        guards=[ADMINISTERS],
        opt=Operation("List the audit log", tag=_TAG, query=AuditQuery, errors=(422,)).opt,
    )
    async def list_audit(self, request: AvaRequest) -> Page[AuditEntryWire]:
        """Newest first: a row for every write but the submitting of jobs, which the jobs themselves tell.

        A platform key in the role `platform-admin` sees all tenants.
        """
        query = LIST_ENTRIES.read_query(request.scope["query_string"])
        page = read_page(query, "aud")
        listing = await services_of(request).audit.list(request.user, audit_filter(query), page)
        return Page([entry_wire(entry) for entry in listing.rows], show_page(listing, page))
