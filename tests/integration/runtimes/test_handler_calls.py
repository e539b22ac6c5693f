"""What a handler has of its job: `job` and `log`, `rw` in a shell script; checked like everything from a sandbox."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from runwright.runtimes.handler_calls import (
    ANYTHING,
    EmitEvent,
    GetState,
    HandlerCall,
    SetState,
    StartJob,
    answer,
    refusal,
)
from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import MakeStage, Stage

PYTHON: Final = "from runwright import job, log, JobCallError\n"
LANGUAGES: Final = ("python", "nodejs", "deno", "shell")
SECRET: Final = "a secret of many words"

IDS: Final = {
    "python": PYTHON
    + """
def handler(input, env):
    return [job.id, job.attempt, job.worker.id, job.worker.name, job.worker.version, job.deadline.isoformat(), job.cancelled]
""",
    "nodejs": """
module.exports = async ({ job }) =>
  [job.id, job.attempt, job.worker.id, job.worker.name, job.worker.version, job.deadline.toISOString(), job.cancelled]
""",
    "deno": """
export default async ({ job }: any) =>
  [job.id, job.attempt, job.worker.id, job.worker.name, job.worker.version, job.deadline.toISOString(), job.cancelled]
""",
    "shell": """
printf '["%s", %s, "wkr", "%s", %s, "%s", false]' "$RUNWRIGHT_JOB_ID" "$RUNWRIGHT_JOB_ATTEMPT" "$RUNWRIGHT_WORKER" \
  "$RUNWRIGHT_WORKER_VERSION" "$RUNWRIGHT_JOB_DEADLINE"
""",
}

TALKS: Final = {
    "python": PYTHON
    + """
def handler(input, env):
    log.debug("looked")
    log.info("fetched", rows=12, tags=["a", "b"], who=input.get("who"), odd=handler)
    log.warn("slow\\nindeed", seconds=1.5)
    log.error(ValueError("bad"), deep={"a": {"b": None}})
""",
    "nodejs": """
module.exports = ({ input, log }) => {
  log.debug('looked')
  log.info('fetched', { rows: 12, tags: ['a', 'b'], who: input.who, odd: () => 1 })
  log.warn('slow\\nindeed', { seconds: 1.5 })
  log.error(new Error('bad').message, { deep: { a: { b: null } } })
}
""",
    "deno": """
export default ({ input, log }: any) => {
  log.debug('looked')
  log.info('fetched', { rows: 12, tags: ['a', 'b'], who: input.who, odd: () => 1 })
  log.warn('slow\\nindeed', { seconds: 1.5 })
  log.error(new Error('bad').message, { deep: { a: { b: null } } })
}
""",
    "shell": """
