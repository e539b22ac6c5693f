"""Whatever a sandbox sends, and whatever it does to its socket, ends at most itself and its own jobs.

`FUZZ_SECONDS` sets how long it tries (an hour: 3600), `FUZZ_SEED` where it begins. A failure names its seed.
"""

import asyncio
import os
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from runwright.runtimes.frame_socket import FrameSocket
from runwright.runtimes.handler_calls import problem_of, read_progress, read_record, read_request
from runwright.runtimes.model import OutcomeStatus, WorkerCode
from runwright.runtimes.pool import sandbox
from runwright.runtimes.protocol import FRAME_BYTES, OUTPUT_BYTES, REQUEST_BYTES
from tests.integration.conftest import JobRecord, MakeStage, Stage
from tests.integration.runtimes import frame_generator
from tests.integration.runtimes.frame_generator import messages

SECONDS: Final = float(os.environ.get("FUZZ_SECONDS", "10"))
FIRST_SEED: Final = int(os.environ.get("FUZZ_SEED", "1"))
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_SECONDS: Final = 120.0

HOSTILE: Final = (
    Path(frame_generator.__file__).read_text(encoding="utf-8")
    + """

import array, fcntl, os, signal, socket, sys, threading, time

def options(rnd, sock):
    number = rnd.choice((socket.SO_RCVBUF, socket.SO_SNDBUF, socket.SO_PASSCRED, socket.SO_RCVLOWAT))
    sock.setsockopt(socket.SOL_SOCKET, number, rnd.choice((0, 1, 2304, 10**6)))

def take(rnd, sock):
    sock.recv(10**6, socket.MSG_DONTWAIT | rnd.choice((0, socket.MSG_PEEK)))

def attach(rnd, sock, token):
    fds = array.array("i", [rnd.choice((0, 1, 2, 3))] * rnd.randrange(1, 5))
    sock.sendmsg([message(rnd, token)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)], socket.MSG_DONTWAIT)

def child(rnd, sock, token):
    if os.fork() == 0:
        for _ in range(rnd.randrange(20)):
            try: sock.send(message(rnd, token), socket.MSG_DONTWAIT)
            except OSError: pass
        os._exit(0)

def later(seed, sock, token):
    rnd = random.Random(seed)
    def flood():
        time.sleep(rnd.choice((0, 0.001, 0.01)))
        for _ in range(rnd.choice((3, 10**6))):
            try: sock.send(message(rnd, token), socket.MSG_DONTWAIT)
            except OSError: time.sleep(0.001)
    threading.Thread(target=flood, daemon=True).start()

def step(rnd, sock, token):
    n = rnd.randrange(100)
    if n < 2: later(rnd.getrandbits(30), sock, token)
    elif n < 4: child(rnd, sock, token)
    elif n < 7: take(rnd, sock)
    elif n < 9: attach(rnd, sock, token)
    elif n < 11: options(rnd, sock)
    elif n < 12: sock.shutdown(rnd.choice((0, 1, 2)))
    elif n < 13: fcntl.fcntl(3, fcntl.F_SETFL, rnd.choice((0, os.O_NONBLOCK)))
    elif n < 20: os.write(rnd.choice((1, 2)), rnd.randbytes(rnd.randrange(3000)))
    elif n < 21: os.kill(os.getpid(), rnd.choice((signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT, signal.SIGKILL)))
    elif n < 22: os.close(rnd.choice((0, 1, 2, 3)))
    elif n < 26: print("x" * rnd.randrange(100))
    elif n < 30: time.sleep(0.002)
    else: sock.send(message(rnd, token), socket.MSG_DONTWAIT)

def handler(input, env):
    rnd = random.Random(input["seed"])
    sock = socket.socket(fileno=os.dup(3))
    token = sys.stdout._log._assignment_id
    for _ in range(input["steps"]):
        try: step(rnd, sock, token)
        except OSError: pass
    return rnd.choice((1, "x" * 70_000, None))
"""
)
BYSTANDER: Final = "def handler(input, env):\n    print('line', input['n'])\n    return input\n"


