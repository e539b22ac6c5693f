"""The conventions of python workers."""

from datetime import timedelta

import pytest

from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import Stage


async def test_a_plain_function_gets_input_and_env_and_its_value_is_the_output(stage: Stage) -> None:
    source = "def handler(input, env):\n    return [input, env]\n"
    played = await stage.run(source, input=b'{"x": "\xc3\xa9"}', env={"A": "b"})
    assert played.outcome.status is OutcomeStatus.COMPLETED
    assert played.output == [{"x": "é"}, {"A": "b"}]
    assert played.started == 1


async def test_a_coroutine_function_runs_on_an_event_loop_with_a_current_task(stage: Stage) -> None:
    source = """
import asyncio
async def handler(input, env):
    async with asyncio.timeout(5):
        await asyncio.sleep(0.001)
    return [asyncio.current_task() is not None, await asyncio.to_thread(lambda: 7)]
"""
    assert (await stage.run(source)).output == [True, 7]


async def test_a_coroutine_that_never_waits_has_a_current_task_too(stage: Stage) -> None:
    source = """
import asyncio
async def handler(input, env):
    return asyncio.current_task() is not None and asyncio.get_running_loop() is not None
"""
    assert (await stage.run(source)).output is True


async def test_an_awaitable_object_is_awaited(stage: Stage) -> None:
    source = """
class Later:
    def __await__(self):
        yield
        return 3
def handler(input, env):
    return Later()
"""
    assert (await stage.run(source)).output == 3


async def test_tasks_left_behind_are_cancelled_before_the_job_ends(stage: Stage) -> None:
    source = """
import asyncio
seen = []
async def linger():
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
async def handler(input, env):
    asyncio.create_task(linger())
    await asyncio.sleep(0)
    return list(seen)
"""
    assert (await stage.run(source)).output == []
    assert (await stage.run(source)).output == ["cancelled"]


async def test_returning_nothing_is_null(stage: Stage) -> None:
    played = await stage.run("def handler(input, env):\n    pass\n")
    assert played.outcome.output == b"null"


async def test_lifecycle_lines_frame_the_lines_of_the_code(stage: Stage) -> None:
    played = await stage.run("def handler(input, env):\n    print('between')\n")
    first, between, last = played.lines
    assert (first.level, first.msg) == ("info", "Worker handler started")
    assert between.msg == "between"
    outcome = played.outcome
    assert outcome.started_at is not None
    assert outcome.ended_at is not None
    took = round((outcome.ended_at - outcome.started_at) / timedelta(milliseconds=1))
    assert (last.level, last.msg) == ("info", f"Handler completed in {took}ms")


async def test_levels_follow_the_stream_or_the_record_and_the_order_is_that_of_the_calls(
    stage: Stage,
) -> None:
    source = """
import logging, sys
def handler(input, env):
    logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    print("out")
    logging.debug("debug")
    print("err", file=sys.stderr)
    logging.info("info")
    logging.warning("careful")
    logging.error("broken")
    sys.stdout.write("no newline")
"""
    assert (await stage.run(source)).said == [
        ("info", "out"),
        ("info", "debug"),
        ("error", "err"),
        ("info", "info"),
        ("warn", "careful"),
        ("error", "broken"),
        ("info", "no newline"),
    ]


async def test_a_warning_without_any_configuration_is_logged_as_it_is(stage: Stage) -> None:
    source = "import logging\ndef handler(input, env):\n    logging.warning('careful')\n"
    assert (await stage.run(source)).said == [("warn", "careful")]


async def test_what_subprocesses_and_bytes_write_is_logged_too(stage: Stage) -> None:
    source = """
import subprocess, sys, os
def handler(input, env):
    sys.stdout.buffer.write("bytes é\\n".encode())
    subprocess.run(["sh", "-c", "echo out; echo err >&2; printf unended"])
"""
    assert sorted((await stage.run(source)).said) == [
        ("error", "err"),
        ("info", "bytes é"),
        ("info", "out"),
        ("info", "unended"),
    ]


async def test_raw_output_belongs_to_the_job_that_wrote_it(stage: Stage) -> None:
    source = "import os\ndef handler(input, env):\n    os.write(1, b'%d' % input['n'])\n"
    first = [stage.assign(source, input=b'{"n": %d}' % n) for n in range(20)]
    await stage.finish(*first)
    # Until the pool has seen that this worker writes past the harness, a piece may land in a neighbour's log.
    written = "".join(text for job in first for _, text in job.said)
    assert sorted(written) == sorted("".join(map(str, range(20))))
    jobs = [stage.assign(source, input=b'{"n": %d}' % n) for n in range(20)]
    await stage.finish(*jobs)
    assert [job.said for job in jobs] == [[("info", str(n))] for n in range(20)]


