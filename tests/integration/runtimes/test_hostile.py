"""Whatever code does, its job ends in the right state, in time, and the next job runs."""

import contextlib

import psutil
import pytest

from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import MakeStage, Stage

HANDLER = "def handler(input, env):\n    "
FORGED = "struct.pack('<BBHIQ', {kind}, 0, 0, 2, {token}) + b'{{}}'"
EVERY_FD = """
    for fd in range(3, 40):
        try: os.write(fd, {data})
        except OSError: pass
    return 1
"""


def forging(data: str) -> str:
    """Code that writes to every descriptor which it finds."""
    return "import os, struct\n" + HANDLER + EVERY_FD.format(data=data)


DEATHS = {
    "os._exit": ("import os; os._exit(3)", "exited with status 3"),
    "sys.exit": ("import sys; sys.exit(3)", "The handler called sys.exit(3)"),
    "SIGKILL": ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    "SIGTERM": ("import os; os.kill(os.getpid(), 15)", "was ended by SIGTERM"),
    "segmentation fault": ("import ctypes; ctypes.string_at(0)", "was ended by SIGSEGV"),
    "closing every descriptor": ("import os; os.closerange(3, 100)", "exited with status 70"),
    "raising what cannot be printed": (
        "raise type('E', (Exception,), {'__str__': lambda s: 1 / 0})()",
        "E: <unprintable>",
    ),
    "raising KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "endless recursion": ("return handler(input, env)", "RecursionError"),
}


@pytest.mark.parametrize(("body", "message"), DEATHS.values(), ids=DEATHS)
async def test_a_handler_that_ends_its_process_fails_and_the_next_job_runs(
    stage: Stage, body: str, message: str
) -> None:
    outcome = (await stage.run(HANDLER + body)).outcome
    assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, "handler_error")
    assert message in outcome.error_message
    assert (await stage.run(HANDLER + "return 1")).output == 1


FORGERIES = {
    "a byte": "b'x'",
    "nothing": "b''",
    "a result of another job": FORGED.format(kind=20, token=10**9),
    "a begin of another job": FORGED.format(kind=17, token=10**9),
    "a frame longer than its message": "struct.pack('<BBHIQ', 20, 0, 0, 10**9, 1)",
    "much": "b'x' * 200000",
}


@pytest.mark.parametrize("data", FORGERIES.values(), ids=FORGERIES)
async def test_a_frame_that_breaks_the_protocol_costs_the_job_and_the_sandbox(
    stage: Stage, data: str
) -> None:
    outcome = (await stage.run(forging(data))).outcome
    assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, "handler_error")
    assert "broke the protocol" in outcome.error_message
    await stage.until(lambda: not stage.pool.stats().sandboxes)


FRAMES = {
    "an error that is not JSON": (21, "b'{}'", "cannot be read"),
    "an error code of the executor": (21, 'b\'{"code":"timeout","message":""}\'', "not its to give"),
    "an unknown kind": (99, "b''", "unknown frame"),
    "a log level that does not exist": (18, "b'x'", "unknown log level"),
    "a second begin": (17, "b''", "not given"),
}


@pytest.mark.parametrize(("kind", "payload", "says"), FRAMES.values(), ids=FRAMES)
async def test_a_forged_frame_of_the_running_job_is_checked(
    stage: Stage, kind: int, payload: str, says: str
) -> None:
    source = forging(f"struct.pack('<BBHIQ', {kind}, 7, 0, len({payload}), input['token']) + {payload}")
    token = max(stage.played, default=0)
    probe = await stage.run(HANDLER + "return 1")
    token = probe.id + 1
    outcome = (await stage.run(source, input=b'{"token": %d}' % token)).outcome
    assert outcome.error_code == "handler_error"
    assert says in outcome.error_message


async def test_an_output_that_was_forged_badly_is_not_stored(stage: Stage) -> None:
    probe = await stage.run(HANDLER + "return 1")
    source = forging(f"struct.pack('<BBHIQ', 20, 0, 0, 2, {probe.id + 1}) + b'{{x'")
    outcome = (await stage.run(source)).outcome
    assert outcome.error_code == "handler_error"
    assert outcome.error_message == "The handler's output is not valid JSON"


