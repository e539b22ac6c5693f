"""The conventions of nodejs workers."""

from typing import Unpack

import pytest

from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import JobOptions, Stage


async def run(stage: Stage, source: str, **options: Unpack[JobOptions]) -> object:
    """The output of one job."""
    options["runtime"] = "nodejs"
    return (await stage.run(source, **options)).output


async def test_commonjs_exports_a_handler_in_any_of_the_usual_ways(stage: Stage) -> None:
    assert await run(stage, "module.exports = async ({input, env}) => [input, env]", env={"A": "b"}) == [
        {},
        {"A": "b"},
    ]
    assert await run(stage, "exports.handler = ({input}) => input.n + 1", input=b'{"n": 1}') == 2
    assert await run(stage, "#!/usr/bin/env node\nexports.default = () => __filename") == "/work/index.js"


async def test_es_modules_are_recognised_by_their_syntax(stage: Stage) -> None:
    assert await run(
        stage, "import fs from 'node:fs'\nexport default async ({input}) => typeof fs.readSync"
    ) == ("function")
    assert await run(stage, "export const handler = () => import.meta.filename") == "/work/index.js"
    assert await run(stage, "const x = await Promise.resolve(4)\nexport default () => x") == 4
    assert await run(stage, "export default () => 'm'", entrypoint="app/main.mjs") == "m"


async def test_a_handler_may_be_plain_or_return_nothing(stage: Stage) -> None:
    assert await run(stage, "module.exports = () => 5") == 5
    played = await stage.run("module.exports = () => {}", runtime="nodejs")
    assert played.outcome.output == b"null"


async def test_timers_and_builtins_work_and_state_stays_between_jobs(stage: Stage) -> None:
    source = """
    const { setTimeout: wait } = require('timers/promises')
    let calls = 0
    module.exports = async () => { await wait(5); return ++calls }
    """
    assert [await run(stage, source) for _ in range(3)] == [1, 2, 3]


async def test_levels_follow_the_console_and_the_order_is_that_of_the_calls(stage: Stage) -> None:
    source = """
    module.exports = () => {
      console.log('log %d', 1, { a: 1 })
      console.warn('warn')
      console.error('error')
      console.info('info')
      console.debug('debug')
      process.stderr.write('raw\\nerror')
      process.stdout.write('no newline')
    }
    """
    played = await stage.run(source, runtime="nodejs")
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


async def test_what_subprocesses_write_is_logged_too_and_the_socket_is_not_theirs(stage: Stage) -> None:
    source = """
    const { spawnSync } = require('child_process')
    module.exports = () => { spawnSync('sh', ['-c', 'echo out; ls /proc/self/fd'], { stdio: 'inherit' }) }
    """
    said = (await stage.run(source, runtime="nodejs")).said
    assert said[0] == ("info", "out")
    assert {text for _, text in said[1:]} <= {"0", "1", "2", "3"}, "ls itself opens 3"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("module.exports = () => { throw new TypeError('boom') }", "TypeError: boom"),
        ("module.exports = async () => { await null; throw new Error('boom') }", "boom"),
        ("module.exports = () => Promise.reject('text')", "text"),
        ("module.exports = () => { throw {a: 1} }", "{ a: 1 }"),
        ("module.exports = () => { throw null }", "null"),
        ("module.exports = () => 5n", "The handler returned a value that is not JSON: TypeError"),
        ("module.exports = () => () => 1", "The handler returned a value that is not JSON"),
        (
            "module.exports = () => { const a = {}; a.a = a; return a }",
            "The handler returned a value that is not",
        ),
        (
            "module.exports = () => ({ toJSON () { throw new Error('mine') } })",
            "The handler returned a value",
        ),
        ("module.exports = () => new Promise(r => setTimeout(() => { throw new Error('late') }))", "late"),
        ("module.exports = () => new Promise(r => { Promise.reject(new Error('lost')) })", "lost"),
        ("module.exports = () => new Promise(() => {})", "The handler waits for a promise that nothing"),
        ("module.exports = () => process.exit(3)", "The worker's process exited with status 3"),
        ("module.exports = () => process.abort()", "The worker's process was ended by SIGABRT"),
    ],
)
async def test_each_way_to_fail_is_a_handler_error_that_says_so(
    stage: Stage, source: str, message: str
) -> None:
    outcome = (await stage.run(source, runtime="nodejs")).outcome
    assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, "handler_error")
    assert outcome.error_message.startswith(message)


async def test_the_stack_shows_the_users_frames(stage: Stage) -> None:
    source = "function inner () { throw new Error('boom') }\nmodule.exports = () => inner()"
    stack = (await stage.run(source, runtime="nodejs")).outcome.error_stack
    assert stack is not None
    assert "at inner (/work/index.js:1:27)" in stack
    assert "harness" not in stack


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("module.exports = () => {", "SyntaxError"),
        ("import x from './absent.js'\nexport default x", "Cannot find module"),
        ("require('./absent')", "Cannot find module"),
        ("module.exports = 5", "TypeError: index.js exports no handler function"),
        ("export default 5", "TypeError: index.js exports no handler function"),
        ("throw new RangeError('at load')", "RangeError: at load"),
    ],
)
async def test_code_that_cannot_be_loaded_is_a_load_error(stage: Stage, source: str, message: str) -> None:
    outcome = (await stage.run(source, runtime="nodejs")).outcome
    assert outcome.error_code == "load_error"
    assert outcome.error_message.startswith(message)


async def test_large_input_and_output_pass(stage: Stage) -> None:
    source = "module.exports = ({input}) => input.x + 'y'"
    output = await run(stage, source, input=b'{"x": "' + b"x" * 1_000_000 + b'"}')
    assert output == "x" * 1_000_000 + "y"
    outcome = (await stage.run("module.exports = () => 'é'.repeat(2 ** 19)", runtime="nodejs")).outcome
    assert outcome.error_code == "output_too_large"


async def test_env_is_in_process_env_during_the_job_and_gone_after_it(stage: Stage) -> None:
    source = "module.exports = ({env}) => [process.env.SECRET ?? null, env.SECRET ?? null, process.env.HOME]"
    env = {"SECRET": "s3cret", "HOME": "/elsewhere", "A=B": "odd", "": "empty", "N": "a\0b"}
    assert await run(stage, source, env=env) == ["s3cret", "s3cret", "/elsewhere"]
    assert await run(stage, source) == [None, None, "/work"]


async def test_the_heap_is_sized_by_the_workers_memory(stage: Stage) -> None:
    source = (
        "const v8 = require('v8')\nmodule.exports = () => v8.getHeapStatistics().heap_size_limit / 2 ** 20"
    )
    small, large = await run(stage, source, memory_mb=128), await run(stage, source, memory_mb=1024)
    assert isinstance(small, int | float)
    assert isinstance(large, int | float)
    assert 100 < small < 250
    assert 1000 < large < 1200


async def test_interfaces_are_listed_without_the_sockets_that_list_them(stage: Stage) -> None:
    for source in (
        "const os = require('os'); module.exports = () => os.networkInterfaces()",
        "import { networkInterfaces } from 'node:os'; export default () => networkInterfaces()",
    ):
        match await run(stage, source):
            case {"lo": [{"address": "127.0.0.1", "internal": True}]}:
                pass
            case other:
                pytest.fail(f"no loopback in {other}")
