"""Runs WASI command modules inside a sandbox: `run_harness.py wasm_harness FD UID FOLDER LIBRARY FUEL`.

Each job is a new instance, with the input on stdin, and config and secrets in its environment; stderr is
its log, and so is stdout. The result is its stdout if that is JSON, else the last line if that is JSON, else
its stdout as a string. Only files in /tmp remain for the next job.

A module is compiled once. If the executor has the compiled module, it sends it with the code as a sealed
file. Else it sends an empty file: the compiled module is written into it and sealed before the first
instruction of the module runs, so that no module can change what other sandboxes will trust.
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

from runwright_code import CodeLoad, bundled_path
from runwright_lines import LineStream
from runwright_text import BOM, last_json
from runwright_wire import (
    BEGAN,
    COMPILED,
    ERR,
    ERROR,
    HEADER,
    INFO,
    LOAD,
    LOST,
    MESSAGE_BYTES,
    OUTPUT_BYTES,
    READY,
    RESULT,
    RUN,
    JobFailedError,
    LogWriter,
    Wire,
    check_size,
    open_wire,
    split_run,
)
from wasmtime_library import (
    INTERRUPT,
    OUT_OF_FUEL,
    TRIAL,
    UNREACHABLE,
    WASM_MAGIC,
    Engine,
    ModuleCall,
    WasmError,
)

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
TAIL_BYTES = 4096
TAIL_LINES = 5
MIB = 1024 * 1024
SPACES = b" \t\r\n"
STATUS_REFUSED = "invalid exit status"
"""Part of wasmtime's message for a proc_exit with a status above 125."""

NO_MEMORY = (
    *(b"memory allocation of", b"out of memory", b"Out of memory", b"annot allocate memory"),
    *(b"bad_alloc", b"OutOfMemory"),
)
"""What language runtimes print before they abort for lack of memory."""


class FileWire(Wire):
    """A wire that also receives the files attached to messages."""

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


class ModuleErrors(LineStream):
    """Stderr of the module: its lines go to the log as they arrive."""

    def __init__(self, log: LogWriter) -> None:
        super().__init__(log, ERR)
        self.tail = b""

    def take(self, data: bytes) -> None:
        """Write whole lines, keep the rest."""
        self.tail = (self.tail + data)[-TAIL_BYTES - 1 :]
        super().take(data)
        self.show()

    def finish(self) -> None:
        """Write an unfinished line and start anew."""
        super().finish()
        self.tail = b""

    def last_lines(self) -> str:
        """Return the last lines that are not empty, each complete, so that secrets in them can be masked."""
        tail = self.tail if len(self.tail) <= TAIL_BYTES else self.tail.partition(b"\n")[2]
        lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
        return "\n".join(lines[-TAIL_LINES:])


class ModuleOutput(LineStream):
    """Stdout of the module: its lines go to the log as they arrive, its end is kept for the result."""

    def __init__(self, log: LogWriter) -> None:
        super().__init__(log, INFO)
        self.kept = bytearray()
        self.size = 0

    def take(self, data: bytes) -> None:
        """Write whole lines, keep the rest."""
        self.size += len(data)
        self.kept += data
        if len(self.kept) > 2 * OUTPUT_BYTES:
            del self.kept[:-OUTPUT_BYTES]
        super().take(data)
        self.show()

    def finish(self) -> None:
        """Write an unfinished line and start anew."""
        super().finish()
        self.kept.clear()
        self.size = 0

    def result(self) -> bytes:
        """Return the result as JSON."""
        text = bytes(self.kept).strip(SPACES)
        if not text:
            return b"null"
        last = last_json(text if self.size == len(self.kept) else text.rpartition(b"\n")[2])
        if last is not None:
            return check_size(last, "module")
        if self.size > len(self.kept):
            return check_size(bytes(OUTPUT_BYTES + 1), "module")
        answer = json.dumps(bytes(self.kept).rstrip(b"\n").decode("utf-8", "replace"), ensure_ascii=False)
        return check_size(answer.encode("utf-8", "replace"), "module")


