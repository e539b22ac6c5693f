"""Bundles with real dependencies from the real registries run on a real server, in every runtime.

Where a registry cannot be reached from here the tests say so and are skipped, except in CI.
"""

import os
import socket
import time
from pathlib import Path

import pytest
from tests.contract.bundles import Files, deploy
from tests.contract.client import Api, Json, data_of, error_of

from runwright.builds.errors import RegistryError
from runwright.builds.package_managers import DependencySources, PackageManagers
from runwright.runtimes.interpreters import InterpreterPaths
from runwright.runtimes.probe import probe_host

SECONDS = 120
WASM = Path(__file__).parent / "wasm" / "statistics.wasm"

INVOICE: Files = {
    "requirements.txt": "jinja2==3.1.6  # brings markupsafe along\n-r requirements/data.txt\n",
    "requirements/data.txt": "pyyaml==6.0.3\n",
    "main.py": (
        "import yaml\n"
        "from jinja2 import Environment, FileSystemLoader\n"
        "from pathlib import Path\n"
        "from invoice.totals import totals\n"
        "HERE = Path(__file__).parent\n"
        "PAGES = Environment(loader=FileSystemLoader(HERE / 'templates'), autoescape=True)\n"
        "async def handler(input, env):\n"
        "    order = yaml.safe_load(input['order'])\n"
        "    return PAGES.get_template('invoice.html').render(order=order, **totals(order['lines']))\n"
    ),
    "invoice/__init__.py": "",
    "invoice/totals.py": (
        "def totals(lines):\n"
        "    net = sum(line['price'] * line['count'] for line in lines)\n"
        "    return {'net': net, 'gross': round(net * 1.19, 2)}\n"
    ),
    "templates/invoice.html": "<h1>{{ order.name }}</h1>{% for l in order.lines %}<i>{{ l.count }}</i>{% endfor %}<b>{{ gross }}</b>",
}
RECURRENCE: Files = {
    "main.py": (
        "# /// script\n"
        '# requires-python = ">=3.11"\n'
        "# dependencies = [\n"
        '#   "python-dateutil==2.9.0.post0",\n'
        "# ]\n"
        "# ///\n"
        "from dateutil.parser import isoparse\n"
        "from dateutil.rrule import rrulestr\n"
        "def handler(input, env):\n"
        "    days = rrulestr(input['rule'], dtstart=isoparse(input['from']))\n"
        "    return [day.date().isoformat() for day in days[:3]]\n"
    ),
}
RELEASES: Files = {
    "package.json": (
        '{"name": "releases", "version": "1.0.0", "type": "module",'
        ' "scripts": {"postinstall": "touch /app/code/ran"},'
        ' "dependencies": {"nanoid": "5.0.7", "semver": "7.6.3"}, "devDependencies": {}}'
    ),
    "package-lock.json": """{
      "name": "releases", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
      "packages": {
        "": {"name": "releases", "version": "1.0.0", "dependencies": {"nanoid": "5.0.7", "semver": "7.6.3"}},
        "node_modules/nanoid": {
          "version": "5.0.7",
          "integrity": "sha512-oLxFY2gd2IqnjcYyOXD8XGCftpGtZP2AbHbOkthDkvRywH5ayNtPVy9YlOPcHckXzbLTCHpkb7FB+yuxKV13pQ==",
          "bin": {"nanoid": "bin/nanoid.js"}
        },
        "node_modules/semver": {
          "version": "7.6.3",
          "integrity": "sha512-oVekP1cKtI+CTDvHWYFUcMtsK/00wmAEfyqKfNdARm8u1wNVhSgaX7A8d4UuIlUI5e84iEwOhs7ZPYRmzU9U6A==",
          "bin": {"semver": "bin/semver.js"}
        }
      }
    }""",
    "index.js": (
        "import { customAlphabet } from 'nanoid'\n"
        "import { newest } from './lib/newest.cjs'\n"
        "const name = customAlphabet('abc', 8)\n"
        "export default async ({ input }) => ({ newest: newest(input.tags, input.range), id: name() })\n"
    ),
    "lib/newest.cjs": (
        "const semver = require('semver')\n"
        "exports.newest = (tags, range) => semver.maxSatisfying(tags.map((t) => semver.clean(t)), range)\n"
    ),
}
ORDERS: Files = {
    "deno.json": '{"imports": {"zod": "npm:zod@3.23.8", "~/": "./lib/"}}',
    "deno.lock": """{
      "version": "5",
      "specifiers": {"npm:zod@3.23.8": "3.23.8"},
      "npm": {
        "zod@3.23.8": {
          "integrity": "sha512-XBx9AXhXktjUqnepgTiE5flcKIYWi/rme0Eaj+5Y0lftuGBq+jyRu/md4WnuxqgP1ubdpNCsYEYPxrzVHD8d6g=="
        }
      },
      "workspace": {"dependencies": ["npm:zod@3.23.8"]}
    }""",
    "main.ts": (
        "import { Order, type Checked } from '~/order.ts'\n"
        "interface Call { input: unknown; env: Record<string, string> }\n"
        "export default async ({ input }: Call): Promise<Checked> => {\n"
        "  const found = Order.safeParse(input)\n"
        "  if (!found.success) return { ok: false, paths: found.error.issues.map((i) => i.path.join('.')) }\n"
        "  return { ok: true, total: found.data.lines.reduce((sum: number, l) => sum + l.price * l.count, 0) }\n"
        "}\n"
    ),
    "lib/order.ts": (
        "import { z } from 'zod'\n"
        "const Line = z.object({ price: z.number().positive(), count: z.number().int() })\n"
        "export const Order = z.object({ name: z.string(), lines: z.array(Line).min(1) })\n"
        "export type Checked = { ok: true; total: number } | { ok: false; paths: string[] }\n"
    ),
}
VENDORED: Files = {
    "main.sh": 'here=$(cd "$(dirname "$0")" && pwd)\n"$here/vendor/count" > "$AVA_OUTPUT"\n',
    "vendor/count": '#!/bin/sh\nwords=$(tr -cd " " | wc -c)\nprintf \'{"spaces": %d}\' "$words"\n',
}


