"""Runs WASI command modules inside a sandbox: `wasm_harness.py FD UID FOLDER LIBRARY FUEL`.

Each job is a new instance: the input on stdin, config and secrets as its environment, stderr
is its log; its stdout is the result where that is JSON, else its last line where that is, else
its stdout as a string. Nothing of an instance is left for the next job but files in /tmp.

A module is compiled once. Where the executor has kept the compiled module, it comes with the
code as a sealed file. Where not, an empty file comes: what was compiled is written into it and
sealed before the first instruction of the module runs, so that no module can touch what other
sandboxes will trust.
"""

import array
import base64
import binascii
import contextlib
import fcntl
import gc
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from typing import NoReturn

sys.path.insert(0, os.path.dirname(__file__))
from runwright_wire import (
    BEGAN,
    COMPILED,
    ERR,
    ERROR,
    HEADER,
    INFO,
    LINE_CHARS,
    LOAD,
    LOST,
    MESSAGE_BYTES,
    OUTPUT_BYTES,
    READY,
    RESULT,
    RUN,
    JobError,
    Journal,
    Load,
    Wire,
    bundled_path,
    is_json,
    limited,
    open_wire,
)
from wasmtime_library import INTERRUPT, OUT_OF_FUEL, TRIAL, UNREACHABLE, WASM_MAGIC, Call, Engine, WasmError

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
TAIL_BYTES = 4096
TAIL_LINES = 5
MIB = 1024 * 1024
SPACES = b" \t\r\n"
STATUS_REFUSED = "invalid exit status"
"""What wasmtime says of a proc_exit with a status above 125."""

NO_MEMORY = (
    *(b"memory allocation of", b"out of memory", b"Out of memory", b"annot allocate memory"),
    *(b"bad_alloc", b"OutOfMemory"),
)
"""What the languages' own runtimes say before they give up for lack of memory."""


class FileWire(Wire):
    """A wire that takes the files that come with messages."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.files: list[int] = []

    def receive(self, flags: int) -> bytes:
        message, extra, _, _ = self.socket.recvmsg(
            MESSAGE_BYTES, socket.CMSG_SPACE(4), flags | socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.files += array.array("i", content)
        return message


class Log:
    """Stderr: its lines go to the journal as they come."""

    def __init__(self, journal: Journal) -> None:
        self.tail = b""
        self._journal = journal
        self._part = b""

    def take(self, data: bytes) -> None:
        """Write whole lines, keep the rest."""
        self.tail = (self.tail + data)[-TAIL_BYTES - 1 :]
        head, newline, rest = data.rpartition(b"\n")
        if newline:
            head, self._part = self._part + head, b""
            self._journal.write(ERR, head.decode("utf-8", "replace"))
        if len(self._part) <= LINE_CHARS:
            self._part += rest[: LINE_CHARS + 1]

    def finish(self) -> None:
        """Write an unfinished line and forget this job's."""
        if self._part:
            self._journal.write(ERR, self._part.decode("utf-8", "replace"))
        self._part = self.tail = b""

    def last_lines(self) -> str:
        """Return the last lines that are not empty, each from its beginning: secrets are known by that."""
        tail = self.tail if len(self.tail) <= TAIL_BYTES else self.tail.partition(b"\n")[2]
        lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
        return "\n".join(lines[-TAIL_LINES:])


