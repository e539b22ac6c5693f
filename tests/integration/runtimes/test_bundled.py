"""Code in folders: mounted below a layer that takes what is written, loaded where it is, held while a sandbox lives."""

import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runwright.core.job_state import ErrorCode
from runwright.runtimes.host import Host, Isolation
from runwright.runtimes.model import OutcomeStatus, WorkerCode
from tests.integration.conftest import JobRecord, MakeStage, Stage

_keys = itertools.count(1)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose insides other users may see, as the cache of an executor is one."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-bundled-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    return folder


def make_code(runtime: str, entrypoint: str) -> WorkerCode:
    return WorkerCode(
        key=f"key-{next(_keys)}",
        tenant_id="ten",
        worker_id="wkr",
        version=1,
        runtime=runtime,
        entrypoint=entrypoint,
        source=b"",
        memory_mb=256,
        network="none",
    )


async def run(
    stage: Stage,
    runtime: str,
    entrypoint: str,
    bundle: Path,
    *,
    layer: Path | None = None,
    input: bytes = b"{}",
) -> JobRecord:
    """Run one job of a worker whose code is in a folder."""
    code = msgspec.structs.replace(
        make_code(runtime, entrypoint), bundle=str(bundle), layer=str(layer) if layer else None
    )
    played = stage.assign_code(code, input=input)
    await stage.finish(played)
    return played


PACKAGE = {
    "app/__init__.py": "NAME = 'app'\n",
    "app/main.py": (
        "import os, pathlib\n"
        "from . import NAME\n"
        "from .inner.rates import rate\n"
        "import shared, helper\n"
        "def handler(input, env):\n"
        "    data = pathlib.Path(__file__).with_name('data.txt').read_text()\n"
        "    return [NAME, rate(2), shared.WORD, helper.HELP, data, __file__, os.getcwd(), __name__]\n"
    ),
    "app/inner/rates.py": "from ..helper import FACTOR\ndef rate(n):\n    return n * FACTOR\n",
    "app/helper.py": "FACTOR = 21\nHELP = 'sibling'\n",
    "app/data.txt": "some data",
    "shared.py": "WORD = 'top'\n",
}


async def test_a_python_package_imports_its_own_and_reads_its_data(stage: Stage, place: Path) -> None:
    played = await run(stage, "python", "app/main.py", write(place, PACKAGE))
    assert played.output == [
        *("app", 42, "top", "sibling", "some data"),
        *("/app/code/app/main.py", "/app/code", "app.main"),
    ]


async def test_a_python_script_without_a_package_finds_its_siblings(stage: Stage, place: Path) -> None:
    files = {
        "main.py": "import json, helper\ndef handler(input, env):\n    return helper.N\n",
        "helper.py": "N = 7\n",
    }
    assert (await run(stage, "python", "main.py", write(place, files))).output == 7


async def test_a_folder_named_like_a_module_is_no_package_and_still_runs(stage: Stage, place: Path) -> None:
    files = {
        "json/main.py": "import other\ndef handler(input, env):\n    return other.N\n",
        "json/other.py": "N = 8\n",
    }
    assert (await run(stage, "python", "json/main.py", write(place, files))).output == 8


async def test_an_import_that_fails_says_which(stage: Stage, place: Path) -> None:
    files = {
        "app/__init__.py": "import nowhere_to_be_found\n",
        "app/main.py": "def handler(input, env): pass\n",
    }
    outcome = (await run(stage, "python", "app/main.py", write(place, files))).outcome
    assert outcome.error_code == ErrorCode.LOAD_ERROR
    assert "nowhere_to_be_found" in outcome.error_message


async def test_python_dependencies_come_from_the_layer_and_the_bundle_wins(stage: Stage, place: Path) -> None:
    bundle = write(
        place / "b",
        {
            "main.py": "import dep, both\ndef handler(input, env):\n    return [dep.N, both.N]\n",
            "both.py": "N = 1\n",
        },
    )
    layer = write(place / "l", {"python/dep.py": "N = 5\n", "python/both.py": "N = 2\n"})
    (layer / "code").mkdir()
    assert (await run(stage, "python", "main.py", bundle, layer=layer)).output == [5, 1]


