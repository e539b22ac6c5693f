"""`runwright tenants`: create, list, suspend and reactivate tenants."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import typer

from runwright.cli.apps import Commands
from runwright.cli.database import open_database
from runwright.cli.index import COMMANDS
from runwright.cli.operator import operator_in
from runwright.cli.options import DATABASE_SETTINGS, takes_settings
from runwright.cli.output import Column, Output
from runwright.cli.remote import takes_output
from runwright.cli.times import clock
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
@takes_output
def list_(
    settings: Settings,
    *,
    output: Output,
    status: Annotated[TenantStatus | None, typer.Option(help="List tenants with this status only.")] = None,
) -> None:
    """List the tenants that have written data or were created.

    Examples:
    $ runwright tenants list --status suspended
    """
    tenants = asyncio.run(_list(settings, TenantFilter(status=status)))
    if output.format.is_json:
        output.rows([_plain(one) for one in tenants], (), empty="")
    else:
        output.rows(tenants, _COLUMNS, empty="There are no tenants yet.")


def _plain(tenant: Tenant) -> dict[str, object]:
    """Return a tenant as the API shows it, but for the limits that settings give it."""
    plain: dict[str, object] = msgspec.to_builtins(tenant)
    return plain | {"overrides": plain.pop("limits")}


_COLUMNS: Final[Sequence[Column[Tenant]]] = (
    Column("ID", lambda one: one.id, style=lambda _: "bold"),
    Column("NAME", lambda one: one.name or "", flexible=True),
    Column("STATUS", lambda one: one.status, style=lambda one: "" if one.status == "active" else "yellow"),
    Column("REASON", lambda one: one.status_reason or "", flexible=True),
    Column("CREATED", lambda one: clock(one.created_at)),
)


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