async def test_a_flood_of_log_frames_past_the_limits_ends_the_job(stage: Stage) -> None:
    probe = await stage.run(HANDLER + "return 1")
    data = f"struct.pack('<BBHIQ', 18, 0, 0, 2, {probe.id + 1}) + b'hi'"
    source = "import os, struct\n" + HANDLER + f"while True: os.write(3, {data})\n"
    played = await stage.run(source)
    assert played.outcome.error_code == "handler_error"
    assert "more frames" in played.outcome.error_message
    assert len(played.lines) == 10_003


async def test_writing_frames_to_stdout_is_only_text(stage: Stage) -> None:
    data = FORGED.format(kind=20, token=1)
    source = "import os, struct\n" + HANDLER + f"os.write(1, {data}); os.write(2, {data}); return 7"
    assert (await stage.run(source)).output == 7


async def test_lone_surrogates_in_a_forged_output_are_refused(stage: Stage) -> None:
    frame = "struct.pack('<BBHIQ', 20, 0, 0, 8, sys.stdout._log._assignment_id) + b'\"\\\\ud800\"'"
    source = f"import os, struct, sys\n{HANDLER}os.write(3, {frame})\n    while True: pass"
    outcome = (await stage.run(source)).outcome
    assert outcome.error_message == "The handler's output is not valid JSON"


async def test_input_that_is_nested_too_deeply_fails_the_job(stage: Stage) -> None:
    deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    outcome = (await stage.run(HANDLER + "return 1", input=deep)).outcome
    assert outcome.error_code == "handler_error"


async def test_ten_megabytes_of_lines_are_cut_at_the_limit_and_counted(stage: Stage) -> None:
    played = await stage.run(HANDLER + "for i in range(100_000): print('x' * 100)")
    assert played.outcome.status is OutcomeStatus.COMPLETED
    assert len(played.lines) == 10_003
    assert (played.lines[-2].level, played.lines[-2].msg) == ("warn", "dropped 90000 lines")


async def test_the_limit_of_bytes_counts_too(stage: Stage) -> None:
    played = await stage.run(HANDLER + "for i in range(300): print('x' * 16_000)")
    assert played.lines[-2].msg == "dropped 38 lines"


async def test_ten_megabytes_past_the_harness_are_cut_too(stage: Stage) -> None:
    played = await stage.run(
        "import os\n" + HANDLER + "for i in range(1000): os.write(1, b'z' * 9999 + b'\\n')"
    )
    assert played.outcome.status is OutcomeStatus.COMPLETED
    assert sum(len(line.msg) for line in played.lines) < 4 * 2**20 + 200
    assert played.lines[-2].msg.startswith("dropped ")


@pytest.mark.parametrize("write", ["print('y' * 10**7, end='')", "__import__('os').write(2, b'y' * 60_000)"])
async def test_a_line_without_end_is_cut(stage: Stage, write: str) -> None:
    played = await stage.run(HANDLER + write)
    [(_, text)] = played.said
    assert text.startswith("yyy")
    assert text.endswith("y … (line cut)")
    assert len(text.encode()) < 17_000


async def test_closing_stdout_changes_nothing(stage: Stage) -> None:
    source = (
        "import os, sys\n"
        + HANDLER
        + "sys.stdout.close(); os.close(1); os.close(2); print('still'); return 1"
    )
    played = await stage.run(source)
    assert played.output == 1
    assert played.said == [("info", "still")]


FORKS = {
    "a child that returns into the harness": "import os\n    if os.fork() == 0: return 5\n    os.wait(); return 7",
    "a child that prints": "import os\n    if os.fork() == 0: print('c'); os._exit(0)\n    os.wait(); return 7",
    "a child that raises": "import os\n    if os.fork() == 0: raise ValueError\n    os.wait(); return 7",
}


@pytest.mark.parametrize("body", FORKS.values(), ids=FORKS)
async def test_only_the_parent_answers(stage: Stage, body: str) -> None:
    first = await stage.run(HANDLER + body)
    assert first.output == 7
    assert (await stage.run(HANDLER + body)).output == 7


LEFTOVERS = {
    "a child": "import subprocess; subprocess.Popen(['sleep', '1000']); return 7",
    "a daemon": (
        "import os, time\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0: time.sleep(1000)\n"
        "        os._exit(0)\n    os.wait(); return 7"
    ),
}


