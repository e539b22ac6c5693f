"""The private PostgreSQL: shared by processes, never lost, cleaned up by the last one."""

import asyncio
import os
import shutil
import signal
import stat
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from runwright.db.embedded import EmbeddedError, EmbeddedPostgres
from runwright.db.embedded.binaries import DISTRIBUTION, PACKAGE
from runwright.db.errors import transient
from runwright.db.pool import Pool, connect, open_pool
from runwright.telemetry.events.database import PostgresLost
from tests.clusters import copy_cluster
from tests.telemetry import RecordedTelemetry

HOLD = """
import asyncio, pathlib, sys
from runwright.db.embedded import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))
    print(await server.start(), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(server.pid or 0, flush=True)
    await server.stop()

asyncio.run(main())
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="runwright-embedded-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder / "data"
    # One that was killed may still be on its way out, or wait for an init that is slow to bury it; one
    # that is really left stays.
    _, unburied = psutil.wait_procs(serving(folder / "data"), timeout=20)
    leftovers = [process for process in unburied if is_alive(process)]
    for process in leftovers:
        process.kill()
    psutil.wait_procs(leftovers, timeout=10)
    shutil.rmtree(folder)
    assert not leftovers


@pytest.fixture
def telemetry() -> RecordedTelemetry:
    return RecordedTelemetry()


@pytest.fixture
async def server(data_dir: Path, telemetry: RecordedTelemetry) -> AsyncIterator[EmbeddedPostgres]:
    """A server that has been started before."""
    copy_cluster(data_dir)
    server = EmbeddedPostgres(data_dir, emit=telemetry)
    yield server
    await server.stop()


@pytest.fixture
async def new_server(data_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server that makes its cluster when it is started."""
    server = EmbeddedPostgres(data_dir)
    yield server
    await server.stop()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def write_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


def is_alive(process: psutil.Process) -> bool:
    """Whether it is more than an entry that nobody has buried yet."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def serving(data_dir: Path) -> list[psutil.Process]:
    """Every process of the server of one data directory."""
    cluster = str(data_dir / "pg")
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == cluster:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def holder(data_dir: Path, **environment: str) -> tuple[Process, str]:
    """Start another process that uses the server; return it with the address that it got."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(data_dir), stdin=PIPE, stdout=PIPE, env={**os.environ, **environment}
    )
    return process, await line_of(process)


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()


async def pid_seen_by(process: Process) -> int:
    assert process.stdin is not None
    process.stdin.write(b"?\n")
    return int(await line_of(process))


