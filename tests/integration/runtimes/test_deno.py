"""The conventions of deno workers, and what deno's own permissions hold back."""

import time
from typing import Unpack

import pytest

from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import JobOptions, MakeStage, Stage


async def run(stage: Stage, source: str, **options: Unpack[JobOptions]) -> object:
    """The output of one job."""
    options["runtime"] = "deno"
    return (await stage.run(source, **options)).output


async def test_a_handler_may_be_exported_in_any_of_the_usual_ways(stage: Stage) -> None:
    source = (
        "export default async ({input, env}: {input: unknown, env: Record<string, string>}) => [input, env]"
    )
    assert await run(stage, source, env={"A": "b"}) == [{}, {"A": "b"}]
    assert await run(stage, "export const handler = ({input}) => input.n + 1", input=b'{"n": 1}') == 2
    assert await run(stage, "export default { handler: () => import.meta.url }") == "file:///work/main.ts"
    assert await run(stage, "export default function handler () {}", entrypoint="a b/ü.js") is None


async def test_typescript_runs_as_it_is_and_its_types_are_not_checked(stage: Stage) -> None:
    source = """
    import { EventEmitter } from 'node:events'
    enum Colour { Red = 'red' }
    interface Job { input: { n: number } }
    const wrong: number = 'not a number'
    export default async function <T extends Job> (job: T): Promise<unknown> {
      const count = job.input.n satisfies number
      return [Colour.Red, count!, wrong, typeof EventEmitter]
    }
    """
    assert await run(stage, source, input=b'{"n": 3}') == ["red", 3, "not a number", "function"]


async def test_javascript_and_top_level_await_work(stage: Stage) -> None:
    assert (
        await run(stage, "const x = await Promise.resolve(4)\nexport default () => x", entrypoint="m.mjs")
        == 4
    )


async def test_timers_and_builtins_work_and_state_stays_between_jobs(stage: Stage) -> None:
    source = """
    let calls = 0
    export default async () => { await new Promise(r => setTimeout(r, 5)); return ++calls }
    """
    assert [await run(stage, source) for _ in range(3)] == [1, 2, 3]


async def test_a_timer_of_the_last_job_does_not_run_between_jobs(stage: Stage) -> None:
    source = """
    let ticks = 0
    export default ({input}) => { if (input.first) setInterval(() => ticks++, 1); return ticks }
    """
    assert await run(stage, source, input=b'{"first": true}') == 0
    time.sleep(0.3)  # nothing to wait for: it is what must not happen meanwhile  # noqa: ASYNC251
    ticks = await run(stage, source)
    assert isinstance(ticks, int)
    assert ticks <= 1, "the loop has one turn after the handler, in which a millisecond may have passed"


async def test_levels_follow_the_console_and_the_order_is_that_of_the_calls(stage: Stage) -> None:
    source = """
    const text = new TextEncoder()
    export default async () => {
      console.log('log %d', 1, { a: 1 })
      console.warn('warn')
      console.error('error')
      console.info('info')
      console.debug('debug')
      Deno.stderr.writeSync(text.encode('raw\\nerror'))
      await Deno.stdout.write(text.encode('no newline'))
    }
    """
    played = await stage.run(source, runtime="deno")
    assert played.said == [
        ("info", "log 1 { a: 1 }"),
        ("warn", "warn"),
        ("error", "error"),
        ("info", "info"),
        ("info", "debug"),
        ("error", "raw"),
        ("info", "no newline"),
        ("error", "error"),
    ]


async def test_what_goes_past_the_console_is_logged_too(stage: Stage) -> None:
    source = """
    import process from 'node:process'
    export default async () => {
      const writer = Deno.stdout.writable.getWriter()
      await writer.write(new TextEncoder().encode('by a stream\\n'))
      process.stderr.write('by node\\n')
    }
    """
    said = (await stage.run(source, runtime="deno")).said
    assert sorted(said) == [("error", "by node"), ("info", "by a stream")]


