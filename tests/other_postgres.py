"""A PostgreSQL that is not the embedded one, for tests: the programs in the folder that TEST_PG_BIN names."""

import asyncio
import os
import pwd
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from runwright.db.pool import connect

VARIABLE: Final = "TEST_PG_BIN"
ADDRESS: Final = "TEST_PG_ADDRESS"
"""Names one that runs and has the template already."""

START_SECONDS: Final = 60.0
_ACCOUNTS: Final = ("postgres", "nobody")
"""PostgreSQL refuses to run as root."""


@asynccontextmanager
async def private_postgres(programs: Path, folder: Path) -> AsyncIterator[str]:
    """Run a cluster of its own in a folder, without TCP; yield its address."""
    account = _account()
    cluster, sockets = folder / "cluster", folder / "sockets"
    for made in (cluster, sockets):
        made.mkdir(mode=0o700)
        if account is not None:
            os.chown(made, account.pw_uid, account.pw_gid)
    options = ("--username=runwright", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
    initdb = _start(account, folder, programs / "initdb", "-D", str(cluster), *options)
    assert await asyncio.to_thread(initdb.wait, START_SECONDS) == 0, (folder / "postgres.log").read_text()
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "fsync": "off",
        "max_connections": "200",
    }
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    server = _start(account, folder, programs / "postgres", "-D", str(cluster), *arguments)
    try:
        dsn = f"postgresql:///postgres?host={sockets}&user=runwright"
        await (await connect(dsn, within_seconds=START_SECONDS)).close()
        yield dsn
    finally:
        server.send_signal(signal.SIGINT)
        await asyncio.to_thread(server.wait, START_SECONDS)


def _account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(names[name] for name in _ACCOUNTS if name in names)


def _start(
    account: pwd.struct_passwd | None, folder: Path, program: Path, *arguments: str
) -> "subprocess.Popen[bytes]":
    with (folder / "postgres.log").open("ab") as log:
        return subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ["PATH"]},
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
        )
