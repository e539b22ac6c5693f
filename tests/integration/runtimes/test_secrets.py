"""Secrets are in the environment of their job while it runs, gone afterwards, and in nothing that comes out."""

import base64
import hashlib
import json
import random
import re
import urllib.parse
from typing import Final

import pytest

from runwright.core.job_state import ErrorCode
from runwright.runtimes.handler_calls import HandlerCall, answer
from runwright.runtimes.model import OutcomeStatus
from runwright.runtimes.protocol import ERROR_STACK_BYTES, LINE_BYTES
from tests.integration.conftest import JobRecord, MakeStage, Stage

SECRET: Final = "s3cr3t/välue+of \"a' worker"
"""Characters that every encoding writes differently."""

PLAIN: Final = "xoxb-1234567890-abcdefghij"
SECRETS: Final = {"TOKEN": SECRET, "OTHER": PLAIN}

LOOK: Final = {
    "python": """
import hashlib, os, subprocess
def handler(input, env):
    try:
        seen = open("/proc/self/environ", "rb").read().decode("utf-8", "replace")
    except PermissionError:
        seen = ""
    child = subprocess.run(["sh", "-c", 'printf %s "$TOKEN"'], stdout=subprocess.PIPE)
    mine = [env.get("TOKEN"), os.environ.get("TOKEN"), child.stdout.decode() or None]
    found = [None if one is None else hashlib.sha256(one.encode()).hexdigest() for one in mine]
    return {"found": found, "left": input["tell"][::-1] in seen or "TOKEN" in seen, "level": env.get("LEVEL")}
""",
    "nodejs": """
const { createHash } = require('node:crypto')
const { execSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
module.exports = async ({ input, env }) => {
  let seen = ''
  try { seen = readFileSync('/proc/self/environ', 'utf8') } catch (error) { if (error.code !== 'EACCES') throw error }
  const told = [...input.tell].reverse().join('')
  const mine = [env.TOKEN, process.env.TOKEN, execSync('printf %s "$TOKEN"').toString() || undefined]
  const found = mine.map((one) => one === undefined ? null : createHash('sha256').update(one).digest('hex'))
  return { found, left: seen.includes(told) || seen.includes('TOKEN'), level: env.LEVEL ?? null }
}
""",
    "deno": """
import { createHash } from 'node:crypto'
export default ({ env }: { env: Record<string, string> }) => {
  const mine = [env.TOKEN, Deno.env.get('TOKEN'), Deno.env.toObject().TOKEN]
  const found = mine.map((one) => one === undefined ? null : createHash('sha256').update(one).digest('hex'))
  return { found, left: false, level: env.LEVEL ?? null }
}
""",
    "shell": """
hash() { if [ -n "$TOKEN" ]; then printf '"%s"' "$(printf %s "$TOKEN" | sha256sum | cut -c1-64)"; else printf null; fi; }
left=false
if tr '\\0' '\\n' < /proc/$PPID/environ | grep -q TOKEN; then left=true; fi
printf '{"found": [%s, %s, %s], "left": %s, "level": %s}' "$(hash)" "$(hash)" "$(hash)" $left \
  "$(if [ -n "$LEVEL" ]; then printf '"%s"' "$LEVEL"; else printf null; fi)" > "$AVA_OUTPUT"
""",
}


@pytest.mark.parametrize("runtime", list(LOOK))
async def test_a_secret_is_there_for_its_job_and_gone_for_the_next(
    make_stage: MakeStage, runtime: str
) -> None:
    stage = await make_stage(slots=1)
    tell = json.dumps({"tell": SECRET[::-1]}).encode()
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    config = {"LEVEL": "from config", "TOKEN": "config too"}
    first = await stage.run(LOOK[runtime], runtime=runtime, input=tell, env=config, secrets={"TOKEN": SECRET})
    assert first.output == {"found": [digest] * 3, "left": False, "level": "from config"}
    second = await stage.run(LOOK[runtime], runtime=runtime, input=tell)
    assert second.output == {"found": [None] * 3, "left": False, "level": None}
    assert stage.pool.stats().booted == 1, "another sandbox proves nothing"


