"""The commands as people run them: a process each, its output and its exit status."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runwright.cli.apps import load_command
from runwright.cli.help import split_doc
from runwright.cli.index import COMMANDS
from runwright.core.clock import system_clock
from runwright.db.embedded import EmbeddedPostgres
from runwright.db.migrator import bundled_migrations, migrate, schema_version
from runwright.db.pool import Pool, connect
from runwright.tenants.api_keys import ApiKeys
from tests.contract.conftest import running_server, serving
from tests.preloaded import preloaded

PROGRAM = Path(sys.executable).with_name("runwright")
ROLE = ("--tenant", "ten_1", "--role", "tenant-system-admin")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run() -> Run:
    """Run one command to its end, with no settings but those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNWRIGHT_")}

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return preloaded.run(*arguments, env=clean | environment)

    return run


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="runwright-cli-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder / "data"
    shutil.rmtree(folder)


async def works(database: Pool, key: str) -> bool:
    return await ApiKeys(database, clock=system_clock).authenticate(key) is not None


async def test_keys_create_prints_the_key_alone(run: Run, database: Pool, database_url: str) -> None:
    done = await asyncio.to_thread(run, "keys", "create", *ROLE, "--database-url", database_url)
    assert (done.returncode, done.stderr) == (0, "")
    (key,) = done.stdout.splitlines()
    assert await works(database, key)


async def test_keys_are_listed_without_secrets_and_revoked_by_id(
    run: Run, database: Pool, database_url: str
) -> None:
    env = {"RUNWRIGHT_DATABASE_URL": database_url}
    key = (await asyncio.to_thread(run, "keys", "create", *ROLE, "--name", "my laptop", **env)).stdout.strip()
    listed = (await asyncio.to_thread(run, "keys", "list", **env)).stdout
    assert "my laptop" in listed
    assert key[4:12] not in listed
    key_id = listed.splitlines()[1].split()[0]
    assert (await asyncio.to_thread(run, "keys", "revoke", key_id, **env)).returncode == 0
    assert not await works(database, key)


async def test_a_key_has_the_scopes_and_the_end_that_were_given(
    run: Run, database: Pool, database_url: str
) -> None:
    env = {"RUNWRIGHT_DATABASE_URL": database_url}
    given = ("--scope", "read", "--scope", "run", "--expires", "90d", "--name", "report")
    key = (await asyncio.to_thread(run, "keys", "create", *ROLE, *given, **env)).stdout.strip()
    found = await ApiKeys(database, clock=system_clock).authenticate(key)
    assert found is not None
    assert (sorted(found.scopes), found.name) == (["read", "run"], "report")
    assert found.expires_at is not None
    assert 89 <= (found.expires_at - system_clock()).days <= 90
    [row] = json.loads((await asyncio.to_thread(run, "keys", "list", "-o", "json", **env)).stdout)
    assert (row["scopes"], row["id"], key in str(row)) == (["read", "run"], found.id, False)
    for bad in (("--scope", "write"), ("--expires", "soon"), ("--expires", "2020-01-01T00:00:00Z")):
        refused = await asyncio.to_thread(run, "keys", "create", *ROLE, *bad, **env)
        assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
        assert bad[0].lstrip("-") in refused.stderr


async def test_a_rotated_key_has_a_new_text_and_the_old_one_for_a_while(
    run: Run, database: Pool, database_url: str
) -> None:
    env = {"RUNWRIGHT_DATABASE_URL": database_url}
    first = (await asyncio.to_thread(run, "keys", "create", *ROLE, **env)).stdout.strip()
    found = await ApiKeys(database, clock=system_clock).authenticate(first)
    assert found is not None
    done = await asyncio.to_thread(run, "keys", "rotate", found.id, "--overlap", "1h", **env)
    second = done.stdout.strip()
    assert f"the old text of {found.id} is accepted until" in done.stderr
    assert await works(database, first)
    assert await works(database, second)
    third = (
        await asyncio.to_thread(run, "keys", "rotate", found.id, "--overlap", "0s", **env)
    ).stdout.strip()
    assert [await works(database, one) for one in (second, third)] == [False, True]
    for bad in (("--overlap", "31d"), ("--overlap", "a while"), ("--expires", "soon")):
        assert (await asyncio.to_thread(run, "keys", "rotate", found.id, *bad, **env)).returncode == 2
    unknown = await asyncio.to_thread(run, "keys", "rotate", "key_01jd9x3v7m0000000000000000", **env)
    assert unknown.returncode == 5


