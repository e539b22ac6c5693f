"""The conventions of wasm workers, the limits they run under, and the cache of compiled modules."""

import asyncio
import base64
import fcntl
import lzma
import os
from functools import partial
from pathlib import Path
from typing import Unpack

import msgspec
import pytest

from runwright.runtimes.host import Host
from runwright.runtimes.interpreters import InterpreterPaths
from runwright.runtimes.model import OutcomeStatus, WorkerCode
from runwright.runtimes.probe import probe_host
from runwright.runtimes.wasm_modules import SEALS, WARM_MODULES, ModuleCache
from tests.integration.conftest import JobOptions, MakeStage, Stage

MODULES = Path(__file__).parents[2] / "e2e" / "wasm"
WASI = '"wasi_snapshot_preview1"'
WRITE = f'(import {WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
READ = f'(import {WASI} "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))'
EXIT = f'(import {WASI} "proc_exit" (func $exit (param i32)))'


def module_of(name: str) -> str:
    """A module that a real compiler made, in base64."""
    path = MODULES / f"{name}.wasm"
    data = path.read_bytes() if path.exists() else lzma.decompress(Path(f"{path}.xz").read_bytes())
    return base64.b64encode(data).decode()


def escaped(data: bytes) -> str:
    """Bytes as WAT writes them."""
    return "".join(f"\\{byte:02x}" for byte in data)


def writing(text: str, fd: int = 1, *, then: str = "", before: str = "", pages: int = 1) -> str:
    """WAT of a module that writes a text."""
    data = text.encode()
    place = escaped((8).to_bytes(4, "little") + len(data).to_bytes(4, "little"))
    return f"""(module {WRITE} {EXIT} (memory (export "memory") {pages})
      (data (i32.const 0) "{place}{escaped(data)}")
      (func (export "_start") {before}
        (drop (call $write (i32.const {fd}) (i32.const 0) (i32.const 1) (i32.const 65000))) {then}))"""


ECHO = f"""(module {READ} {WRITE} (memory (export "memory") 40)
  (func (export "_start") (local $size i32)
    (loop $more
      (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 2000000))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $size (i32.load (i32.const 8)))
      (i32.store (i32.const 4) (local.get $size))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
      (br_if $more (local.get $size)))))"""
LOOP = '(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))'


async def run(stage: Stage, source: str, **options: Unpack[JobOptions]) -> object:
    """The output of one job."""
    options["runtime"] = "wasm"
    return (await stage.run(source, **options)).output


async def failure(stage: Stage, source: str, **options: Unpack[JobOptions]) -> tuple[str | None, str]:
    """Code and message of a job that failed."""
    options["runtime"] = "wasm"
    outcome = (await stage.run(source, **options)).outcome
    assert outcome.status is OutcomeStatus.FAILED, outcome
    return outcome.error_code, outcome.error_message


async def test_a_module_from_c_reads_its_input_and_environment(stage: Stage) -> None:
    played = await stage.run(
        module_of("statistics"), runtime="wasm", input=b'{"numbers": [3, 1, 2.5, 7]}', env={"UNIT": "kg"}
    )
    assert played.output == {"count": 4, "mean": 3.375, "median": 2.75, "deviation": 2.21853, "unit": "kg"}
    assert [line for line in played.said if line[0] == "error"] == [("error", "4 numbers")]
    again = await failure(stage, module_of("statistics"), input=b'{"numbers": [1,"x"]}')
    assert again == ("handler_error", 'The module exited with status 3: not a number: "x"]}')
    assert await run(stage, module_of("statistics"), input=b'{"numbers": []}') == {"count": 0}


async def test_a_module_from_rust_reads_its_input_and_environment(stage: Stage) -> None:
    job = b'{"text": "Der Hund, der H\\u00fcter und der Ball"}'
    played = await stage.run(module_of("words"), runtime="wasm", input=job, env={"MOST": "2"})
    assert played.output == {"different": 5, "top": [["der", 3], ["ball", 1]]}
    code, message = await failure(stage, module_of("words"))
    assert code == "handler_error"
    assert message == 'The module exited with status 1: Error: "the input has no text"'