FAILURES = [
    ("export default () => { throw new TypeError('boom') }", "TypeError: boom"),
    ("export default async () => { await null; throw new Error('boom') }", "boom"),
    ("export default () => Promise.reject('text')", "text"),
    ("export default () => { throw {a: 1} }", "{ a: 1 }"),
    ("export default () => { throw null }", "null"),
    ("export default () => 5n", "The handler returned a value that is not JSON: TypeError"),
    ("export default () => () => 1", "The handler returned a value that is not JSON"),
    ("export default () => { const a = {}; a.a = a; return a }", "The handler returned a value that is not"),
    ("export default () => ({ toJSON () { throw new Error('mine') } })", "The handler returned a value"),
    ("export default () => new Promise(r => setTimeout(() => { throw new Error('late') }))", "late"),
    ("export default () => new Promise(r => { Promise.reject(new Error('lost')) })", "lost"),
    ("export default () => new Promise(() => {})", "The handler waits for a promise that nothing"),
    ("export default () => Deno.exit(3)", "The worker's process exited with status 3"),
    (
        "import p from 'node:process'\nexport default () => p.exit(4)",
        "The worker's process exited with status 4",
    ),
    ("export default () => Deno.kill(Deno.pid, 'SIGKILL')", "The worker's process was ended by SIGKILL"),
    ("export default () => Deno.kill(1, 'SIGKILL')", "NotCapable"),
    ("const f = () => f()\nexport default () => f()", "RangeError: Maximum call stack"),
]


@pytest.mark.parametrize(("source", "message"), FAILURES)
async def test_each_way_to_fail_is_a_handler_error_that_says_so(
    stage: Stage, source: str, message: str
) -> None:
    outcome = (await stage.run(source, runtime="deno")).outcome
    assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, "handler_error")
    assert outcome.error_message.startswith(message)


async def test_the_stack_shows_the_users_lines_of_typescript(stage: Stage) -> None:
    source = "interface Long {\n  a: string\n}\nfunction inner (): never { throw new Error('boom') }\nexport default () => inner()"
    stack = (await stage.run(source, runtime="deno")).outcome.error_stack
    assert stack is not None
    assert "at inner (file:///work/main.ts:4:34)" in stack
    assert "harness" not in stack
    assert "ext:" not in stack


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("export default () => {", "SyntaxError"),
        ("import x from './absent.ts'\nexport default x", "Module not found"),
        ("import x from 'bare'\nexport default x", 'Import "bare" not a dependency'),
        ("export default 5", "TypeError: main.ts exports no handler function"),
        ("throw new RangeError('at load')", "RangeError: at load"),
    ],
)
async def test_code_that_cannot_be_loaded_is_a_load_error(stage: Stage, source: str, message: str) -> None:
    outcome = (await stage.run(source, runtime="deno")).outcome
    assert outcome.error_code == "load_error"
    assert outcome.error_message.startswith(message)


async def test_a_module_that_waits_for_ever_without_a_cause_fails_at_once(stage: Stage) -> None:
    played = await stage.run("await new Promise(() => {})\nexport default 1", runtime="deno")
    assert played.outcome.error_code == "handler_error"
    assert ("error", "error: Top-level await promise never resolved") in played.said


@pytest.mark.parametrize(
    "address",
    ["https://127.0.0.1:9/mod.ts", "http://127.0.0.1:9/mod.ts", "jsr:@std/assert", "npm:chalk"],
)
async def test_nothing_is_imported_over_the_network_at_run_time(stage: Stage, address: str) -> None:
    outcome = (await stage.run(f"import x from '{address}'\nexport default x", runtime="deno")).outcome
    assert outcome.error_code == "load_error"
    caught = f"export default async () => {{ try {{ await import('{address}') }} catch (e) {{ return String(e) }} }}"
    assert isinstance(await run(stage, caught), str)


