"""Runs python handlers inside a sandbox: `run_harness.py python_harness FD UID FOLDER [job-waits]`.

It runs one job at a time on the main thread and blocks in `recv` between jobs, so that no event loop and
no timer runs then. The end of a job and the BEGAN of the next one share a message if the next job has
already arrived; an end is never held back while user code runs. What only some handlers need is imported
before READY, unless a job waits for the sandbox already.
"""

from __future__ import annotations

import codecs
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import signal
import site
import sys
import time
import traceback
import types

from runwright_code import CodeLoad, Environment, bundled_path, write_source
from runwright_streams import (
    RUNS_FOR,
    LogBuffer,
    LogStream,
    is_detached,
    level_records,
    mark_threads,
    open_stream,
    print_whole,
    replace_surrogates,
)
from runwright_text import encode_text
from runwright_wire import (
    BEGAN,
    ERR,
    ERROR,
    HEADER,
    INFO,
    LENGTHS,
    LOAD,
    OUTPUT_BYTES,
    RAW_PENDING,
    READY,
    RESULT,
    RUN,
    JobFailedError,
    JobModules,
    JobSession,
    LogWriter,
    Wire,
    open_wire,
    raw_output_pending,
)

TYPE_CHECKING = False  # importing typing takes as long as half of the rest
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runwright_coroutines import CoroutineRunner


JOB_WAITS = "job-waits"
"""The last argument of a harness that is started for a job."""
BOOT_PATH = tuple(sys.path)
"""Where this program and the standard library are, without a worker's modules of the same names."""


class Handler:
    """The user's code: loaded for its first job, then called."""

    def __init__(self) -> None:
        self.code: CodeLoad | None = None
        self.call: Callable[[Any, Any], Any] | None = None
        self.only_load = False
        self._coroutines: CoroutineRunner | None = None

    def load(self, code: CodeLoad) -> Callable[[Any, Any], Any]:
        """Run the user's module and find its handler."""
        module = run_source(code) if code.folder is None else import_bundle(code, code.folder)
        call: Callable[[Any, Any], Any] | None = getattr(module, "handler", None)
        if not callable(call):
            raise TypeError(f"{code.entrypoint} defines no function named handler")
        self.code = None
        self.call = call
        self.only_load = bool(code.fields.get("only_load"))
        return call

    def run(self, call: Callable[[Any, Any], Any], job_input: Any, env: Any) -> Any:
        """Call the handler and return its value; await it if it is awaitable."""
        value = call(job_input, env)
        if type(value) is not types.CoroutineType and not hasattr(value, "__await__"):
            return value
        return self.coroutines.run(value)

    @property
    def coroutines(self) -> CoroutineRunner:
        """What runs coroutines, made when it is needed first."""
        if self._coroutines is None:
            path, sys.path = sys.path, list(BOOT_PATH)
            try:
                self._coroutines = importlib.import_module("runwright_coroutines").CoroutineRunner()
            finally:
                sys.path = path
        return self._coroutines


