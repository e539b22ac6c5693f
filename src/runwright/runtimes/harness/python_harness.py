"""Runs python handlers inside a sandbox: `python_harness.py FD UID`.

Speaks the protocol of `runtimes/protocol.py` on the inherited socket FD, one job at a time
on the main thread. Imports nothing of the server, for it is all that the sandbox sees of it.

Between jobs it blocks in `recv`, so no loop and no timer runs then. The end of a job and the
BEGAN of the next one share a send when the next one already waits; an end is never held back
while user code runs.
"""

import array
import asyncio
import fcntl
import gc
import io
import json
import logging
import os
import socket
import struct
import sys
import termios
import threading
import time
import traceback
import types

HEADER = struct.Struct("<BBHIQ")
LOAD, RUN, PART, READY, BEGAN, LOG, DROPPED, RESULT, ERROR = 1, 2, 3, 16, 17, 18, 19, 20, 21
RAW_PENDING = 1
INFO, WARN, ERR = 0, 1, 2
CHUNK = 60 * 1024
MESSAGE = 128 * 1024
OUTPUT_BYTES = 1024 * 1024
LINE_CHARS = 16 * 1024
LOG_LINES = 10_000
LOG_BYTES = 4 * 1024 * 1024
LOST = 70


class Wire:
    """The socket: whole messages out, large content in parts."""

    def __init__(self, sock):
        self.sock = sock

    def send(self, data):
        """Send one message; without the socket there is nobody to work for."""
        try:
            self.sock.send(data)
        except OSError:
            os._exit(LOST)

    def send_end(self, prefix, kind, flags, micros, payload, token):
        """Send the frame that ends a job, its content in parts where it is large."""
        while len(payload) > CHUNK:
            self.send(prefix + HEADER.pack(PART, 0, 0, CHUNK, token) + payload[:CHUNK])
            prefix, payload = b"", payload[CHUNK:]
        return prefix + HEADER.pack(kind, flags, micros, len(payload), token) + payload


class Journal:
    """Turns what user code writes into LOG frames, within the limits of one attempt."""

    def __init__(self, wire):
        self.wire = wire
        self.lock = threading.RLock()
        self.token = None
        self.forked = False
        self.streams = []
        self.lines = self.bytes = self.dropped = 0

    def begin(self, token):
        """Write for this job from now on."""
        self.lines = self.bytes = self.dropped = 0
        self.token = token

    def end(self):
        """Write what is left of unfinished lines; return the frame that counts what was dropped."""
        for stream in self.streams:
            if stream.part:
                stream.finish()
        token, self.token = self.token, None
        if not self.dropped:
            return b""
        return HEADER.pack(DROPPED, 0, 0, 4, token) + min(self.dropped, 2**32 - 1).to_bytes(4, "little")

    def detach(self):
        """In a forked child frames would be forgeries: write to the pipes instead."""
        self.lock = threading.RLock()
        self.forked = True

    def write(self, level, text):
        """Send whole lines (text may hold several)."""
        if self.forked:
            os.write(1 if level == INFO else 2, (text + "\n").encode("utf-8", "backslashreplace"))
            return
        batch, size = [], 0
        for line in text.split("\n"):
            data = line[: LINE_CHARS + 1].encode("utf-8", "backslashreplace")
            if self.lines >= LOG_LINES or self.bytes + len(data) > LOG_BYTES:
                self.dropped += 1
                continue
            self.lines += 1
            self.bytes += len(data)
            if size + len(data) >= CHUNK:
                self._flush(level, batch)
                batch, size = [], 0
            batch.append(data)
            size += len(data) + 1
        if batch:
            self._flush(level, batch)

    def _flush(self, level, batch):
        if self.token is not None and batch:
            data = b"\n".join(batch)
            self.wire.send(HEADER.pack(LOG, level, 0, len(data), self.token) + data)


class Bytes(io.RawIOBase):
    """The `buffer` of a stream."""

    def __init__(self, text):
        self._text = text

    def writable(self):
        """Tell that one may write."""
        return True

    def write(self, data):
        """Write bytes as text."""
        data = bytes(data)
        self._text.write(data.decode("utf-8", "replace"))
        return len(data)

    def fileno(self):
        """Name the pipe, for subprocesses."""
        return self._text.fileno()