async def test_large_input_and_output_pass(stage: Stage) -> None:
    source = "export default ({input}) => input.x + 'y'"
    output = await run(stage, source, input=b'{"x": "' + b"x" * 1_000_000 + b'"}')
    assert output == "x" * 1_000_000 + "y"
    outcome = (await stage.run("export default () => 'é'.repeat(2 ** 19)", runtime="deno")).outcome
    assert outcome.error_code == "output_too_large"


async def test_env_is_in_deno_env_during_the_job_and_gone_after_it(stage: Stage) -> None:
    source = """
    import process from 'node:process'
    export default ({env}) => [Deno.env.get('SECRET') ?? null, env.SECRET ?? null, process.env.HOME]
    """
    env = {"SECRET": "s3cret", "HOME": "/elsewhere", "A=B": "odd", "": "empty", "N": "a\0b"}
    assert await run(stage, source, env=env) == ["s3cret", "s3cret", "/elsewhere"]
    assert await run(stage, source) == [None, None, "/work"]


async def test_files_of_its_own_may_be_written_and_read_back(stage: Stage) -> None:
    source = """
    export default async () => {
      await Deno.writeTextFile('/tmp/a', 'x')
      await Deno.writeTextFile('b.txt', 'y')
      return await Deno.readTextFile('/tmp/a') + await Deno.readTextFile('/work/b.txt')
    }
    """
    assert await run(stage, source) == "xy"


async def test_a_signal_listener_of_the_handler_hears_a_cancel(stage: Stage) -> None:
    source = """
    export default async () => {
      await new Promise((resolve) => {
        Deno.addSignalListener('SIGTERM', () => { console.log('told'); resolve(1) })
        console.log('ready')
        setInterval(() => {}, 1000)
      })
    }
    """
    played = stage.assign(source, runtime="deno")
    await stage.saying(played, "ready")
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.CANCELLED
    assert ("info", "told") in played.said


ESCAPES = {
    "a command": "new Deno.Command('/bin/true').outputSync()",
    "a child process": "(await import('node:child_process')).execSync('true')",
    "a library": "Deno.dlopen('libc.so.6', {})",
    "memory": "Deno.UnsafePointer.create(4096n)",
    "a native addon": "(await import('node:module')).createRequire('/work/x.js')('/tmp/x.node')",
    "/proc of itself": "Deno.readTextFileSync('/proc/self/environ')",
    "/etc": "Deno.readTextFileSync('/etc/passwd')",
    "the harness": "Deno.readTextFileSync('/harness/deno_harness.js')",
    "a file through node": "(await import('node:fs')).readFileSync('/etc/passwd')",
    "a link out of its folder": "Deno.symlinkSync('/etc/passwd', '/tmp/l'); Deno.readTextFileSync('/tmp/l')",
    "writing elsewhere": "Deno.writeTextFileSync('/dev/shm/x', '')",
    "asking again for ffi": "Deno.dlopen((await Deno.permissions.request({name: 'ffi'}), 'libc.so.6'), {})",
    "a thread with more rights": (
        "await new Promise((yes, no) => {"
        " const code = 'try { Deno.dlopen(`libc.so.6`, {}); postMessage(1) } catch { postMessage(0) }';"
        " const worker = new Worker('data:application/javascript,' + code, { type: 'module' });"
        " worker.onmessage = (event) => event.data ? yes() : no(new Error('refused')) })"
    ),
}


@pytest.mark.parametrize("body", ESCAPES.values(), ids=ESCAPES)
async def test_denos_own_permissions_hold_back_what_a_worker_does_not_need(stage: Stage, body: str) -> None:
    source = f"export default async () => {{ try {{ {body} }} catch (e) {{ return String(e?.name ?? e) }}; return 'escaped' }}"
    assert await run(stage, source) != "escaped"


