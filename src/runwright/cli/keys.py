"""`runwright keys`: create, list and revoke the API keys of tenants."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from runwright.cli.apps import Commands
from runwright.cli.database import open_database
from runwright.cli.index import COMMANDS
from runwright.cli.operator import operator_in
from runwright.cli.options import DATABASE_SETTINGS, takes_settings
from runwright.cli.table import columns
from runwright.config import Settings
from runwright.core.clock import system_clock
from runwright.core.roles import ROLES
from runwright.tenants.api_keys import ApiKeys, role_named
from runwright.tenants.model import ApiKey, KeyCreate

app = Commands(COMMANDS["keys"])


@app.command()
@takes_settings(DATABASE_SETTINGS)
def create(
    settings: Settings,
    *,
    tenant: Annotated[str, typer.Option(help="The id of the key's tenant.")],
    role: Annotated[
        str, typer.Option(help=f"The highest role that requests with the key may have: {', '.join(ROLES)}.")
    ],
    name: Annotated[str, typer.Option(help="A description of the key.")] = "",
) -> None:
    """Create a key and print it on stdout. It cannot be shown again.

    Examples:
    $ runwright keys create --tenant ten_acme --role tenant-system-admin
    """
    typer.echo(asyncio.run(_create(settings, tenant, role, name)))


@app.command("list")
@takes_settings(DATABASE_SETTINGS)
def list_(
    settings: Settings,
    *,
    tenant: Annotated[str | None, typer.Option(help="List the keys of this tenant only.")] = None,
) -> None:
    """List the keys, newest first, without their secrets.

    Examples:
    $ runwright keys list --tenant ten_acme
    """
    header = ("id", "tenant", "role", "name", "created", "last_used", "revoked")
    typer.echo(columns(header, map(_cells, asyncio.run(_list(settings, tenant)))))


@app.command()
@takes_settings(DATABASE_SETTINGS)
def revoke(
    settings: Settings,
    *,
    key_id: Annotated[str, typer.Argument(help="The id of the key, as shown by `list`.")],
) -> None:
    """Revoke a key permanently. All servers refuse it within two seconds.

    Examples:
    $ runwright keys revoke key_01jd9x3v7m0000000000000000
    """
    key = asyncio.run(_revoke(settings, key_id))
    typer.echo(f"revoked {key.id}", err=True)


def _cells(key: ApiKey) -> list[str]:
    role = key.role.wire_name
    times = (key.created_at, key.last_used_at, key.revoked_at)
    return [key.id, key.tenant_id or "", role, key.name, *(_time(moment) for moment in times)]


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


async def _create(settings: Settings, tenant: str, role: str, name: str) -> str:
    highest = role_named(role)
    async with open_database(settings) as db:
        keys = ApiKeys(db, clock=system_clock)
        _, text = await keys.create(operator_in(tenant), KeyCreate(tenant_id=tenant, role=highest, name=name))
        return text


async def _list(settings: Settings, tenant: str | None) -> Sequence[ApiKey]:
    async with open_database(settings) as db:
        return await ApiKeys(db, clock=system_clock).list(tenant)


async def _revoke(settings: Settings, key_id: str) -> ApiKey:
    async with open_database(settings) as db:
        return await ApiKeys(db, clock=system_clock).revoke(operator_in(""), key_id)
