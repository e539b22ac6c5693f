"""The route of the audit log, at `/v1/audit`."""

from typing import Final

from runwright.http.ava.audit.schemas import LIST_ENTRIES, AuditEntryOut, AuditQuery, audit_filter, entry_out
from runwright.http.ava.authorization import ADMINISTERS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Page, page_of, read_page
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/audit", tag="Audit")


@ROUTES.add("GET", "", ADMINISTERS, "List the audit log", query=AuditQuery, errors=(422,))
async def list_audit(request: Request) -> Page[AuditEntryOut]:
    """Returns one entry for each write, newest first. Submitted jobs have none: they are their own record.

    A platform key in the role `platform-admin` sees all tenants.
    """
    query = request.query(LIST_ENTRIES)
    page = read_page(query, "aud")
    listing = await request.services.tenancy.audit.list(request.caller, audit_filter(query), page)
    return page_of(listing, page, entry_out)
