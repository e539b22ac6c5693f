"""Text that ends no line is shown and kept, and of a progress bar a few states are."""

import pytest

from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import MakeStage, Stage

HANG = {
    "python": "import time\ndef handler(input, env):\n    print('calling … ', end='', flush=True)\n    {}\n",
    "nodejs": "module.exports = async () => {{ process.stdout.write('calling … '); {} }}",
    "deno": "export default async () => {{ Deno.stdout.writeSync(new TextEncoder().encode('calling … ')); {} }}",
    "shell": "printf 'calling … '; {}",
    "wasm": """(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) "calling … ")
        (func (export "_start") (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 12))
          (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) {}))""",
}
FOREVER = {
    "python": "time.sleep(60)",
    "nodejs": "for (;;);",
    "deno": "for (;;);",
    "shell": "sleep 60",
    "wasm": "(loop $l (br $l))",
}


@pytest.mark.parametrize("runtime", HANG)
async def test_a_line_without_its_end_is_shown_while_it_waits(stage: Stage, runtime: str) -> None:
    played = stage.assign(HANG[runtime].format(FOREVER[runtime]), runtime=runtime)
    await stage.saying(played, "calling … ")
    assert not played.outcomes
    stage.pool.kill(played.id)
    await stage.finish(played)
    assert [text for _, text in played.said] == ["calling … "]


@pytest.mark.parametrize("runtime", HANG)
async def test_a_line_without_its_end_is_kept_when_the_job_is_killed(stage: Stage, runtime: str) -> None:
    played = await stage.run(HANG[runtime].format(FOREVER[runtime]), runtime=runtime, seconds=2)
    assert played.outcome.error_code == "timeout"
    assert [text for _, text in played.said] == ["calling … "]


async def test_a_line_without_its_end_is_kept_when_the_process_ends(stage: Stage) -> None:
    played = await stage.run(HANG["python"].format("import os; os._exit(3)"))
    assert ("info", "calling … ") in played.said
    played = await stage.run(
        "import os\ndef handler(input, env):\n    os.system('printf raw; kill -9 $PPID')\n"
    )
    assert ("info", "raw") in played.said


ENDS = {
    "python, exit": ("python", "import os, sys", "os._exit(3)"),
    "python, SIGKILL": ("python", "import os, sys", "os.kill(os.getpid(), 9)"),
    "python, SIGSEGV": ("python", "import ctypes, sys", "ctypes.string_at(0)"),
    "python, memory": ("python", "import sys", "bytearray(1 << 30)[:] = bytes(1 << 30)"),
    "python, timeout": ("python", "import time, sys", "time.sleep(60)"),
    "python, busy": ("python", "import sys", "while True: pass"),
    "nodejs, SIGKILL": ("nodejs", "", "process.kill(process.pid, 'SIGKILL')"),
    "nodejs, abort": ("nodejs", "", "process.abort()"),
    "nodejs, exit": ("nodejs", "", "process.reallyExit(3)"),
    "nodejs, busy": ("nodejs", "", "for (;;);"),
    "deno, SIGKILL": ("deno", "", "process.kill(process.pid, 'SIGKILL'); for (;;);"),
    "deno, exit": ("deno", "", "Deno.exit(3)"),
    "shell, SIGKILL": ("shell", "", "kill -9 $$"),
    "shell, memory": ("shell", "", "head -c 1G /dev/zero | tail"),
}


@pytest.mark.parametrize(("runtime", "before", "end"), ENDS.values(), ids=ENDS)
async def test_text_that_nothing_flushes_is_kept_however_the_process_ends(
    stage: Stage, runtime: str, before: str, end: str
) -> None:
    source = {
        "python": f"{before}\ndef handler(input, env):\n    print('one', 2, end=', ')\n"
        f"    sys.stdout.write('three, ')\n    sys.stdout.buffer.write(b'four')\n    {end}\n",
        "nodejs": "module.exports = async () => { process.stdout.write('one 2, '); process.stdout.write('three, ');"
        f" process.stdout.write('four'); {end} }}",
        "deno": "import process from 'node:process'\nexport default async () => { process.stdout.write('one 2, ');"
        f" const t = new TextEncoder(); Deno.stdout.writeSync(t.encode('three, four')); {end} }}",
        "shell": f"printf 'one 2, '; printf 'three, '; printf four; {end}",
    }[runtime]
    played = await stage.run(source, runtime=runtime, seconds=3)
    assert played.outcome.status is OutcomeStatus.FAILED
    assert ("info", "one 2, three, four") in played.said, (played.said, played.outcome)