class WasmHarness:
    """Runs the jobs that arrive, and sends exactly one RESULT or ERROR for each."""

    def __init__(self, wire: FileWire, library: str, fuel: int) -> None:
        self._wire = wire
        self._log = LogWriter(wire)
        self._out = ModuleOutput(self._log)
        self._errors = ModuleErrors(self._log)
        self._engine = Engine(library, fuel=fuel, stdout=self._out.take, stderr=self._errors.take)
        self._fuel = fuel
        self._load: CodeLoad | None = None
        self._name = ""
        self._only_load = False
        self._memory_bytes = 0
        self._folders = [(os.environ["TMPDIR"], "/tmp", True)]  # noqa: S108  the sandbox's own
        self._ready = 0
        self._job_over = threading.Event()

    def serve(self) -> NoReturn:
        """Run jobs until the executor is gone."""
        self._warm_up()
        threading.Thread(target=self._await_cancel, daemon=True).start()
        self._wire.send(HEADER.pack(READY, 0, 0, 0, 0))
        while True:
            message = self._wire.next(wait=True)
            if message is None:
                continue
            kind, assignment_id, payload = message
            if kind == LOAD:
                self._take_code(CodeLoad(payload))
            elif kind == RUN:
                self._wire.send(HEADER.pack(BEGAN, 0, 0, 0, assignment_id))
                self._run(assignment_id, payload)

    def _take_code(self, load: CodeLoad) -> None:
        """Keep the code for the first job; prepare a module that arrives compiled at once."""
        self._load = load
        self._only_load = bool(load.fields.get("only_load"))
        if load.fields["compiled"] and self._wire.files:
            file = self._wire.files.pop()
            with contextlib.suppress(WasmError):  # then it is compiled during the first job
                self._ready = self._engine.prepare(self._engine.load(f"/proc/self/fd/{file}"))
                self._describe(load)
                self._load = None
            os.close(file)

    def _warm_up(self) -> None:
        """Run a trial job, so that the first real job does not pay for one-time initialization."""
        file = os.memfd_create("warm-up", os.MFD_CLOEXEC)
        self._engine.save(self._engine.compile(self._engine.assemble(TRIAL)), file)
        self._wire.files.append(file)
        header = json.dumps({"entrypoint": "trial", "memory_mb": 1, "compiled": True}).encode()
        self._take_code(CodeLoad(len(header).to_bytes(4, "little") + header))
        with contextlib.suppress(JobFailedError):
            self._answer(0, {"A": "b"}, b"{}")
        self._errors.finish()
        self._out.finish()

    def _await_cancel(self) -> None:
        """Interrupt the module when the executor asks for it, and exit if that has no effect."""
        signal.sigwait({signal.SIGTERM})
        self._engine.interrupt()
        self._job_over.wait(1.0)
        os._exit(LOST)

    def _run(self, assignment_id: int, payload: bytes) -> None:
        self._log.begin(assignment_id)
        self._job_over.clear()
        began = time.perf_counter_ns()
        env, _, job_input = split_run(payload)
        try:
            kind, answer = RESULT, self._answer(assignment_id, json.loads(env), job_input)
        except JobFailedError as failure:
            kind, answer = ERROR, failure.payload()
        self._errors.finish()
        self._out.finish()
        micros = (time.perf_counter_ns() - began) // 1000
        self._wire.send(self._wire.end(self._log.end(), kind, 0, micros, answer, assignment_id))
        self._job_over.set()

    def _answer(self, assignment_id: int, env: dict[str, str], job_input: bytes) -> bytes:
        if self._load is not None:
            load, self._load = self._load, None
            try:
                self._ready = self._engine.prepare(self._compile(load, assignment_id))
            except (WasmError, OSError) as error:
                raise JobFailedError("load_error", str(error)) from None
        if self._only_load:
            return b"null"
        fit = {k: v for k, v in env.items() if k and "=" not in k and "\0" not in k + v}
        call = ModuleCall(name=self._name, env=fit, stdin=job_input, memory_bytes=self._memory_bytes)
        call.folders = self._folders
        try:
            self._engine.run(self._ready, call)
        except WasmError as error:
            if error.status != 0:
                raise self._failure(error, call) from None
        return self._out.result()

    def _compile(self, load: CodeLoad, assignment_id: int) -> int:
        """Compile the module, save it if the executor sent a file for it, and return it."""
        self._describe(load)
        compiled = self._engine.compile(self._find_module(load))
        if self._wire.files:
            file = self._wire.files.pop()
            with contextlib.suppress(OSError):
                self._engine.save(compiled, file)
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
            self._wire.send(HEADER.pack(COMPILED, 0, 0, 0, assignment_id))
            os.close(file)
        return compiled

    def _describe(self, load: CodeLoad) -> None:
        """Record what instances of the module receive."""
        self._name = load.entrypoint
        self._memory_bytes = load.fields["memory_mb"] * MIB
        if load.folder is not None:
            mutable = os.access(load.folder, os.W_OK)
            self._folders += [(load.folder, "/app/code", mutable), (load.folder, ".", mutable)]

    def _find_module(self, load: CodeLoad) -> bytes:
        source = load.source
        if load.folder is not None:
            with open(bundled_path(load.folder, load.entrypoint), "rb") as file:
                source = file.read()
        if source.startswith(WASM_MAGIC):
            return source
        source = source.removeprefix(BOM)
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

    def _failure(self, error: WasmError, call: ModuleCall) -> JobFailedError:
        """Return the error of a module that failed."""
        refused = "exceeds memory limits" in error.message
        crowded = error.trap == UNREACHABLE and 2 * call.memory_bytes > call.limit_bytes
        if refused or crowded or any(words in self._errors.tail for words in NO_MEMORY):
            text = f"The module needs more than its {call.limit_bytes // MIB} MiB of memory"
            return JobFailedError("out_of_memory", text, error.message)
        if error.status is not None or STATUS_REFUSED in error.message:
            lines = self._errors.last_lines()
            status = "126 or above" if error.status is None else error.status
            text = f"The module exited with status {status}"
            return JobFailedError("handler_error", f"{text}: {lines}" if lines else text)
        if error.trap == OUT_OF_FUEL:
            return JobFailedError(
                "handler_error", f"The module used up its fuel of {self._fuel}", error.message
            )
        if error.trap == INTERRUPT:
            return JobFailedError("handler_error", "The module was interrupted")
        if error.trap is None and not call.started:
            return JobFailedError("load_error", error.message)
        return JobFailedError("handler_error", reason(error.message), error.message)


def reason(trace: str) -> str:
    """Return the cause from the text of a trap, which starts with its location."""
    _, _, cause = trace.partition("Caused by:")
    lines = [line for line in (cause or trace).splitlines() if line.strip()]
    return re.sub(r"^ *[0-9]+: ", "", lines[-1]).strip() if lines else trace


def main() -> None:
    """Open the socket, start the engine, run jobs."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    harness = WasmHarness(open_wire(sys.argv[1:], FileWire), sys.argv[4], int(sys.argv[5]))
    gc.freeze()
    harness.serve()