NODE = {
    "package.json": '{"name": "x"}',
    "index.js": (
        "const { twice } = require('./lib/twice')\n"
        "const dep = require('dep')\n"
        "module.exports = async () => [twice(21), dep, __filename, process.cwd(), require.main === module]\n"
    ),
    "lib/twice.js": "exports.twice = (n) => 2 * n\n",
    "esm/package.json": '{"type": "module"}',
    "esm/index.js": (
        "import { readFileSync } from 'node:fs'\n"
        "import { thrice } from './thrice.js'\n"
        "import dep from 'dep'\n"
        "export default async () => [thrice(14), dep, readFileSync(new URL('data.txt', import.meta.url), 'utf8')]\n"
    ),
    "esm/thrice.js": "export const thrice = (n) => 3 * n\n",
    "esm/data.txt": "data",
    "mixed.mjs": "import { twice } from './lib/twice.js'\nexport default () => twice(5)\n",
    "typeless.js": "import fs from 'node:fs'\nexport default () => 1\n",
    "node_modules/dep/index.js": "module.exports = 'vendored'\n",
}


@pytest.mark.parametrize(
    ("entrypoint", "output"),
    [
        ("index.js", [42, "vendored", "/app/code/index.js", "/app/code", True]),
        ("esm/index.js", [42, "vendored", "data"]),
        ("mixed.mjs", 10),
    ],
)
async def test_a_node_project_of_either_kind_finds_its_modules(
    stage: Stage, place: Path, entrypoint: str, output: object
) -> None:
    assert (await run(stage, "nodejs", entrypoint, write(place, NODE))).output == output


async def test_a_node_module_of_no_stated_kind_is_refused_with_the_remedy(stage: Stage, place: Path) -> None:
    outcome = (await run(stage, "nodejs", "typeless.js", write(place, NODE))).outcome
    assert outcome.error_code == ErrorCode.LOAD_ERROR
    assert '"type": "module"' in outcome.error_message


async def test_node_dependencies_come_from_the_layer(stage: Stage, place: Path) -> None:
    files = {name: text for name, text in NODE.items() if "node_modules" not in name}
    layer = write(place / "l", {"node_modules/dep/index.js": "module.exports = 'layer'\n"})
    (layer / "code").mkdir()
    for entrypoint in ("index.js", "esm/index.js"):
        played = await run(stage, "nodejs", entrypoint, write(place / "b", files), layer=layer)
        assert isinstance(played.output, list)
        assert played.output[1] == "layer"


SHELL = {
    "main.sh": 'here=$(dirname "$0")\n. "$here/lib/say.sh"\n"$here/bin/count.sh" "$(say)" > "$AVA_OUTPUT"\n',
    "lib/say.sh": "say() { echo four; }\n",
    "bin/count.sh": '#!/bin/sh\nprintf \'{"word": "%s", "from": "%s", "cwd": "%s"}\' "$1" "$0" "$PWD"\n',
}


async def test_a_shell_project_calls_its_own_scripts(stage: Stage, place: Path) -> None:
    played = await run(stage, "shell", "main.sh", write(place, SHELL))
    assert played.output == {"word": "four", "from": "/app/code/bin/count.sh", "cwd": "/app/code"}


DENO = {
    "src/main.ts": (
        "import { rate } from './inner/rates.ts'\n"
        "import data from '../data.json' with { type: 'json' }\n"
        "const text = await Deno.readTextFile(new URL('../text.txt', import.meta.url))\n"
        "export default () => [rate(2), data.word, text, import.meta.url, Deno.cwd()]\n"
    ),
    "src/inner/rates.ts": "export const rate = (n: number): number => n * 21\n",
    "data.json": '{"word": "json"}',
    "text.txt": "some data",
}