async def test_a_module_from_go_reads_its_input_and_environment(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    sales = [{"city": "Ulm", "amount": 1.5}, {"city": "Bonn", "amount": 7}, {"city": "Ulm", "amount": 2}]
    stage = await make_stage(module_folder=tmp_path)
    played = await stage.run(
        module_of("sales"),
        runtime="wasm",
        input=msgspec.json.encode({"sales": sales}),
        env={"COUNTRY": "DE"},
        seconds=1.0,  # compiling it takes longer, and does not count
    )
    totals = [{"city": "Bonn", "sales": 1, "amount": 7}, {"city": "Ulm", "sales": 2, "amount": 3.5}]
    assert played.output == {"cities": totals}
    assert [line for line in played.said if line[0] == "error"] == [("error", "3 sales in DE")]


async def test_a_module_from_assemblyscript_reads_its_input(stage: Stage) -> None:
    played = await stage.run(module_of("primes"), runtime="wasm", input=b'{"limit": 100000}')
    assert played.output == {"count": 9592, "largest": 99991, "sum": 454396537}
    assert [line for line in played.said if line[0] == "error"] == [("error", "sieved up to 100000")]
    code, message = await failure(stage, module_of("primes"))
    assert code == "handler_error"
    assert message == (
        "The module exited with status 126 or above: abort: the input has no limit in primes.ts(14:15)"
    )


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('{"a": [1]}', {"a": [1]}),
        (' \n"x"\n\n', "x"),
        ("{\n1\n}", "{\n1\n}"),
        ("first\nsecond\n3\n", 3),
        ("plain text\nof two lines\n", "plain text\nof two lines"),
        ("NaN", "NaN"),
        ("", None),
    ],
)
async def test_the_result_is_stdout_or_its_last_line_where_that_is_json_else_text(
    stage: Stage, text: str, output: object
) -> None:
    played = await stage.run(writing(text), runtime="wasm")
    assert played.output == output
    lines = text.removesuffix("\n").split("\n") if text else []
    assert played.said == [("info", line) for line in lines]


async def test_stderr_is_the_log_as_it_comes(stage: Stage) -> None:
    played = stage.assign(writing("ready\nunfinished", 2, then="(loop $l (br $l))"), runtime="wasm")
    await stage.saying(played, "ready")
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.CANCELLED


async def test_a_module_may_be_wat_or_base64_or_a_binary_with_any_name(stage: Stage) -> None:
    assert await run(stage, f"\n ;; a comment\n{writing('1')}") == 1
    assert await run(stage, writing("2"), entrypoint="src/main.wat") == 2
    lines = base64.encodebytes(base64.b64decode(module_of("primes"))).decode()
    assert await run(stage, lines, input=b'{"limit": 10}') == {"count": 4, "largest": 7, "sum": 17}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "The source is neither WAT text nor a WebAssembly module in base64"),
        ("hello", "The source is neither"),
        (base64.b64encode(b"GIF89a").decode(), "The source is neither"),
        ("(module (nonsense))", "expected valid module field"),
        (base64.b64encode(b"\0asm\1\0\0\0\1").decode(), "failed to parse WebAssembly module"),
        (base64.b64encode(b"\0asm\x0d\0\1\0").decode(), ""),
        ('(module (import "env" "x" (func)) (func (export "_start")))', "unknown import: `env::x`"),
        ("(module)", "The module exports no function _start"),
        ('(module (memory (export "_start") 1))', "The module exports no function _start"),
    ],
)
async def test_what_is_no_command_module_is_a_load_error(stage: Stage, source: str, message: str) -> None:
    code, said = await failure(stage, source)
    assert code == "load_error"
    assert message in said


TRAPS = {
    "unreachable": ("unreachable", "wasm trap: wasm `unreachable` instruction executed"),
    "division": ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "wasm trap: integer divide by zero"),
    "memory": ("(drop (i32.load (i32.const -4)))", "wasm trap: out of bounds memory access"),
}


@pytest.mark.parametrize(("body", "message"), TRAPS.values(), ids=TRAPS)
async def test_a_trap_is_a_handler_error_with_the_trace(stage: Stage, body: str, message: str) -> None:
    source = (
        f'(module (memory (export "memory") 1) (func $inner {body}) (func (export "_start") (call $inner)))'
    )
    outcome = (await stage.run(source, runtime="wasm")).outcome
    assert (outcome.error_code, outcome.error_message) == ("handler_error", message)
    assert outcome.error_stack is not None
    assert "wasm backtrace" in outcome.error_stack
    assert "inner" in outcome.error_stack


