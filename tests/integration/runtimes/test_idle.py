"""User code runs while its job does: what goes on after the end is stopped, noticed, and thrown away."""

from pathlib import Path

import pytest

from runwright.runtimes.host import Host
from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import MakeStage, Stage

HANDLER = "import os, struct, sys, threading, time\ndef handler(input, env):\n"
QUICK = "def handler(input, env):\n    return input\n"
WAITS = {
    "a python thread": (
        "python",
        HANDLER + "    threading.Thread(target=time.sleep, args=[1000], daemon=True).start()\n    return 7",
    ),
    "a python thread that polls": (
        "python",
        HANDLER + "    def poll():\n        while True: time.sleep(0.001)\n"
        "    threading.Thread(target=poll, daemon=True).start()\n    return 7",
    ),
    "a node worker": (
        "nodejs",
        (
            "const {Worker} = require('node:worker_threads')\n"
            "const code = 'setInterval(() => {}, 5); require(\"node:worker_threads\").parentPort.postMessage(1)'\n"
            "module.exports = () => new Promise((done) => {\n"
            "  const w = new Worker(code, {eval: true})\n"
            "  w.once('message', () => setTimeout(() => done(7), 50))\n})"
        ),
    ),
    "a node timer": ("nodejs", "module.exports = () => { setInterval(() => {}, 1); return 7 }"),
    "a deno timer": ("deno", "export default () => { setInterval(() => {}, 1); return 7 }"),
    "a shell": ("shell", "echo 7"),
    "a module": (
        "wasm",
        '(module (memory (export "memory") 1) (func (export "_start")))',
    ),
}
SPINS = {
    "a python thread": (
        "python",
        HANDLER + "    def spin():\n        while True: pass\n"
        "    threading.Thread(target=spin, daemon=True).start()\n    return 7",
    ),
    "a result that is forged": (
        "python",
        HANDLER + "    token = sys.stdout._log._assignment_id\n"
        "    os.write(3, struct.pack('<BBHIQ', 20, 0, 0, 1, token) + b'7')\n    while True: pass",
    ),
    "a node worker": (
        "nodejs",
        (
            "const {Worker} = require('node:worker_threads')\n"
            "const code = 'require(\"node:worker_threads\").parentPort.postMessage(1); for (;;);'\n"
            "module.exports = () => new Promise((done) => {\n"
            "  const w = new Worker(code, {eval: true})\n"
            "  w.once('message', () => done(7))\n})"
        ),
    ),
    "a deno worker": (
        "deno",
        (
            "export default () => new Promise((done) => {\n"
            "  const w = new Worker('data:text/javascript,postMessage(1); for (;;);', {type: 'module'})\n"
            "  w.onmessage = () => done(7)\n})"
        ),
    ),
}
LEAVES = {
    "a child": (
        "python",
        HANDLER + "    if os.fork() == 0:\n        while True: time.sleep(1)\n    return 7",
    ),
    "a daemon": (
        "python",
        HANDLER + "    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n"
        "            os.closerange(0, 64)\n            while True: time.sleep(1)\n        os._exit(0)\n"
        "    os.wait()\n    return 7",
    ),
    "a detached child of node": (
        "nodejs",
        (
            "const {spawn} = require('node:child_process')\n"
            "module.exports = () => {\n"
            "  spawn('sleep', ['1000'], {detached: true, stdio: 'ignore'}).unref(); return 7 }"
        ),
    ),
    "a shell's background loop": ("shell", "(while :; do :; done) >/dev/null 2>&1 &\necho 7"),
    "a shell's daemon": ("shell", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &\necho 7"),
    "many threads": (
        "python",
        HANDLER
        + "    for _ in range(40): threading.Thread(target=time.sleep, args=[1000], daemon=True).start()\n"
        "    return 7",
    ),
}
SPEAKS = {
    "log frames of the job": "os.write(3, struct.pack('<BBHIQ', 18, 0, 0, 1, token) + b'x')",
    "log frames of another job": "os.write(3, struct.pack('<BBHIQ', 18, 0, 0, 1, token + 1) + b'x')",
    "a second result": "os.write(3, struct.pack('<BBHIQ', 20, 0, 0, 1, token) + b'1')",
    "a begin": "os.write(3, struct.pack('<BBHIQ', 17, 0, 0, 0, token + 1))",
    "an empty message": "socket.socket(fileno=os.dup(3)).send(b'')",
    "bytes on stdout": "os.write(1, b'x' * 1000)",
    "bytes on stderr": "os.write(2, b'x' * 1000)",
}


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def all_rest(stage: Stage) -> bool:
    """Whether no sandbox of the stage can run user code now."""
    sandboxes = stage.pool._inventory.sandboxes  # noqa: SLF001  nobody else knows them
    return all(is_stopped(sandbox.process.harness_pid) for sandbox in sandboxes)


def there_is_none(stage: Stage) -> bool:
    return not stage.pool.stats().sandboxes


@pytest.mark.parametrize(("runtime", "source"), WAITS.values(), ids=WAITS)
async def test_an_idle_sandbox_is_stopped_and_goes_on_with_its_next_job(
    stage: Stage, runtime: str, source: str
) -> None:
    for _ in range(3):
        assert (await stage.run(source, runtime=runtime)).outcome.error_message == ""
        await stage.eventually(lambda: all_rest(stage))
        assert len(stage.pool._inventory.sandboxes) == 1  # noqa: SLF001
    assert stage.pool.stats().booted == 1


@pytest.mark.parametrize("level", ["sandboxed", "bare"])
@pytest.mark.parametrize(("runtime", "source"), SPINS.values(), ids=SPINS)
async def test_code_that_works_on_after_its_job_does_not_outlive_it(
    make_stage: MakeStage, host: Host, bare: Host, level: str, runtime: str, source: str
) -> None:
    stage = await make_stage(host if level == "sandboxed" else bare)
    played = await stage.run(source, runtime=runtime)
    assert played.output == 7
    await stage.eventually(lambda: all_rest(stage))
    quick = await stage.run(QUICK, worker="other")
    assert quick.outcome.status is not OutcomeStatus.UNSTARTED, (
        stage.pool.stats(),
        quick.lines,
        quick.outcome,
    )
    assert quick.output == {}


@pytest.mark.parametrize(("runtime", "source"), LEAVES.values(), ids=LEAVES)
async def test_a_sandbox_in_which_something_was_left_is_thrown_away(
    stage: Stage, runtime: str, source: str
) -> None:
    assert (await stage.run(source, runtime=runtime)).output == 7
    await stage.until(lambda: there_is_none(stage))
    [reason] = stage.pool.stats().discarded
    assert reason in {"leftover processes", "leftover threads"}


async def test_a_thread_that_ends_makes_no_room_for_a_daemon(stage: Stage) -> None:
    source = (
        HANDLER
        + """
    if input["n"] == 1:
        threading.Thread(target=time.sleep, args=[0.5], daemon=True).start()
        return [1]
    if input["n"] == 2 and os.fork() == 0:
        os.closerange(0, 64)
        time.sleep(1000)
    return [pid for pid in os.listdir("/proc") if pid.isdigit()]
"""
    )
    for n in (1, 2):
        await stage.run(source, input=b'{"n": %d}' % n)
    output = (await stage.run(source, input=b'{"n": 3}')).output
    assert isinstance(output, list)
    assert len(output) == 2, "init and the harness"


@pytest.mark.parametrize("said", SPEAKS.values(), ids=SPEAKS)
async def test_a_sandbox_that_speaks_between_jobs_is_thrown_away(stage: Stage, said: str) -> None:
    source = f"""
import os, socket, struct, sys, threading

def speak(token, ended):
    ended.wait()
    for _ in range(100): {said}
    threading.Event().wait()

def handler(input, env):
    log, ended = sys.stdout._log, threading.Event()
    send = log._wire.send
    log._wire.send = lambda data: (send(data), ended.set())
    threading.Thread(target=speak, args=[log._assignment_id, ended], daemon=True).start()
    return 7
"""
    assert (await stage.run(source)).output == 7
    await stage.until(lambda: there_is_none(stage))
    assert stage.pool.stats().discarded == {"output outside of a job": 1}
    assert (await stage.run(QUICK, worker="other")).output == {}


async def test_a_few_late_log_lines_cost_nothing(stage: Stage) -> None:
    source = (
        HANDLER
        + """
    token = sys.stdout._log._assignment_id
    result = struct.pack('<BBHIQ', 20, 0, 0, 1, token) + b'7'
    late = struct.pack('<BBHIQ', 18, 0, 0, 1, token) + b'x'
    sys.stdout._log._wire.end = lambda *_: result + 16 * late
    return 7
"""
    )
    for _ in range(2):
        played = await stage.run(source)
        assert played.output == 7
        assert played.said == []
    assert stage.pool.stats().booted == 1


async def test_a_sandbox_that_a_job_has_worn_out_takes_none_of_those_that_waited_behind_it(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=1, fast_seconds=10, pipeline_seconds=100)
    source = (
        HANDLER
        + """
    token = sys.stdout._log._assignment_id
    if input:
        os.write(3, struct.pack('<BBHIQ', 20, 2, 0, 1, token) + b'7')
        time.sleep(1000)
    return 8
"""
    )
    for _ in range(2):
        await stage.run(source)
    worn = stage.assign(source, input=b'{"wears": true}')
    behind = [stage.assign(source) for _ in range(2)]
    await stage.finish(worn, *behind)
    assert [one.output for one in (worn, *behind)] == [7, 8, 8]
    assert stage.pool.stats().discarded == {"worn": 1}
    assert stage.pool.stats().booted == 2
