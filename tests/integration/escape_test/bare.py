"""Run an attempt without a sandbox, against an executor that trusts everything."""

import array
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from runwright.escape_test.canaries import VARIABLE, Canaries
from runwright.escape_test.catalogue import KIT, PROGRAMS
from runwright.escape_test.model import EscapeAttempt
from runwright.escape_test.runner import processes_named
from runwright.runtimes.harness_command import HARNESS_FOLDER
from runwright.runtimes.protocol import HEADER, LOG_LINES

CHILD = Path(__file__).with_name("bare_child.py")
TOKEN, OWN_TOKEN = 4711, 4712
PATIENCE_SECONDS = 60


class TrustingExecutor:
    """The other end of the socket: accepts every message and believes it."""

    def __init__(self, mark: str) -> None:
        self._near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._near.send(HEADER.pack(2, 0, 0, len(mark), TOKEN) + mark.encode())
        self.messages: list[bytes] = []
        self.descriptors = 0
        self.broken = False
        self.closed = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        room = socket.CMSG_SPACE(4 * 253)
        while True:
            try:
                data, extra, _, _ = self._near.recvmsg(1 << 18, room)
            except OSError:
                data, extra = b"", []
            for _, _, content in extra:
                taken = array.array("i", content[: len(content) // 4 * 4])
                self.descriptors += len(taken)
                for fd in taken:
                    os.close(fd)
            if not data:
                self.closed.set()
                return
            self.messages.append(data)
            self.broken = self.broken or not self._well_formed(data)

    def _well_formed(self, data: bytes) -> bool:
        return len(data) >= HEADER.size and HEADER.unpack_from(data)[3] == len(data) - HEADER.size

    def drain(self) -> None:
        """Receive everything that was sent."""
        self.far.close()
        self._thread.join()

    def fooled(self) -> bool:
        return any(len(one) >= HEADER.size and HEADER.unpack_from(one)[4] == TOKEN for one in self.messages)

    def hurt(self) -> bool:
        return self.broken or len(self.messages) > LOG_LINES + 200

    def close(self) -> None:
        self.drain()
        self._near.close()


def run_bare(attempt: EscapeAttempt, canaries: Canaries) -> tuple[bool, str]:
    """Return whether the attempt escapes without a sandbox, and its report."""
    memory = Path(tempfile.mkdtemp(prefix="runwright-bare-", dir="/dev/shm"))
    memory.chmod(0o777)
    executor = TrustingExecutor(canaries.canary)
    secret = os.open(canaries.folder / "secret", os.O_RDONLY)
    try:
        targets = {**canaries.targets, "bundle": str(canaries.folder / "bundle")} | _places(memory, canaries)
        targets |= {"token": TOKEN, "own_token": OWN_TOKEN, "first_seconds": attempt.first_seconds}
        targets |= {"hold_seconds": 0.1, "overrun_seconds": 1.5}
        with tempfile.TemporaryFile() as answers:
            fds = (executor.far.fileno(), answers.fileno(), secret)
            stdout = _run(_plan(attempt, canaries, targets), attempt, canaries, memory, fds)
            answers.seek(0)
            content = answers.read()
        answer = (
            json.loads(content)
            if content
            else {"escaped": False, "by": stdout[-2000:].decode(errors="replace")}
        )
        return _judge(attempt, canaries, executor, answer, stdout), str(answer["by"])
    finally:
        os.close(secret)
        executor.close()
        shutil.rmtree(memory)


def _places(memory: Path, canaries: Canaries) -> dict[str, Any]:
    disks = [memory / name for name in ("tmp", "work", "shm")]
    for disk in disks:
        disk.mkdir()
        disk.chmod(0o777)
    return {"disks": [str(disk) for disk in disks], "sparse": str(canaries.folder)}


def _plan(attempt: EscapeAttempt, canaries: Canaries, targets: dict[str, Any]) -> dict[str, Any]:
    group = attempt.group.replace(" ", "_")
    texts = {name: (PROGRAMS / f"{name}.py").read_text() for name in (KIT, group)}
    plan: dict[str, Any] = {
        "texts": texts,
        "group": group,
        "function": attempt.function,
        "after": attempt.after,
        "rest": attempt.rest_seconds,
    }
    plan |= {
        "bare": attempt.bare,
        "targets": targets,
        "bundle": attempt.bundle,
        "harness": str(HARNESS_FOLDER),
    }
    return plan | {"entrypoint": canaries.entrypoint(attempt.entrypoint), "folder": str(canaries.folder)}


def _run(
    plan: dict[str, Any], attempt: EscapeAttempt, canaries: Canaries, memory: Path, fds: tuple[int, int, int]
) -> bytes:
    """Run the child with a socket, a file for its result and a descriptor that it should not have."""
    work = memory / "work"
    env = {**os.environ, VARIABLE: canaries.canary, "HOME": str(work), "TMPDIR": str(work)}
    if attempt.secret:
        env["CANARY_SECRET"] = canaries.canary
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-I", str(CHILD), *map(str, fds)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=work,
            pass_fds=fds,
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(plan).encode(), PATIENCE_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return output.read()


def _judge(
    attempt: EscapeAttempt,
    canaries: Canaries,
    executor: TrustingExecutor,
    answer: dict[str, Any],
    stdout: bytes,
) -> bool:
    closed = attempt.check == "executor" and executor.closed.wait(0.5)
    executor.drain()
    return (
        bool(answer["escaped"])
        and {
            None: True,
            "victim": attempt.check == "victim" and canaries.victim_died(),
            "host_write": canaries.host_was_written(),
            "log": len(stdout) >= 1 << 24,
            "forgery": executor.fooled() or b'"forged"' in stdout,
            "executor": closed or executor.hurt(),
            "descriptors": executor.descriptors >= 250,
            "daemon": _end_daemons(canaries.targets["daemon"]),
        }[attempt.check]
    )


def _end_daemons(name: str) -> bool:
    found = processes_named(name)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return bool(found)
