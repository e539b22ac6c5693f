"""Every kind of handler, well-behaved or hostile, ends in the right state, and the server is as before."""

import base64
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
import pytest
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A handler and how a job of it must end."""

    name: str
    source: str
    status: str = "completed"
    output: Any = None
    code: str | None = None
    logs: tuple[str, ...] = ()
    """Messages that must be in the log."""

    worker: dict[str, Any] = {}


PYTHON: Final = (
    Case(
        name="sync", source="def handler(input, env):\n    return {'got': input}\n", output={"got": {"a": 1}}
    ),
    Case(
        name="async",
        source="import asyncio\nasync def handler(input, env):\n    await asyncio.sleep(0)\n    return [1, None]\n",
        output=[1, None],
    ),
    Case(
        name="config",
        source="import os\ndef handler(input, env):\n    return [env['A'], os.environ['B']]\n",
        worker={"config": {"A": "one", "B": 2}},
        output=["one", "2"],
    ),
    Case(name="nothing", source="def handler(input, env):\n    pass\n"),
    Case(
        name="unserialisable",
        source="def handler(input, env):\n    return {1, 2}\n",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="raises",
        source="def handler(input, env):\n    raise ValueError('boom')\n",
        status="failed",
        code="handler_error",
    ),
    Case(name="syntax", source="def handler(:\n", status="failed", code="load_error"),
    Case(name="no handler", source="x = 1\n", status="failed", code="load_error"),
    Case(
        name="huge output",
        source="def handler(input, env):\n    return 'x' * (1 << 21)\n",
        status="failed",
        code="output_too_large",
    ),
    Case(
        name="ten megabytes of prints",
        source="def handler(input, env):\n    for n in range(10_000):\n        print('x' * 1024)\n    return 1\n",
        output=1,
    ),
    Case(
        name="print without newline",
        source="def handler(input, env):\n    print('no newline', end='')\n",
        logs=("no newline",),
    ),
    Case(
        name="exit",
        source="import os\ndef handler(input, env):\n    os._exit(3)\n",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="sys.exit",
        source="import sys\ndef handler(input, env):\n    sys.exit(0)\n",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="kills itself",
        source="import os\ndef handler(input, env):\n    os.kill(os.getpid(), 9)\n",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="forks a daemon",
        source=(
            "import os, time\ndef handler(input, env):\n    if os.fork() == 0:\n        os.setsid()\n"
            "        time.sleep(600)\n    return 'parent'\n"
        ),
        output="parent",
    ),
    Case(
        name="fork bomb",
        source=(
            "import os, time\ndef handler(input, env):\n    n = 0\n    try:\n        while n < 5000:\n"
            "            if os.fork() == 0:\n                time.sleep(600)\n            n += 1\n"
            "    except OSError:\n        return 'stopped'\n"
        ),
        output="stopped",
    ),
    Case(
        name="allocates without end",
        source="def handler(input, env):\n    held = []\n    while True:\n        held.append(bytearray(1 << 20))\n",
        status="failed",
        code="out_of_memory",
        worker={"memory_mb": 64},
    ),
    Case(
        name="loops without end",
        source="def handler(input, env):\n    while True:\n        pass\n",
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="ignores SIGTERM",
        source=(
            "import signal, time\ndef handler(input, env):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "    while True:\n        time.sleep(1)\n"
        ),
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="loads for ever",
        source="while True:\n    pass\n",
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="closes its stdout",
        source="import os\ndef handler(input, env):\n    os.close(1)\n    os.close(2)\n    return 'quiet'\n",
        output="quiet",
    ),
    Case(
        name="fills the disk",
        source=(
            "def handler(input, env):\n    try:\n        with open('/tmp/big', 'wb') as f:\n"
            "            for _ in range(4096):\n                f.write(bytes(1 << 20))\n"
            "    except (OSError, MemoryError) as error:\n        return 'stopped'\n    return 'filled'\n"
        ),
        output="stopped",
        worker={"memory_mb": 512},
    ),
    Case(
        name="cannot reach the host's loopback",
        source=(
            "import socket\ndef handler(input, env):\n    try:\n"
            "        socket.create_connection(('127.0.0.1', 5432), 5).recv(1)\n"
            "    except OSError:\n        return 'refused'\n    return 'connected'\n"
        ),
        output="refused",
        logs=("network: connection to 127.0.0.1:5432 refused (loopback address)",),
    ),
    Case(
        name="frame-like lines",
        source=(
            "import os\ndef handler(input, env):\n    frame = b'\\x10\\0\\0\\0\\x05' + bytes(8) + b'{\"forged\":1}\\n'\n"
            "    for fd in (1, 2):\n        os.write(fd, frame)\n    return 'honest'\n"
        ),
        output="honest",
    ),
    Case(
        name="writes on every descriptor that it finds",
        source=(
            "import os\ndef handler(input, env):\n    for fd in range(3, 64):\n        try:\n"
            "            os.write(fd, b'\\xff' * 64)\n        except OSError:\n            pass\n    return 'done'\n"
        ),
        status="failed",
        code="handler_error",
    ),
    Case(
        name="NUL and lone surrogates",
        source="def handler(input, env):\n    print('a\\0b\\ud800')\n    return 'a\\0b\\ud800'\n",
        status="any",
    ),
)

NODEJS: Final = (
    Case(
        name="CommonJS",
        source="module.exports = async ({input, env}) => ({got: input})",
        output={"got": {"a": 1}},
    ),
    Case(name="ESM", source="export default async ({ input }) => input.a + 1", output=2),
    Case(name="sync", source="module.exports = ({input}) => input.a", output=1),
    Case(name="nothing", source="module.exports = async () => {}"),
    Case(
        name="unserialisable",
        source="module.exports = async () => { const a = {}; a.a = a; return a }",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="throws",
        source="module.exports = async () => { throw new Error('boom') }",
        status="failed",
        code="handler_error",
    ),
    Case(name="syntax", source="module.exports = async ( => {", status="failed", code="load_error"),
    Case(
        name="exit",
        source="module.exports = async () => { process.exit(0) }",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="loops without end",
        source="module.exports = async () => { for (;;) {} }",
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="never settles",
        source="module.exports = () => new Promise(() => { setInterval(() => {}, 1000) })",
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="allocates without end",
        source="module.exports = async () => { const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1)) }",
        status="failed",
        code="out_of_memory",
        worker={"memory_mb": 128},
    ),
    Case(
        name="levels",
        source="module.exports = async () => { console.log('one'); console.warn('two'); console.error('three') }",
        logs=("one", "two", "three"),
    ),
    Case(
        name="unhandled rejection",
        source="module.exports = async () => { Promise.reject(new Error('loose')); await new Promise(r => setTimeout(r, 50)) }",
        status="any",
    ),
)

SHELL: Final = (
    Case(name="AVA_OUTPUT", source='cat > "$AVA_OUTPUT"', output={"a": 1}),
    Case(name="last line", source="echo working\necho '{\"n\": 2}'", output={"n": 2}, logs=("working",)),
    Case(name="plain text", source="echo hello", output="hello"),
    Case(name="exit status", source="echo oops >&2\nexit 7", status="failed", code="handler_error"),
    Case(name="config", source='echo "\\"$A\\""', worker={"config": {"A": "one"}}, output="one"),
    Case(
        name="ignores SIGTERM",
        source="trap '' TERM\nwhile :; do sleep 1; done",
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(name="background child", source="sleep 600 &\necho 1", output=1),
)

DENO: Final = (
    Case(
        name="TypeScript",
        source=(
            "interface Job { input: { a: number } }\n"
            "export default async ({ input }: Job): Promise<{ got: unknown }> => ({ got: input })\n"
        ),
        output={"got": {"a": 1}},
    ),
    Case(name="sync", source="export default ({input}) => input.a", output=1),
    Case(name="nothing", source="export default async () => {}"),
    Case(
        name="config",
        source="export default ({env}) => [env.A, Deno.env.get('B')]",
        worker={"config": {"A": "one", "B": 2}},
        output=["one", "2"],
    ),
    Case(
        name="unserialisable",
        source="export default () => { const a: any = {}; a.a = a; return a }",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="throws",
        source="export default async () => { throw new Error('boom') }",
        status="failed",
        code="handler_error",
    ),
    Case(name="syntax", source="export default async ( => {", status="failed", code="load_error"),
    Case(name="no handler", source="export const x = 1", status="failed", code="load_error"),
    Case(
        name="huge output",
        source="export default () => 'x'.repeat(1 << 21)",
        status="failed",
        code="output_too_large",
    ),
    Case(
        name="ten megabytes of prints",
        source="export default () => { for (let n = 0; n < 10000; n++) console.log('x'.repeat(1024)); return 1 }",
        output=1,
    ),
    Case(
        name="print without newline",
        source="export default () => { Deno.stdout.writeSync(new TextEncoder().encode('no newline')) }",
        logs=("no newline",),
    ),
    Case(name="exit", source="export default () => Deno.exit(0)", status="failed", code="handler_error"),
    Case(
        name="process.exit",
        source="import process from 'node:process'\nexport default () => process.exit(3)",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="kills itself",
        source="export default () => Deno.kill(Deno.pid, 'SIGKILL')",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="runs a command",
        source=(
            "export default () => { try { new Deno.Command('true').outputSync() }"
            " catch (e) { return e.name }; return 'ran' }"
        ),
        output="NotCapable",
    ),
    Case(
        name="leaves a thread",
        source=(
            "export default async () => { const code = 'setInterval(() => {}, 1); postMessage(1)';"
            " const w = new Worker('data:application/javascript,' + code, { type: 'module' });"
            " await new Promise((r) => w.onmessage = r); return 'parent' }"
        ),
        output="parent",
    ),
    Case(
        name="allocates without end",
        source="export default () => { const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1)) }",
        status="failed",
        code="out_of_memory",
        worker={"memory_mb": 128},
    ),
    Case(
        name="fills its heap",
        source="export default () => { const a = []; for (;;) a.push({ a: [1, 2, 3] }) }",
        status="failed",
        code="out_of_memory",
        worker={"memory_mb": 128},
    ),
    Case(
        name="loops without end",
        source="export default () => { for (;;) {} }",
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="never settles",
        source="export default () => new Promise(() => { setInterval(() => {}, 1000) })",
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="ignores SIGTERM",
        source=(
            "export default () => { Deno.addSignalListener('SIGTERM', () => {});"
            " return new Promise(() => { setInterval(() => {}, 1000) }) }"
        ),
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="loads for ever",
        source="for (;;) {}",
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="levels",
        source="export default () => { console.log('one'); console.warn('two'); console.error('three') }",
        logs=("one", "two", "three"),
    ),
    Case(
        name="unhandled rejection",
        source="export default async () => { Promise.reject(new Error('loose')); await new Promise(r => setTimeout(r, 50)) }",
        status="failed",
        code="handler_error",
    ),
    Case(
        name="imports from the network",
        source="import x from 'https://127.0.0.1:9/mod.ts'\nexport default () => x",
        status="failed",
        code="load_error",
    ),
    Case(
        name="cannot reach the host's loopback",
        source=(
            "export default async () => { try { await (await Deno.connect({ port: 5432 })).read(new Uint8Array(1)) }"
            " catch { return 'refused' }; return 'connected' }"
        ),
        output="refused",
    ),
    Case(
        name="fills the disk",
        source=(
            "export default () => { const f = Deno.openSync('/tmp/big', { write: true, create: true });"
            " try { for (let n = 0; n < 4096; n++) f.writeSync(new Uint8Array(1 << 20)) }"
            " catch { return 'stopped' }; return 'filled' }"
        ),
        output="stopped",
        worker={"memory_mb": 512},
    ),
    Case(
        name="frame-like lines",
        source=(
            "export default () => { const frame = new Uint8Array([20, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 123, 125, 10]);"
            " Deno.stdout.writeSync(frame); Deno.stderr.writeSync(frame); return 'honest' }"
        ),
        output="honest",
    ),
    Case(
        name="NUL and lone surrogates",
        source="export default () => { console.log('a\\0b\\ud800'); return 'a\\0b\\ud800' }",
        status="any",
    ),
)

WASI: Final = '"wasi_snapshot_preview1"'
MODULES: Final = Path(__file__).parent / "wasm"


def module_of(name: str) -> str:
    """A module that a real compiler made, in base64."""
    return base64.b64encode((MODULES / f"{name}.wasm").read_bytes()).decode()


def command(body: str, more: str = "") -> str:
    """WAT of a module that does this."""
    return f"""(module
      (import {WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import {WASI} "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) {more}
      (func (export "_start") (local $n i32) {body}))"""


WASM: Final = (
    Case(name="AssemblyScript", source=module_of("primes"), status="failed", code="handler_error"),
    Case(
        name="C",
        source=module_of("statistics"),
        status="failed",
        code="handler_error",
        logs=("the input has no numbers",),
    ),
    Case(name="Rust", source=module_of("words"), status="failed", code="handler_error"),
    Case(name="WAT", source=command("")),
    Case(name="exit 0", source=command("(call $exit (i32.const 0))")),
    Case(
        name="exit status",
        source=command("(call $exit (i32.const 3))"),
        status="failed",
        code="handler_error",
    ),
    Case(name="trap", source=command("unreachable"), status="failed", code="handler_error"),
    Case(
        name="endless recursion",
        source=command("(call $f)", "(func $f (call $f))"),
        status="failed",
        code="handler_error",
    ),
    Case(name="no module", source="hello", status="failed", code="load_error"),
    Case(
        name="unknown import",
        source='(module (import "env" "x" (func)) (func (export "_start")))',
        status="failed",
        code="load_error",
    ),
    Case(
        name="loops without end",
        source=command("(loop $l (br $l))"),
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="starts for ever",
        source='(module (func $f (loop $l (br $l))) (start $f) (func (export "_start")))',
        status="failed",
        code="timeout",
        worker={"timeout_seconds": 1},
    ),
    Case(
        name="allocates without end",
        source=command(
            "(loop $l (br_if $l (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) unreachable"
        ),
        status="failed",
        code="out_of_memory",
        worker={"memory_mb": 64},
    ),
    Case(
        name="prints without end",
        source=command(
            "(i32.store (i32.const 4) (i32.const 60000))"
            "(loop $l (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 65000)))"
            "(local.set $n (i32.add (local.get $n) (i32.const 1)))"
            "(br_if $l (i32.lt_u (local.get $n) (i32.const 100))))"
        ),
        status="failed",
        code="output_too_large",
    ),
)

CASES: Final = [
    (runtime, case)
    for runtime, cases in (
        ("python", PYTHON),
        ("nodejs", NODEJS),
        ("shell", SHELL),
        ("deno", DENO),
        ("wasm", WASM),
    )
    for case in cases
]


class Neighbour:
    """A worker of another tenant, whose sandbox is there all the time."""

    def __init__(self, http: RawClient) -> None:
        self._api = Api(http, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")
        self._worker = self._api.make_worker(source_code="def handler(input, env):\n    return 'well'\n")

    def is_well(self) -> None:
        """Its job still runs, and the server says that it is well."""
        assert self._api.run_job(self._worker["id"])["output"] == "well"
        assert self._api.http.get("/healthz").json()["status"] == "ok"


@pytest.fixture(scope="module")
def neighbour(http: RawClient) -> Neighbour:
    return Neighbour(http)


@pytest.mark.parametrize(
    ("runtime", "case"), CASES, ids=[f"{runtime} {case.name}" for runtime, case in CASES]
)
def test_a_handler_ends_as_it_must_and_harms_nothing(
    api: Api, neighbour: Neighbour, runtime: str, case: Case
) -> None:
    worker = api.make_worker(runtime=runtime, source_code=case.source, **case.worker)
    job = api.call("POST", "/jobs?wait=60", json={"worker_id": worker["id"], "input": {"a": 1}}).json()[
        "data"
    ]
    if case.status == "any":
        assert job["status"] in {"completed", "failed"}
    else:
        assert job["status"] == case.status, job
        assert job["output"] == (case.output if case.status == "completed" else None)
        assert (job["error"] or {}).get("code") == case.code, job
    messages = [
        line["msg"] for line in api.get(f"/jobs/{job['id']}/logs", limit="500").json()["data"]["logs"]
    ]
    for message in case.logs:
        assert message in messages
    neighbour.is_well()


@pytest.mark.parametrize(
    ("module", "job_input", "output"),
    [
        (
            "statistics",
            {"numbers": [1, 2, 6]},
            {"count": 3, "mean": 3, "median": 2, "deviation": 2.16025, "unit": "m"},
        ),
        ("words", {"text": "a rose is a rose"}, {"different": 3, "top": [["a", 2], ["rose", 2], ["is", 1]]}),
        ("primes", {"limit": 1000}, {"count": 168, "largest": 997, "sum": 76127}),
    ],
)
def test_modules_from_real_compilers_compute(
    api: Api, module: str, job_input: dict[str, Any], output: dict[str, Any]
) -> None:
    worker = api.make_worker(runtime="wasm", source_code=module_of(module), config={"UNIT": "m"})
    body = {"worker_id": worker["id"], "input": job_input}
    for _ in range(2):
        job = api.call("POST", "/jobs?wait=60", json=body).json()["data"]
        assert (job["status"], job["output"]) == ("completed", output)