class Output:
    """Stdout, kept for the result, but not more of it than an output may have."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.size = 0

    def take(self, data: bytes) -> None:
        """Keep what fits."""
        self.size += len(data)
        if len(self.kept) <= OUTPUT_BYTES:
            self.kept += data

    def forget(self) -> None:
        """Begin anew."""
        self.kept.clear()
        self.size = 0

    def result(self, journal: Journal) -> bytes:
        """Return the result as JSON; lines before it are for the log."""
        if self.size > OUTPUT_BYTES:
            return limited(bytes(OUTPUT_BYTES + 1), "module")
        text = bytes(self.kept).strip(SPACES)
        if not text:
            return b"null"
        if is_json(text):
            return text
        before, _, last = text.rpartition(b"\n")
        if is_json(last):
            journal.write(INFO, before.decode("utf-8", "replace"))
            return last
        answer = json.dumps(bytes(self.kept).rstrip(b"\n").decode("utf-8", "replace"), ensure_ascii=False)
        return limited(answer.encode("utf-8", "replace"), "module")


class Harness:
    """Takes jobs from the wire and answers each with exactly one end."""

    def __init__(self, wire: FileWire, library: str, fuel: int) -> None:
        self._wire = wire
        self._journal = Journal(wire)
        self._out = Output()
        self._log = Log(self._journal)
        self._engine = Engine(library, fuel=fuel, stdout=self._out.take, stderr=self._log.take)
        self._fuel = fuel
        self._load: Load | None = None
        self._name = ""
        self._memory_bytes = 0
        self._folders = [(os.environ["TMPDIR"], "/tmp", True)]  # noqa: S108  the sandbox's own
        self._ready = 0
        self._over = threading.Event()

    def serve(self) -> NoReturn:
        """Serve until the executor is gone."""
        self._warm_up()
        threading.Thread(target=self._await_cancel, daemon=True).start()
        self._wire.send(HEADER.pack(READY, 0, 0, 0, 0))
        while True:
            message = self._wire.next(wait=True)
            if message is None:
                continue
            kind, token, payload = message
            if kind == LOAD:
                self._take_code(Load(payload))
            elif kind == RUN:
                self._wire.send(HEADER.pack(BEGAN, 0, 0, 0, token))
                self._run(token, payload)

    def _take_code(self, load: Load) -> None:
        """Keep the code for the first job; a module that comes compiled is made ready at once."""
        self._load = load
        if load.fields["compiled"] and self._wire.files:
            file = self._wire.files.pop()
            with contextlib.suppress(WasmError):  # then it is compiled, in the first job's time
                self._ready = self._engine.prepare(self._engine.load(f"/proc/self/fd/{file}"))
                self._describe(load)
                self._load = None
            os.close(file)

    def _warm_up(self) -> None:
        """Go once the whole way of a first job, so that the first one need not be the first."""
        file = os.memfd_create("warm-up", os.MFD_CLOEXEC)
        self._engine.save(self._engine.compile(self._engine.assemble(TRIAL)), file)
        self._wire.files.append(file)
        header = json.dumps({"entrypoint": "trial", "memory_mb": 1, "compiled": True}).encode()
        self._take_code(Load(len(header).to_bytes(4, "little") + header))
        with contextlib.suppress(JobError):
            self._answer(0, {"A": "b"}, b"{}")
        self._log.finish()
        self._out.forget()

    def _await_cancel(self) -> None:
        """Stop the module when the executor asks for it, and the process where that does not help."""
        signal.sigwait({signal.SIGTERM})
        self._engine.interrupt()
        self._over.wait(1.0)
        os._exit(LOST)

    def _run(self, token: int, payload: bytes) -> None:
        self._journal.begin(token)
        self._over.clear()
        began = time.perf_counter_ns()
        size = int.from_bytes(payload[:4], "little")
        try:
            kind, answer = RESULT, self._answer(token, json.loads(payload[4 : 4 + size]), payload[4 + size :])
        except JobError as failure:
            kind, answer = ERROR, failure.payload()
        self._log.finish()
        self._out.forget()
        micros = (time.perf_counter_ns() - began) // 1000
        self._wire.send(self._wire.end(self._journal.end(), kind, 0, micros, answer, token))
        self._over.set()

    def _answer(self, token: int, env: dict[str, str], job_input: bytes) -> bytes:
        if self._load is not None:
            load, self._load = self._load, None
            try:
                self._ready = self._engine.prepare(self._compile(load, token))
            except (WasmError, OSError) as error:
                raise JobError("load_error", str(error)) from None
        fit = {k: v for k, v in env.items() if k and "=" not in k and "\0" not in k + v}
        call = Call(name=self._name, env=fit, stdin=job_input, memory_bytes=self._memory_bytes)
        call.folders = self._folders
        try:
            self._engine.run(self._ready, call)
        except WasmError as error:
            if error.status != 0:
                raise self._failure(error, call) from None
        return self._out.result(self._journal)

    def _compile(self, load: Load, token: int) -> int:
        """Return the module, compiled now and kept where there is a file for it."""
        self._describe(load)
        compiled = self._engine.compile(self._find_module(load))
        if self._wire.files:
            file = self._wire.files.pop()
            with contextlib.suppress(OSError):
                self._engine.save(compiled, file)
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
            self._wire.send(HEADER.pack(COMPILED, 0, 0, 0, token))
            os.close(file)
        return compiled

    def _describe(self, load: Load) -> None:
        """Note what instances of the module are given."""
        self._name = load.entrypoint
        self._memory_bytes = load.fields["memory_mb"] * MIB
        if load.folder is not None:
            self._folders.append((load.folder, "/app/code", False))

    def _find_module(self, load: Load) -> bytes:
        source = load.source
        if load.folder is not None:
            with open(bundled_path(load.folder, load.entrypoint), "rb") as file:
                source = file.read()
        if source.startswith(WASM_MAGIC):
            return source
        text = source.strip(SPACES)
        if load.entrypoint.endswith(".wat") or text.startswith((b"(", b";;")):
            return self._engine.assemble(source)
        try:
            module = base64.b64decode(bytes(text.translate(None, SPACES)), validate=True)
        except binascii.Error:
            module = b""
        if not module.startswith(WASM_MAGIC):
            raise WasmError("The source is neither WAT text nor a WebAssembly module in base64")
        return module

    def _failure(self, error: WasmError, call: Call) -> JobError:
        """Say how the module failed."""
        refused = "exceeds memory limits" in error.message
        crowded = error.trap == UNREACHABLE and 2 * call.memory_bytes > call.limit_bytes
        if refused or crowded or any(words in self._log.tail for words in NO_MEMORY):
            text = f"The module needs more than its {call.limit_bytes // MIB} MiB of memory"
            return JobError("out_of_memory", text, error.message)
        if error.status is not None or STATUS_REFUSED in error.message:
            said = self._log.last_lines()
            status = "126 or above" if error.status is None else error.status
            text = f"The module exited with status {status}"
            return JobError("handler_error", f"{text}: {said}" if said else text)
        if error.trap == OUT_OF_FUEL:
            return JobError("handler_error", f"The module used up its fuel of {self._fuel}", error.message)
        if error.trap == INTERRUPT:
            return JobError("handler_error", "The module was interrupted")
        if error.trap is None and not call.started:
            return JobError("load_error", error.message)
        return JobError("handler_error", reason(error.message), error.message)


def reason(trace: str) -> str:
    """Return the cause from the text of a trap, which begins with where it happened."""
    _, _, cause = trace.partition("Caused by:")
    lines = [line for line in (cause or trace).splitlines() if line.strip()]
    return re.sub(r"^ *[0-9]+: ", "", lines[-1]).strip() if lines else trace


def main() -> None:
    """Open the wire, start the engine, serve."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    harness = Harness(open_wire(sys.argv[1:], FileWire), sys.argv[4], int(sys.argv[5]))
    gc.freeze()
    harness.serve()


if __name__ == "__main__":
    main()