async def test_recursion_without_end_is_a_trap_and_the_next_job_runs(stage: Stage) -> None:
    source = '(module (func $f (call $f)) (func (export "_start") (call $f)))'
    assert await failure(stage, source) == ("handler_error", "wasm trap: call stack exhausted")
    assert await failure(stage, source) == ("handler_error", "wasm trap: call stack exhausted")
    assert stage.pool.stats().booted == 1, "a trap does not cost the sandbox"


async def test_exit_statuses_end_as_they_say(stage: Stage) -> None:
    assert await run(stage, writing("1", then="(call $exit (i32.const 0))")) == 1
    said = await failure(stage, writing("it broke", 2, then="(call $exit (i32.const 7))"))
    assert said == ("handler_error", "The module exited with status 7: it broke")


async def test_a_job_sees_nothing_of_the_one_before_it(stage: Stage) -> None:
    count = """(i32.store (i32.const 1000) (i32.add (i32.load (i32.const 1000)) (i32.const 1)))
      (if (i32.gt_u (i32.load (i32.const 1000)) (i32.const 1)) (then unreachable))"""
    for _ in range(3):
        assert await run(stage, writing("1", before=count)) == 1
    assert stage.pool.stats().booted == 1


async def test_large_input_and_output_pass_and_too_large_output_does_not(stage: Stage) -> None:
    job = b'{"x": "' + b"x" * 1_000_000 + b'"}'
    assert await run(stage, ECHO, input=job) == {"x": "x" * 1_000_000}
    flood = writing("x" * 60_000, then="", before="").replace(
        "(drop (call $write", "(loop $l (drop (call $write", 1
    )
    flood = flood.replace("(i32.const 65000)))", "(i32.const 65000))) (br $l))", 1)
    assert (await failure(stage, flood, seconds=2.0))[0] == "timeout"
    once = "(local $n i32) (loop $l (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 65000)))"
    once += "(local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const 30))))"
    assert (await failure(stage, writing("x" * 60_000, before=once)))[0] == "output_too_large"


async def test_a_flood_of_log_lines_is_cut(stage: Stage) -> None:
    lines = "(local $n i32) (loop $l (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 65000)))"
    lines += "(local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const 20000))))"
    played = await stage.run(writing("a line\n", 2, before=lines), runtime="wasm")
    assert len(played.lines) == 10_003
    assert played.lines[-2].msg == "dropped 10001 lines"


async def test_a_module_cannot_have_more_memory_than_its_worker(stage: Stage) -> None:
    grow = "(loop $l (br_if $l (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))))"
    source = f'(module (memory (export "memory") 1) (func (export "_start") {grow} unreachable))'
    said = await failure(stage, source, memory_mb=64)
    assert said == ("out_of_memory", "The module needs more than its 64 MiB of memory")
    large = '(module (memory (export "memory") 2000) (func (export "_start")))'
    assert (await failure(stage, large, memory_mb=64))[0] == "out_of_memory"
    assert (await stage.run(large, runtime="wasm", memory_mb=128)).outcome.status is OutcomeStatus.COMPLETED


@pytest.mark.parametrize(
    "source",
    [
        '(module (table 2000000 funcref) (func (export "_start")))',
        '(module (memory 1) (memory 1) (func (export "_start")))',
    ],
)
async def test_tables_and_further_memories_are_limited_too(stage: Stage, source: str) -> None:
    assert (await failure(stage, source))[0] in {"load_error", "out_of_memory"}


async def test_a_loop_ends_by_the_executors_clock(stage: Stage) -> None:
    assert (await failure(stage, LOOP, seconds=0.5))[0] == "timeout"


async def test_a_cancel_stops_a_loop_inside_long_before_the_grace_period_ends(make_stage: MakeStage) -> None:
    stage = await make_stage(grace_seconds=60.0)
    for body in ("(loop $l (br $l))", SLEEP):
        source = writing("ready\n", 2, then=body).replace(EXIT, EXIT + POLL)
        played = stage.assign(source, runtime="wasm")
        await stage.saying(played, "ready")
        stage.pool.cancel(played.id)
        await stage.finish(played)
        assert played.outcome.status is OutcomeStatus.CANCELLED