class Stream(io.TextIOBase):
    """What user code sees as sys.stdout or sys.stderr."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, journal, level, fd):
        self.level = level
        self.part = ""
        self.cut = False
        self._journal = journal
        self._fd = fd
        self.buffer = Bytes(self)
        self.mode = "w"
        self.name = "<stdout>" if fd == 1 else "<stderr>"

    def writable(self):
        """Tell that one may write."""
        return True

    def isatty(self):
        """Tell that nobody is watching."""
        return False

    def fileno(self):
        """Name the pipe, for subprocesses."""
        return self._fd

    def close(self):
        """Stay open: the next job writes here too."""

    def write(self, text):
        """Send the lines that are whole; keep the rest, but never much of it."""
        if not isinstance(text, str):
            message = f"write() argument must be str, not {type(text).__name__}"
            raise TypeError(message)
        with self._journal.lock:
            head, newline, tail = text.rpartition("\n")
            if newline:
                self._journal.write(self.level, self.part + head)
                self.part = ""
            if tail and len(self.part) <= LINE_CHARS:
                self.part += tail[: LINE_CHARS + 1]
        return len(text)

    def finish(self):
        """Send an unfinished line."""
        with self._journal.lock:
            text, self.part = self.part, ""
            self._journal.write(self.level, text)


def install_logging(journal):
    """Give log records their own level instead of that of the stream they are written to."""
    plain = logging.StreamHandler.emit

    def emit(self, record):
        if not isinstance(self.stream, Stream):
            plain(self, record)
            return
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        level = ERR if record.levelno >= logging.ERROR else WARN if record.levelno >= logging.WARNING else INFO
        with journal.lock:
            if self.stream.part:
                self.stream.finish()
            journal.write(level, text)

    logging.StreamHandler.emit = emit


class Handler:
    """The user's code: loaded at its first job, then called."""

    def __init__(self):
        self.entrypoint = None
        self.source = b""
        self._call = None
        self._loop = asyncio.new_event_loop()
        self._eager = sys.version_info >= (3, 12)

    @property
    def loaded(self):
        """Whether the module has run and has a handler."""
        return self._call is not None

    def load(self):
        """Run the user's module."""
        root = os.getcwd()
        path = os.path.join(root, self.entrypoint)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(self.source)
        sys.path.insert(0, root)
        if os.path.dirname(path) != root:
            sys.path.insert(0, os.path.dirname(path))
        name = os.path.splitext(os.path.basename(path))[0]
        module = types.ModuleType(name)
        module.__file__ = path
        sys.modules[name] = module
        exec(compile(self.source, path, "exec", dont_inherit=True), module.__dict__)
        call = getattr(module, "handler", None)
        if not callable(call):
            message = f"{self.entrypoint} defines no function named handler"
            raise TypeError(message)
        self.source = b""
        self._call = call

    def call(self, job_input, env):
        """Call the handler and return its value, awaited where it is awaitable."""
        value = self._call(job_input, env)
        if type(value) is not types.CoroutineType:
            if not hasattr(value, "__await__"):
                return value
            value = _await(value)
        try:
            return self._drive(value)
        finally:
            self._cancel_leftovers()

    def _drive(self, coroutine):
        if not self._eager:
            return self._loop.run_until_complete(coroutine)
        asyncio.events._set_running_loop(self._loop)
        try:
            task = asyncio.Task(coroutine, loop=self._loop, eager_start=True)
        finally:
            asyncio.events._set_running_loop(None)
        if not task.done():
            return self._loop.run_until_complete(task)
        return task.result()

    def _cancel_leftovers(self):
        tasks = asyncio.all_tasks(self._loop)
        if tasks:
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


async def _await(value):
    return await value