def run_source(code: CodeLoad) -> types.ModuleType:
    """Write the source into the working directory and run it as a module."""
    path = write_source(code.entrypoint, code.source)
    prepare_interpreter(path)
    for folder in {os.getcwd(), os.path.dirname(path)}:
        sys.path.insert(0, folder)
    name = os.path.splitext(os.path.basename(path))[0]
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(code.source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  the purpose of this program
    return module


def import_bundle(code: CodeLoad, folder: str) -> types.ModuleType:
    """Import the entrypoint from the bundle, as the module that its path implies.

    It can import from its own folder and from the bundle's, as a script started in the bundle's folder
    could, and it can use relative imports.
    """
    path = bundled_path(folder, code.entrypoint)
    prepare_interpreter(path)
    sys.dont_write_bytecode = True
    if code.layer is not None:
        site.addsitedir(os.path.join(code.layer, "python"))
    for place in dict.fromkeys((folder, os.path.dirname(path))):
        sys.path.insert(0, place)
    parts = os.path.splitext(code.entrypoint)[0].split("/")
    package = ".".join(parts[:-1]) if is_package(folder, parts[:-1]) else ""
    name = f"{package}.{parts[-1]}" if package else parts[-1]
    spec = importlib.util.spec_from_file_location(
        name, path, loader=importlib.machinery.SourceFileLoader(name, path)
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{code.entrypoint} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def prepare_interpreter(path: str) -> None:
    """Set up what a script started by this path would find, apart from packages of the host."""
    sys.argv[:] = [path]
    sys.modules["__main__"] = types.ModuleType("__main__")
    site.setquit()
    site.sethelper()
    site.setcopyright()


def is_package(folder: str, parts: list[str]) -> bool:
    """Return whether these folders are a package that can be imported from the bundle's folder."""
    if not parts or not all(part.isidentifier() for part in parts):
        return False
    sys.path.insert(0, folder)  # before the entrypoint's own folder, which may contain the same name
    name = ".".join(parts)
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):  # another module has the folder's name
            return False
        raise
    finally:
        sys.path.remove(folder)
    return os.path.join(folder, *parts) in map(os.path.abspath, getattr(found, "__path__", ()))


def describe(error: BaseException) -> tuple[str, str | None]:
    """Return message and stack of an exception of user code, without the frames of this file."""
    if isinstance(error, SystemExit):
        return f"The handler called sys.exit({error.code!r})", None
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  __str__ is user code
        text = "<unprintable>"
    message = f"{name}: {text}" if text and name != "Exception" else text or name
    try:
        return message, "".join(traceback.format_exception(type(error), error, users_frames(error)))
    except Exception:  # noqa: BLE001  as above
        return message, None


def users_frames(error: BaseException) -> types.TracebackType | None:
    """Return the traceback of an exception without the frames that led to user code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(INTERNAL):
        trace = trace.tb_next
    return trace


INTERNAL = (
    os.path.dirname(__file__) + os.sep,
    os.path.join(os.path.dirname(os.__file__), "asyncio", ""),
    "<frozen importlib",
)
"""What the files of frames begin with that lead to user code."""


class PythonHarness:
    """Runs the jobs that arrive, and sends exactly one RESULT or ERROR for each."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._pid = os.getpid()
        self._handler = Handler()
        self._environment = Environment()
        self._encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
        self._decode = json.JSONDecoder().decode
        self._log = LogWriter(wire)
        self._session = JobSession(wire, self._log)
        sys.meta_path.append(JobModules(self._session))
        codecs.register_error("runwright", replace_surrogates)
        self._streams = [open_stream(self._log, INFO, 1), open_stream(self._log, ERR, 2)]
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = self._streams  # type: ignore[misc]
        mark_threads()
        print_whole()
        self._folder = os.getcwd()
        self._modules = 0
        self._flush_library: Callable[[None], int] | None = None
        os.register_at_fork(after_in_child=self._log.fork)

    def warm_up(self) -> None:
        """Import what handlers may need."""
        self._handler.coroutines  # noqa: B018  it is made when it is read

    def serve(self) -> None:
        """Run jobs until the executor is gone."""
        end = b""
        self._wire.send(HEADER.pack(READY, 0, 0, 0, 0))
        while True:
            message = self._wire.next(wait=not end)
            if message is None:
                self._wire.send(end)
                end = b""
                continue
            kind, assignment_id, payload = message
            if kind == RUN:
                self._wire.send(end + HEADER.pack(BEGAN, 0, 0, 0, assignment_id))
                end = self._run(assignment_id, payload)
            elif kind == LOAD:
                self._handler.code = code = CodeLoad(payload)
                self._folder = code.folder or self._folder

    def _run(self, assignment_id: int, payload: bytes) -> bytes:
        """Run one job; return the message that ends it, or nothing if it has been sent already."""
        self._log.begin(assignment_id)
        os.chdir(self._folder)
        began = time.perf_counter_ns()
        try:
            self._session.begin(assignment_id, payload, began)
            kind, answer = RESULT, self._answer(payload)
        except JobFailedError as failure:
            kind, answer = ERROR, failure.payload()
        if os.getpid() != self._pid:
            os._exit(0)
        RUNS_FOR.set(None)
        self._environment.leave()
        micros = (time.perf_counter_ns() - began) // 1000
        self._flush()
        prefix = self._session.end() + self._log.end()
        if not raw_output_pending():
            return self._wire.end(prefix, kind, 0, micros, answer, assignment_id)
        self._wire.send(self._wire.end(prefix, kind, RAW_PENDING, micros, answer, assignment_id))
        while raw_output_pending():
            time.sleep(0.0002)
        return b""

    def _flush(self) -> None:
        """Send what the job has written, also through the C library, and end its alarm."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for stream in (sys.stdout, sys.stderr):
            if stream not in self._streams:
                flush_quietly(stream)
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            if "ctypes" in sys.modules or any(map(is_extension, list(sys.modules.values()))):
                self._flush_library = importlib.import_module("ctypes").CDLL(None).fflush
        if self._flush_library is not None:
            self._flush_library(None)
        for stream in self._streams:
            stream.finish()
            stream.output.restore()
        if any(map(is_detached, self._streams)):
            self._replace_detached()

    def _replace_detached(self) -> None:
        """Give the next job the standard streams of which this one has taken the buffers away."""
        for number, stream in enumerate(self._streams):
            if is_detached(stream):
                self._streams[number] = fresh = LogStream(LogBuffer(stream.output))
                if sys.stdout is stream:
                    sys.stdout = fresh
                if sys.stderr is stream:
                    sys.stderr = fresh

    def _answer(self, payload: bytes) -> bytes:
        env_size, job_size = LENGTHS.unpack_from(payload)
        rest = LENGTHS.size + env_size
        try:
            env = self._decode(payload[LENGTHS.size : rest].decode()) if env_size > len("{}") else {}
            job_input = self._decode(payload[rest + job_size :].decode())
        except RecursionError:
            raise JobFailedError("handler_error", "The input is nested too deeply for this runtime") from None
        if env:
            self._environment.enter(env)
        call = self._handler.call or self._load(self._handler.code)
        if self._handler.only_load:
            return b"null"
        RUNS_FOR.set(self._log.assignment_id)
        try:
            value = self._handler.run(call, job_input, env)
        except MemoryError:
            raise JobFailedError("out_of_memory", "The handler ran out of memory") from None
        except BaseException as error:  # noqa: BLE001  sys.exit() ends the job, not the harness
            if os.getpid() != self._pid:
                end_child(error)
            raise JobFailedError("handler_error", *describe(error)) from None
        return b"null" if value is None else self._serialize(value)

    def _load(self, code: CodeLoad | None) -> Callable[[Any, Any], Any]:
        if code is None:
            raise JobFailedError("load_error", "The code could not be loaded before")
        try:
            return self._handler.load(code)
        except MemoryError:
            raise JobFailedError("out_of_memory", "Loading the code ran out of memory") from None
        except BaseException as error:  # noqa: BLE001  as above
            raise JobFailedError("load_error", *describe(error)) from None

    def _serialize(self, value: object) -> bytes:
        try:
            answer = encode_text(self._encode(value))
        except MemoryError:
            raise JobFailedError("out_of_memory", "Serialising the output ran out of memory") from None
        except BaseException as error:  # noqa: BLE001  serializing can run user code
            text = f"The handler returned a value that is not JSON: {describe(error)[0]}"
            raise JobFailedError("handler_error", text) from None
        if len(answer) > OUTPUT_BYTES:
            text = f"The handler returned {len(answer)} bytes of JSON; the limit is {OUTPUT_BYTES}"
            raise JobFailedError("output_too_large", text)
        return answer


def end_child(error: BaseException) -> None:
    """End a process that user code has forked with what it raised, as python ends one."""
    code = (error.code or 0) if isinstance(error, SystemExit) else describe(error)[1]
    if not isinstance(code, int):
        sys.stderr.write(f"{code}".rstrip("\n") + "\n")
    for stream in (sys.stdout, sys.stderr):
        flush_quietly(stream)
    os._exit(code & 0xFF if isinstance(code, int) else 1)


def flush_quietly(stream: Any) -> None:
    """Flush what user code has put in the place of a standard stream."""
    try:
        stream.flush()
    except Exception:  # noqa: BLE001  it is user code, and may be closed or None
        return


def is_extension(module: Any) -> bool:
    """Return whether a module is machine code of a package, which may print through the C library."""
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and path.endswith(".so") and "/lib-dynload/" not in path


def main() -> None:
    """Open the socket, freeze the heap, run jobs."""
    harness = PythonHarness(open_wire(sys.argv[1:], Wire))
    level_records()
    if sys.argv[-1] != JOB_WAITS:
        harness.warm_up()
        gc.collect()
    del sys.argv[1:]
    gc.freeze()
    harness.serve()
