"""Bundles of every kind run on a real server; versions change under running jobs without a trace."""

from tests.contract.bundles import Files, deploy, send, zip_of
from tests.contract.client import Api, Json, data_of, fields_of
from tests.waiting import until

PYTHON: Files = {
    "billing/__init__.py": "",
    "billing/main.py": (
        "import json, os, pathlib\n"
        "from .rates import load\n"
        "from .money.rounding import to_cents\n"
        "import shared\n"
        "HERE = pathlib.Path(__file__).parent\n"
        "async def handler(input, env):\n"
        "    rates = load(HERE / 'data' / 'rates.json')\n"
        "    total = sum(line['hours'] * rates[line['role']] for line in input['lines'])\n"
        "    print('billed', len(input['lines']), 'lines')\n"
        "    return {'cents': to_cents(total), 'currency': env['CURRENCY'], 'by': shared.NAME, 'cwd': os.getcwd()}\n"
    ),
    "billing/rates.py": "import json\ndef load(path):\n    return json.loads(path.read_text())\n",
    "billing/money/rounding.py": "from ..rates import load\ndef to_cents(x):\n    return round(x * 100)\n",
    "billing/data/rates.json": '{"engineer": 120.5, "designer": 99.995}',
    "shared.py": "NAME = 'billing'\n",
}
NODE: Files = {
    "package.json": '{"name": "words", "type": "module"}',
    "index.js": (
        "import { readFileSync } from 'node:fs'\n"
        "import { createRequire } from 'node:module'\n"
        "import { count } from './lib/count.js'\n"
        "const require = createRequire(import.meta.url)\n"
        "const { top } = require('./legacy/top.cjs')\n"
        "const stop = new Set(readFileSync(new URL('./data/stop.txt', import.meta.url), 'utf8').split('\\n'))\n"
        "export default async ({ input }) => {\n"
        "  const { format } = await import('./lib/format.js')\n"
        "  return format(top(count(input.text, stop), 2))\n"
        "}\n"
    ),
    "lib/count.js": (
        "export function count (text, stop) {\n"
        "  const counts = new Map()\n"
        "  for (const word of text.toLowerCase().match(/\\w+/g)) {\n"
        "    if (!stop.has(word)) counts.set(word, (counts.get(word) ?? 0) + 1)\n"
        "  }\n"
        "  return counts\n"
        "}\n"
    ),
    "lib/format.js": "export const format = (pairs) => pairs.map(([word, n]) => `${word}=${n}`)\n",
    "legacy/top.cjs": "exports.top = (counts, n) => [...counts].sort((a, b) => b[1] - a[1]).slice(0, n)\n",
    "data/stop.txt": "the\na\nof",
}
SHELL: Files = {
    "main.sh": (
        'here=$(cd "$(dirname "$0")" && pwd)\n'
        '. "$here/lib/log.sh"\n'
        "input=$(cat)\n"
        'log "got ${#input} characters"\n'
        'printf "%s" "$input" | "$here/bin/shout" > "$AVA_OUTPUT"\n'
    ),
    "lib/log.sh": 'log() { echo "log: $*"; }\n',
    "bin/shout": "#!/bin/sh\ntr a-z A-Z\n",
}


def test_a_python_package_with_relative_imports_and_data_runs(api: Api) -> None:
    worker = api.make_worker(config={"CURRENCY": "EUR"})
    deploy(api, worker["id"], PYTHON, entrypoint="billing/main.py")
    lines = [{"role": "engineer", "hours": 2}, {"role": "designer", "hours": 1}]
    job = api.run_job(worker["id"], input={"lines": lines})
    assert job["status"] == "completed", job
    assert job["output"] == {"cents": 34100, "currency": "EUR", "by": "billing", "cwd": "/app/code"}
    assert job["worker_version"] == 2
    logs = data_of(api.get(f"/jobs/{job['id']}/logs"))["logs"]
    assert "billed 2 lines" in [line["msg"] for line in logs]


def test_a_node_project_of_both_module_systems_runs(api: Api) -> None:
    worker = api.make_worker(runtime="nodejs", source_code="module.exports = () => 'inline'")
    assert api.run_job(worker["id"])["output"] == "inline"
    deploy(api, worker["id"], NODE)
    job = api.run_job(worker["id"], input={"text": "The cat of the cat saw a dog, the cat!"})
    assert job["output"] == ["cat=3", "saw=1"], job


