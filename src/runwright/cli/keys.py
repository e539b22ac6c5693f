"""`runwright keys`: create, list, rotate and revoke the API keys of tenants."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer
from msgspec import UNSET, UnsetType

from runwright.cli.apps import Commands
from runwright.cli.database import open_database
from runwright.cli.exits import UsageError
from runwright.cli.index import COMMANDS
from runwright.cli.operator import operator_in
from runwright.cli.options import DATABASE_SETTINGS, takes_settings
from runwright.cli.output import Column, Output
from runwright.cli.remote import takes_output
from runwright.cli.terminal import note
from runwright.cli.times import clock, parse_duration, parse_moment
from runwright.config import Settings
from runwright.core.clock import system_clock
from runwright.core.roles import ALL_SCOPES, ROLES, KeyScope
from runwright.tenants.api_keys import ApiKeys, role_named
from runwright.tenants.model import ApiKey, KeyCreate

app = Commands(COMMANDS["keys"])

_NEVER: Final = "never"
_LONGEST_OVERLAP: Final = timedelta(days=30)

_KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The id of the key, as shown by `list`.")]


@app.command()
@takes_settings(DATABASE_SETTINGS)
def create(
    settings: Settings,
    *,
    tenant: Annotated[str, typer.Option(metavar="ID", help="The id of the key's tenant.")],
    role: Annotated[
        str,
        typer.Option(
            metavar="ROLE",
            help=f"The highest role that requests with the key may have: {', '.join(ROLES)}.",
        ),
    ],
    name: Annotated[str, typer.Option(metavar="TEXT", help="A description of the key.")] = "",
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(metavar="SCOPE", help="read, run, deploy or admin; repeatable. Default: all of them."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Such as 90d, or a time. Default: never.")
    ] = None,
) -> None:
    r"""Create a key and print it on stdout. It cannot be shown again.

    Examples:
    $ runwright keys create --tenant ten_acme --role tenant-system-admin
    $ runwright keys create --tenant ten_acme --role tenant-system-admin --scope read --scope run \
      --expires 90d --name "nightly report"
    """
    new = KeyCreate(
        tenant_id=tenant,
        role=role_named(role),
        name=name,
        scopes=frozenset(scope) if scope else ALL_SCOPES,
        expires_at=None if expires is None else _expiry(expires),
    )
    typer.echo(asyncio.run(_create(settings, new)))


@app.command("list")
@takes_settings(DATABASE_SETTINGS)
@takes_output
def list_(
    settings: Settings,
    *,
    output: Output,
    tenant: Annotated[
        str | None, typer.Option(metavar="ID", help="List the keys of this tenant only.")
    ] = None,
) -> None:
    """List the keys, newest first, without their secrets.

    Examples:
    $ runwright keys list --tenant ten_acme
    """
    keys = asyncio.run(_list(settings, tenant))
    if output.format.is_json:
        output.rows([_plain(key) for key in keys], (), empty="")
    else:
        output.rows(keys, _COLUMNS, empty="There are no keys yet.")


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.is_active(system_clock()) else "expired"


def _scopes(key: ApiKey) -> str:
    return "all" if key.scopes == ALL_SCOPES else " ".join(sorted(key.scopes))


_COLUMNS: Final[Sequence[Column[ApiKey]]] = (
    Column("ID", lambda key: key.id, style=lambda _: "dim"),
    Column("TENANT", lambda key: key.tenant_id or "", flexible=True),
    Column("ROLE", lambda key: key.role.wire_name),
    Column("NAME", lambda key: key.name, style=lambda _: "bold", flexible=True),
    Column("SCOPES", _scopes, wide=True),
    Column("STATE", _state, style=lambda key: "" if _state(key) == "active" else "yellow"),
    Column("EXPIRES", lambda key: clock(key.expires_at), wide=True),
    Column("CREATED", lambda key: clock(key.created_at), wide=True),
    Column("LAST USED", lambda key: clock(key.last_used_at), wide=True),
    Column("REVOKED", lambda key: clock(key.revoked_at), wide=True),
)


@app.command()
@takes_settings(DATABASE_SETTINGS)
def rotate(
    settings: Settings,
    *,
    key_id: _KeyId,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old text is accepted too: 0s to 30d.")
    ] = "24h",
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Such as 90d, a time, or never. Default: as it was."),
    ] = None,
) -> None:
    """Give a key a new text and print it on stdout; the old one is accepted for a while.

    The key keeps its id, role and scopes.

    Examples:
    $ runwright keys rotate key_01jd9x3v7m0000000000000000 --overlap 1h
    """
    kept = parse_duration(overlap)
    if kept is None or kept > _LONGEST_OVERLAP:
        raise UsageError(f"--overlap is no duration up to 30d: {overlap!r}.", hint="Write 1h, 24h or 7d.")
    expires_at = UNSET if expires is None else _expiry(expires)
    key, text = asyncio.run(_rotate(settings, key_id, kept, expires_at))
    typer.echo(text)
    if key.previous_until is not None:
        note(f"the old text of {key.id} is accepted until {clock(key.previous_until)}", "dim")


def _expiry(text: str) -> datetime | None:
    return None if text == _NEVER else parse_moment("--expires", text, system_clock(), ahead=True)


@app.command()
@takes_settings(DATABASE_SETTINGS)
def revoke(settings: Settings, *, key_id: _KeyId) -> None:
    """Revoke a key permanently. All servers refuse it within two seconds.

    Examples:
    $ runwright keys revoke key_01jd9x3v7m0000000000000000
    """
    key = asyncio.run(_revoke(settings, key_id))
    typer.echo(f"revoked {key.id}", err=True)


def _plain(key: ApiKey) -> dict[str, object]:
    """Return a key as the API shows it."""
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "role": key.role.wire_name,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "previous_until": key.previous_until,
    }


async def _create(settings: Settings, new: KeyCreate) -> str:
    async with open_database(settings) as db:
        _, text = await ApiKeys(db, clock=system_clock).create(operator_in(new.tenant_id), new)
        return text


async def _list(settings: Settings, tenant: str | None) -> Sequence[ApiKey]:
    async with open_database(settings) as db:
        return await ApiKeys(db, clock=system_clock).list(tenant)


async def _rotate(
    settings: Settings, key_id: str, overlap: timedelta, expires_at: datetime | None | UnsetType
) -> tuple[ApiKey, str]:
    async with open_database(settings) as db:
        keys = ApiKeys(db, clock=system_clock)
        return await keys.rotate(operator_in(""), key_id, overlap=overlap, expires_at=expires_at)


async def _revoke(settings: Settings, key_id: str) -> ApiKey:
    async with open_database(settings) as db:
        return await ApiKeys(db, clock=system_clock).revoke(operator_in(""), key_id)
