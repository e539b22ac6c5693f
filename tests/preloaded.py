"""Runs `runwright` commands as forks of a process that has loaded them.

To load a command takes a third of a second of a processor, to run it a tenth of that, and the tests run
hundreds. A fork has arguments, a folder, variables and standard streams of its own like any process, and its exit
status is reported. What loading does has tests of its own, which start the installed program, as terminals do.

The process serves a socket that has no file and answers only its own user. It ends with the test process, whose
end of a pipe is its standard input. A command that nobody waits for any more is killed.
"""

import contextlib
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from tests.clusters import FOLDER_VARIABLE

ROOT: Final = Path(__file__).parents[1]
REQUEST_BYTES: Final = 128 * 1024
STOP_SECONDS: Final = 10.0
LIBRARIES: Final = ("asyncpg", "httpx", "rich.console", "rich.table", "tomlkit", "runwright.client")
"""What commands import where they use it."""

SHIM: Final = """#!{python} -IS
import marshal, os, signal, sys
import _socket
connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
connection.connect({address!r})
request = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ)))
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda sent, _: connection.send(bytes([sent])))
status = int.from_bytes(connection.recv(4), sys.byteorder, signed=True)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""
"""A program for shells that has its command run and ends as that does."""

_STATUS: Final = struct.Struct("i")
_CREDENTIALS: Final = struct.Struct("3i")


class Command(NamedTuple):
    """A command line, the folder to run it in, and its variables."""

    arguments: Sequence[str]
    folder: str
    variables: Mapping[str, str]


# --- the process that has loaded the commands ----------------------------------------------------


def load() -> None:
    """Import every command but the server, and what commands import when they run."""
    for name in LIBRARIES:
        importlib.import_module(name)
    apps = importlib.import_module("runwright.cli.apps")
    for noun in importlib.import_module("runwright.cli.index").COMMANDS:
        if noun != "serve":
            apps.load_app(noun)
    gc.collect()
    gc.freeze()


def serve(listener: socket.socket) -> Command | None:
    """Fork for every connection until the standard input ends; return the command in the process that runs it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return None
        connection, _ = listener.accept()
        with connection:
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                return _answer(connection)


def _answer(connection: socket.socket) -> Command:
    """Return in the process that runs the command; this one reports how it ended."""
    _, uid, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    if uid != os.getuid():
        os._exit(1)
    message, streams, _, _ = socket.recv_fds(connection, REQUEST_BYTES, 3)
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        _report(connection, pid)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    connection.close()
    return Command(*marshal.loads(message))


def _report(connection: socket.socket, pid: int) -> NoReturn:
    """Forward signals to a command until it ends, and report its exit status."""
    ended = os.pidfd_open(pid)
    while True:
        ready, _, _ = select.select([ended, connection.fileno()], [], [])
        if ended in ready:
            _, status = os.waitpid(pid, 0)
            with contextlib.suppress(OSError):
                connection.send(_STATUS.pack(os.waitstatus_to_exitcode(status)))
            os._exit(0)
        signals = connection.recv(1)
        signal.pidfd_send_signal(ended, signals[0] if signals else signal.SIGKILL)
        if not signals:
            os.waitpid(pid, 0)
            os._exit(0)


def _become(command: Command) -> None:
    """Take the command's place: its folder, its variables, its arguments and its streams."""
    os.chdir(command.folder)
    os.environ.clear()
    os.environ.update(command.variables)
    tempfile.tempdir = None  # what it is depends on the variables
    sys.argv = [str(Path(sys.executable).with_name("runwright")), *command.arguments]
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115  standard streams
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1)  # noqa: SIM115  as above


def main() -> int:
    """Serve, and in a fork run the command."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    load()
    command = serve(listener)
    if command is None:
        return 0
    _become(command)
    code: int = importlib.import_module("runwright.cli.main").main()
    return code


# --- the process of the tests --------------------------------------------------------------------


class Preloaded:
    """The process that has loaded the commands, from the side of the tests; started when it is first used."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._address = b""

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str],
        folder: Path | None = None,
        input: str = "",
        seconds: float = 120,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, and return its status and what it printed."""
        request = marshal.dumps((arguments, str(folder or Path.cwd()), dict(env)))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection, ExitStack() as stack:
            streams = [stack.enter_context(_memory_file()) for _ in range(3)]
            streams[0].write(input.encode())
            streams[0].seek(0)
            connection.settimeout(seconds)
            connection.connect(self.address)
            numbers = [stream.fileno() for stream in streams]
            socket.send_fds(connection, [request], numbers)
            try:
                (status,) = _STATUS.unpack(connection.recv(_STATUS.size))
            except TimeoutError:
                raise subprocess.TimeoutExpired(arguments, seconds) from None
            _, out, err = (_text_of(stream) for stream in streams)
        return subprocess.CompletedProcess(arguments, status, out, err)

    @property
    def folder(self) -> Path:
        """The folder with a `runwright` for shells, to be first in PATH."""
        program = Path(os.environ[FOLDER_VARIABLE], f"commands-{os.getpid()}", "runwright")
        program.parent.mkdir(exist_ok=True)
        program.write_text(SHIM.format(python=sys.executable, address=self.address))
        program.chmod(0o755)
        return program.parent

    @property
    def address(self) -> bytes:
        """Where it is served."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        return self._address

    def stop(self) -> None:
        """End it, if it was started."""
        if self._process is not None:
            self._process.communicate(timeout=STOP_SECONDS)
            self._process = None

    def _start(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind("")  # the kernel chooses a name that has no file
            listener.listen(64)
            self._address = listener.getsockname()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.preloaded", str(listener.fileno())],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )


def _memory_file() -> FileIO:
    return open(os.memfd_create("stream"), "w+b", buffering=0)  # noqa: PTH123  it has no path


def _text_of(stream: FileIO) -> str:
    stream.seek(0)
    return stream.read().decode()


preloaded: Final = Preloaded()
"""That of this test process."""

if __name__ == "__main__":
    sys.exit(main())