@pytest.mark.parametrize("body", LEFTOVERS.values(), ids=LEFTOVERS)
async def test_processes_left_behind_are_killed_with_their_sandbox(stage: Stage, body: str) -> None:
    assert (await stage.run(HANDLER + body)).output == 7
    await stage.until(lambda: not stage.pool.stats().sandboxes)
    assert stage.pool.stats().discarded == {"leftover processes": 1}


async def test_threads_left_behind_do_not_cost_the_sandbox(stage: Stage) -> None:
    source = (
        "import threading\n"
        + HANDLER
        + ("threading.Thread(target=threading.Event().wait, daemon=True).start(); return 7")
    )
    for _ in range(3):
        assert (await stage.run(source)).output == 7
    assert stage.pool.stats().booted == 1


LOOPS = {
    "a loop": "while True: pass",
    "a sleep": "import time; time.sleep(1000)",
    "a stopped process": "import os; os.kill(os.getpid(), 19)",
    "every signal ignored": (
        "import signal\n    for n in range(1, 32):\n        if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\n"
        "    while True: pass"
    ),
    "forking for ever": "import os\n    while True:\n        try: os.fork()\n        except OSError: pass",
    "catching everything": "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
}


@pytest.mark.parametrize("body", LOOPS.values(), ids=LOOPS)
async def test_a_handler_without_end_times_out_in_time(stage: Stage, body: str) -> None:
    played = await stage.run(HANDLER + body, seconds=0.5)
    assert (played.outcome.status, played.outcome.error_code) == (OutcomeStatus.FAILED, "timeout")
    assert played.outcome.error_message == "The handler did not end within 0.5 seconds"
    assert (await stage.run(HANDLER + "return 1")).output == 1


async def test_lines_of_a_job_that_times_out_are_kept_and_the_dropped_ones_counted(stage: Stage) -> None:
    played = await stage.run(HANDLER + "while True: print('again')", seconds=4)
    assert played.said[0] == ("info", "again")
    assert played.lines[-2].msg.startswith("dropped ")
    assert played.outcome.error_code == "timeout"


GREED = {
    "python": HANDLER + "a = []\n    while True: a.append(bytearray(10**7))",
    "python at once": HANDLER + "return len(bytearray(10**10))",
    "python in a file": HANDLER + "f = [open(f'/tmp/{n}', 'wb') for n in range(9)]\n"
    "    for x in f: x.write(b'x' * (10 ** 7 * 6))\n    return [len(x.read()) for x in f]",
    "nodejs": "module.exports = () => { const a = []; for (;;) a.push(new Array(1e5).fill(Math.random())) }",
    "nodejs buffers": "module.exports = () => { const a = []; for (;;) a.push(Buffer.alloc(1e7, 1)) }",
    "shell": "x=a; while :; do x=$x$x; done",
}


@pytest.mark.parametrize("name", [name for name in GREED if "file" not in name])
async def test_a_job_that_allocates_without_end_is_out_of_memory(stage: Stage, name: str) -> None:
    source = GREED[name]
    runtime = name.partition(" ")[0]
    outcome = (await stage.run(source, runtime=runtime, memory_mb=96)).outcome
    assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, "out_of_memory")
    await stage.until(lambda: not stage.pool.stats().sandboxes)


async def test_the_disk_is_bounded(stage: Stage) -> None:
    played = await stage.run(GREED["python in a file"], memory_mb=1024)
    assert played.outcome.error_code == "handler_error"
    assert "No space left on device" in played.outcome.error_message


async def test_a_sandbox_that_dies_between_jobs_costs_no_job(stage: Stage) -> None:
    source = HANDLER + "return 7"
    assert (await stage.run(source)).output == 7
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # its parent has taken it along
            if "python_harness" in child.cmdline():
                child.kill()
    await stage.until(lambda: not stage.pool.stats().sandboxes)
    assert (await stage.run(source)).output == 7


async def test_a_busy_neighbour_does_not_keep_a_job_from_its_end(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=3)
    noisy = [
        stage.assign(HANDLER + "while True: print('x' * 1000)", worker="a", seconds=300),
        stage.assign("yes", runtime="shell", worker="b", seconds=300),
    ]
    await stage.until(lambda: all(one.lines for one in noisy))
    assert (await stage.run(HANDLER + "return 1", worker="c")).output == 1
    assert not any(one.outcomes for one in noisy)
    for one in noisy:
        stage.pool.cancel(one.id)
    await stage.finish(*noisy)