class Failure(Exception):
    """An end other than a result, with its code."""

    def __init__(self, code, message, stack=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.stack = stack


def describe(error):
    """Return message and stack of what user code raised, without the frames of this file."""
    if isinstance(error, SystemExit):
        return f"The handler called sys.exit({error.code!r})", None
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        text = "<unprintable>"
    message = f"{name}: {text}" if text and name != "Exception" else text or name
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        stack = "".join(traceback.format_exception(type(error), error, trace))
    except Exception:
        stack = None
    return message, stack


class Environment:
    """Puts a job's variables into os.environ and takes them out again."""

    def __init__(self):
        self._before = {}

    def enter(self, env):
        """Set what os.environ can hold; the handler's `env` argument has it all."""
        for key, value in env.items():
            if key and "=" not in key and "\0" not in key and "\0" not in value:
                self._before.setdefault(key, os.environ.get(key))
                os.environ[key] = value

    def leave(self):
        """Restore what was there before."""
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        self._before.clear()


class Harness:
    """Takes jobs from the wire and answers each with exactly one end."""

    def __init__(self, wire):
        self._wire = wire
        self._pid = os.getpid()
        self._handler = Handler()
        self._environment = Environment()
        self._waiting = array.array("i", [0])
        self._encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
        self._decode = json.JSONDecoder().decode
        self._journal = Journal(wire)
        sys.stdout = sys.__stdout__ = Stream(self._journal, INFO, 1)
        sys.stderr = sys.__stderr__ = Stream(self._journal, ERR, 2)
        self._journal.streams = [sys.stdout, sys.stderr]
        os.register_at_fork(after_in_child=self._journal.detach)
        install_logging(self._journal)

    def serve(self):
        """Serve until the executor is gone."""
        recv = self._wire.sock.recv
        end, parts = b"", []
        self._wire.send(HEADER.pack(READY, 0, 0, 0, 0))
        while True:
            message = self._next(recv, end)
            if message is None:
                self._wire.send(end)
                end = b""
                message = recv(MESSAGE)
            if not message:
                os._exit(0)
            kind, _, _, length, token = HEADER.unpack_from(message)
            if kind == PART:
                parts.append(message[HEADER.size :])
                continue
            payload = b"".join([*parts, message[HEADER.size :]]) if parts else message[HEADER.size :]
            parts.clear()
            if kind == RUN:
                self._wire.send(end + HEADER.pack(BEGAN, 0, 0, 0, token))
                end = self._run(token, payload)
            elif kind == LOAD:
                size = int.from_bytes(payload[:4], "little")
                self._handler.entrypoint = json.loads(payload[4 : 4 + size])["entrypoint"]
                self._handler.source = payload[4 + size :]

    def _next(self, recv, end):
        """Return the next message; None where there is none yet and an end waits to be sent."""
        try:
            return recv(MESSAGE, socket.MSG_DONTWAIT if end else 0)
        except BlockingIOError:
            return None

    def _run(self, token, payload):
        """Run one job and return the message that ends it."""
        self._journal.begin(token)
        began = time.perf_counter_ns()
        try:
            kind, answer = RESULT, self._answer(payload)
        except Failure as failure:
            fields = {"code": failure.code, "message": failure.message[:4096]}
            if failure.stack:
                fields["stack"] = failure.stack[-32768:]
            kind, answer = ERROR, json.dumps(fields).encode()
        if os.getpid() != self._pid:
            os._exit(0)
        self._environment.leave()
        micros = min((time.perf_counter_ns() - began) // 1000, 65535)
        prefix = self._journal.end()
        if not self._raw_pending():
            return self._wire.send_end(prefix, kind, 0, micros, answer, token)
        self._wire.send(self._wire.send_end(prefix, kind, RAW_PENDING, micros, answer, token))
        while self._raw_pending():
            time.sleep(0.0002)
        return b""

    def _answer(self, payload):
        size = int.from_bytes(payload[:4], "little")
        try:
            env = self._decode(payload[4 : 4 + size].decode()) if size > 2 else {}
            job_input = self._decode(payload[4 + size :].decode())
        except RecursionError:
            raise Failure("handler_error", "The input is nested too deeply for this runtime") from None
        if env:
            self._environment.enter(env)
        if not self._handler.loaded:
            self._load()
        try:
            value = self._handler.call(job_input, env)
        except MemoryError:
            raise Failure("out_of_memory", "The handler ran out of memory") from None
        except BaseException as error:
            raise Failure("handler_error", *describe(error)) from None
        return self._serialise(value)

    def _load(self):
        try:
            self._handler.load()
        except MemoryError:
            raise Failure("out_of_memory", "Loading the code ran out of memory") from None
        except BaseException as error:
            raise Failure("load_error", *describe(error)) from None

    def _serialise(self, value):
        try:
            answer = self._encode(value).encode()
        except MemoryError:
            raise Failure("out_of_memory", "Serialising the output ran out of memory") from None
        except BaseException as error:
            text = f"The handler returned a value that is not JSON: {describe(error)[0]}"
            raise Failure("handler_error", text) from None
        if len(answer) > OUTPUT_BYTES:
            text = f"The handler returned {len(answer)} bytes of JSON; the limit is {OUTPUT_BYTES}"
            raise Failure("output_too_large", text)
        return answer

    def _raw_pending(self):
        """Tell whether a pipe holds bytes that the executor has not read."""
        for fd in (1, 2):
            try:
                fcntl.ioctl(fd, termios.FIONREAD, self._waiting)
            except OSError:
                continue
            if self._waiting[0]:
                return True
        return False


def main():
    """Give up what the sandbox did not need, then serve."""
    fd, uid = int(sys.argv[1]), int(sys.argv[2])
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.set_inheritable(fd, False)
    del sys.argv[1:]
    wire = Wire(socket.socket(fileno=fd))
    harness = Harness(wire)
    gc.collect()
    gc.freeze()
    harness.serve()


if __name__ == "__main__":
    main()
