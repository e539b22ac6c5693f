"""From an empty folder to a worker that runs on every save, in two commands; the second starts a server."""

import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.cli.conftest import Home
from tests.e2e.cli.terminal import Terminal


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the database's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-dev-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def port() -> int:
    """A free port that the kernel gives to no server and no connection of another test."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.Random().sample(range(10_000, first), 50):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    pytest.fail("no port is free")


def test_two_commands_from_an_empty_folder_to_a_worker_that_reloads_on_save(place: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    home = Home(place, RUNWRIGHT_URL=url, RUNWRIGHT_DATA_DIR=str(place / "data"))
    home.ok("runwright init hello")
    terminal = home.terminal("runwright dev hello -i name=Ada")
    try:
        _save_twice(terminal, place / "hello" / "main.py")
        assert terminal.send("\x03").end() == 0, terminal.text
    finally:
        terminal.kill()
    assert home.run("runwright jobs list").returncode == 3  # the server that it started is gone


def test_a_signal_ends_it_with_its_server(place: Path, port: int) -> None:
    home = Home(place, RUNWRIGHT_URL=f"http://127.0.0.1:{port}", RUNWRIGHT_DATA_DIR=str(place / "data"))
    home.ok("runwright init hello")
    for number in (signal.SIGTERM, signal.SIGHUP):
        terminal = home.terminal("runwright dev hello --no-run")
        try:
            terminal.expect("starting a server").expect(
                "serving v1" if number == signal.SIGTERM else "Ctrl-C"
            )
            terminal.process.send_signal(number)
            assert terminal.end() == 128 + number, terminal.text
        finally:
            terminal.kill()
        assert home.run("runwright jobs list").returncode == 3, "its server is gone"
        assert not (place / "data" / "pg" / "postmaster.pid").exists(), "and so is the database"


def _save_twice(terminal: Terminal, source: Path) -> None:
    terminal.expect("starting a server").expect("greeting Ada").expect('{"text": "Hello, Ada!"}')
    good = source.read_text()
    source.write_text(good.replace('"greeting', '"waving at'))
    terminal.expect("saved main.py").expect("serving v2").expect("waving at Ada")
    source.write_text("def handler(input, env)\n")
    terminal.expect("main.py:1").expect("Nothing was changed")
    source.write_text(good)
    terminal.expect("serving v3").expect("greeting Ada").expect("✓ completed")
