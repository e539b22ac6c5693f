"""A person at a shell: a home folder, a key, and commands that are typed, at a terminal or in a pipe."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.contract.conftest import Server
from tests.e2e.cli.terminal import Terminal
from tests.preloaded import preloaded

from runwright import Runwright

PROGRAM = Path(sys.executable).with_name("runwright")


class Home:
    """A person's folder and environment."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self._terminals: list[Terminal] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNWRIGHT_")}
        path = f"{PROGRAM.parent}{os.pathsep}{kept['PATH']}"
        own = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.env = kept | own | {"PATH": path, "TERM": "xterm-256color", "COLUMNS": "80"} | variables

    def run(self, line: str, *, input: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command line without a terminal."""
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.env | {"PATH": f"{preloaded.folder}{os.pathsep}{self.env['PATH']}"} | variables,
            input=input,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def ok(self, line: str, **options: str) -> str:
        """Run a command line that has to succeed, and return its stdout."""
        done = self.run(line, **options)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def terminal(self, line: str) -> Terminal:
        """Type a command line at a terminal of 80 columns."""
        self._terminals.append(Terminal(shlex.split(line), cwd=self.folder, env=self.env))
        return self._terminals[-1]

    def leave(self) -> None:
        """End what a failed test has left at a terminal, so that it fails no other one."""
        for terminal in self._terminals:
            terminal.kill()

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture(scope="module")
def tenant_key(server: Server) -> Callable[[str], tuple[str, str]]:
    """Make a tenant with a key of a role, and return both."""

    def make(role: str) -> tuple[str, str]:
        tenant = f"ten_{uuid4().hex}"
        return tenant, server.run("keys", "create", "--tenant", tenant, "--role", role)

    return make


@pytest.fixture(scope="module")
def key(tenant_key: Callable[[str], tuple[str, str]]) -> str:
    """The key of a tenant that the tests of a module share."""
    return tenant_key("tenant-system-admin")[1]


@pytest.fixture
def home(tmp_path: Path, server: Server, key: str) -> Iterator[Home]:
    made = Home(tmp_path, RUNWRIGHT_URL=server.url, RUNWRIGHT_KEY=key)
    yield made
    made.leave()


@pytest.fixture
def rw(server: Server, key: str) -> Iterator[Runwright]:
    """The SDK, to prepare what commands act on and to see what they did."""
    with Runwright(server.url, key) as client:
        yield client
