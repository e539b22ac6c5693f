"""A PostgreSQL on a host of its own: a primary, and the standby that is made of it."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

import asyncpg
from tests.chaos.hosts import Hosts

from runwright.db.embedded.account import postgres_account
from runwright.db.embedded.binaries import find_programs

_DEBIAN: Final = Path("/usr/lib/postgresql")
_ACCOUNTS: Final = ("postgres", "nobody")
START_SECONDS: Final = 60.0
_SETTINGS: Final = {
    "listen_addresses": "*",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "150",
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "wal_keep_size": "64MB",
    "wal_sender_timeout": "3s",
    "wal_retrieve_retry_interval": "200ms",
    "hot_standby": "on",
    "wal_level": "replica",
}


def programs(folder: Path) -> Path:
    """Return the folder of the programs: TEST_PG_BIN, else Debian's, else the embedded ones."""
    named = os.environ.get("TEST_PG_BIN")
    if named:
        return Path(named)
    installed = sorted(_DEBIAN.glob("*/bin"))
    return installed[-1] if installed else find_programs(postgres_account(), (folder,))


class PostgresHost:
    """The server of one host, with its data in a folder (or a small file system mounted there)."""

    def __init__(self, hosts: Hosts, name: str, folder: Path, binaries: Path) -> None:
        self.name = name
        self._hosts = hosts
        self._binaries = binaries
        self.data = folder / "data"
        self._log = folder / "postgres.log"
        self._account = next(one for one in map(_account, _ACCOUNTS) if one is not None)
        self._server: subprocess.Popen[bytes] | None = None
        self.settings = dict(_SETTINGS)
        folder.mkdir(exist_ok=True)
        os.chown(folder, self._account.pw_uid, self._account.pw_gid)

    @property
    def address(self) -> str:
        return self._hosts.address(self.name)

    def initialize(self) -> None:
        """Make an empty cluster that any host may use, also to replicate."""
        options = ("--username=runwright", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        assert self._spawn("initdb", "-D", str(self.data), *options).wait(START_SECONDS) == 0, self.log()
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.201.0.0/24 trust\nhost replication all 10.201.0.0/24 trust\n")

    def become_standby_of(self, primary: "PostgresHost") -> None:
        """Copy the primary, which is stopped, and follow it from the next start on."""
        shutil.copytree(primary.data, self.data, symlinks=True)
        for path in (self.data, *self.data.rglob("*")):
            os.chown(path, self._account.pw_uid, self._account.pw_gid)
        (self.data / "standby.signal").touch()
        self.settings["primary_conninfo"] = (
            f"host={primary.address} port=5432 user=runwright application_name={self.name}"
            " connect_timeout=3 tcp_user_timeout=3000"
        )

    async def start(self) -> None:
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        self._server = self._spawn("postgres", "-D", str(self.data), *options)
        await self.answers()

    async def answers(self) -> None:
        """Wait until it accepts connections."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    await (await self.connect()).close()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    assert self.running, self.log()
                    await asyncio.sleep(0.05)
                else:
                    return

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=self.address, port=5432, user="runwright", database="postgres", timeout=2, command_timeout=20
        )

    async def accepts_writes(self) -> None:
        """Wait until a transaction commits, which with a synchronous standby needs that one too."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    connection = await self.connect()
                    try:
                        await connection.execute(
                            "SELECT pg_logical_emit_message(true, 'test', '')", timeout=2
                        )
                    finally:
                        connection.terminate()
                    return
                await asyncio.sleep(0.05)

    async def promote(self) -> None:
        """Make the standby the primary; returns when it accepts writes."""
        connection = await self.connect()
        assert await connection.fetchval("SELECT pg_promote(true, 30)")
        await connection.close()

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.poll() is None

    async def stop(self) -> None:
        """Stop it in order: all that was committed is at the standby when this returns."""
        await self._end(signal.SIGINT)

    def send_to_all(self, number: signal.Signals) -> None:
        """Send a signal to each of its processes."""
        if self._server is not None and self._server.poll() is None:
            children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
            for pid in (self._server.pid, *map(int, children)):
                os.kill(pid, number)

    async def clean_up(self) -> None:
        """End it, whatever its state."""
        if self.running:
            self.send_to_all(signal.SIGCONT)
            await self._end(signal.SIGQUIT)

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""

    async def _end(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._server.send_signal(number)
        await asyncio.to_thread(self._server.wait, START_SECONDS)

    def _spawn(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        account = self._account
        command = self._hosts.command(
            self.name, str(self._binaries / program), *arguments, uid=account.pw_uid, gid=account.pw_gid
        )
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ["PATH"]},
            )


def _account(name: str) -> pwd.struct_passwd | None:
    return next((entry for entry in pwd.getpwall() if entry.pw_name == name), None)
