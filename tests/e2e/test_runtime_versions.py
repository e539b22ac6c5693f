"""Versions of Node and Deno that the operator's setting names are installed, and workers run on them.

The tests of dependencies say where they are skipped.
"""

from uuid import uuid4

import pytest
from tests.contract.client import Api, RawClient, data_of
from tests.contract.conftest import BOOTED_WHEN_NEEDED, PLATFORM_KEY, serving
from tests.e2e.test_dependencies import registries

__all__ = ["registries"]

SETTINGS = {**BOOTED_WHEN_NEEDED, "RUNWRIGHT_RUNTIME_VERSIONS": "nodejs@22,nodejs@24,deno@1,nodejs@99"}
MAIN = {
    "nodejs": "module.exports = async (input) => { console.log('on', process.version);"
    " return process.versions.node.split('.')[0] }",
    "deno": "export default async (input) => { console.log('on', Deno.version.deno);"
    " await new Promise((r) => setTimeout(r, 1)); return Deno.version.deno.split('.')[0] }",
}


@pytest.mark.registry
@pytest.mark.usefixtures("registries")
def test_workers_run_on_the_versions_that_the_operator_has_named() -> None:
    with serving(SETTINGS) as server, RawClient(server.url) as http:
        api = Api(http, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")
        runtimes = {one["name"]: one["versions"] for one in data_of(api.get("/runtimes"))}
        lines = [(name, one["runtime_version"]) for name in MAIN for one in runtimes[name]]
        assert lines == [("nodejs", "20"), ("nodejs", "22"), ("nodejs", "24"), ("deno", "1"), ("deno", "2")]
        for runtime, line in [(runtime, line) for runtime, line in lines if line != "20"]:
            worker = api.make_worker(runtime=runtime, source_code=MAIN[runtime], runtime_version=line)
            for _ in range(2):
                job = api.run_job(worker["id"])
                assert (job["status"], job["output"]) == ("completed", line), job
        assert "runtime_version_missing" in (server.data_dir / "server.log").read_text()