ENVIRON: Final = """
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 16) (i32.const 1024)))
    (i32.store (i32.const 8) (i32.const 1024))
    (i32.store (i32.const 12) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
    (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 0)))))
"""
"""Writes its environment to stdout and stderr."""


async def test_a_wasm_module_has_its_secret_and_the_next_job_has_none(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=1)
    first = await stage.run(ENVIRON, runtime="wasm", secrets={"TOKEN": SECRET})
    assert "TOKEN=***" in str(first.output)
    assert [line for _, line in first.said if "TOKEN=***" in line]
    assert_hidden(everything(first), SECRET)
    second = await stage.run(ENVIRON, runtime="wasm")
    assert "TOKEN" not in everything(second)
    assert stage.pool.stats().booted == 1


WRITE: Final = {
    "python": """
import base64, json, logging, os, subprocess, sys, urllib.parse
def handler(input, env):
    for secret in (env["TOKEN"], env["OTHER"]):
        data = secret.encode()
        for text in (
            secret, urllib.parse.quote(secret), urllib.parse.quote_plus(secret), urllib.parse.quote(secret).lower(),
            base64.b64encode(data).decode(), base64.urlsafe_b64encode(b"user:" + data).decode().rstrip("="),
            base64.b64encode(b"me:" + data + b" and more").decode(), data.hex(), data.hex().upper(),
            json.dumps(secret), json.dumps({"a": json.dumps([secret])}), json.dumps(secret, ensure_ascii=False),
            repr(secret), repr(data), "".join(f"\\\\u{ord(c):04X}" for c in secret),
        ):
            print("print", text)
            logging.warning("log %s", text)
            os.write(2, ("raw " + text + "\\n").encode())
            subprocess.run(["printf", "%s\\n", "child " + text])
            for letter in "slow " + text + "\\n":
                sys.stdout.write(letter)
            for byte in ("bytes " + text + "\\n").encode():
                os.write(1, bytes([byte]))
    os.write(1, ("open " + secret).encode())
    if input["fail"]:
        raise ValueError(f"cannot sign in with {env['TOKEN']!r} or {env['OTHER']}")
    return {"token": env["TOKEN"], env["OTHER"]: [1, base64.b64encode(data).decode()], "kept": "kept"}
""",
    "nodejs": """
const { execFileSync } = require('node:child_process')
module.exports = async ({ input, env }) => {
  for (const secret of [env.TOKEN, env.OTHER]) {
    const data = Buffer.from(secret)
    for (const text of [secret, encodeURIComponent(secret), encodeURI(secret), data.toString('base64'),
      data.toString('base64url'), data.toString('hex'), JSON.stringify(secret), require('util').inspect(secret),
      new URLSearchParams({ q: secret }).toString(), Buffer.from('user:' + secret).toString('base64'), data]) {
      console.log('print', text)
      console.error({ nested: { text } })
      for (const letter of 'slow ' + text + '\\n') process.stdout.write(letter)
      execFileSync('printf', ['%s\\\\n', 'child ' + text], { stdio: 'inherit' })
    }
  }
  if (input.fail) throw new TypeError(`cannot sign in with ${env.TOKEN} or ${JSON.stringify(env.OTHER)}`)
  return { token: env.TOKEN, [env.OTHER]: [1, Buffer.from(env.OTHER).toString('base64')], kept: 'kept' }
}
""",
    "shell": """
for secret in "$TOKEN" "$OTHER"; do
  echo "print $secret"
  echo "error $secret" >&2
  printf %s "$secret" | base64
  printf %s "user:$secret" | base64 -w0; echo
  printf %s "$secret" | od -An -v -w99 -tx1
  printf 'quoted %q\\n' "$secret"
  printf 'split %s' "$(printf %s "$secret" | cut -c1-5)"; printf '%s\\n' "$(printf %s "$secret" | cut -c6-)"
done
set -x; : "$TOKEN" "$OTHER"; set +x
if grep -q true /dev/stdin; then echo "cannot sign in with $TOKEN or $OTHER" >&2; exit 3; fi
printf '{"kept": "kept", "other": "%s"}' "$OTHER" > "$AVA_OUTPUT"
""",
}


