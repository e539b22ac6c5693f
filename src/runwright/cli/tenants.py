"""`runwright tenants`: create, list, suspend and reactivate tenants."""

import asyncio
from typing import Annotated, Final

import msgspec
import typer

from runwright.cli.apps import Commands
from runwright.cli.database import open_database
from runwright.cli.index import COMMANDS
from runwright.cli.operator import operator_in
from runwright.cli.options import DATABASE_SETTINGS, takes_settings
from runwright.cli.table import columns
from runwright.config import Settings
from runwright.core.clock import system_clock
from runwright.core.paging import PageRequest
from runwright.tenants.model import NewTenant, Tenant, TenantChanges, TenantFilter, TenantStatus
from runwright.tenants.tenants import Tenants

app = Commands(COMMANDS["tenants"])

_PAGE: Final = 100
_Id = Annotated[str, typer.Argument(help="The id of the tenant, as shown by `list`.")]


@app.command("list")
@takes_settings(DATABASE_SETTINGS)
def list_(
    settings: Settings,
    *,
    status: Annotated[TenantStatus | None, typer.Option(help="List tenants with this status only.")] = None,
) -> None:
    """List the tenants that have written data or were created.

    Examples:
    $ runwright tenants list --status suspended
    """
    tenants = asyncio.run(_list(settings, TenantFilter(status=status)))
    typer.echo(columns(("id", "name", "status", "reason", "created"), map(_cells, tenants)))


@app.command()
@takes_settings(DATABASE_SETTINGS)
def create(
    settings: Settings,
    *,
    tenant_id: Annotated[
        str | None, typer.Argument(help="The id of the tenant. Default: a generated id.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of the tenant.")] = None,
) -> None:
    """Create a tenant and print its id on stdout.

    Examples:
    $ runwright tenants create ten_globex --name "Globex"
    """
    typer.echo(asyncio.run(_create(settings, NewTenant(id=tenant_id, name=name))).id)


@app.command()
@takes_settings(DATABASE_SETTINGS)
def suspend(
    settings: Settings,
    *,
    tenant_id: _Id,
    reason: Annotated[str | None, typer.Option(help="The reason, which its callers see.")] = None,
) -> None:
    """Suspend a tenant: all servers refuse its requests and start none of its jobs within two seconds.

    Examples:
    $ runwright tenants suspend ten_acme --reason "unpaid"
    """
    changes = TenantChanges(status=TenantStatus.SUSPENDED, status_reason=reason)
    typer.echo(f"suspended {asyncio.run(_change(settings, tenant_id, changes)).id}", err=True)


@app.command()
@takes_settings(DATABASE_SETTINGS)
def reactivate(settings: Settings, *, tenant_id: _Id) -> None:
    """Reactivate a suspended tenant.

    Examples:
    $ runwright tenants reactivate ten_acme
    """
    changes = TenantChanges(status=TenantStatus.ACTIVE)
    typer.echo(f"reactivated {asyncio.run(_change(settings, tenant_id, changes)).id}", err=True)


def _cells(tenant: Tenant) -> list[str]:
    created = tenant.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [tenant.id, tenant.name or "", tenant.status, tenant.status_reason or "", created]


async def _list(settings: Settings, which: TenantFilter) -> list[Tenant]:
    async with open_database(settings) as db:
        tenants = Tenants(db, clock=system_clock)
        page = PageRequest(per_page=_PAGE)
        found: list[Tenant] = []
        while True:
            listing = await tenants.list(which, page)
            found += listing.rows
            if listing.next_id is None:
                return found
            page = msgspec.structs.replace(page, after_id=listing.next_id)


async def _create(settings: Settings, new: NewTenant) -> Tenant:
    async with open_database(settings) as db:
        return await Tenants(db, clock=system_clock).create(operator_in(new.id or ""), new)


async def _change(settings: Settings, tenant_id: str, changes: TenantChanges) -> Tenant:
    async with open_database(settings) as db:
        return await Tenants(db, clock=system_clock).change(operator_in(tenant_id), tenant_id, changes)
