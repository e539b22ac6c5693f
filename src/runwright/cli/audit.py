"""`runwright audit`: the audit log as evidence; works on the database, also without a server."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from runwright.cli.apps import Commands
from runwright.cli.database import open_database
from runwright.cli.exits import CommandError, UsageError
from runwright.cli.index import COMMANDS
from runwright.cli.options import DATABASE_SETTINGS, takes_settings
from runwright.config import Settings
from runwright.tenants.audit_chain import (
    ChainCheck,
    ChainedEntry,
    ChainEnds,
    count_unchained,
    read_chain,
    read_ends,
)

app = Commands(COMMANDS["audit"])

_HEAD: Final = re.compile(r"([1-9][0-9]{0,18}):([0-9a-f]{64})")
_LONGEST_LINE: Final = 64 * 1024
_MOST_PRINTED: Final = 20


@app.command()
@takes_settings(DATABASE_SETTINGS)
def verify(
    settings: Settings,
    *,
    head: Annotated[
        str | None,
        typer.Option(metavar="POSITION:HASH", help="A head that an earlier run printed; keep it elsewhere."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Check this export instead of the database.")] = None,
) -> None:
    """Check that no entry of the audit log was changed, removed or moved; exits with 1 if one was.

    Examples:
    $ runwright audit verify
    """
    noted = None if head is None else _parse_head(head)
    check = asyncio.run(_check_database(settings, noted)) if file is None else _check_file(file, noted)
    typer.echo(f"entries checked: {check.checked:,}")
    if check.last.position:
        typer.echo(f"head: {check.last.position}:{check.last.hash}")
    for finding in check.findings[:_MOST_PRINTED]:
        typer.echo(f"at {finding.position}: {finding.problem}", err=True)
    if check.problems:
        raise CommandError(f"The audit log is not what was written: {check.problems:,} findings.")


@app.command()
@takes_settings(DATABASE_SETTINGS)
def export(
    settings: Settings,
    *,
    after: Annotated[int, typer.Option(min=0, help="Only entries after this position.")] = 0,
) -> None:
    """Write the audit log to stdout as JSON lines, with the hashes of its chain.

    Examples:
    $ runwright audit export > audit.jsonl
    """
    asyncio.run(_export(settings, after))


def _parse_head(text: str) -> ChainEnds:
    found = _HEAD.fullmatch(text)
    if found is None:
        raise UsageError("--head is a position and a hash of 64 digits: POSITION:HASH.")
    return ChainEnds(position=int(found[1]), hash=found[2])


async def _check_database(settings: Settings, noted: ChainEnds | None) -> ChainCheck:
    async with (
        open_database(settings) as pool,
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        check = ChainCheck(await read_ends(connection), noted)
        async for entry in read_chain(connection):
            check.take(entry)
        check.finish()
        waiting = await count_unchained(connection)
    if waiting:
        typer.echo(f"not in the chain yet: {waiting:,}, written in the last seconds or while no server ran")
    return check


def _check_file(path: Path, noted: ChainEnds | None) -> ChainCheck:
    check = ChainCheck(None, noted)
    decode = msgspec.json.Decoder(ChainedEntry).decode
    number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(_LONGEST_LINE):
                number += 1
                check.take(decode(line))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CommandError(f"{path}, line {number}: {error}.") from None
    check.finish()
    return check


async def _export(settings: Settings, after: int) -> None:
    encode = msgspec.json.Encoder(order="deterministic").encode
    async with (
        open_database(settings) as pool,
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        async for entry in read_chain(connection, after=after):
            sys.stdout.buffer.write(encode(entry) + b"\n")
    sys.stdout.buffer.flush()
