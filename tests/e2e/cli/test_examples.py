"""The examples in the help of commands are run as they are printed, with ids that exist."""

import json
from pathlib import Path

import pytest
from tests.contract.conftest import Server
from tests.e2e.cli.conftest import Home
from tests.unit.cli.test_examples import ALL, examples

from runwright import Runwright

ELSEWHERE = {
    "runwright serve": "the servers of all tests",
    "runwright dev": "test_dev.py",
    "--escape-test": "tests/integration/escape_test",
    "postgresql://": "test_rollout.py",
}
"""What long-running examples are tested by."""

CODES = {
    "runwright jobs watch --worker": 6,
    "runwright vault discard": 5,
    "runwright automation runs cancel": 1,
}
"""Exit codes of examples that do not end with 0."""

PROJECT = """
[[worker]]
name = "digest"
config = { GREETING = "Hello" }

[env.prod.worker.digest]
max_retries = 1
"""
AUTOMATION = "--name spare --scope global --agent digest --prompt go"


@pytest.mark.timeout(600)
def test_the_examples_of_all_commands_run(home: Home, server: Server, rw: Runwright) -> None:
    home.env["RUNWRIGHT_DATA_DIR"] = str(server.data_dir)
    home.env["TOKEN"] = "value-of-the-token"
    home.write("runwright.toml", PROJECT)
    home.write("main.py", Path("src/runwright/cli/templates/init/python/main.py").read_text())
    home.write(".env", "FROM_FILE=value-from-a-file\n")
    home.ok("runwright deploy")
    server.run("keys", "create", "--tenant", "ten_spare", "--role", "tenant-viewer")
    home.env["SPARE_KEY"] = server.run("keys", "list", "--tenant", "ten_spare").split("\n")[1].split()[0]
    home.write("main.py", (home.folder / "main.py").read_text().replace("greeting", "saluting"))
    for noun_path, command in ALL:
        if noun_path[0] == "automation":
            _prepare_automations(home)
        for example in examples(command):
            if not any(part in example for part in ELSEWHERE):
                _run(home, server, rw, example)


def _run(home: Home, server: Server, rw: Runwright, example: str) -> None:
    job = rw.jobs.run("digest", {}, wait=60) if "job_01jd" in example or "7m4k9x2c" in example else None
    job_id = "" if job is None else job.id
    line = (
        example.replace("job_01jd9x3v7m0000000000000000", job_id)
        .replace("7m4k9x2c", job_id[-8:])
        .replace("https://rw.example.com", f"{server.url} --with-key")
        .replace("key_01jd9x3v7m0000000000000000", home.env.get("SPARE_KEY", ""))
        .replace("job-5f2c", home.env.get("AUTOMATION_JOB", ""))
        .replace("trg-5f2c", home.env.get("AUTOMATION_TRIGGER", ""))
        .replace("run-5f2c", home.env.get("AUTOMATION_RUN", ""))
    )
    if line == "runwright login":
        line = f"runwright login {server.url} --with-key </dev/stdin"
    wanted = next((code for prefix, code in CODES.items() if line.startswith(prefix)), 0)
    done = home.run(line, input=home.env["RUNWRIGHT_KEY"])
    assert done.returncode == wanted, f"{line}\n{done.stdout}{done.stderr}"


def _prepare_automations(home: Home) -> None:
    """Have one job, one trigger and one run to name; those of examples before are gone."""
    kinds = {"jobs": "job", "triggers": "trigger"}
    for kind in kinds:
        for one in json.loads(home.ok(f"runwright automation {kind} -o json"))[kind]:
            home.ok(f"runwright automation {kind} delete {one['id']}")
    given = {"jobs": "--schedule every:24h", "triggers": "--event custom.asked"}
    for kind, name in kinds.items():
        made = json.loads(home.ok(f"runwright automation {kind} create {AUTOMATION} {given[kind]} -o json"))
        home.env[f"AUTOMATION_{name.upper()}"] = made["id"]
    ran = json.loads(home.ok(f"runwright automation jobs trigger {home.env['AUTOMATION_JOB']} -o json"))
    home.env["AUTOMATION_RUN"] = ran["id"]