@pytest.fixture(scope="session")
def registries() -> None:
    """Skip tests that use the registries where these cannot be reached."""
    package_managers = PackageManagers(probe_host(InterpreterPaths()), DependencySources())
    try:
        for runtime in ("python", "nodejs"):
            for host in package_managers.find(runtime).registry.hosts:
                socket.create_connection((host.name, host.port), 20).close()
    except (OSError, RegistryError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"a package registry cannot be reached from here: {error}")


def built(api: Api, worker_id: str, files: Files, **query: str) -> Json:
    """Deploy files with dependencies and return the version when it is no longer being built."""
    version = deploy(api, worker_id, files, **query)
    assert (version["status"], version["active"]) == ("building", False)
    end = time.monotonic() + SECONDS
    while version["status"] == "building":
        assert time.monotonic() < end, version
        time.sleep(0.1)
        version = data_of(api.get(f"/workers/{worker_id}/versions/{version['version']}"))
    return version


def log_of(api: Api, version: Json) -> str:
    found = data_of(api.get(f"/workers/{version['worker_id']}/versions/{version['version']}/log"))
    assert found.keys() == {"worker_id", "version", "status", "log"}
    assert found["status"] == version["status"]
    return str(found["log"])


@pytest.mark.registry
@pytest.mark.usefixtures("registries")
def test_python_requirements_are_installed_and_imported(api: Api) -> None:
    worker = api.make_worker()
    version = built(api, worker["id"], INVOICE)
    assert (version["status"], version["active"], version["error"]) == ("ready", True, None)
    order = "name: Smith & Sons\nlines: [{price: 10.0, count: 2}, {price: 5.0, count: 1}]\n"
    job = api.run_job(worker["id"], input={"order": order})
    assert job["output"] == "<h1>Smith &amp; Sons</h1><i>2</i><i>1</i><b>29.75</b>", job
    assert job["worker_version"] == 2
    log = log_of(api, version)
    assert "+ jinja2==3.1.6" in log
    assert "+ markupsafe==" in log


@pytest.mark.registry
@pytest.mark.usefixtures("registries")
def test_the_header_of_a_script_is_installed(api: Api) -> None:
    worker = api.make_worker()
    assert built(api, worker["id"], RECURRENCE)["status"] == "ready"
    job = api.run_job(worker["id"], input={"rule": "FREQ=MONTHLY;BYDAY=-1FR", "from": "2024-01-15"})
    assert job["output"] == ["2024-01-26", "2024-02-23", "2024-03-29"], job


@pytest.mark.registry
@pytest.mark.usefixtures("registries")
def test_npm_packages_of_both_module_systems_are_installed_by_their_lock(api: Api) -> None:
    worker = api.make_worker(runtime="nodejs", source_code="module.exports = () => 1")
    assert built(api, worker["id"], RELEASES)["status"] == "ready"
    tags = ["v1.2.0", "v1.10.1", "v2.0.0-rc.1", "v1.9.9"]
    output = api.run_job(worker["id"], input={"tags": tags, "range": "^1.2"})["output"]
    assert output["newest"] == "1.10.1"
    assert len(output["id"]) == 8
    assert set(output["id"]) <= set("abc")


@pytest.mark.registry
@pytest.mark.usefixtures("registries")
def test_deno_imports_npm_by_its_config_and_its_lock(api: Api) -> None:
    worker = api.make_worker(runtime="deno", source_code="export default () => 1")
    version = built(api, worker["id"], ORDERS)
    assert version["status"] == "ready", version
    good = {"name": "x", "lines": [{"price": 2.5, "count": 4}, {"price": 1, "count": 1}]}
    job = api.run_job(worker["id"], input=good)
    assert job["output"] == {"ok": True, "total": 11}, job["error"]
    bad = {"name": 1, "lines": [{"price": -1, "count": 1}]}
    assert api.run_job(worker["id"], input=bad)["output"] == {"ok": False, "paths": ["name", "lines.0.price"]}