rw log debug looked
rw log info fetched rows=12 'tags=["a", "b"]' "who=$(sed 's/.*"who": *"\\([^"]*\\)".*/\\1/')" odd=x
rw log warn "slow
indeed" seconds=1.5
rw log error bad 'deep={"a": {"b": null}}'
""",
}

CALLS: Final = {
    "python": PYTHON
    + """
def handler(input, env):
    found = [job.get("cursor"), job.get("missing", 7), job.set("cursor", {"n": 2}), job.set("cursor", 3, expect={"n": 9})]
    found.append(job.emit("custom.done", {"rows": 1}, key="once"))
    found.append(job.start("resize", {"w": 10}))
    try:
        job.start("nobody")
    except JobCallError as error:
        found.append([error.code, str(error)])
    return found
""",
    "nodejs": """
module.exports = async ({ job }) => {
  const found = [await job.get('cursor'), await job.get('missing', 7), await job.set('cursor', { n: 2 }),
    await job.set('cursor', 3, { expect: { n: 9 } })]
  found.push(await job.emit('custom.done', { rows: 1 }, { key: 'once' }), await job.start('resize', { w: 10 }))
  await job.start('nobody').catch((error) => found.push([error.code, error.message]))
  return found
}
""",
    "deno": """
export default async ({ job }: any) => {
  const found = [await job.get('cursor'), await job.get('missing', 7), await job.set('cursor', { n: 2 }),
    await job.set('cursor', 3, { expect: { n: 9 } })]
  found.push(await job.emit('custom.done', { rows: 1 }, { key: 'once' }), await job.start('resize', { w: 10 }))
  await job.start('nobody').catch((error: any) => found.push([error.code, error.message]))
  return found
}
""",
    "shell": """
cursor=$(rw get cursor); missing=$(rw get missing || echo 7)
rw set cursor '{"n": 2}' && set=true
rw set cursor 3 --expect '{"n": 9}' || other=false
event=$(rw emit custom.done '{"rows": 1}' --key once); job=$(rw start resize '{"w": 10}')
message=$(rw start nobody 2>&1); status=$?
[ $status = 3 ] && code=not_found
printf '[%s,%s,%s,%s,"%s","%s",["%s","%s"]]' "$cursor" "$missing" "$set" "$other" "$event" "$job" "$code" "${message#rw: }"
""",
}


def serve(call: HandlerCall) -> bytes:
    """Answer as a server does, with fixed values."""
    if isinstance(call, GetState):
        return answer(b"1" if call.key == "cursor" else b"null")
    if isinstance(call, SetState):
        return answer(b"true" if bytes(call.expect) == bytes(ANYTHING) else b"false")
    if isinstance(call, EmitEvent):
        return answer(b'"evt_1"')
    if call.worker == "nobody":
        return refusal("not_found", "There is no worker nobody.")
    return answer(b'"job_2"')


@pytest.mark.parametrize("runtime", LANGUAGES)
async def test_a_handler_knows_its_job(stage: Stage, runtime: str) -> None:
    before = datetime.now(UTC)
    played = await stage.run(IDS[runtime], runtime=runtime, version=3, seconds=40)
    assert isinstance(played.output, list), played.outcome
    *found, deadline, cancelled = played.output
    assert found == [played.assignment.job_id, 1, "wkr", "worker wkr", 3]
    assert timedelta(seconds=38) < datetime.fromisoformat(deadline) - before < timedelta(seconds=70)
    assert cancelled is False


@pytest.mark.parametrize("runtime", LANGUAGES)
async def test_log_lines_have_levels_and_fields(stage: Stage, runtime: str) -> None:
    played = await stage.run(TALKS[runtime], runtime=runtime, input=b'{"who": "Ada"}')
    assert played.outcome.status is OutcomeStatus.COMPLETED, played.outcome
    assert [(level, text) for level, text in played.said if text != "null"] == [
        ("debug", "looked"),
        ("info", "fetched"),
        ("warn", "slow"),
        ("warn", "indeed"),
        ("error", "bad"),
    ]
    fetched, slow, bad = (fields for _, _, fields in played.records)
    assert isinstance(fetched, dict)
    assert isinstance(fetched.pop("odd"), str)
    assert fetched == {"rows": 12, "tags": ["a", "b"], "who": "Ada"}
    assert (slow, bad) == ({"seconds": 1.5}, {"deep": {"a": {"b": None}}})


@pytest.mark.parametrize("runtime", LANGUAGES)
async def test_secrets_are_masked_in_fields(stage: Stage, runtime: str) -> None:
    value = json.dumps({"who": SECRET}).encode()
    played = await stage.run(TALKS[runtime], runtime=runtime, input=value, secrets={"TOKEN": SECRET})
    assert played.records[0][2]["who"] == "***"  # type: ignore[index]
    assert SECRET not in repr([(line.msg, getattr(line, "fields", b"")) for line in played.lines])


@pytest.mark.parametrize("runtime", LANGUAGES)
async def test_requests_are_answered_and_refusals_become_exceptions(stage: Stage, runtime: str) -> None:
    stage.serve = serve
    played = await stage.run(CALLS[runtime], runtime=runtime)
    refused = ["not_found", "There is no worker nobody."]
    assert played.output == [1, 7, True, False, "evt_1", "job_2", refused]
    get, _, first, second, emit, start, _ = played.calls
    assert get == GetState("cursor")
    assert isinstance(first, SetState)
    assert isinstance(second, SetState)
    assert (json.loads(bytes(first.value)), bytes(first.expect)) == ({"n": 2}, b"")
    assert (json.loads(bytes(second.value)), json.loads(bytes(second.expect))) == (3, {"n": 9})
    assert isinstance(emit, EmitEvent)
    assert (emit.type, json.loads(bytes(emit.payload)), emit.key) == ("custom.done", {"rows": 1}, "once")
    assert isinstance(start, StartJob)
    assert (start.worker, json.loads(bytes(start.input)), start.key) == ("resize", {"w": 10}, None)


PROGRESS: Final = {
    "python": PYTHON
    + """
def handler(input, env):
    for n in range(3000):
        job.progress(n / 3000, f"page {n}")
    job.progress(message="done")
    job.progress(5)
""",
    "nodejs": """
module.exports = ({ job }) => {
  for (let n = 0; n < 3000; n++) job.progress(n / 3000, `page ${n}`)
  job.progress(null, 'done')
  job.progress(5)
}
""",
    "deno": """
export default ({ job }: any) => {
  for (let n = 0; n < 3000; n++) job.progress(n / 3000, `page ${n}`)
  job.progress(null, 'done')
  job.progress(5)
}
""",
    "shell": "rw progress 0.4 page 7; rw progress 5",
}


@pytest.mark.parametrize("runtime", LANGUAGES)
async def test_the_last_progress_arrives_however_often_it_is_reported(stage: Stage, runtime: str) -> None:
    played = await stage.run(PROGRESS[runtime], runtime=runtime)
    assert played.outcome.status is OutcomeStatus.COMPLETED, played.outcome
    first, last = played.progress[0], played.progress[-1]
    assert (first.message, last.fraction, last.message) == (
        "page 7" if runtime == "shell" else "page 0",
        1.0,
        None,
    )
    assert len(played.progress) <= 100


CLEANS_UP: Final = {
    "python": PYTHON
    + """
import time
def handler(input, env):
    while not job.cancelled:
        if not input.get("said"):
            input["said"] = True
            print("on")
        time.sleep(0.01)
    log.info("cleaned up", rows=1)
""",
    "nodejs": """
module.exports = async ({ job, log }) => {
  job.cancelled
  console.log('on')
  while (!job.cancelled) await new Promise((resolve) => setTimeout(resolve, 10))
  log.info('cleaned up', { rows: 1 })
}
""",
    "deno": """
export default async ({ job, log }: any) => {
  job.cancelled
  console.log('on')
  while (!job.cancelled) await new Promise((resolve) => setTimeout(resolve, 10))
  log.info('cleaned up', { rows: 1 })
}
""",
    "shell": """
trap 'rw log info "cleaned up" rows=1; exit 0' TERM
echo on
while :; do sleep 0.05; done
""",
}


@pytest.mark.parametrize("runtime", LANGUAGES)
async def test_a_handler_that_looks_for_its_cancel_may_clean_up(make_stage: MakeStage, runtime: str) -> None:
    stage = await make_stage(grace_seconds=20.0)
    played = stage.assign(CLEANS_UP[runtime], runtime=runtime)
    await stage.saying(played, "on")
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.CANCELLED
    assert played.records == [("info", "cleaned up", {"rows": 1})]


async def test_a_later_job_that_does_not_look_is_ended_by_its_cancel_at_once(make_stage: MakeStage) -> None:
    stage = await make_stage(grace_seconds=60.0)
    source = PYTHON + (
        "import time\ndef handler(input, env):\n    if input.get('look'):\n        return job.cancelled\n"
        "    print('on')\n    time.sleep(1000)\n"
    )
    assert (await stage.run(source, input=b'{"look": true}')).output is False
    played = stage.assign(source)
    await stage.saying(played, "on")
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.CANCELLED


SECRETS_IN_CALLS: Final = (
    PYTHON
    + """
def handler(input, env):
    found = []
    def call(work):
        try:
            found.append(work())
        except JobCallError as error:
            found.append(error.code)
    call(lambda: job.set("token", {"x": env["TOKEN"]}))
    call(lambda: job.set("b64", __import__("base64").b64encode(env["TOKEN"].encode()).decode()))
    call(lambda: job.start("resize", {"x": env["TOKEN"]}))
    call(lambda: job.emit("custom.done", {"x": env["TOKEN"], "n": 1}))
    call(lambda: job.progress(0.5, env["TOKEN"]))
    return found
"""
)


async def test_secrets_are_refused_in_state_and_inputs_and_masked_in_events_and_progress(
    stage: Stage,
) -> None:
    stage.serve = serve
    played = await stage.run(SECRETS_IN_CALLS, secrets={"TOKEN": SECRET})
    assert played.output == ["secret", "secret", "secret", "evt_1", None]
    [emit] = played.calls
    assert isinstance(emit, EmitEvent)
    assert json.loads(bytes(emit.payload)) == {"x": "***", "n": 1}
    assert [one.message for one in played.progress] == ["***"]


REFUSED: Final[list[tuple[str, str]]] = [
    ("job.set('no spaces', 1)", "A key has"),
    ("job.set('k' * 129, 1)", "A key has"),
    ("job.set('', 1)", "A key has"),
    ("job.get('a/b')", "A key has"),
    ("job.set('k', 'x' * 61_440)", "the limit is"),
    ("job.set('k', 'x' * 1_000_000)", "bytes of JSON"),
    ("job.set('k', eval('[' * 70 + ']' * 70))", "64 levels deep"),
    ("job.emit('job.completed', {})", "custom."),
    ("job.emit('custom.done', [1])", "must be an object"),
    ("job.start('', {})", "A worker's name"),
    ("job.start('w' * 201)", "A worker's name"),
    ("job.start('resize', [1])", "must be an object"),
]


@pytest.mark.parametrize(("call", "text"), REFUSED)
async def test_a_call_that_may_not_be_made_is_refused_with_its_reason(
    stage: Stage, call: str, text: str
) -> None:
    stage.serve = serve
    played = await stage.run(
        f"{PYTHON}def handler(input, env):\n    try:\n        {call}\n    except JobCallError as error:\n"
        "        return [error.code, str(error)]\n"
    )
    assert isinstance(played.output, list), played.outcome
    assert played.output[0] == "invalid"
    assert text in played.output[1]
    assert played.calls == []


async def test_a_job_behind_one_that_asks_runs_elsewhere_and_once(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=2, fast_seconds=10, pipeline_seconds=100)
    stage.pool._cpu_count = 1  # noqa: SLF001  as on a host with one cpu: queue before opening more
    stage.serve = serve
    source = PYTHON + (
        "import time\ndef handler(input, env):\n    if 'ask' in input:\n        print('on')\n        time.sleep(0.3)\n"
        "        return [job.get('cursor'), job.set('cursor', 1), job.get('cursor')]\n    return 'behind'\n"
    )
    for _ in range(3):
        await stage.run(source)
    asking = stage.assign(source, input=b'{"ask": 1}')
    behind = [stage.assign(source) for _ in range(4)]
    later = stage.assign(source, input=b'{"ask": 2}')
    await stage.finish(asking, later, *behind)
    assert [asking.output, later.output] == [[1, True, 1]] * 2
    assert [job.output for job in behind] == ["behind"] * 4
    assert [job.started for job in (asking, later, *behind)] == [1] * 6


async def test_a_cancel_reaches_a_job_that_waits_for_an_answer_with_others_behind_it(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=2, fast_seconds=10, pipeline_seconds=100)
    stage.pool._cpu_count = 1  # noqa: SLF001  as above
    source = (
        f"{PYTHON}def handler(input, env):\n    return job.get('cursor') if 'ask' in input else 'behind'\n"
    )
    for _ in range(3):
        await stage.run(source)
    stage.serve = lambda _: None
    asking = stage.assign(source, input=b'{"ask": 1}')
    behind = [stage.assign(source) for _ in range(3)]
    await stage.eventually(lambda: bool(asking.calls))
    stage.pool.cancel(behind[1].id)
    assert behind[1].outcome.status is OutcomeStatus.CANCELLED
    assert not asking.outcomes
    stage.pool.cancel(asking.id)
    await stage.finish(asking, *behind)
    assert asking.outcome.status is OutcomeStatus.CANCELLED
    assert [job.output for job in (behind[0], behind[2])] == ["behind"] * 2


async def test_threads_and_forked_processes_know_their_place(stage: Stage) -> None:
    stage.serve = serve
    source = (
        PYTHON
        + """
import os, threading
def handler(input, env):
    found = []
    threads = [threading.Thread(target=lambda: found.append(job.get("cursor"))) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            job.set("cursor", 1)
        except RuntimeError as error:
            os.write(write, str(error)[:30].encode())
        log.info("from a child", rows=1)
        os._exit(0)
    found.append(os.read(read, 100).decode())
    os.wait()
    return found
"""
    )
    played = await stage.run(source)
    assert played.output == [1] * 8 + ["Only the process of the handle"]
    assert ("info", "from a child rows=1") in played.said


async def test_a_worker_with_a_module_of_that_name_keeps_it(stage: Stage) -> None:
    source = "import sys\nsys.path.insert(0, '/tmp')\nopen('/tmp/runwright.py', 'w').write('job = 5')\nfrom runwright import job\ndef handler(input, env):\n    return job\n"
    assert (await stage.run(source)).output == 5


async def test_what_a_job_left_behind_cannot_speak_for_the_next_one(stage: Stage) -> None:
    stage.serve = serve
    source = """
let kept
module.exports = async ({ input, job, log }) => {
  if (!kept) { kept = { job, log }; return 'first' }
  kept.log.info('as the first', { n: 1 })
  return await kept.job.get('cursor').catch((error) => error.message)
}
"""
    assert (await stage.run(source, runtime="nodejs")).output == "first"
    played = await stage.run(source, runtime="nodejs")
    assert (played.output, played.said, played.calls) == ("The job has ended", [], [])


async def test_the_argument_of_a_handler_looks_as_before(stage: Stage) -> None:
    played = await stage.run(
        "module.exports = async (given) => [Object.keys(given), JSON.stringify(given)]", runtime="nodejs"
    )
    assert played.output == [["input", "env"], '{"input":{},"env":{}}']


async def test_rw_explains_itself_and_refuses_wrong_usage(stage: Stage) -> None:
    source = """
rw help > /dev/null && echo "helped"
for words in "" "nothing" "log" "log loud text" "log info text novalue" "progress" "progress much" "get" "set a" "emit" "emit custom.a nojson"; do
  rw $words > /dev/null 2>&1
  echo "$words: $?"
done
"""
    said = [text for _, text in (await stage.run(source, runtime="shell")).said]
    assert said[0] == "helped"
    assert said[1] == ": 0"
    assert all(text.endswith(": 2") for text in said[2:]), said


def fake(kind: int, payload: bytes) -> str:
    """Return a handler that sends one frame of its own, without the harness's checks."""
    return f"""
import os, struct, sys, time
def handler(input, env):
    token = sys.stdout._log._assignment_id
    os.write(3, struct.pack("<BBHIQ", {kind}, 0, 0, {len(payload)}, token) + {payload!r})
    time.sleep(20)
"""


REQUEST: Final = 25
MALFORMED: Final[dict[str, tuple[int, bytes]]] = {
    "a request without a number": (REQUEST, b"{}"),
    "a request that is not JSON": (REQUEST, b"\1\0\0\0{"),
    "an unknown request": (REQUEST, b'\1\0\0\0{"op":"shell","key":"a"}'),
    "a request with another field": (REQUEST, b'\1\0\0\0{"op":"get","key":"a","tenant_id":"ten_b"}'),
    "a request with a wrong type": (REQUEST, b'\1\0\0\0{"op":"get","key":5}'),
    "a request of 66 KiB": (REQUEST, b'\1\0\0\0{"op":"get","key":"' + b"x" * 66_000 + b'"}'),
    "a value out of range": (REQUEST, b'\1\0\0\0{"op":"set","key":"a","value":1e999}'),
    "progress beyond its end": (24, b"[1.5,null]"),
    "progress with a long message": (24, b'[0.5,"' + b"x" * 201 + b'"]'),
    "progress that is text": (24, b'"half"'),
    "a record without fields": (23, b'["text"]'),
    "a record whose fields are a list": (23, b'["text",[1]]'),
    "a record with large fields": (23, b'["text",{"a":"' + b"x" * 17_000 + b'"}]'),
    "a record with deep fields": (23, b'["text",{"a":' + b"[" * 70 + b"]" * 70 + b"}]"),
    "an answer": (4, b'\1\0\0\0{"value":1}'),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_frame_of_another_shape_ends_the_sandbox(stage: Stage, name: str) -> None:
    kind, payload = MALFORMED[name]
    played = stage.assign(fake(kind, payload))
    await stage.finish(played)
    assert played.outcome.error_code == "handler_error"
    assert "broke the protocol" in played.outcome.error_message
    assert (played.calls, played.progress, played.records) == ([], [], [])


async def test_a_second_request_before_the_answer_and_unread_answers_end_the_sandbox(stage: Stage) -> None:
    source = """
import os, struct, sys, time
def handler(input, env):
    token = sys.stdout._log._assignment_id
    body = b'{"op":"get","key":"cursor"}'
    for n in range(input["times"]):
        os.write(3, struct.pack("<BBHIQ", 25, 0, 0, 4 + len(body), token) + struct.pack("<I", n) + body)
        time.sleep(input["pause"])
    time.sleep(20)
"""
    stage.serve = lambda _: answer(b'"' + b"x" * 60_000 + b'"')
    unread = stage.assign(source, input=b'{"times": 50, "pause": 0.02}', seconds=60)
    await stage.finish(unread)
    assert "before it received the answer" in unread.outcome.error_message
    assert 1 <= len(unread.calls) < 10
