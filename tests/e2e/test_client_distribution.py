"""`runwright-client` in an empty environment: the SDK with its types, the remote commands, and nothing of the server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.conftest import MakeKey, Server, make_key, server
from tests.releases import ROOT, built_wheel, uv

__all__ = ["make_key", "server"]

pytestmark = pytest.mark.timeout(600)

MOST_BYTES = 10_000_000
PROGRAM = ROOT / "tests" / "integration" / "client" / "user_program.py"
ECHO = "async def handler(input, env):\n    return input\n"
USES_SDK = """\
from runwright import Runwright
with Runwright() as rw:
    rw.workers.create("echo", "python", source_code=SOURCE)
    print(rw.jobs.run("echo", {"n": 1}, wait=60).result())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel of the client and what it asks for."""
    folder = tmp_path_factory.mktemp("client")
    wheel = built_wheel(ROOT / "clients" / "python", folder / "dist")
    uv("venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    lock = ROOT / "requirements" / "lock.txt"
    python = str(folder / "venv" / "bin" / "python")
    uv("pip", "install", "--quiet", "--python", python, "--constraint", str(lock), str(wheel))
    return folder / "venv"


def run(environment: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNWRIGHT_")}
    given = kept | {"XDG_CONFIG_HOME": str(environment / "config")} | variables
    program = environment / "bin" / command[0]
    return subprocess.run(
        [program, *command[1:]],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd="/",
        env=given,
    )


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.suffix != ".pyc" and file.is_file())


@pytest.mark.registry
def test_it_is_small_and_calls_a_server(environment: Path, server: Server, make_key: MakeKey) -> None:
    [packages] = (environment / "lib").glob("python*/site-packages")
    assert size_of(packages) < MOST_BYTES
    assert not {"asyncpg", "starlette", "uvicorn", "cryptography", "pygments"} & {
        one.name for one in packages.iterdir()
    }
    variables = {
        "RUNWRIGHT_URL": server.url,
        "RUNWRIGHT_API_KEY": make_key("ten_client", "tenant-system-admin"),
    }
    ran = run(environment, "python", "-c", f"SOURCE = {ECHO!r}\n{USES_SDK}", **variables)
    assert (ran.stdout, ran.stderr) == ("{'n': 1}\n", "")
    commanded = run(environment, "runwright", "run", "echo", "-i", "n=2", **variables)
    assert commanded.returncode == 0, commanded.stderr
    assert '"n": 2' in commanded.stdout
    cancelled = run(environment, "runwright", "jobs", "cancel", "--worker", "echo", "--dry-run", **variables)
    assert cancelled.returncode == 0, cancelled.stderr
    missing = run(environment, "runwright", "serve")
    assert missing.returncode == 2
    assert "no serve: it has no server" in missing.stderr


@pytest.mark.registry
def test_type_checkers_know_all_of_it(environment: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    shutil.copy(PROGRAM, program)
    checker = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    checker += [
        "--enable-error-code",
        "unused-coroutine",
        "--python-executable",
        str(environment / "bin" / "python"),
    ]
    done = subprocess.run(
        [*checker, str(program)], capture_output=True, text=True, timeout=300, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.registry
def test_it_lives_beside_the_whole_and_survives_it(environment: Path) -> None:
    where = "import runwright, runwright_client; print(runwright.__file__)"
    python = str(environment / "bin" / "python")
    assert "runwright_client/tree" in run(environment, "python", "-c", where).stdout
    uv("pip", "install", "--quiet", "--python", python, "hatchling", "editables")
    uv(
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--no-deps",
        "--no-build-isolation",
        "--editable",
        str(ROOT),
    )
    assert run(environment, "python", "-c", where).stdout == f"{ROOT / 'src' / 'runwright' / '__init__.py'}\n"
    uv("pip", "uninstall", "--quiet", "--python", python, "runwright")
    assert "runwright_client/tree" in run(environment, "python", "-c", where).stdout


@pytest.mark.registry
def test_it_is_found_where_no_pth_files_are_read(environment: Path) -> None:
    [packages] = (environment / "lib").glob("python*/site-packages")
    program = f"import sys; sys.path.append({str(packages)!r}); import runwright_client; print(runwright_client.Runwright)"
    done = run(environment, "python", "-I", "-S", "-c", program)
    assert done.stdout == "<class 'runwright.client.blocking.Runwright'>\n", done.stderr
