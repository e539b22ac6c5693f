"""Runs shell scripts inside a sandbox: `run_harness.py shell_harness FD UID FOLDER SHELL`.

Each job is one process `SHELL ENTRYPOINT` in its own process group, with the input on stdin, and config
and secrets in its environment; stdout and stderr are read here. SIGTERM is forwarded to the group. What the
script asks for by `rw` comes over a socket in the temporary folder (`rw_command.py`). The result is what the
script wrote to $AVA_OUTPUT, else its stdout or the last line of it if that is JSON, else its stdout as text.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

from runwright_code import CodeLoad, bundled_path, write_source
from runwright_lines import LineStream
from runwright_text import BOM, as_json, last_json
from runwright_wire import (
    BEGAN,
    ERR,
    ERROR,
    HEADER,
    INFO,
    LOAD,
    MESSAGE_BYTES,
    OUTPUT_BYTES,
    READY,
    RESULT,
    RUN,
    WARN,
    JobFailedError,
    JobSession,
    LogWriter,
    Wire,
    check_size,
    open_wire,
    split_run,
)

READ_BYTES = 64 * 1024
OUTPUT_FILE = ".ava-output"
SOCKET = ".runwright.sock"
SHOW_MS = 50
"""After how long an unfinished line is shown."""
COMMANDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin")
"""The folder of `rw`."""
CALL_SECONDS = 2.0
TAIL_LINES = 5
TAIL_CHARS = 3000


class ScriptOutput(LineStream):
    """Stdout or stderr of the script: its lines go to the log, its end is kept for the result."""

    def __init__(self, log: LogWriter, level: int, fd: int) -> None:
        super().__init__(log, level)
        self.fd = fd
        self.kept = bytearray()
        self.size = 0

    def take(self, data: bytes) -> None:
        """Write whole lines, keep the rest."""
        self.size += len(data)
        self.kept += data
        if len(self.kept) > 2 * OUTPUT_BYTES:
            del self.kept[:-OUTPUT_BYTES]
        super().take(data)

    def last_lines(self, count: int) -> str:
        """Return the last lines that are not empty, each complete."""
        kept = bytes(self.kept[-READ_BYTES - 1 :])
        if len(kept) > READ_BYTES:
            kept = kept.partition(b"\n")[2]
        lines = [line for line in kept.decode("utf-8", "replace").splitlines() if line.strip()]
        last = lines[-1:]
        for line in reversed(lines[-count:-1]):
            if sum(map(len, last)) + len(line) > TAIL_CHARS:
                break
            last.insert(0, line)
        return "\n".join(last)


class Script:
    """The process of one job."""

    def __init__(
        self, argv: list[str], env: dict[str, str], job_input: bytes, log: LogWriter, calls: "ScriptCalls"
    ) -> None:
        stdin = os.memfd_create("input", os.MFD_CLOEXEC)
        os.write(stdin, job_input)
        os.lseek(stdin, 0, os.SEEK_SET)
        out, out_write = os.pipe2(os.O_CLOEXEC)
        err, err_write = os.pipe2(os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate((stdin, out_write, err_write))]
        try:
            # Python ignores SIGPIPE; a script that did would not end when its reader has gone.
            self.pid = os.posix_spawn(
                argv[0],
                argv,
                env,
                file_actions=actions,
                setpgroup=0,
                setsigmask=(),
                setsigdef=signal.valid_signals(),
            )
        finally:
            for fd in (stdin, out_write, err_write):
                os.close(fd)
        self.outputs = [ScriptOutput(log, INFO, out), ScriptOutput(log, ERR, err)]
        self._pidfd = os.pidfd_open(self.pid)
        self._calls = calls

    def wait(self) -> int:
        """Read the script's output until its process ends; return the status as a shell does."""
        poll = select.poll()
        streams = {stream.fd: stream for stream in self.outputs}
        for fd in (self._pidfd, self._calls.fd, *streams):
            poll.register(fd, select.POLLIN)
        ended = False
        while not ended:
            ready = poll.poll(SHOW_MS if any(stream.waits for stream in self.outputs) else None)
            if not ready:
                for stream in self.outputs:
                    stream.show()
            for fd, _ in ready:
                if fd == self._pidfd:
                    ended = True
                elif fd == self._calls.fd:
                    self._calls.serve_one()
                elif not read_some(streams[fd]):
                    poll.unregister(fd)
        return self._finish()

    def _finish(self) -> int:
        for stream in self.outputs:
            os.set_blocking(stream.fd, False)
            budget = 64
            while budget and read_some(stream):
                budget -= 1
            stream.finish()
            os.close(stream.fd)
        os.close(self._pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return 128 - code if code < 0 else code


def read_some(stream: ScriptOutput) -> bool:
    """Read once; return False at the end of the stream, or if nothing has arrived."""
    try:
        data = os.read(stream.fd, READ_BYTES)
    except BlockingIOError:
        return False
    if data:
        stream.take(data)
    return bool(data)


class ScriptCalls:
    """Serves `rw`: one message with a call for each connection, and one with its answer."""

    def __init__(self, session: JobSession) -> None:
        self._session = session
        self._serve: Callable[[JobSession, bytes], bytes] | None = None
        self.path = os.path.join(os.environ["TMPDIR"], SOCKET)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        try:
            self._socket.bind(self.path)
            self._socket.listen(64)
            self.fd = self._socket.fileno()
        except OSError:  # the path of the folder is too long; there is no `rw` then
            self.fd = os.eventfd(0)

    def serve_one(self) -> None:
        """Answer the next connection; one that sends nothing is dropped."""
        with contextlib.suppress(OSError):
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(CALL_SECONDS)
                connection.send(self._answer(connection.recv(MESSAGE_BYTES)))

    def _answer(self, message: bytes) -> bytes:
        if self._serve is None:
            self._serve = importlib.import_module("runwright_script_calls").serve
        return self._serve(self._session, message)

    def variables(self, context: bytes) -> dict[str, str]:
        """Return what a script finds in its environment: its job, and how `rw` reaches this process."""
        job = json.loads(context)
        return {
            "PATH": f"{COMMANDS}:{os.environ.get('PATH', os.defpath)}",
            "PWD": os.getcwd(),
            "RUNWRIGHT_SOCKET": self.path,
            "RUNWRIGHT_PYTHON": sys.executable,
            "RUNWRIGHT_JOB_ID": job["id"],
            "RUNWRIGHT_JOB_ATTEMPT": str(job["attempt"]),
            "RUNWRIGHT_JOB_DEADLINE": timestamp(self._session.began + job["timeout_seconds"]),
            "RUNWRIGHT_WORKER": job["worker_name"],
            "RUNWRIGHT_WORKER_VERSION": str(job["worker_version"]),
        }


def timestamp(seconds: float) -> str:
    """Return a time in ISO 8601, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class ShellHarness:
    """Runs the jobs that arrive, and sends exactly one RESULT or ERROR for each."""

    def __init__(self, wire: Wire, shell: str) -> None:
        self._wire = wire
        self._shell = shell
        self._log = LogWriter(wire)
        self._session = JobSession(wire, self._log)
        self._calls = ScriptCalls(self._session)
        self._load: CodeLoad | None = None
        self._path = ""
        self._script: Script | None = None
        self._only_load = False
        self._folder = os.getcwd()
        self._output_file = os.path.join(self._folder, OUTPUT_FILE)
        signal.signal(signal.SIGTERM, self._forward)

    def serve(self) -> NoReturn:
        """Run jobs until the executor is gone."""
        self._wire.send(HEADER.pack(READY, 0, 0, 0, 0))
        while True:
            message = self._wire.next(wait=True)
            if message is None:
                continue
            kind, assignment_id, payload = message
            if kind == LOAD:
                self._load = CodeLoad(payload)
            elif kind == RUN:
                self._wire.send(HEADER.pack(BEGAN, 0, 0, 0, assignment_id))
                self._run(assignment_id, payload)

    def _forward(self, number: int, _frame: object) -> None:
        if self._script is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._script.pid, number)

    def _run(self, assignment_id: int, payload: bytes) -> None:
        self._log.begin(assignment_id)
        began = time.perf_counter_ns()
        env, context, job_input = split_run(payload)
        self._session.begin(assignment_id, payload, began)
        try:
            kind, answer = RESULT, self._answer(json.loads(env), context, job_input)
        except JobFailedError as failure:
            kind, answer = ERROR, failure.payload()
        micros = (time.perf_counter_ns() - began) // 1000
        prefix = self._session.end() + self._log.end()
        self._wire.send(self._wire.end(prefix, kind, 0, micros, answer, assignment_id))

    def _answer(self, env: dict[str, str], context: bytes, job_input: bytes) -> bytes:
        if self._load is not None:
            self._only_load = bool(self._load.fields.get("only_load"))
            self._path, self._load = self._place(self._load), None
        os.chdir(self._folder)
        with contextlib.suppress(OSError):
            os.unlink(self._output_file)
        fit = {k: v for k, v in env.items() if k and "=" not in k and "\0" not in k + v}
        try:
            self._script = script = Script(
                [self._shell, *(["-n"] if self._only_load else []), self._path],
                {
                    **os.environ,
                    **self._calls.variables(context),
                    **fit,
                    "AVA_OUTPUT": self._output_file,
                },
                job_input,
                self._log,
                self._calls,
            )
        except OSError as error:
            raise JobFailedError(
                "handler_error", f"The script could not be started: {error.strerror}"
            ) from None
        status = script.wait()
        self._script = None
        if status:
            raise JobFailedError("handler_error", describe(status, script.outputs[1]))
        return result(script.outputs[0], self._output_file)

    def _place(self, load: CodeLoad) -> str:
        """Return the path of the script, and run it in the bundle's folder if it is in one."""
        path = place(load)
        self._folder = load.folder or self._folder
        repair_lines(path, self._log)
        return path


def place(load: CodeLoad) -> str:
    """Return the path of the script: in the bundle, or of a new file with the source."""
    if load.folder is None:
        return write_source(load.entrypoint, load.source)
    try:
        return bundled_path(load.folder, load.entrypoint)
    except OSError as error:
        raise JobFailedError("load_error", str(error)) from None


def repair_lines(path: str, log: LogWriter) -> None:
    """Take a byte order mark and the carriage returns of Windows out of a script, which a shell cannot read.

    The log says so. Where the file cannot be changed the shell reports what it does not understand.
    """
    with open(path, "rb") as file:
        text = file.read()
    plain = text.removeprefix(BOM)
    if b"\r\n" in plain:
        plain = plain.replace(b"\r\n", b"\n")
        log.write(WARN, b"The script has Windows line ends (CRLF); it runs with plain ones")
    if plain != text:
        with contextlib.suppress(OSError), open(path, "wb") as file:
            file.write(plain)


def describe(status: int, stderr: ScriptOutput) -> str:
    """Return how the script failed, with the last lines of its stderr."""
    text = f"The script exited with status {status}"
    lines = stderr.last_lines(TAIL_LINES)
    return f"{text}: {lines}" if lines else text


def read_output(path: str) -> bytes:
    """Return what is in the file of the result; nothing where the script left no file there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for a writer
        with os.fdopen(fd, "rb") as file:
            return file.read(OUTPUT_BYTES + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except (FileNotFoundError, IsADirectoryError):
        return b""
    except OSError as error:
        raise JobFailedError("handler_error", f"$AVA_OUTPUT cannot be read: {error.strerror}") from None


def result(stdout: ScriptOutput, path: str) -> bytes:
    """Return the script's result as JSON."""
    written = check_size(read_output(path), "script")
    if written.strip():
        answer = as_json(written)
        if answer is None:
            raise JobFailedError(
                "handler_error", "The script wrote something to $AVA_OUTPUT that is not JSON"
            )
        return check_size(answer, "script")
    text = bytes(stdout.kept).rstrip(b"\n")
    last = last_json(text) if stdout.size == len(stdout.kept) else last_json(text.rpartition(b"\n")[2])
    if last is not None:
        return check_size(last, "script")
    if not text:
        return b"null"
    answer = json.dumps(text.decode("utf-8", "replace"), ensure_ascii=False).encode()
    return check_size(answer if stdout.size == len(stdout.kept) else b" " * (OUTPUT_BYTES + 1), "script")


def main() -> None:
    """Open the socket, freeze the heap, run jobs."""
    sys.path.insert(
        0, os.path.dirname(__file__)
    )  # for what the first call loads; no user code is imported here
    harness = ShellHarness(open_wire(sys.argv[1:], Wire), sys.argv[4])
    gc.freeze()
    harness.serve()
