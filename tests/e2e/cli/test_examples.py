"""The examples in the help of commands are run as they are printed, with ids that exist."""

from pathlib import Path

import pytest
from tests.contract.conftest import Server
from tests.e2e.cli.conftest import Home
from tests.e2e.cli.test_answering import Reviewer, make_task
from tests.unit.cli.test_examples import ALL, examples
from tests.waiting import until

from runwright import Runwright

ELSEWHERE = {
    "runwright serve": "the servers of all tests",
    "runwright dev": "test_dev.py",
    "--escape-test": "tests/integration/escape_test",
    "postgresql://": "test_rollout.py",
    "runwright mcp": "serves until its input ends",
    "runwright system": "needs the operator",
    "runwright schedules": "test_configuring.py, with a schedule of that name",
    "events tail -f": "test_answering.py, as it ends with Ctrl-C",
    "runwright webhooks": "test_configuring.py, with an endpoint that answers",
}
"""Examples that are tested elsewhere, and where, or what they need."""

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


@pytest.mark.timeout(600)
def test_the_examples_of_all_commands_run(home: Home, server: Server, rw: Runwright) -> None:
    home.env["RUNWRIGHT_DATA_DIR"] = str(server.data_dir)
    home.env["TOKEN"] = "value-of-the-token"
    home.write("runwright.toml", PROJECT)
    home.write("main.py", Path("src/runwright/cli/templates/init/python/main.py").read_text())
    home.write(".env", "FROM_FILE=value-from-a-file\n")
    home.ok("runwright deploy")
    home.ok("runwright jobs sharing on")
    server.run("keys", "create", "--tenant", "ten_spare", "--role", "tenant-viewer")
    home.env["SPARE_KEY"] = server.run("keys", "list", "--tenant", "ten_spare").split("\n")[1].split()[0]
    home.write("main.py", (home.folder / "main.py").read_text().replace("greeting", "saluting"))
    job_id = rw.jobs.run("digest", {}, wait=60).id
    ids = _ids(rw)
    for number, (path, command) in enumerate(ALL):
        more = _automation_ids(rw, number) if path[0] == "automation" else {}
        for example in examples(command):
            if not any(part in example for part in ELSEWHERE):
                _run(home, server, job_id, ids | more, example)


def _run(home: Home, server: Server, job_id: str, ids: dict[str, str], example: str) -> None:
    replaced = ids | {
        "job_01jd9x3v7m0000000000000000": job_id,
        "7m4k9x2c": job_id[-8:],
        "key_01jd9x3v7m0000000000000000": home.env["SPARE_KEY"],
        "https://rw.example.com": f"{server.url} --with-key",
    }
    line = example
    for printed, meant in replaced.items():
        line = line.replace(printed, meant)
    login = f"runwright login {server.url} --with-key --profile local"
    if line == "runwright login":
        line = login
    elif line.endswith(" local"):
        home.ok(login, input=home.env["RUNWRIGHT_KEY"])
    wanted = next((code for prefix, code in CODES.items() if line.startswith(prefix)), 0)
    done = home.run(line, input=home.env["RUNWRIGHT_KEY"])
    assert done.returncode == wanted, f"{line}\n{done.stdout}{done.stderr}"


def _ids(rw: Runwright) -> dict[str, str]:
    """Return the printed ids of an event and of questions, with those of new ones; there is an agent `triage`."""
    rw.agents.register("triage", ["custom.nothing"])
    reviewer = Reviewer(rw)
    questions = {f"exn_01jd9x3v7m000000000000000{n}": reviewer.ask(n=n) for n in range(3)}
    questions["qst_01jd9x3v7m0000000000000000"] = rw.inbox.ask("Refund 120 EUR?").id
    return questions | {"evt_01jd9x3v7m0000000000000000": rw.events.publish("custom.example").id}


def _automation_ids(rw: Runwright, number: int) -> dict[str, str]:
    """Return the printed ids with those of a new job, a new trigger and a run."""
    fields = {"scope": "global", "name": f"spare {number}", "agent_name": "digest", "prompt": "go"}
    schedule = {"mode": "every", "interval": "24h"}
    job = rw.request("POST /api/automation/jobs", json={**fields, "schedule": schedule}).json["job"]["id"]
    trigger = rw.request("POST /api/automation/triggers", json={**fields, "event": "custom.asked"}).json
    run = rw.automations.jobs.trigger(job).id
    until(lambda: rw.automations.runs.get(run), lambda now: now.ended_at)
    task = make_task(rw, f"task of {number}")
    return {"job-5f2c": job, "trg-5f2c": trigger["trigger"]["id"], "run-5f2c": run, "task-5f2c": task}