def test_a_shell_project_that_calls_its_own_scripts_runs(api: Api) -> None:
    worker = api.make_worker(runtime="shell", source_code="echo 1")
    deploy(api, worker["id"], {f"repo/{name}": text for name, text in SHELL.items()})
    job = api.run_job(worker["id"], input={"a": "b"})
    assert job["output"] == {"A": "B"}, job


def test_an_error_in_a_bundle_names_its_file(api: Api) -> None:
    worker = api.make_worker()
    files = {
        "main.py": "import helper\ndef handler(input, env):\n    helper.fail()\n",
        "helper.py": "def fail():\n    raise ValueError('oh')\n",
    }
    deploy(api, worker["id"], files)
    job = api.run_job(worker["id"])
    assert job["error"]["code"] == "handler_error"
    assert '/app/code/helper.py", line 2' in job["error"]["stack"]


def test_a_running_job_keeps_its_version_and_the_next_one_has_the_new(api: Api) -> None:
    waits = (
        "import time, pathlib\n"
        "def handler(input, env):\n"
        "    print('began', flush=True)\n"
        "    while not pathlib.Path(__file__).with_name('never').exists():\n"
        "        time.sleep(0.05)\n"
        "        if time.monotonic() - START > 3:\n"
        "            return pathlib.Path(__file__).with_name('word').read_text()\n"
        "START = time.monotonic()\n"
    )
    worker = api.make_worker()
    deploy(api, worker["id"], {"main.py": waits, "word": "old"})
    job = api.make_job(worker["id"])
    await_line(api, job, "began")
    deploy(api, worker["id"], {"main.py": "def handler(input, env):\n    return 'new'\n"})
    assert api.run_job(worker["id"])["output"] == "new"
    ended = api.await_end(job["id"])
    assert (ended["status"], ended["output"], ended["worker_version"]) == ("completed", "old", 2)


def test_a_rollback_serves_the_old_files_again(api: Api) -> None:
    worker = api.make_worker()
    for word in ("one", "two"):
        source = "import word\ndef handler(input, env):\n    return word.WORD\n"
        deploy(api, worker["id"], {"main.py": source, "word.py": f"WORD = '{word}'\n"})
    assert api.run_job(worker["id"])["output"] == "two"
    data_of(api.post(f"/workers/{worker['id']}/rollback", {"version": 2}))
    job = api.run_job(worker["id"])
    assert (job["output"], job["worker_version"]) == ("one", 2)


def test_a_failed_deploy_leaves_what_serves(api: Api) -> None:
    worker = api.make_worker()
    deploy(api, worker["id"], {"main.py": "def handler(input, env):\n    return 'fine'\n"})
    assert fields_of(send(api, worker["id"], zip_of({"main.py": "x"})[:-9])).keys() == {"bundle"}
    assert fields_of(send(api, worker["id"], zip_of({"other.py": "x"}))).keys() == {"entrypoint"}
    job = api.run_job(worker["id"])
    assert (job["output"], job["worker_version"]) == ("fine", 2)


def test_the_same_bundle_of_two_tenants_is_run_apart(api: Api) -> None:
    """The files are stored once; the sandboxes are not shared."""
    source = (
        "import os, pathlib\n"
        "def handler(input, env):\n"
        "    mark = pathlib.Path('/work/mark')\n"
        "    seen = mark.exists()\n"
        "    mark.write_text('x')\n"
        "    return [seen, env['WHO']]\n"
    )
    stranger = api.having(tenant=api.tenant + "x")
    mine, theirs = (a.make_worker(config={"WHO": who}) for a, who in ((api, "me"), (stranger, "you")))
    one = deploy(api, mine["id"], {"main.py": source})
    two = deploy(stranger, theirs["id"], {"main.py": source})
    assert one["digest"] == two["digest"]
    assert api.run_job(mine["id"])["output"] == [False, "me"]
    assert stranger.run_job(theirs["id"])["output"] == [False, "you"]


def await_line(api: Api, job: Json, text: str) -> None:
    """Wait until a job has written a line."""
    until(
        lambda: [line["msg"] for line in data_of(api.get(f"/jobs/{job['id']}/logs"))["logs"]],
        lambda lines: text in lines,
    )