async def test_a_deno_project_imports_its_own_and_reads_its_data(stage: Stage, place: Path) -> None:
    played = await run(stage, "deno", "src/main.ts", write(place, DENO))
    assert played.output == [42, "json", "some data", "file:///app/code/src/main.ts", "/app/code"]


async def test_a_deno_project_finds_packages_in_node_modules_of_the_layer(stage: Stage, place: Path) -> None:
    layer = write(
        place / "layer",
        {
            "node_modules/five/package.json": '{"name": "five", "version": "1.0.0", "main": "index.cjs"}',
            "node_modules/five/index.cjs": "module.exports = 5\n",
        },
    )
    (layer / "code").mkdir()
    source = "import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)\n"
    bundle = write(place / "bundle", {"main.ts": source + "export default () => require('five')\n"})
    assert (await run(stage, "deno", "main.ts", bundle, layer=layer)).output == 5


DATA_READER = """(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 100) "data.json") (data (i32.const 0) "\\c8\\00\\00\\00\\c8\\00\\00\\00")
  (func (export "_start")
    (if (call $open (i32.const 4) (i32.const 0) (i32.const 100) (i32.const 9) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 16))
      (then unreachable))
    (if (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 4)) (then unreachable))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (if (i32.eqz (call $open (i32.const 4) (i32.const 0) (i32.const 100) (i32.const 9) (i32.const 1) (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 16)))
      (then unreachable))))"""


async def test_a_module_in_a_bundle_reads_its_data_and_cannot_change_it(stage: Stage, place: Path) -> None:
    files = {"src/main.wat": DATA_READER, "data.json": '{"some": "data"}'}
    assert (await run(stage, "wasm", "src/main.wat", write(place, files))).output == {"some": "data"}


async def test_a_bundles_module_comes_from_the_cache_the_second_time(
    make_stage: MakeStage, place: Path
) -> None:
    """The version says what it is: the file itself is not read again."""
    files = {"main.wat": '(module (func (export "_start") unreachable))'}
    for _ in range(2):
        stage = await make_stage(module_folder=place / "modules")
        outcome = (await run(stage, "wasm", "main.wat", write(place / "bundle", files))).outcome
        assert outcome.error_message == "wasm trap: wasm `unreachable` instruction executed"
        await stage.eventually(lambda: any((place / "modules").glob("*.module")))
        files = {"main.wat": "(module"}


@pytest.mark.parametrize(
    ("runtime", "entrypoint"),
    [("python", "a.py"), ("nodejs", "a.js"), ("shell", "a.sh"), ("deno", "a.ts"), ("wasm", "a.wasm")],
)
async def test_an_entrypoint_that_is_a_link_or_missing_does_not_load(
    stage: Stage, place: Path, runtime: str, entrypoint: str
) -> None:
    """Whatever the host's folder has become: nothing outside of the bundle is run as its code."""
    (place / entrypoint).symlink_to("/etc/passwd")
    for bundle in (place, write(place / "empty", {"other": ""})):
        outcome = (await run(stage, runtime, entrypoint, bundle)).outcome
        assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, ErrorCode.LOAD_ERROR)
        assert "has no file" in outcome.error_message


async def test_what_is_written_into_the_mounted_folders_never_reaches_the_host(
    stage: Stage, place: Path
) -> None:
    source = (
        "import os\n"
        "def attempt(path):\n"
        "    try:\n"
        "        open(path, 'w').close()\n"
        "    except OSError as error:\n"
        "        return error.errno\n"
        "def handler(input, env):\n"
        "    paths = ['/app/code/main.py', '/app/code/new', '/app/new', '/app/code/../x']\n"
        "    return [attempt(path) for path in paths]\n"
    )
    write(place, {"main.py": source}).chmod(0o777)
    played = await run(stage, "python", "main.py", place)
    assert isinstance(played.output, list)
    changed, new, *outside = played.output
    assert changed, "it belongs to another user"
    assert new is None
    assert all(outside), outside
    again = await run(stage, "python", "main.py", place)
    assert again.output == played.output, "a sandbox of another worker has a layer of its own"
    assert [path.name for path in place.iterdir()] == ["main.py"]