async def test_a_forked_process_ends_with_the_status_that_python_gives_it(stage: Stage) -> None:
    source = """
import os, sys
def child(end):
    pid = os.fork()
    if not pid:
        end()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def fail():
    raise ValueError('in the child')
def handler(input, env):
    return [child(end) for end in (lambda: sys.exit(3), sys.exit, lambda: sys.exit('said'), fail)]
"""
    played = await stage.run(source)
    assert played.output == [3, 0, 1, 1]
    said = [text for level, text in played.said if level == "error"]
    assert said[0] == "said"
    assert said[-1] == "ValueError: in the child"


async def test_print_is_that_of_python(stage: Stage) -> None:
    source = """
import io, sys
class Loud:
    def __str__(self): return 'loud'
def handler(input, env):
    print(); print(1, Loud(), None, sep='-', end='!\\n'); print('a', 'b', sep=None, end=None); print(*'xyz')
    file = io.StringIO(); print('kept', file=file)
    print('to stderr', file=sys.stderr)
    refused = []
    for options in ({'sep': 1}, {'end': b''}, {'no': 1}):
        try: print('x', **options)
        except TypeError as error: refused.append(str(error))
    return [file.getvalue(), len(refused), refused[:2], print.__name__, print.__module__]
"""
    played = await stage.run(source)
    refused = ["sep must be None or a string, not int", "end must be None or a string, not bytes"]
    assert played.output == ["kept\n", 3, refused, "print", "builtins"]
    lines = ["", "1-loud-None!", "a b", "x y z"]
    assert played.said == [*(("info", line) for line in lines), ("error", "to stderr")]


async def test_what_ends_a_shown_line_is_a_line_of_its_own_and_hides_a_secret_that_began_before(
    stage: Stage,
) -> None:
    source = """
import time
def handler(input, env):
    print("the key is " + env["KEY"][:8], end="", flush=True)
    while not input.get("go"):
        time.sleep(0.7)
        break
    print(env["KEY"][8:] + " really")
"""
    played = await stage.run(source, secrets={"KEY": "hunter2-hunter2-hunter2"})
    assert played.said == [("info", "the key is ***"), ("info", "*** really")]
    source = "def handler(input, env):\n    print('a', end='', flush=True)\n    print('b')\n"
    assert (await stage.run(source)).said == [("info", "ab")]


@pytest.mark.parametrize("runtime", ["python", "shell", "nodejs"])
async def test_of_a_progress_bar_few_states_are_kept_and_the_last_one(stage: Stage, runtime: str) -> None:
    source = {
        "python": "import sys\ndef handler(input, env):\n    for n in range(2001):\n"
        "        print(f'\\r{n} of 2000', end='', flush=True)\n    print()\n",
        "shell": "for n in $(seq 0 2000); do printf '\\r%s of 2000' $n; done; echo",
        "nodejs": "module.exports = () => { for (let n = 0; n <= 2000; n++) process.stdout.write(`\\r${n} of 2000`);"
        " process.stdout.write('\\n') }",
    }[runtime]
    played = await stage.run(source, runtime=runtime)
    lines = [text for _, text in played.said]
    assert 1 <= len(lines) <= 12, lines
    assert lines[-1] == "2000 of 2000"
    assert not any("\r" in line for line in lines)


async def test_a_carriage_return_before_the_newline_is_a_part_of_it(stage: Stage) -> None:
    played = await stage.run("printf 'one\\r\\ntwo\\r\\n'; printf 'a\\rb\\n'", runtime="shell")
    assert [text for _, text in played.said] == ["one", "two", "a", "b"]


async def test_a_cancel_keeps_what_was_written(make_stage: MakeStage) -> None:
    stage = await make_stage(grace_seconds=0.1)
    played = stage.assign(HANG["python"].format(FOREVER["python"]))
    await stage.saying(played, "calling … ")
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.CANCELLED
    assert ("info", "calling … ") in played.said