POLL = f'(import {WASI} "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))'
SLEEP = """(memory.fill (i32.const 104) (i32.const 0) (i32.const 48))
  (i32.store (i32.const 120) (i32.const 1)) (i64.store (i32.const 128) (i64.const 3600000000000))
  (drop (call $poll (i32.const 104) (i32.const 200) (i32.const 1) (i32.const 300)))"""


async def test_fuel_ends_a_loop_where_the_operator_limits_it(make_stage: MakeStage) -> None:
    host = await asyncio.to_thread(probe_host, InterpreterPaths(wasm_fuel=1_000_000))
    stage = await make_stage(on=host)
    assert await failure(stage, LOOP) == ("handler_error", "The module used up its fuel of 1000000")
    assert await run(stage, writing("1")) == 1


PATHS = [
    "/etc/passwd",
    "etc/passwd",
    "../etc/passwd",
    "/proc/self/environ",
    "tmp/../../etc/passwd",
    "/harness",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_module_sees_no_file_but_those_of_its_own(stage: Stage, path: str) -> None:
    """path_open in each folder that is open answers an errno, never a file."""
    opening = f"""(import {WASI} "path_open" (func $open
      (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"""
    tries = "".join(
        f"""(if (i32.eqz (call $open (i32.const {fd}) (i32.const 1) (i32.const 500) (i32.const {len(path)})
          (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 600))) (then unreachable))"""
        for fd in range(3, 8)
    )
    source = writing("1", before=tries).replace(EXIT, EXIT + opening)
    source = source.replace("(func (export", f'(data (i32.const 500) "{path}") (func (export', 1)
    assert await run(stage, source) == 1


def code_of(**changes: object) -> WorkerCode:
    code = WorkerCode(
        key="k",
        tenant_id="ten_a",
        worker_id="wkr",
        version=1,
        runtime="wasm",
        entrypoint="main.wasm",
        source=b"source",
        memory_mb=64,
        network="none",
    )
    return msgspec.structs.replace(code, **changes)


def cache_in(folder: Path, limit_bytes: int = 1000, stamp: str = "50") -> ModuleCache:
    return ModuleCache(folder, limit_bytes=limit_bytes, stamp=stamp)


async def keep(cache: ModuleCache, code: WorkerCode, content: bytes, seals: int = SEALS) -> None:
    """Do what a sandbox does that has compiled a module."""
    artefact = cache.open(code)
    assert not artefact.compiled
    os.write(artefact.fd, content)
    if seals:
        fcntl.fcntl(artefact.fd, fcntl.F_ADD_SEALS, seals)
    artefact.store()
    await cache.stored()


def content_of(cache: ModuleCache, code: WorkerCode) -> bytes | None:
    """What a sandbox would be given; it must not be able to change it."""
    artefact = cache.open(code)
    try:
        if not artefact.compiled:
            return None
        with pytest.raises(PermissionError):
            os.pwrite(artefact.fd, b"x", 0)
        return os.pread(artefact.fd, 10_000, 0)
    finally:
        artefact.close()
        artefact.close()


async def test_what_was_compiled_comes_back_to_the_same_tenant_and_module_only(tmp_path: Path) -> None:
    cache = cache_in(tmp_path / "modules")
    await keep(cache, code_of(), b"compiled")
    assert content_of(cache, code_of()) == b"compiled"
    assert content_of(cache, code_of(worker_id="wkr_other", version=9, memory_mb=512)) == b"compiled"
    for other in (code_of(tenant_id="ten_b"), code_of(source=b"other"), code_of(bundle="/b")):
        assert content_of(cache, other) is None
    assert content_of(cache_in(tmp_path / "modules", stamp="51"), code_of()) is None


async def test_a_bundles_module_is_known_by_its_version(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    await keep(cache, code_of(bundle="/b", source=b""), b"compiled")
    assert content_of(cache, code_of(bundle="/elsewhere", source=b"")) == b"compiled"
    assert content_of(cache, code_of(bundle="/b", source=b"", version=2)) is None


@pytest.mark.parametrize(
    "seals", [0, fcntl.F_SEAL_WRITE, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK, SEALS & ~fcntl.F_SEAL_SEAL]
)
async def test_what_could_still_be_changed_is_not_kept(tmp_path: Path, seals: int) -> None:
    cache = cache_in(tmp_path)
    await keep(cache, code_of(), b"compiled", seals)
    assert content_of(cache, code_of()) is None
    await keep(cache, code_of(), b"")
    assert content_of(cache, code_of()) is None


async def test_a_file_that_others_may_have_written_is_not_used(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    await keep(cache, code_of(), b"compiled")
    cache.close()
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o620)
    assert content_of(cache, code_of()) is None
    file.chmod(0o600)
    assert content_of(cache_in(tmp_path), code_of()) == b"compiled"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert content_of(cache, code_of()) is None


async def test_the_folder_is_bounded_and_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, limit_bytes=1000)
    codes = [code_of(source=bytes([n])) for n in range(4)]
    for n, code in enumerate(codes[:3]):
        await keep(cache, code, b"x" * 300)
        [newest] = [path for path in tmp_path.iterdir() if path.stat().st_mtime > 10_000]
        os.utime(newest, (n, n))
    assert content_of(cache, codes[0]) is not None, "and was used just now"
    await keep(cache, codes[3], b"x" * 300)
    cache.close()
    assert [content_of(cache, code) is not None for code in codes] == [True, False, True, True]


def count_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_what_is_held_in_memory_is_bounded_and_let_go(tmp_path: Path) -> None:
    before = count_files()
    cache = cache_in(tmp_path)
    for n in range(2 * WARM_MODULES):
        await keep(cache, code_of(source=bytes([n])), b"x")
    assert count_files() - before == WARM_MODULES
    for path in tmp_path.iterdir():
        path.unlink()
    held = [content_of(cache, code_of(source=bytes([n]))) is not None for n in range(2 * WARM_MODULES)]
    assert held == [False] * WARM_MODULES + [True] * WARM_MODULES
    cache.close()
    assert count_files() == before


async def test_a_module_is_compiled_once_and_a_broken_file_again(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    folder = tmp_path / "modules"
    source = module_of("words")

    async def output() -> tuple[object, float]:
        stage = await make_stage(module_folder=folder)
        played = await stage.run(source, runtime="wasm", input=b'{"text": "a"}')
        await stage.eventually(lambda: any(folder.glob("*.module")))
        began, ended = played.outcome.started_at, played.outcome.ended_at
        assert began is not None
        assert ended is not None
        return played.output, (ended - began).total_seconds()

    first, compiling = await output()
    again, loading = await output()
    assert first == again == {"different": 1, "top": [["a", 1]]}
    assert loading < compiling / 4
    [file] = folder.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert (await output())[0] == first


def _in_stock(stage: Stage) -> bool:
    """Return whether one is pre-booted, and no other one's end still holds a slot of the tenant."""
    return stage.pool.stats().sandboxes["wasm"] == {"blank": 1}


async def test_a_module_that_is_sent_ahead_is_loaded_once_and_a_broken_file_is_compiled(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    folder = tmp_path / "modules"
    source = module_of("words")
    for _ in range(2):  # first with the kept module, then with one that no wasmtime takes
        stage = await make_stage(module_folder=folder, prebooted={"wasm": 1})
        code = stage.code(source, runtime="wasm")
        await stage.run("(module)", runtime="wasm", worker="first")  # from now on one is in stock
        await stage.eventually(partial(_in_stock, stage))
        stage.pool.preload(code)
        assert stage.pool.stats().sandboxes["wasm"].get("idle") == 1
        for _ in range(2):
            played = stage.assign_code(code, input=b'{"text": "a"}')
            await stage.finish(played)
            assert played.output == {"different": 1, "top": [["a", 1]]}
        await stage.eventually(lambda: any(folder.glob("*.module")))
        for file in folder.glob("*.module"):  # another may be on its way beside them
            file.write_bytes(file.read_bytes()[:1000])


async def test_a_sandbox_that_forges_a_compiled_module_is_thrown_away(
    make_stage: MakeStage, host: Host
) -> None:
    """A frame that nobody asked for breaks the protocol: here from a python worker."""
    source = "import os, struct\ndef handler(input, env):\n"
    source += "    os.write(3, struct.pack('<BBHIQ', 22, 0, 0, 0, input['token']))\n    return 1\n"
    stage = await make_stage(on=host)
    probe = await stage.run("def handler(input, env): return 1")
    played = await stage.run(source, input=b'{"token": %d}' % (probe.id + 1))
    assert played.outcome.error_message.startswith("The worker broke the protocol: it compiled what")