class Recorder:
    """What a `FrameSocket` passes on, with the one job that it may speak for."""

    def __init__(self) -> None:
        self.id = 7
        self.frames = self.dropped = self.ends = 0

    def write(self, _at: datetime, level: str, data: bytes) -> None:
        assert level in {"info", "warn", "error", "debug"}
        assert len(data) <= FRAME_BYTES

    def write_record(self, _at: datetime, level: str, content: bytes) -> str | None:
        assert level in {"info", "warn", "error", "debug"}
        record = read_record(content)
        return record if isinstance(record, str) else None

    def take_text_frame(self, _at: datetime, level: str, data: bytes) -> str | None:
        assert level in {"info", "warn", "error", "debug"}
        assert len(data) <= FRAME_BYTES
        return None

    def take_progress(self, content: bytes) -> str | None:
        progress = read_progress(content)
        return progress if isinstance(progress, str) else None

    def handle_request(self, payload: bytes) -> str | None:
        request = read_request(payload)
        if isinstance(request, str):
            return request
        assert problem_of(request[1]) is None or problem_of(request[1])
        assert len(payload) <= REQUEST_BYTES
        return None

    def handle_began(self, assignment_id: int, _at: datetime, _now: float) -> str | None:
        return None if assignment_id == self.id else "not given"

    def handle_compiled(self) -> str | None:
        return "not given"

    def handle_end(self, _kind: int, _flags: int, _micros: int, payload: bytes, _at: datetime) -> str | None:
        assert len(payload) <= 2 * OUTPUT_BYTES + FRAME_BYTES
        self.ends += 1
        return None

    def connection_lost(self) -> None:
        raise AssertionError("the test has both ends")


@pytest.mark.timeout(SECONDS + 300)
async def test_no_message_raises_or_grows_what_is_kept() -> None:
    loop = asyncio.get_running_loop()
    ends = time.monotonic() + SECONDS / 4
    seed = FIRST_SEED
    while time.monotonic() < ends:
        recorder = Recorder()
        sock = FrameSocket(loop, recorder)
        sock.running = recorder
        rnd = random.Random(seed)
        for data, _ in zip(messages(rnd, recorder.id), range(200), strict=False):
            sock.far.send(data)
            size = sock.receive()
            assert size == len(data), seed
            violation = sock.handle(size, NOW, 0.0)
            assert violation is None or violation, seed
            assert sock._parts_bytes <= 2 * OUTPUT_BYTES + FRAME_BYTES, seed  # noqa: SLF001
        sock.close()
        seed += 1


class Fuzzer:
    """Hostile jobs, several of which wait in each other's sandbox, beside a bystander of another tenant."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.rounds = self.hostile = 0
        self.ended: dict[str, int] = {}
        self.problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.problems.append(context))

    async def run(self, seconds: float) -> None:
        """Play rounds until the time is over."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends or not self.rounds:
            await self._round(FIRST_SEED + self.rounds)
            self.rounds += 1

    async def _round(self, seed: int) -> None:
        rnd = random.Random(seed)
        code = self.stage.code(HOSTILE, worker="hostile", tenant="hostile")
        for _ in range(2):  # so that the worker is measured fast, and jobs wait behind each other
            await self._finish(seed, self._assign(code, seed, steps=0))
        hostile = [self._assign(code, rnd.getrandbits(40), steps=rnd.randrange(60)) for _ in range(6)]
        bystanders = [self._bystander(n) for n in range(3)]
        for job in hostile:
            if rnd.random() < 0.1:
                rnd.choice((self.stage.pool.cancel, self.stage.pool.kill))(job.id)
        await self._finish(seed, *bystanders, *hostile)
        for n, job in enumerate(bystanders):
            assert job.outcome.status is OutcomeStatus.COMPLETED, (seed, job.outcome)
            assert (job.output, job.said) == ({"n": n}, [("info", f"line {n}")]), seed
        assert self.problems == [], seed
        for job in hostile:
            self.hostile += 1
            key = f"{job.outcome.status} {job.outcome.error_code or ''}".strip()
            self.ended[key] = self.ended.get(key, 0) + 1

    def _assign(self, code: WorkerCode, seed: int, *, steps: int) -> JobRecord:
        value = b'{"seed": %d, "steps": %d}' % (seed, steps)
        return self.stage.assign_code(code, input=value, seconds=1.0)

    def _bystander(self, n: int) -> JobRecord:
        code = self.stage.code(BYSTANDER, worker="bystander", tenant="bystander")
        return self.stage.assign_code(code, input=b'{"n": %d}' % n, seconds=60.0)

    async def _finish(self, seed: int, *jobs: JobRecord) -> None:
        try:
            await self.stage.until(lambda: all(one.outcomes for one in jobs), PATIENCE_SECONDS)
        except TimeoutError:
            pytest.fail(f"seed {seed}: jobs without an end, sandboxes {self.stage.pool.stats()}")


@pytest.mark.timeout(SECONDS * 2 + 300)
async def test_hostile_frames_touch_no_other_job_and_raise_nothing(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "BEGIN_SECONDS", 1.0)  # many harnesses never come to their next job
    stage = await make_stage(slots=3)
    stage.pool._cpu_count = 1  # noqa: SLF001  as on a host with one cpu: queue before opening more
    fuzzer = Fuzzer(stage)
    await fuzzer.run(SECONDS)
    print(f"{fuzzer.rounds} rounds, {fuzzer.hostile} hostile jobs: {fuzzer.ended}, {stage.pool.stats()}")  # noqa: T201
    assert fuzzer.hostile == 6 * fuzzer.rounds