async def test_an_exception_fails_the_job_with_message_and_the_users_own_frames(stage: Stage) -> None:
    source = "def inner():\n    raise ValueError('boom')\ndef handler(input, env):\n    inner()\n"
    played = await stage.run(source)
    outcome = played.outcome
    assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, "handler_error")
    assert outcome.error_message == "ValueError: boom"
    assert outcome.error_stack is not None
    assert 'File "/work/main.py", line 2, in inner' in outcome.error_stack
    assert "harness" not in outcome.error_stack
    assert (played.lines[-1].level, played.lines[-1].msg) == ("error", "Handler failed: ValueError: boom")


async def test_a_failed_job_does_not_cost_the_sandbox(stage: Stage) -> None:
    source = "import os\ndef handler(input, env):\n    raise ValueError(os.getpid())\n"
    for _ in range(3):
        await stage.run(source)
    assert stage.pool.stats().booted == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def handler(", "SyntaxError: '(' was never closed (main.py, line 1)"),
        ("x = 1", "TypeError: main.py defines no function named handler"),
        ("handler = 3", "TypeError: main.py defines no function named handler"),
        ("import absent", "ModuleNotFoundError: No module named 'absent'"),
        ("import sys; sys.exit(4)", "The handler called sys.exit(4)"),
        ("\ud800", "SyntaxError"),
        ("a = [0] * 10**12", "Loading the code ran out of memory"),
    ],
)
async def test_code_that_cannot_be_loaded_is_a_load_error(stage: Stage, source: str, message: str) -> None:
    played = await stage.run(source)
    assert played.outcome.status is OutcomeStatus.FAILED
    assert played.outcome.error_code in ("load_error", "out_of_memory")
    assert played.outcome.error_message.startswith(message)
    assert played.started == 1


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("object()", "not JSON serializable"),
        ("float('nan')", "not JSON compliant"),
        ("(a := [], a.append(a), a)[2]", "Circular"),
        ("__import__('functools').reduce(lambda a, _: [a], range(200000), 1)", "recursion"),
        ("{(1,): 2}", "keys must be"),
    ],
)
async def test_a_value_that_is_not_json_fails_the_job(stage: Stage, value: str, says: str) -> None:
    outcome = (await stage.run(f"def handler(input, env):\n    return {value}\n")).outcome
    assert outcome.error_code == "handler_error"
    assert says in outcome.error_message


async def test_output_may_have_a_mebibyte_and_no_byte_more(stage: Stage) -> None:
    source = "def handler(input, env):\n    return 'x' * input['n']\n"
    fits = await stage.run(source, input=b'{"n": %d}' % (2**20 - 2))
    assert fits.outcome.output is not None
    assert len(fits.outcome.output) == 2**20
    outcome = (await stage.run(source, input=b'{"n": %d}' % (2**20 - 1))).outcome
    assert outcome.error_code == "output_too_large"


async def test_input_may_be_large(stage: Stage) -> None:
    source = "def handler(input, env):\n    return len(input['x'])\n"
    text = b'{"x": "' + b"x" * (2**20 - 9) + b'"}'
    first, second = stage.assign(source, input=text), stage.assign(source, input=text)
    await stage.finish(first, second)
    assert first.output == second.output == 2**20 - 9


async def test_the_entrypoint_may_lie_in_a_folder(stage: Stage) -> None:
    source = "def handler(input, env):\n    return __file__\n"
    assert (await stage.run(source, entrypoint="app/worker.py")).output == "/work/app/worker.py"


@pytest.mark.parametrize(
    "entrypoint",
    ["", "/etc/x.py", "../x.py", "a/../../x.py", "a\0b.py", "a//b.py", ".", "x\n.py", "a" * 300, "-c"],
)
async def test_an_entrypoint_that_is_no_plain_path_is_refused(stage: Stage, entrypoint: str) -> None:
    played = await stage.run("def handler(input, env): pass", entrypoint=entrypoint)
    assert played.outcome.error_code == "load_error"
    assert played.started == 0
    assert stage.pool.stats().booted == 0


async def test_env_is_in_os_environ_during_the_job_and_gone_after_it(stage: Stage) -> None:
    source = """
import os
before = os.environ.get("SECRET")
def handler(input, env):
    return [before, os.environ.get("SECRET"), env.get("SECRET"), os.environ["HOME"], "A=B" in env]
"""
    env = {"SECRET": "s3cret", "HOME": "/elsewhere", "A=B": "odd", "": "empty", "N": "a\0b"}
    assert (await stage.run(source, env=env)).output == ["s3cret", "s3cret", "s3cret", "/elsewhere", True]
    assert (await stage.run(source)).output == ["s3cret", None, None, "/work", False]
