"""pg_dump and pg_restore of the database's own major version.

An older pg_dump refuses a newer server, and what a newer one writes an older pg_restore cannot read: so the
tools have the version of the server, which every installation of it brings.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from runwright.backups.archive import CHUNK_BYTES
from runwright.backups.model import BackupError
from runwright.db.embedded.binaries import packaged_programs
from runwright.db.hosts import split_hosts

_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_PLACES: Final = (
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/usr/local/opt/postgresql@{}/bin",
    "/opt/homebrew/opt/postgresql@{}/bin",
    "/usr/lib/postgresql{}/bin",
)
_PROGRAMS: Final = ("pg_dump", "pg_restore")
_KEPT_LINES: Final = 8
_LINE_BYTES: Final = 1024 * 1024
_LINE_CHARACTERS: Final = 500


class ToolTarget(msgspec.Struct, frozen=True):
    """A database as PostgreSQL's programs are given it."""

    dsn: str
    environment: dict[str, str]

    def __repr__(self) -> str:
        """Omit the password."""
        return "ToolTarget(…)"


def target_of(dsn: str) -> ToolTarget:
    """Return a database for programs: the password is in the environment, as anyone can read arguments."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    password = query.pop("password", None)
    account, at, places = parts.netloc.rpartition("@")
    user, colon, given = account.partition(":")
    if colon:
        password = unquote(given)
    if len(split_hosts(dsn)) > 1:
        query = {"target_session_attrs": "primary"} | query
    environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "", "PGCONNECT_TIMEOUT": "10"}
    if password is not None:
        environment["PGPASSWORD"] = password
    options = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return ToolTarget(f"{parts.scheme}://{user}{at}{places}{parts.path}{options}", environment)


def find_tools(major: int, folder: Path | None, *, newer: bool = False) -> Path:
    """Return the folder with the tools of a major version; `newer`: or of a later one. BackupError."""
    for place in [folder] if folder is not None else _places(major):
        found = _version_of(place)
        if found == major or (newer and found is not None and found > major):
            return place
    where = f"in {folder}" if folder is not None else "on this machine"
    raise BackupError(
        f"There are no pg_dump and pg_restore of PostgreSQL {major} {where}.",
        hint=f"Install its client programs (postgresql-client-{major}), or name their folder with --pg-bin.",
    )


def _places(major: int) -> Iterator[Path]:
    embedded = packaged_programs()
    if embedded is not None:
        yield embedded
    yield from (Path(place.format(major)) for place in _PLACES)
    yield from (Path(one) for one in os.environ.get("PATH", "").split(os.pathsep) if one)


def _version_of(folder: Path) -> int | None:
    """Return the major version of the tools in a folder; None if they are not there."""
    if not all(os.access(folder / name, os.X_OK) for name in _PROGRAMS):
        return None
    try:
        done = subprocess.run(
            [folder / "pg_dump", "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(done.stdout)
    return None if found is None else int(found[1])


async def read_from(
    command: Sequence[str],
    environment: dict[str, str],
    write: Callable[[bytes], None],
    line: Callable[[str], None],
) -> None:
    """Run a program and write what it prints; `line` gets its messages. BackupError if it fails."""
    process = await _start(command, environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        messages = asyncio.create_task(_messages(process, line))
        assert process.stdout is not None  # noqa: S101  a pipe, as started
        while chunk := await process.stdout.read(CHUNK_BYTES):
            write(chunk)
        await _end(command, process, await messages)
    finally:
        await _kill(process)


async def write_to(command: Sequence[str], environment: dict[str, str], chunks: Iterator[bytes]) -> None:
    """Run a program on chunks of input. BackupError if it fails, or where a chunk cannot be read."""
    process = await _start(command, environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        messages = asyncio.create_task(_messages(process, lambda _: None))
        assert process.stdin is not None  # noqa: S101  a pipe, as started
        try:
            for chunk in chunks:
                process.stdin.write(chunk)
                await process.stdin.drain()
            process.stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, and has printed why
        await _end(command, process, await messages)
    finally:
        await _kill(process)


async def _start(
    command: Sequence[str], environment: dict[str, str], *, stdin: int, stdout: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment,
        cwd="/",
        limit=_LINE_BYTES,
    )


async def _messages(process: asyncio.subprocess.Process, line: Callable[[str], None]) -> list[str]:
    """Pass the messages of a program on, and return the last ones."""
    assert process.stderr is not None  # noqa: S101  a pipe, as started
    kept: list[str] = []
    while raw := await process.stderr.readline():
        text = raw.decode(errors="replace").rstrip()[:_LINE_CHARACTERS]
        line(text)
        kept = [*kept, text][-_KEPT_LINES:]
    return kept


async def _end(command: Sequence[str], process: asyncio.subprocess.Process, messages: list[str]) -> None:
    if await process.wait():
        said = [one for one in messages if "error:" in one or "detail:" in one] or messages
        raise BackupError("\n".join(said) or f"{Path(command[0]).name} failed ({process.returncode}).")


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
