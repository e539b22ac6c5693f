"""`runwright doctor`: check what this host offers, what is missing, and how to get it."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Literal

import typer

from runwright.cli.database import PATIENCE_SECONDS, database_address, has_database, open_database
from runwright.cli.escape import run_escape_test
from runwright.cli.options import ALL_SETTINGS, takes_settings
from runwright.cli.vault import describe_vault
from runwright.config import Settings
from runwright.core.errors import RunwrightError
from runwright.db.errors import transient
from runwright.db.migrator import require_compatible, schema_version
from runwright.db.pool import connect
from runwright.runtimes.host import Host, Isolation
from runwright.runtimes.probe import probe_host
from runwright.runtimes.support import extra_of, not_installed
from runwright.secrets.key_source import key_source, read_keyring
from runwright.wiring.resources import interpreter_paths


@takes_settings(ALL_SETTINGS)
def doctor(
    settings: Settings,
    *,
    escape_test: Annotated[
        bool, typer.Option("--escape-test", help="Make known attempts to escape from a sandbox on this host.")
    ] = False,
    level: Annotated[
        Literal["standard", "strict"] | None,
        typer.Option(help="Isolation level of the escape test; the host must reach it."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results of the escape test as JSON.")
    ] = False,
) -> None:
    """Check isolation, runtimes and database of this host.

    Exits with 1 if the server could not run jobs. With --escape-test, exit with 1 if an attempt escaped.

    Examples:
    $ runwright doctor
    $ runwright doctor --escape-test --json
    """
    host = probe_host(interpreter_paths(settings))
    if escape_test:
        if not run_escape_test(host, level=level, data_dir=settings.data_dir, as_json=as_json):
            raise typer.Exit(1)
        return
    floor = Isolation[settings.isolation_floor.upper()]
    for line in _host_lines(host, floor):
        typer.echo(line)
    typer.echo(_network_line(host, settings))
    database_fine, text = asyncio.run(_check_database(settings))
    typer.echo(_line(text, fine=database_fine))
    vault_fine = True
    if database_fine:
        vault_fine, text = asyncio.run(_check_vault(settings))
        typer.echo(_line(text, fine=vault_fine))
    if (
        not (database_fine and vault_fine)
        or host.isolation < floor
        or not any(info.ready for info in host.runtimes.values())
    ):
        raise typer.Exit(1)


def _host_lines(host: Host, floor: Isolation) -> Iterator[str]:
    level = f"isolation: {host.isolation.wire_name} (floor: {floor.wire_name})"
    yield _line(level, fine=host.isolation >= floor)
    for missing in host.missing:
        yield f"     {missing.what}: {missing.why}. {missing.remedy}"
    for info in host.runtimes.values():
        about = f"{info.version} at {info.path}, {info.isolation}" if info.ready else f"{info.reason}"
        text = f"runtime {info.name}: {about}"
        absent = extra_of(info.name) is not None and info.reason == not_installed(info.name)
        yield f"--   {text}" if absent else _line(text, fine=info.ready)


def _network_line(host: Host, settings: Settings) -> str:
    if host.bwrap is None:
        return _line("network: workers use the host's network without restrictions", fine=False)
    if not settings.egress:
        return _line("network: none for workers (egress is off)", fine=True)
    if not host.network:
        return _line("network: none for workers, see above", fine=False)
    trusted = f", and {', '.join(settings.egress_trusted)}" if settings.egress_trusted else ""
    return _line(f"network: public addresses{trusted}", fine=True)


def _line(text: str, *, fine: bool) -> str:
    return f"{'ok  ' if fine else 'BAD '} {text}"


async def _check_database(settings: Settings) -> tuple[bool, str]:
    if not has_database(settings):
        return True, f"database: none yet; the first start creates one in {settings.data_dir}"
    try:
        async with database_address(settings) as dsn:
            connection = await connect(dsn, application_name="runwright cli", within_seconds=PATIENCE_SECONDS)
            try:
                server = connection.get_server_version()
                version = await schema_version(connection)
                await require_compatible(connection)
            finally:
                await connection.close()
    except RunwrightError as error:
        return False, f"database: {error.message}"
    except Exception as error:
        if not transient(error):
            raise
        return False, f"database: unreachable ({error!r})"
    return True, f"database: PostgreSQL {server.major}, schema version {version}"


async def _check_vault(settings: Settings) -> tuple[bool, str]:
    source = key_source(settings)
    try:
        if has_database(settings):
            async with open_database(settings) as db:
                return True, f"vault: {await describe_vault(db, source)}"
        if source.configured or source.generated_file.exists():
            return True, f"vault: key {read_keyring(source).primary}"
    except RunwrightError as error:
        return False, f"vault: {error.message}"
    return True, f"vault: no key yet; the first start creates one in {source.generated_file}"