@pytest.mark.registry
@pytest.mark.usefixtures("registries")
def test_deno_imports_npm_by_a_range_in_the_source(api: Api) -> None:
    worker = api.make_worker(runtime="deno", source_code="export default () => 1")
    source = "import { nanoid } from 'npm:nanoid@^5'\nexport default () => nanoid(12).length\n"
    assert built(api, worker["id"], {"main.ts": source})["status"] == "ready"
    job = api.run_job(worker["id"])
    assert job["output"] == 12, job["error"]


@pytest.mark.registry
@pytest.mark.usefixtures("registries")
def test_a_deno_lock_that_does_not_fit_fails_the_version(api: Api) -> None:
    worker = api.make_worker(runtime="deno", source_code="export default () => 1")
    stale = {**ORDERS, "deno.json": str(ORDERS["deno.json"]).replace("3.23.8", "3.22.4")}
    version = built(api, worker["id"], stale)
    assert version["status"] == "failed"
    assert "lock" in version["error"]
    assert api.run_job(worker["id"])["worker_version"] == 1


def test_a_shell_bundle_brings_its_own_programs(api: Api) -> None:
    worker = api.make_worker(runtime="shell", source_code="echo 1")
    version = deploy(api, worker["id"], {**VENDORED, "requirements.txt": "jinja2"})
    assert version["status"] == "ready", "a shell worker has no manifest"
    assert api.run_job(worker["id"], input={"text": "a b c"})["output"]["spaces"] >= 2
    assert log_of(api, version) == ""


def test_a_wasm_module_is_deployed_as_a_bundle(api: Api) -> None:
    module = WASM.read_bytes()
    worker = api.make_worker(runtime="wasm", source_code="(module)")
    version = deploy(api, worker["id"], {"main.wasm": module, "README.md": "made of C"})
    assert version["status"] == "ready"
    job = api.run_job(worker["id"], input={"numbers": [3, 1, 2.5, 7]})
    assert (job["output"]["count"], job["output"]["median"]) == (4, 2.75), job["error"]


@pytest.mark.registry
@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("runtime", "files", "said"),
    [
        ("python", {"requirements.txt": "runwright-has-no-such-package"}, "runwright-has-no-such-package"),
        ("python", {"requirements.txt": "idna==3.7\nidna==3.6"}, "idna==3.7 and idna==3.6"),
        ("python", {"requirements.txt": "docopt==0.6.2"}, "building from source is disabled"),
        (
            "nodejs",
            {"package.json": '{"dependencies": {"runwright-has-no-such": "1"}}'},
            "runwright-has-no-such",
        ),
        ("nodejs", {"package.json": '{"dependencies": {"semver": "99.0.0"}}'}, "semver@99.0.0"),
        ("deno", {"main.ts": "export * from 'npm:runwright-has-no-such@1'"}, "runwright-has-no-such"),
    ],
)
def test_a_missing_package_fails_with_the_reason_and_the_old_version_stays_active(
    api: Api, runtime: str, files: dict[str, str], said: str
) -> None:
    source, entrypoint = {
        "python": ("def handler(input, env):\n    return 'old'\n", "main.py"),
        "nodejs": ("module.exports = () => 'old'", "index.js"),
        "deno": ("export default () => 'old'", "main.ts"),
    }[runtime]
    worker = api.make_worker(runtime=runtime, source_code=source)
    version = built(api, worker["id"], {entrypoint: "", **files})
    assert (version["status"], version["active"]) == ("failed", False)
    assert said in version["error"]
    job = api.run_job(worker["id"])
    assert (job["output"], job["worker_version"]) == ("old", 1), job
    refused = api.post(f"/workers/{worker['id']}/rollback", {"version": version["version"]})
    error_of(refused, 409, "resource_conflict")


def test_a_manifest_that_leads_elsewhere_is_refused_with_its_line(api: Api) -> None:
    worker = api.make_worker()
    for line in (
        "--index-url https://evil.example/simple",
        "x @ file:///etc/passwd",
        "git+https://evil.example/x",
    ):
        version = built(api, worker["id"], {"main.py": "", "requirements.txt": f"\n{line}\n"})
        assert version["status"] == "failed"
        assert "requirements.txt, line 2" in version["error"]
    assert api.run_job(worker["id"], input={"a": 1})["output"] == {"a": 1}


def test_another_tenant_does_not_see_a_log(api: Api) -> None:
    worker = api.make_worker()
    path = f"/workers/{worker['id']}/versions/1/log"
    assert data_of(api.get(path))["log"] == ""
    error_of(api.having(tenant="ten_other").get(path), 404, "resource_not_found")
