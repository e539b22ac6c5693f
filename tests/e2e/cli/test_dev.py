"""From an empty folder to a worker that runs on every save, in two commands; the second starts a server."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
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
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


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


def _save_twice(terminal: Terminal, source: Path) -> None:
    terminal.expect("starting a server").expect("greeting Ada").expect('{"text": "Hello, Ada!"}')
    good = source.read_text()
    source.write_text(good.replace('"greeting', '"waving at'))
    terminal.expect("saved main.py").expect("serving v3").expect("waving at Ada")
    source.write_text("def handler(input, env)\n")
    terminal.expect("main.py:1").expect("Nothing was changed")
    source.write_text(good)
    terminal.expect("serving v4").expect("greeting Ada").expect("✓ completed")