async def test_the_network_is_refused_by_deno_too_where_a_worker_has_none(stage: Stage) -> None:
    source = (
        "export default async () => { try { await Deno.connect({port: 9}) } catch (e) { return e.name } }"
    )
    assert await run(stage, source) == "ConnectionRefused"
    assert await run(stage, source, network="none") == "NotCapable"


async def test_a_thread_of_a_job_does_not_outlive_it(stage: Stage) -> None:
    source = """
    const code = 'setInterval(() => {}, 1); postMessage(1)'
    export default async () => {
      const worker = new Worker('data:application/javascript,' + code, { type: 'module' })
      await new Promise((resolve) => worker.onmessage = resolve)
      return 'started'
    }
    """
    assert await run(stage, source) == "started"
    await stage.until(lambda: not stage.pool.stats().sandboxes)


async def test_loops_memory_and_floods_end_as_they_must(stage: Stage) -> None:
    loop = await stage.run("export default () => { for (;;) {} }", runtime="deno", seconds=1.0)
    assert loop.outcome.error_code == "timeout"
    source = "const a = []\nexport default () => { for (;;) a.push(new Uint8Array(1 << 20).fill(1)) }"
    assert (await stage.run(source, runtime="deno", memory_mb=128)).outcome.error_code == "out_of_memory"
    source = "const a = []\nexport default () => { for (;;) a.push({ a: [1, 2, 3] }) }"
    assert (await stage.run(source, runtime="deno", memory_mb=128)).outcome.error_code == "out_of_memory"
    source = "export default () => { for (let i = 0; i < 20000; i++) console.log('line ' + i); return 1 }"
    flood = await stage.run(source, runtime="deno")
    assert flood.output == 1
    assert len(flood.lines) == 10_003
    assert flood.lines[-2].msg == "dropped 10000 lines"


async def test_frames_cannot_be_forged_by_printing_or_by_a_path(stage: Stage) -> None:
    source = """
    export default () => {
      const frame = new Uint8Array([20, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 123, 125])
      Deno.stdout.writeSync(frame)
      Deno[Deno.internal].core.print('\\x14\\0\\0\\0\\x02\\0\\0\\0', false)
      let opened = 0
      for (let fd = 0; fd < 20; fd++) {
        for (const path of [`/dev/fd/${fd}`, `/proc/self/fd/${fd}`]) {
          try { Deno.openSync(path, { write: true }); opened++ } catch {}
        }
      }
      return opened
    }
    """
    assert await run(stage, source) == 0


async def test_what_user_code_replaces_does_not_reach_the_harness(stage: Stage) -> None:
    source = """
    JSON.stringify = () => '{"forged": 1}'
    globalThis.TextEncoder = globalThis.performance = undefined
    Deno.permissions.revokeSync = () => { throw 1 }
    export default () => ({ honest: true })
    """
    assert await run(stage, source) == {"honest": True}


async def test_the_heap_is_sized_by_the_workers_memory(stage: Stage) -> None:
    source = "import v8 from 'node:v8'\nexport default () => v8.getHeapStatistics().heap_size_limit / 2 ** 20"
    small, large = await run(stage, source, memory_mb=128), await run(stage, source, memory_mb=1024)
    assert isinstance(small, int | float)
    assert isinstance(large, int | float)
    assert 100 < small < 250
    assert 1000 < large < 1200


async def test_it_is_kept_in_stock_only_where_it_was_used_lately(make_stage: MakeStage) -> None:
    stage = await make_stage(prebooted={"deno": 1, "shell": 1}, lately_seconds=3)
    await stage.eventually(lambda: stage.pool.stats().sandboxes.get("shell", {}).get("blank") == 1)
    assert "deno" not in stage.pool.stats().sandboxes
    await stage.run("export default () => 1", runtime="deno")
    await stage.eventually(lambda: stage.pool.stats().sandboxes["deno"].get("blank") == 1)
    await stage.eventually(lambda: "blank" not in stage.pool.stats().sandboxes["deno"])
    assert stage.pool.stats().sandboxes["shell"]["blank"] == 1