def everything(played: JobRecord) -> str:
    """All that the job let out, as one text."""
    outcome = played.outcome
    output = (outcome.output or b"").decode()
    parts = [f"{line.level} {line.msg}" for line in played.lines]
    return "\n".join([*parts, output, outcome.error_message, outcome.error_stack or ""])


def assert_hidden(text: str, *values: str) -> None:
    """None of the values can be had back from the text, by undoing what anybody may have done to it."""
    undone = {text}
    for _ in range(2):
        undone |= {urllib.parse.unquote_plus(one) for one in undone}
        undone |= {one.encode("ascii", "backslashreplace").decode("unicode_escape") for one in undone}
    for word in re.findall(r"[A-Za-z0-9+/_-]{6,}", text):
        for skip in range(4):
            usable = word[skip:].replace("-", "+").replace("_", "/")
            usable = usable[: len(usable) // 4 * 4]
            undone.add(base64.b64decode(usable).decode("latin-1"))
    for digits in re.findall(r"(?:[0-9a-fA-F]{2}[ :]?){4,}", text):
        undone.add(bytes.fromhex(digits.replace(":", " ")).decode("latin-1"))
    for value in values:
        for start in range(len(value) - 5):
            part = value[start : start + 6]
            shown = [one for one in undone if part in one]
            assert not shown, (part, shown[0][:300])


@pytest.mark.parametrize("runtime", list(WRITE))
@pytest.mark.parametrize("fail", [False, True])
async def test_nothing_that_comes_out_shows_a_secret(stage: Stage, runtime: str, fail: bool) -> None:
    text = json.dumps({"fail": fail}).encode()
    played = await stage.run(WRITE[runtime], runtime=runtime, input=text, secrets=SECRETS)
    outcome = played.outcome
    assert outcome.status is (OutcomeStatus.FAILED if fail else OutcomeStatus.COMPLETED), outcome
    said = everything(played)
    assert_hidden(said, SECRET, PLAIN)
    assert "print ***" in said
    if fail:
        assert outcome.error_code == ErrorCode.HANDLER_ERROR
        assert "cannot sign in with" in outcome.error_message
        assert "***" in outcome.error_message
    else:
        assert isinstance(played.output, dict)
        assert played.output["kept"] == "kept"


SPLIT: Final = """
import os, subprocess, sys
def handler(input, env):
    data = (input["before"] + env["TOKEN"] + input["after"]).encode()
    at = 0
    for size in input["sizes"]:
        piece, at = data[at : at + size], at + size
        if input["how"] == "raw":
            os.write(1, piece)
        elif input["how"] == "child":
            subprocess.run(["cat"], input=piece)
        else:
            sys.stderr.buffer.write(piece)
    os.write(1, b"\\n")
"""


@pytest.mark.parametrize("how", ["raw", "child", "stream"])
async def test_no_split_of_the_stream_lets_a_secret_through(stage: Stage, how: str) -> None:
    chance = random.Random(how)
    token = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=24))
    for _ in range(4):
        before = "x" * chance.choice([0, 3, 4090, 65_530])
        sizes: list[int] = []
        while sum(sizes) < len(before) + len(token) + 4:
            sizes.append(chance.choice([1, 2, 7, 4096] if len(before) < 50 else [4096, 4100, 20_000]))
        told = {"before": before, "after": "\ntail", "sizes": sizes, "how": how}
        played = await stage.run(SPLIT, input=json.dumps(told).encode(), secrets={"TOKEN": token})
        assert played.outcome.status is OutcomeStatus.COMPLETED, played.outcome
        assert_hidden(everything(played), token)
        assert "tail" in everything(played)