async def test_code_in_folders_gets_a_sandbox_of_its_own_and_leaves_the_stock(
    make_stage: MakeStage, place: Path
) -> None:
    stage = await make_stage(prebooted={"shell": 1})
    blank = {"shell": {"blank": 1}}
    await stage.eventually(lambda: stage.pool.stats().sandboxes == blank)
    played = await run(stage, "shell", "main.sh", write(place, {"main.sh": "echo 5\n"}))
    assert played.output == 5
    assert stage.pool.stats().sandboxes == {"shell": {"blank": 1, "idle": 1}}


async def test_a_sandbox_sees_no_other_bundle(stage: Stage, place: Path) -> None:
    source = "import os\ndef handler(input, env):\n    return [sorted(os.listdir('/app')), os.listdir('/app/code')]\n"
    write(place / "theirs", {"secret": "x"})
    played = await run(stage, "python", "main.py", write(place / "ours", {"main.py": source}))
    assert played.output == [["code"], ["main.py"]]


async def test_a_folder_is_held_while_its_sandbox_lives(make_stage: MakeStage, place: Path) -> None:
    stage = await make_stage()
    bundle = write(place, {"main.sh": "echo 1\n"})
    await run(stage, "shell", "main.sh", bundle)
    fd = os.open(bundle, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    await stage.pool.stop()
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


async def test_a_job_whose_folder_has_gone_goes_back_unstarted(stage: Stage, place: Path) -> None:
    played = await run(stage, "shell", "main.sh", place / "removed")
    assert played.outcome.status is OutcomeStatus.UNSTARTED


async def test_a_folder_about_to_be_removed_starts_nothing_until_it_is_free(
    stage: Stage, place: Path
) -> None:
    bundle = write(place, {"main.sh": "echo 1\n"})
    fd = os.open(bundle, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    played = stage.assign_code(msgspec.structs.replace(make_code("shell", "main.sh"), bundle=str(bundle)))
    assert stage.pool.stats().waiting == 1
    os.close(fd)
    await stage.finish(played)
    assert played.output == 1


@pytest.mark.parametrize(
    ("runtime", "entrypoint"),
    [
        ("python", "main.py"),
        ("nodejs", "index.js"),
        ("shell", "main.sh"),
        ("deno", "main.ts"),
        ("wasm", "main.wat"),
    ],
)
async def test_without_bubblewrap_the_hosts_own_folder_is_loaded(
    make_stage: MakeStage, host: Host, place: Path, runtime: str, entrypoint: str
) -> None:
    bare = msgspec.structs.replace(host, bwrap=None, isolation=Isolation.PROCESS)
    stage = await make_stage(bare)
    sources = {
        "main.py": "import other\ndef handler(input, env):\n    return other.N\n",
        "other.py": "N = 3\n",
        "index.js": "module.exports = () => require('./other.js')\n",
        "other.js": "module.exports = 3\n",
        "main.sh": '. "$(dirname "$0")/other.sh"\n',
        "other.sh": "echo 3\n",
        "main.ts": "import three from './other.ts'\nexport default () => three\n",
        "other.ts": "export default 3 as number\n",
        "main.wat": DATA_READER,
        "data.json": "3",
    }
    assert (await run(stage, runtime, entrypoint, write(place, sources))).output == 3


async def test_a_coroutine_runs_whatever_the_modules_of_its_bundle_are_called(
    stage: Stage, place: Path
) -> None:
    """asyncio is imported when the handler turns out to be a coroutine, and not from the bundle."""
    files = {f"{name}.py": "raise ImportError" for name in ("asyncio", "selectors", "subprocess", "ssl")}
    handler = "async def handler(input, env):\n    return 5\n"
    played = await run(stage, "python", "main.py", write(place / "bundle", files | {"main.py": handler}))
    assert (played.output, played.outcome.error_message) == (5, "")
