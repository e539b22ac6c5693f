"""Code of a bundle finds its files, its dependencies and its tools, and so do its children."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runwright.sandbox.account_files import bundle_group
from tests.integration.conftest import JobRecord, Stage

# Bundles


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose insides other users may see, as the cache of an executor is one."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-compatible-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def write(folder: Path, files: dict[str, str], *, group: int | None = None) -> str:
    """Write files as an executor unpacks them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o775 if text.startswith("#!") else 0o664)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o775)
        if group is not None:
            os.chown(path, -1, group)
    return str(folder)


async def run_bundle(
    stage: Stage, runtime: str, place: Path, files: dict[str, str], layer: dict[str, str] | None = None
) -> JobRecord:
    bundle = write(place / "bundle", files, group=bundle_group())
    code = msgspec.structs.replace(
        stage.code("", runtime=runtime, entrypoint=next(iter(files))),
        bundle=bundle,
        layer=write(place / "layer", {**layer, "code/.keep": ""}) if layer else None,
    )
    played = stage.assign_code(code)
    await stage.finish(played)
    return played


MARK = "\ufeff"
BESIDE = {
    "python": (
        "main.py",
        (
            "import os\ndef handler(input, env):\n    open('new.txt', 'a').write('x')\n    open('sub/t.txt', 'a').write('!')\n"
            "    return [os.getcwd(), open('sub/t.txt').read(), open('new.txt').read()]\n"
        ),
    ),
    "nodejs": (
        "index.js",
        (
            "const fs = require('fs')\nmodule.exports = () => { fs.appendFileSync('new.txt', 'x'); fs.appendFileSync('sub/t.txt', '!');"
            " return [process.cwd(), fs.readFileSync('./sub/t.txt', 'utf8'), fs.readFileSync('new.txt', 'utf8')] }"
        ),
    ),
    "deno": (
        "main.ts",
        (
            "export default () => { Deno.writeTextFileSync('new.txt', 'x', { append: true });"
            " Deno.writeTextFileSync('sub/t.txt', '!', { append: true });"
            " return [Deno.cwd(), Deno.readTextFileSync('./sub/t.txt'), Deno.readTextFileSync('new.txt')] }"
        ),
    ),
    "shell": (
        "main.sh",
        'printf x >> new.txt; printf ! >> sub/t.txt; echo "[\\"$PWD\\",\\"$(cat sub/t.txt)\\",\\"$(cat new.txt)\\"]"',
    ),
}


@pytest.mark.parametrize("runtime", BESIDE)
async def test_code_runs_in_its_own_folder_and_what_it_writes_there_vanishes(
    stage: Stage, place: Path, runtime: str
) -> None:
    name, source = BESIDE[runtime]
    played = await run_bundle(stage, runtime, place, {name: source, "sub/t.txt": "beside"})
    assert played.output == ["/app/code", "beside!", "x"], played.outcome
    assert (place / "bundle/sub/t.txt").read_text() == "beside"
    assert not (place / "bundle/new.txt").exists()


async def test_children_of_python_see_bundle_and_dependencies(stage: Stage, place: Path) -> None:
    source = """
import subprocess, sys, multiprocessing, helper
def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
def handler(input, env):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.map(helper.double, [2])
    return [run(sys.executable, "-m", "tool"), run("python", "-c", "import dependency; print(dependency.NAME)"),
            run("greet"), run("console"), spawned, sys.modules["with_pth"].NAME]
"""
    files = {
        "main.py": source,
        "tool.py": "print('tool runs')\n",
        "helper.py": "def double(n):\n    return 2 * n\n",
        "bin/greet": "#!/usr/bin/env python3\nimport helper\nprint(helper.double(21))\n",
    }
    layer = {
        "python/dependency.py": "NAME = 'dependency'\n",
        "python/elsewhere/with_pth.py": "NAME = 'by a .pth file'\n",
        "python/extra.pth": "elsewhere\nimport with_pth\n",
        "python/bin/console": "#!/usr/bin/env python3\nimport dependency\nprint('console of', dependency.NAME)\n",
    }
    played = await run_bundle(stage, "python", place, files, layer)
    assert played.output == ["tool runs", "dependency", "42", "console of dependency", [4], "by a .pth file"]


async def test_children_of_node_find_its_tools_and_node(stage: Stage, place: Path) -> None:
    files = {
        "index.js": "const run = (c) => require('child_process').execSync(c).toString().trim()\n"
        "module.exports = () => [run('tool'), run('installed'), run('node --version') === process.version]",
        "node_modules/.bin/tool": "#!/usr/bin/env node\nconsole.log('own tool')\n",
    }
    layer = {"node_modules/.bin/installed": "#!/usr/bin/env node\nconsole.log('installed tool')\n"}
    played = await run_bundle(stage, "nodejs", place, files, layer)
    assert played.output == ["own tool", "installed tool", True]


async def test_a_package_json_may_begin_with_a_byte_order_mark(stage: Stage, place: Path) -> None:
    files = {
        "index.js": f"{MARK}#!/usr/bin/env node\nimport {{ name }} from './lib/x.js'\nexport default () => name",
        "lib/x.js": "export const name = 'module'",
        "package.json": MARK + '{"type": "module"}',
    }
    assert (await run_bundle(stage, "nodejs", place, files)).output == "module"
