"""The conventions of shell workers."""

import asyncio
from typing import Unpack

import pytest

from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import JobOptions, MakeStage, Stage


async def output(stage: Stage, source: str, **options: Unpack[JobOptions]) -> object:
    """The output of one job."""
    options["runtime"] = "shell"
    return (await stage.run(source, **options)).output


async def test_input_is_on_stdin_and_env_in_the_environment(stage: Stage) -> None:
    source = 'read -r line; echo "$line $A" >&2; echo "$line"'
    played = await stage.run(source, runtime="shell", input=b'{"x":1}', env={"A": "v", "A=B": "odd"})
    assert played.output == {"x": 1}
    assert ("error", '{"x":1} v') in played.said
    assert await output(stage, "wc -c", input=b'{"x": "' + b"x" * 1_000_000 + b'"}') == 1_000_009


async def test_the_result_is_what_was_written_to_ava_output_else_the_last_json_line_else_stdout(
    stage: Stage,
) -> None:
    assert await output(stage, 'echo 5; printf \'{"a": 1}\' > "$AVA_OUTPUT"') == {"a": 1}
    assert await output(stage, "echo noise; echo '[1, 2]'") == [1, 2]
    assert await output(stage, "echo one; echo two") == "one\ntwo"
    assert await output(stage, "echo NaN") == "NaN"
    assert await output(stage, "printf '\\377'") == "\ufffd"
    assert await output(stage, "true") is None


async def test_a_result_file_does_not_outlive_its_job(stage: Stage) -> None:
    source = 'if [ -n "$W" ]; then echo 1 > "$AVA_OUTPUT"; fi'
    assert await output(stage, source, env={"W": "1"}) == 1
    assert await output(stage, source) is None


async def test_stdout_is_info_and_stderr_is_error(stage: Stage) -> None:
    played = await stage.run("echo out; sleep 0.05; echo err >&2; printf unended", runtime="shell")
    assert sorted(played.said) == [("error", "err"), ("info", "out"), ("info", "unended")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("echo one >&2; echo two >&2; exit 3", "The script exited with status 3: one\ntwo"),
        ("kill -9 $$", "The script exited with status 137"),
        ("if", "The script exited with status 2"),
        ("kill -9 $PPID; sleep 10", "The worker's process was ended by SIGKILL"),
        ("echo '{' > $AVA_OUTPUT", "The script wrote something to $AVA_OUTPUT that is not JSON"),
    ],
)
async def test_each_way_to_fail_is_a_handler_error_that_says_so(
    stage: Stage, source: str, message: str
) -> None:
    outcome = (await stage.run(source, runtime="shell")).outcome
    assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, "handler_error")
    assert outcome.error_message.startswith(message)


async def test_output_over_the_limit_is_refused_wherever_it_was_written(stage: Stage) -> None:
    for source in (
        "head -c 1048577 /dev/zero | tr '\\0' x",
        "head -c 9000000 /dev/zero | tr '\\0' x",
        "head -c 1048577 /dev/zero | tr '\\0' 1 > $AVA_OUTPUT",
    ):
        assert (await stage.run(source, runtime="shell")).outcome.error_code == "output_too_large"


async def test_bash_is_there_and_the_script_is_a_file(stage: Stage) -> None:
    assert await output(stage, "a=(1 2 3); echo ${#a[@]}") == 3
    assert await output(stage, "echo $0", entrypoint="bin/run.sh") == "/work/bin/run.sh"


async def test_a_cancelled_script_may_clean_up_in_a_trap(make_stage: MakeStage) -> None:
    stage = await make_stage(grace_seconds=25)
    source = "trap 'echo cleaning; exit 0' TERM\necho ready\nwhile :; do sleep 1; done"
    played = stage.assign(source, runtime="shell")
    await stage.saying(played, "ready")
    began = asyncio.get_running_loop().time()
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.CANCELLED
    assert ("info", "cleaning") in played.said
    assert asyncio.get_running_loop().time() - began < 20


async def test_a_background_process_is_gone_after_the_job(stage: Stage) -> None:
    assert await output(stage, "sleep 1000 & echo started") == "started"
    await stage.until(lambda: not stage.pool.stats().sandboxes)
    assert stage.pool.stats().discarded == {"leftover processes": 1}