async def leave(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def eventually(pool: Pool, query: str) -> object:
    """Ask again while the server is away, as every part of Runwright does."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await pool.fetchval(query)
            except Exception as error:
                if not transient(error):
                    raise
            await asyncio.sleep(0.01)


async def count(dsn: str) -> object:
    connection = await connect(dsn)
    try:
        return await connection.fetchval("SELECT count(*) FROM kept")
    finally:
        await connection.close()


async def commit_a_row(dsn: str) -> None:
    connection = await connect(dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (); INSERT INTO kept DEFAULT VALUES")
    await connection.close()


async def test_a_stop_leaves_no_process_and_a_start_finds_the_rows(
    data_dir: Path, server: EmbeddedPostgres
) -> None:
    await commit_a_row(await server.start())
    assert serving(data_dir)
    await server.stop()
    assert not serving(data_dir)
    assert await count(await server.start()) == 1


async def test_a_stop_ends_though_every_process_of_the_server_is_stopped(
    data_dir: Path, server: EmbeddedPostgres
) -> None:
    """A process that is stopped does not receive the signal that is to end it."""
    await commit_a_row(await server.start())
    for process in serving(data_dir):
        process.suspend()
    async with asyncio.timeout(60):
        await server.stop()
    assert not serving(data_dir)
    assert await count(await server.start()) == 1


async def test_a_killed_postmaster_is_restarted_with_every_committed_row(
    server: EmbeddedPostgres, telemetry: RecordedTelemetry
) -> None:
    """The address stays the same, and a pool that was open goes on by itself."""
    dsn = await server.start()
    await commit_a_row(dsn)
    pool = await open_pool(dsn)
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert await eventually(pool, "SELECT count(*) FROM kept") == 1
    async with asyncio.timeout(60):
        while server.pid in (killed, None):
            await eventually(pool, "SELECT 1")
    assert telemetry.of(PostgresLost) == [PostgresLost(server_pid=killed)]
    await pool.close()


async def test_a_backend_that_is_killed_heals(server: EmbeddedPostgres) -> None:
    """PostgreSQL resets itself when one of its processes dies; the postmaster stays."""
    dsn = await server.start()
    pool = await open_pool(dsn)
    before = server.pid
    os.kill(await pool.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    assert await eventually(pool, "SELECT 1") == 1
    assert server.pid == before
    await pool.close()


async def test_a_child_that_does_not_notice_its_postmaster_s_death_is_killed(
    server: EmbeddedPostgres,
) -> None:
    """PostgreSQL refuses to start beside one, so a stuck one would keep the database down for ever."""
    dsn = await server.start()
    pool = await open_pool(dsn)
    stuck = await connect(dsn)
    os.kill(await stuck.fetchval("SELECT pg_backend_pid()"), signal.SIGSTOP)
    dead = server.pid
    assert dead is not None
    os.kill(dead, signal.SIGKILL)
    async with asyncio.timeout(60):
        while server.pid in {dead, None}:  # noqa: ASYNC110  a child of the dead one may still answer
            await asyncio.sleep(0.01)
    assert await eventually(pool, "SELECT 1") == 1
    stuck.terminate()
    await pool.close()


async def test_two_processes_share_one_server_and_the_last_one_stops_it(
    data_dir: Path, server: EmbeddedPostgres
) -> None:
    other, dsn = await holder(data_dir)
    assert await server.start() == dsn
    assert await pid_seen_by(other) == server.pid
    await leave(other)
    await commit_a_row(dsn)
    await server.stop()
    assert not serving(data_dir)


async def test_the_first_process_may_leave_before_the_others(
    data_dir: Path, server: EmbeddedPostgres
) -> None:
    dsn = await server.start()
    other, _ = await holder(data_dir)
    await server.stop()
    await commit_a_row(dsn)
    await leave(other)
    assert not serving(data_dir)


async def test_processes_that_start_together_make_one_cluster(data_dir: Path) -> None:
    holders = await asyncio.gather(*(holder(data_dir) for _ in range(3)))
    assert len({dsn for _, dsn in holders}) == 1
    assert len({await pid_seen_by(process) for process, _ in holders}) == 1
    await asyncio.gather(*(leave(process) for process, _ in holders))


async def test_a_server_that_outlived_its_parent_is_attached_to(
    data_dir: Path, server: EmbeddedPostgres
) -> None:
    """A kill -9 of Runwright neither stops the database nor leaves a lock that must be removed by hand."""
    parent, dsn = await holder(data_dir)
    await commit_a_row(dsn)
    postmaster = await pid_seen_by(parent)
    parent.kill()
    await parent.wait()
    assert await server.start() == dsn
    assert server.pid == postmaster
    assert await count(dsn) == 1


async def test_when_the_postmaster_is_killed_all_its_users_get_the_same_new_one(
    data_dir: Path, server: EmbeddedPostgres
) -> None:
    other, dsn = await holder(data_dir)
    await server.start()
    killed = server.pid
    assert killed is not None
    pool = await open_pool(dsn)
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(60):
        while server.pid in (killed, None) or await pid_seen_by(other) != server.pid:
            await eventually(pool, "SELECT 1")
    await pool.close()
    await leave(other)


async def test_killing_parent_and_postmaster_loses_nothing(data_dir: Path, server: EmbeddedPostgres) -> None:
    parent, dsn = await holder(data_dir)
    await commit_a_row(dsn)
    postmaster = await pid_seen_by(parent)
    parent.kill()
    os.kill(postmaster, signal.SIGKILL)
    await parent.wait()
    assert await count(await server.start()) == 1


async def test_stopping_is_safe_unstarted_and_twice(new_server: EmbeddedPostgres) -> None:
    await new_server.stop()
    await new_server.start()
    await new_server.stop()
    await new_server.stop()


async def test_a_stop_right_after_a_kill_leaves_nothing_running(
    data_dir: Path, server: EmbeddedPostgres
) -> None:
    """The restart may be at any point when the stop comes."""
    for turns in (0, 1, 3, 10):
        await server.start()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.stop()
    await server.start()
    await server.stop()
    assert not serving(data_dir)


async def test_a_stale_record_that_names_another_process_does_not_matter(
    data_dir: Path, server: EmbeddedPostgres
) -> None:
    """After a reboot the recorded process id may be anybody's."""
    await server.start()
    await server.stop()
    (data_dir / "pg" / "postmaster.pid").write_text(f"{os.getpid()}\n/elsewhere\n1\n5432\n\n")
    await server.start()
    assert server.pid != os.getpid()


async def test_an_interrupted_first_start_is_begun_again(
    data_dir: Path, new_server: EmbeddedPostgres
) -> None:
    write_file(data_dir / ".pg-half" / "PG_VERSION", "18\n")
    await new_server.start()
    assert not (data_dir / ".pg-half").exists()


async def test_a_cluster_of_another_version_is_refused_naming_both(
    data_dir: Path, new_server: EmbeddedPostgres
) -> None:
    write_file(data_dir / "pg" / "PG_VERSION", "14\n")
    with pytest.raises(EmbeddedError, match=r"PostgreSQL 14; .* brings 18"):
        await new_server.start()


async def test_a_server_that_cannot_start_says_why(data_dir: Path, server: EmbeddedPostgres) -> None:
    await server.start()
    await server.stop()
    (data_dir / "pg" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        await server.start()


async def test_a_long_path_gets_a_short_private_socket(data_dir: Path) -> None:
    """Socket addresses are limited to 107 bytes; data directories are not."""
    server = EmbeddedPostgres(data_dir / ("long" * 30))
    dsn = await server.start()
    connection = await connect(dsn)
    folder = Path(await connection.fetchval("SHOW unix_socket_directories"))
    await connection.close()
    assert mode_of(folder) == 0o700
    await server.stop()
    assert not folder.exists()


async def test_nobody_else_can_reach_the_server(data_dir: Path, new_server: EmbeddedPostgres) -> None:
    dsn = await new_server.start()
    connection = await connect(dsn)
    assert await connection.fetchval("SHOW listen_addresses") == ""
    await connection.close()
    for name in ("pg", "pg.socket"):
        assert mode_of(data_dir / name) == 0o700


async def test_durability_is_on(new_server: EmbeddedPostgres) -> None:
    connection = await connect(await new_server.start())
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await connection.fetchval(f"SHOW {setting}") == "on"
    await connection.close()


@as_root
async def test_root_gives_it_a_user_of_its_own(data_dir: Path, new_server: EmbeddedPostgres) -> None:
    await new_server.start()
    assert {process.username() for process in serving(data_dir)} == {"runwright-pg"}
    assert mode_of(data_dir) == 0o711


@as_root
async def test_closed_parents_are_worked_around_and_never_opened(data_dir: Path) -> None:
    """`--data-dir $(mktemp -d)` works, and no folder that is not ours changes its mode."""
    closed = data_dir / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    server = EmbeddedPostgres(closed / "data")
    dsn = await server.start()
    await commit_a_row(dsn)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()
    assert await count(await server.start()) == 1
    assert mode_of(closed) == 0o700
    await server.stop()


@as_root
async def test_programs_in_a_closed_folder_are_copied_once(data_dir: Path) -> None:
    """A virtualenv in root's home is out of reach for PostgreSQL's user."""
    closed = data_dir.parent / "closed"
    site = Path(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
    for name in (PACKAGE, f"{PACKAGE}.libs"):
        shutil.copytree(site / name, closed / name, ignore=shutil.ignore_patterns("pginstall", "include"))
    closed.chmod(0o700)
    for _ in range(2):
        process, dsn = await holder(data_dir, PYTHONPATH=str(closed))
        await commit_a_row(dsn)
        await leave(process)
    copies = [path.name for path in data_dir.iterdir() if "postgresql" in path.name]
    assert copies == [f"postgresql-18-{version(DISTRIBUTION)}"]