@pytest.mark.parametrize("write", ["print(line)", "import os; os.write(2, line.encode() + b'\\n')"])
async def test_the_cut_of_a_long_line_leaves_no_beginning_of_a_secret(stage: Stage, write: str) -> None:
    code = f"def handler(input, env):\n    line = 'x' * input['size'] + env['OTHER'] * 2 + 'y' * 9\n    {write}\n"
    for size in range(LINE_BYTES - len(PLAIN) * 2 - 3, LINE_BYTES + 2, 5):
        told = json.dumps({"size": size}).encode()
        played = await stage.run(code, input=told, secrets={"OTHER": PLAIN})
        (line,) = [line.msg for line in played.lines if line.msg.startswith("xxx")]
        assert re.fullmatch(r"x+(\*\*\*)?y*( … \(line cut\))?", line), line[-80:]
        assert len(line.encode()) <= LINE_BYTES


@pytest.mark.parametrize("size", [2, 8, 20, len(PLAIN)])
async def test_a_job_that_is_killed_while_it_writes_leaves_no_beginning_of_a_secret(
    stage: Stage, size: int
) -> None:
    code = (
        "import os, signal\ndef handler(input, env):\n"
        f"    os.write(1, b'begun ' + env['OTHER'][:{size}].encode())\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    played = await stage.run(code, secrets={"OTHER": PLAIN})
    assert played.outcome.status is OutcomeStatus.FAILED
    assert [line.msg for line in played.lines if line.msg.startswith("begun")] == ["begun ***"]


@pytest.mark.parametrize("runtime", ["python", "nodejs", "shell"])
async def test_the_cut_of_an_error_leaves_no_part_of_a_secret(stage: Stage, runtime: str) -> None:
    sources = {
        "python": "def handler(input, env):\n    raise ValueError(('x' * input['n'] + env['OTHER']) * 12)\n",
        "nodejs": "module.exports = async ({input, env}) => { throw new Error(('x'.repeat(input.n) + env.OTHER).repeat(12)) }\n",
        "shell": 'n=$(grep -o "[0-9]*"); x=$(printf "%${n}s" | tr " " x); for i in 1 2 3 4 5 6 7 8 9 10 11 12; do'
        ' printf "%s%s" "$x" "$OTHER" >&2; done; exit 1\n',
    }
    for size in (4070, 4083, 2708, 10, 999):
        told = json.dumps({"n": size}).encode()
        played = await stage.run(sources[runtime], runtime=runtime, input=told, secrets={"OTHER": PLAIN})
        assert played.outcome.error_code == ErrorCode.HANDLER_ERROR
        assert_hidden(everything(played), PLAIN)
        assert not re.search(r"x(?!x|\*\*\*| … |…|\"|\n|$|:)", played.outcome.error_message.split("x", 1)[1])


@pytest.mark.parametrize("kept", [6, 13, 25])
async def test_a_stack_of_which_the_beginning_is_cut_off_leaves_no_end_of_a_secret(
    stage: Stage, kept: int
) -> None:
    size = ERROR_STACK_BYTES - 1 - kept
    code = f"def handler(input, env):\n    raise ValueError(env['OTHER'] + 'x' * {size})\n"
    played = await stage.run(code, secrets={"OTHER": PLAIN})
    assert played.outcome.error_message.startswith("ValueError: ***xxx")
    assert_hidden(everything(played), PLAIN)


async def test_logs_over_the_limit_are_dropped_and_counted_beside_secrets(stage: Stage) -> None:
    code = "def handler(input, env):\n    for n in range(10_050):\n        print(n, env['OTHER'])\n"
    played = await stage.run(code, secrets={"OTHER": PLAIN})
    assert len(played.said) == 10_001
    assert played.said[0] == ("info", "0 ***")
    assert played.said[-1] == ("warn", "dropped 50 lines")


async def test_large_secrets_arrive_whole(stage: Stage) -> None:
    secrets = {f"S{n}": chr(97 + n % 26) * (64 * 1024) for n in range(50)}
    code = (
        "def handler(input, env):\n    print(env['S7'])\n    return [len(env[f'S{n}']) for n in range(50)]\n"
    )
    played = await stage.run(code, secrets=secrets)
    assert played.output == [64 * 1024] * 50
    assert played.said == [("info", "*** … (line cut)")]


async def test_an_assignment_does_not_show_its_secrets(stage: Stage) -> None:
    played = await stage.run("def handler(input, env):\n    pass\n", secrets=SECRETS)
    assert PLAIN not in repr(played.assignment)


CUTS: Final = {
    "progress of python": (
        "python",
        "from runwright import job\ndef handler(input, env):\n    job.progress(0.5, 'x' * 190 + env['OTHER'])\n",
    ),
    "progress of node": (
        "nodejs",
        "module.exports = async ({env, job}) => { job.progress(0.5, '😀'.repeat(95) + env.OTHER) }\n",
    ),
    "a record of several lines": (
        "python",
        f"""
from runwright import log
def handler(input, env):
    log.info(('x' * 1023 + '\\n') * 15 + 'x' * {LINE_BYTES - 15 * 1024 - 10} + env['OTHER'])
""",
    ),
    "the name of a field in python": (
        "python",
        "from runwright import log\ndef handler(input, env):\n    log.info('m', **{'x' * 90 + env['OTHER']: 1})\n",
    ),
    "the name of a field in node": (
        "nodejs",
        "module.exports = async ({env, log}) => { log.info('m', {['x'.repeat(90) + env.OTHER]: 1}) }\n",
    ),
    "the cause of an error": (
        "nodejs",
        "module.exports = async ({env}) => { throw new Error('m', {cause: 'x'.repeat(490) + env.OTHER}) }\n",
    ),
}


@pytest.mark.parametrize(("runtime", "source"), CUTS.values(), ids=CUTS)
async def test_what_a_harness_cuts_leaves_no_beginning_of_a_secret(
    stage: Stage, runtime: str, source: str
) -> None:
    played = await stage.run(source, runtime=runtime, secrets={"OTHER": PLAIN})
    told = json.dumps([*played.records, [one.message for one in played.progress]]) + everything(played)
    assert PLAIN[:3] not in told


WRITES: Final = ("os.write(1, text.encode())", "print(text, end='', flush=True)")
UNFINISHED: Final = {
    "a progress bar": ("go SECRET", "TOKEN\rnext\rmore\r"),
    "a line over the limit": ("go", "y" * (LINE_BYTES - 14) + "SECRETTOKEN"),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(("shown", "later"), UNFINISHED.values(), ids=UNFINISHED)
async def test_a_line_that_is_shown_before_its_end_shows_no_part_of_a_secret(
    stage: Stage, shown: str, later: str, write: str
) -> None:
    def serve(_: HandlerCall) -> bytes:
        return answer(json.dumps(any(line.msg.startswith("go") for line in played.lines)).encode())

    stage.serve = serve
    code = (
        "import os\nfrom runwright import job\ndef handler(input, env):\n"
        "    first, second = env['OTHER'][:12], env['OTHER'][12:]\n"
        f"    text = {shown!r}.replace('SECRET', first)\n    {write}\n"
        "    while not job.get('shown'): pass\n"
        f"    text = {later!r}.replace('SECRET', first).replace('TOKEN', second)\n    {write}\n"
        "    text = 'end\\n'\n"
        f"    {write}\n"
    )
    played = stage.assign(code, secrets={"OTHER": PLAIN})
    await stage.finish(played)
    told = everything(played)
    assert "go" in told
    assert PLAIN[:5] not in told
    assert PLAIN[-5:] not in told