async def test_a_key_can_be_made_while_the_server_runs_and_while_it_does_not(
    run: Run, data_dir: Path
) -> None:
    where = ("--data-dir", str(data_dir))
    server = EmbeddedPostgres(data_dir)
    connection = await connect(await server.start())
    during = (await asyncio.to_thread(run, "keys", "create", *ROLE, *where)).stdout.strip()
    await connection.close()
    await server.stop()
    after = (await asyncio.to_thread(run, "keys", "create", *ROLE, *where)).stdout.strip()
    assert during.startswith("rwk_")
    assert after.startswith("rwk_")
    connection = await connect(await server.start())
    assert await connection.fetchval("SELECT count(*) FROM api_keys") == 2
    await connection.close()
    await server.stop()


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "create", *ROLE),
        ("keys", "list"),
        ("backup", "x.backup"),
        ("tenants", "list"),
        ("vault", "status"),
        ("db", "migrate"),
    ],
)
def test_a_mistyped_data_directory_does_not_become_a_database(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = run(*command, "--data-dir", str(tmp_path / "typo"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"There is no database in {tmp_path / 'typo'}." in done.stderr
    assert not (tmp_path / "typo").exists()


def test_a_taken_port_is_named_before_anything_is_started(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Port {port} of 127.0.0.1 is in use." in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_address_of_another_machine_is_named(run: Run, tmp_path: Path) -> None:
    done = run("serve", "--host", "192.0.2.1", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "Cannot listen on 192.0.2.1" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [("--tenant", "a/b", "--role", "tenant-admin"), ("--role", "boss")])
async def test_bad_arguments_are_named(run: Run, database_url: str, arguments: tuple[str, ...]) -> None:
    given = ("--tenant", "ten_1", *arguments, "--database-url", database_url)
    done = await asyncio.to_thread(run, "keys", "create", *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert arguments[-2 if "boss" in arguments else 0].lstrip("-") in done.stderr
    assert "Traceback" not in done.stderr


async def test_an_older_schema_is_refused_until_it_is_migrated(run: Run, empty_database_url: str) -> None:
    """`db migrate` and `serve --migrate` bring it up; with a database of one's own nothing else does."""
    connection = await connect(empty_database_url)
    await migrate(connection, bundled_migrations()[:1])
    env = {"RUNWRIGHT_DATABASE_URL": empty_database_url}
    newest = len(bundled_migrations())
    for command in (("keys", "list"), ("serve", "--port", "0")):
        old = await asyncio.to_thread(run, *command, **env)
        assert old.returncode == 1
        assert f"version 1 and this code needs {newest}" in old.stderr
        assert "`runwright db migrate`" in old.stderr
        assert "`--migrate`" in old.stderr
    assert await schema_version(connection) == 1
    assert (await asyncio.to_thread(run, "db", "migrate", **env)).stdout.startswith("applied 0002_")
    assert (await asyncio.to_thread(run, "db", "migrate", **env)).stdout == "nothing to do\n"
    await connection.close()


async def test_the_status_of_a_schema_names_what_is_pending(run: Run, empty_database_url: str) -> None:
    env = {"RUNWRIGHT_DATABASE_URL": empty_database_url}
    first, *others = bundled_migrations()
    newest = others[-1].label

    async def status() -> list[str]:
        done = await asyncio.to_thread(run, "db", "status", **env)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert (await status())[0] == "database      empty: a server migrates it at its start"
    connection = await connect(empty_database_url)
    try:
        await migrate(connection, [first])
        lines = await status()
        assert lines[:2] == [f"database      {first.label}", f"this version  {newest}"]
        assert lines[2:-1] == [f"pending       {one.label}" for one in others]
        assert "Run `runwright db migrate`" in lines[-1]
        assert (await asyncio.to_thread(run, "db", "check", **env)).returncode == 1
        await migrate(connection)
        assert await status() == [
            f"database      {newest}",
            f"this version  {newest}",
            "A server of this version may start on it.",
        ]
    finally:
        await connection.close()


async def test_a_server_that_is_asked_to_migrates_at_its_start(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    await migrate(connection, bundled_migrations()[:1])
    with running_server(RUNWRIGHT_DATABASE_URL=empty_database_url, RUNWRIGHT_MIGRATE="true"):
        assert await schema_version(connection) == len(bundled_migrations())
    await connection.close()


async def test_the_embedded_database_is_migrated_unless_that_is_refused(run: Run, data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    connection = await connect(await server.start())
    await migrate(connection, bundled_migrations()[:1])
    refused = await asyncio.to_thread(run, "serve", "--no-migrate", "--data-dir", str(data_dir))
    assert refused.returncode == 1
    assert "version 1 and this code needs" in refused.stderr
    with serving({}, prepared=data_dir):
        assert await schema_version(connection) == len(bundled_migrations())
    await connection.close()
    await server.stop()


async def test_a_schema_is_accepted_when_it_is_one_release_newer_and_no_more(
    run: Run, empty_database_url: str
) -> None:
    connection = await connect(empty_database_url)
    await migrate(connection)
    env = {"RUNWRIGHT_DATABASE_URL": empty_database_url}
    newest = len(bundled_migrations())
    add = "INSERT INTO schema_migrations (version, name, checksum, compatible_from) VALUES ($1, 'future', 'x', $2)"
    await connection.execute(add, newest + 1, newest)
    assert (await asyncio.to_thread(run, "db", "check", **env)).stdout == "ok\n"
    assert (await asyncio.to_thread(run, "keys", "list", **env)).returncode == 0
    assert (await asyncio.to_thread(run, "db", "migrate", **env)).stdout == "nothing to do\n"
    with running_server(RUNWRIGHT_DATABASE_URL=empty_database_url):
        pass
    await connection.execute(add, newest + 2, newest + 1)
    await connection.close()
    for command in (("db", "check"), ("db", "migrate"), ("serve", "--migrate", "--port", "0")):
        new = await asyncio.to_thread(run, *command, **env)
        assert new.returncode == 1
        assert f"version {newest + 2} and this code knows only {newest}" in new.stderr


def test_config_shows_each_value_with_its_source_and_no_secret(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("executor_slots = 3")
    done = run("config", "--config", str(file), "--port", "99", "--dev", RUNWRIGHT_PLATFORM_KEY="hunter2")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.splitlines()}
    assert rows["executor_slots"] == ["3", f"file {file}"]
    assert rows["port"] == ["99", "flag --port"]
    assert rows["dev"] == ["true", "flag --dev"]
    assert rows["platform_key"] == ["(hidden)", "env RUNWRIGHT_PLATFORM_KEY"]
    assert rows["host"] == ["127.0.0.1", "default"]
    assert "hunter2" not in done.stdout + done.stderr


def test_config_prints_a_file_that_it_reads_back(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(run("config", "--defaults").stdout)
    assert run("config", "--config", str(file)).returncode == 0


def test_a_misspelt_setting_is_refused_with_the_one_that_was_meant(run: Run) -> None:
    done = run("config", RUNWRIGHT_PROT="1")
    assert done.returncode == 1
    assert "Did you mean port?" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_has_a_flag_for_every_setting_and_checks_them(run: Run) -> None:
    done = run("serve", "--port", "many", "--executor-slots", "0")
    assert done.returncode == 1
    assert "port (flag --port)" in done.stderr
    assert "executor_slots (flag --executor-slots)" in done.stderr


def test_help_lists_every_command(run: Run) -> None:
    for arguments in ((), ("--help",), ("help",)):
        done = run(*arguments)
        assert done.returncode == 0
        for noun in COMMANDS:
            assert f"  {noun} " in done.stdout


def test_version(run: Run) -> None:
    installed = subprocess.run([PROGRAM, "version"], capture_output=True, text=True, check=True)
    assert run("version").stdout == run("--version").stdout == installed.stdout
    assert installed.stdout.startswith("runwright ")


def test_doctor_tells_isolation_runtimes_and_database(run: Run, data_dir: Path) -> None:
    said = run("doctor", "--data-dir", str(data_dir)).stdout
    assert "isolation:" in said
    for runtime in ("python", "nodejs", "shell", "deno", "wasm"):
        assert f"runtime {runtime}: " in said
    assert "database: none yet" in said
    assert "vault: no key yet" in said
    assert not data_dir.exists()


def test_doctor_looks_at_the_interpreters_that_were_chosen(run: Run, data_dir: Path) -> None:
    done = run("doctor", "--data-dir", str(data_dir), "--deno-path", "/bin/true")
    assert "BAD  runtime deno: /bin/true does not run" in done.stdout


def test_a_database_out_of_reach_is_told_without_a_stack(run: Run, tmp_path: Path) -> None:
    done = run("keys", "list", "--database-url", f"postgresql:///x?host={tmp_path}&user=x")
    assert done.returncode == 3
    assert "unavailable" in done.stderr
    assert "Traceback" not in done.stderr


def modules_of(code: str) -> set[str]:
    """Return the modules that are loaded after some code has run."""
    program = f"import sys\n{code}\nprint('modules', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("modules ")[2].split())


def test_a_small_command_does_not_load_the_server() -> None:
    """`keys create` is used in scripts and should be quick."""
    loaded = modules_of("from runwright.cli.apps import load_command; load_command('keys')")
    assert "runwright.cli.keys" in loaded
    assert not {"starlette", "uvicorn", "runwright.wiring"} & loaded


def test_a_command_that_calls_a_server_loads_neither_the_server_nor_what_draws() -> None:
    """`jobs list` has a quarter of a second; the SDK's client comes when the first request is made."""
    loaded = modules_of("from runwright.cli.apps import load_command; load_command('jobs')")
    assert "runwright.cli.jobs" in loaded
    assert not {"asyncio", "asyncpg", "httpx", "rich", "runwright.db", "runwright.config", "tomlkit"} & loaded


def test_help_and_version_load_no_command() -> None:
    loaded = modules_of("sys.argv = ['runwright', '--help']\nfrom runwright.cli.main import main; main()")
    assert not {"typer", "httpx", "rich", "msgspec"} & loaded


def test_summaries_in_the_index_are_the_first_lines_of_the_docstrings() -> None:
    for noun, summary in COMMANDS.items():
        about, _ = split_doc(load_command(noun).help)
        assert about.partition("\n\n")[0] == summary


def test_a_command_that_does_not_exist_is_refused_with_the_one_that_was_meant(run: Run) -> None:
    done = run("jbos", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean jobs?" in done.stderr
    done = run("keys", "revke")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'revoke'?" in done.stderr
    assert "Traceback" not in done.stderr
