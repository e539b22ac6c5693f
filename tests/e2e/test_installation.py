"""The built wheel, installed as `pipx` and `uv tool` do it, far from this checkout, runs the README's first example.

As root and as an ordinary user, on the oldest and the newest Python: whoever installs it has neither `make` nor
what the extras bring.
"""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import uv
from tests.printed import read_page
from tests.releases import ROOT, built_wheel

from runwright import __version__

_ACCOUNTS: Final = ("games", "daemon", "nobody")
_COMMANDS: Final = 4
"""The first block of the README that is run: init, deploy, run, logs."""
_WHOLE_MB: Final = 515
"""What an installation with all extras takes (docs/installing.md)."""
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
MISSING: Final = {"nodejs", "deno", "wasm"} - {
    runtime
    for runtime, program in (("nodejs", "node"), ("deno", "deno"))
    if shutil.which(program, path=_PATH)
}
"""The runtimes that are extras, as far as this host does not have them itself."""

# In a mount namespace, so that an ordinary user finds the interpreter where it is, although it is below root's home.
_OPEN_FOLDER: Final = """
set -eu
mkdir "$SPACE/prefix" && mount --bind "$PREFIX" "$SPACE/prefix"
mount -t tmpfs -o mode=755 tmpfs "$CLOSED"
mkdir -p "$PREFIX" && mount --bind "$SPACE/prefix" "$PREFIX"
exec setpriv --reuid "$ACCOUNT" --regid "$GROUP" --clear-groups "$@"
"""
_INSTALL: Final = """
set -euo pipefail
umask 022
cd "$HOME"
"$UV" tool install --quiet --python "$PYTHON" --constraints "$CONSTRAINTS" "$WHEEL"
du -sm "$UV_TOOL_DIR/runwright" | cut -f1 >size
runwright version
mkfifo ready
runwright serve --port 0 >ready 2>server.log &
server=$!
read -r line <ready || { cat server.log; exit 1; }
export RUNWRIGHT_URL=${line##* }
trap 'kill -TERM $server; wait $server' EXIT
"""
_WITHOUT_EXTRAS: Final = """
runwright doctor
runwright init ts --template deno
runwright deploy ts && exit 1
runwright init wat --template wasm
runwright deploy wat && exit 1
true
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(ROOT, tmp_path_factory.mktemp("wheel") / "dist")


@pytest.fixture(scope="module")
def downloads(wheel: Path) -> Iterator[Path]:
    """What uv has downloaded for the wheel, once for all; it is linked, so it is where the others are."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-downloads-", dir="/tmp"))
    command = (uv.find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable)
    subprocess.run(
        [*command, "--target", folder / "tried", "--constraint", constraints(folder), wheel],
        env=os.environ | {"UV_CACHE_DIR": str(folder / "cache")},
        check=True,
        timeout=300,
    )
    yield folder / "cache"
    shutil.rmtree(folder)


@pytest.fixture
def space() -> Iterator[Path]:
    """A folder that every user may enter; it goes with all that was installed into it."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-installed-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def interpreter(line: str) -> str:
    found = subprocess.run(
        [ROOT / "scripts" / "find_python", line], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        pytest.skip(f"this host has no Python {line}")
    return found.stdout.strip()


def ordinary_user() -> pwd.struct_passwd | None:
    """Return an account to change to; None where this process has no privileges itself."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip(f"this host has none of the accounts {', '.join(_ACCOUNTS)}")


def changed_user(account: pwd.struct_passwd, prefix: Path) -> tuple[list[str], dict[str, str]]:
    """Return how a command becomes that user's, and the variables for it."""
    if not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        pytest.skip("this host lacks unshare, setpriv or mount, to run commands as an ordinary user")
    change = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    closed = next((one for one in [*prefix.parents][::-1] if not one.stat().st_mode & stat.S_IXOTH), None)
    if closed is None:
        return change, {}
    variables = {"CLOSED": closed, "PREFIX": prefix, "ACCOUNT": account.pw_uid, "GROUP": account.pw_gid}
    opened = ["unshare", "--mount", "bash", "-c", _OPEN_FOLDER, "bash"]
    return opened, {name: str(value) for name, value in variables.items()}


def constraints(folder: Path) -> Path:
    """The versions of the lock, in a file that restricts what is installed and requires no hashes."""
    lines = (ROOT / "requirements" / "lock.txt").read_text().splitlines()
    pins = [line.removesuffix("\\").strip() for line in lines if "==" in line and not line.startswith(" ")]
    path = folder / "constraints.txt"
    path.write_text("\n".join(pins))
    path.chmod(0o644)
    return path


def environment(space: Path, home: Path, python: str, wheel: Path) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("SSL_", "UV_", "LANG", "LC_"))
    }
    return kept | {
        "HOME": str(home),
        "PATH": f"{home}/bin:{_PATH}",
        "UV": str(shutil.copy(uv.find_uv_bin(), space)),
        "UV_CACHE_DIR": f"{home}/cache",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_TOOL_BIN_DIR": f"{home}/bin",
        "UV_TOOL_DIR": f"{home}/tools",
        "PYTHON": python,
        "RUNWRIGHT_DATA_DIR": f"{home}/data",
        "RUNWRIGHT_POOL_PREBOOTED_PYTHON": "0",
        "SPACE": str(space),
        "WHEEL": str(wheel),
        "CONSTRAINTS": str(constraints(space)),
    }


@pytest.mark.registry
@pytest.mark.timeout(600)
@pytest.mark.parametrize("line", ["3.11", "3.13"])
@pytest.mark.parametrize("user", ["root", "ordinary"])
def test_the_readmes_first_example_runs_from_an_installed_wheel(
    user: str, line: str, wheel: Path, downloads: Path, space: Path
) -> None:
    python = interpreter(line)
    if user == "root" and os.geteuid() != 0:
        pytest.skip("these tests do not run as root")
    account = ordinary_user() if user == "ordinary" else None
    home = space / "home"
    home.mkdir(mode=0o711)
    variables = environment(space, home, python, Path(shutil.copy(wheel, space)))
    shutil.copytree(downloads, home / "cache", symlinks=True, copy_function=os.link)
    change: list[str] = []
    if account is not None:
        change, more = changed_user(account, Path(python).parents[1])
        variables |= more
        for path in (home, *home.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    example = [one.text for one in read_page((ROOT / "README.md").read_text())[0][:_COMMANDS]]
    script = "\n".join([_INSTALL, *example, _WITHOUT_EXTRAS])
    done = subprocess.run(
        [*change, "bash", "-c", script],
        env=variables,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert done.stdout.startswith(f"runwright {__version__}\n")
    assert [command.split()[1] for command in example] == ["init", "deploy", "run", "logs"]
    assert "Ada" in done.stdout
    assert "ok   isolation: " in done.stdout
    for extra in MISSING:
        assert f"--   runtime {extra}: not installed: it comes with runwright[{extra}]" in done.stdout
    for extra in {"deno", "wasm"} & MISSING:
        message = f"Is not available on this server: not installed: it comes with runwright[{extra}]"
        assert message in " ".join(done.stderr.split()), said
    assert int((home / "size").read_text()) < _WHOLE_MB / 2
