"""What a new user does: write, deploy, run, watch, fix, redeploy, roll back; in five commands."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.e2e.cli.conftest import Home

from runwright import Runwright

FAR = datetime.now(UTC) + timedelta(days=30)
BROKEN = "def handler(input, env):\n    raise ValueError('no rows for ' + input['name'])\n"
FIXED = "def handler(input, env):\n    print('fixed')\n    return {'text': 'fixed ' + input['name']}\n"


class Typist:
    """Types command lines at a terminal, or runs them in a script, and returns what is printed."""

    def __init__(self, home: Home, *, at_terminal: bool) -> None:
        self.home = home
        self.at_terminal = at_terminal

    def types(self, line: str, code: int = 0) -> str:
        if self.at_terminal:
            terminal = self.home.terminal(line)
            ended, text = terminal.end(), terminal.text
        else:
            done = self.home.run(line)
            ended, text = done.returncode, done.stdout + done.stderr
            assert "\x1b" not in text
        assert ended == code, text
        return text


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def typist(request: pytest.FixtureRequest, home: Home) -> Typist:
    return Typist(home, at_terminal=request.param)


def test_a_worker_from_code_to_rollback_in_five_commands(typist: Typist) -> None:
    name = "digest-t" if typist.at_terminal else "digest-p"
    assert "main.py" in typist.types(f"runwright init {name}")
    (typist.home.folder / name / "main.py").write_text(BROKEN)
    deployed = typist.types(f"runwright deploy {name} -m 'first try'")
    assert f"+ worker {name}" in deployed
    assert "✓ checked    handler(input, env)" in deployed
    assert "✓ serving v1, its first version" in deployed
    ran = typist.types(f"runwright run {name} -i name=Ada", code=1)
    assert "no rows for Ada" in ran
    assert "✗ failed" in ran
    (typist.home.folder / name / "main.py").write_text(FIXED)
    again = typist.types(f"runwright deploy {name} -m 'handle rows'")
    assert f"undo: runwright workers rollback {name} 1" in again
    assert "~ main.py" in again
    assert f"{name} serves v1 (was v2)" in typist.types(f"runwright workers rollback {name}")
    # and what it all looks like afterwards
    shown = typist.types(f"runwright workers versions {name}")
    assert "first try" in shown
    assert "●       v1" in shown
    assert shown.count("ready") == 2
    assert "handler_error" in typist.types(f"runwright jobs list --worker {name}")
    assert "-    raise ValueError" in typist.types(f"runwright workers diff {name} 1 2")
    assert "no rows for Ada" in typist.types(f"runwright logs {name} --level error")
    assert typist.types(f"runwright deploy {name} --dry-run").count("~ main.py") == 1


def test_output_is_json_on_stdout_and_the_rest_on_stderr(home: Home) -> None:
    home.ok("runwright init echo && runwright deploy echo")
    done = home.run("runwright run echo -i 'name=\"Zoë ☃\"' -o json")
    job = json.loads(done.stdout)
    assert job["output"] == {"text": "Hello, Zoë ☃!"}
    assert "Zoë ☃" in done.stdout
    assert "greeting Zoë" in done.stderr
    lines = home.ok("runwright jobs list --worker echo -o jsonl").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [job["id"]]
    assert json.loads(home.ok("runwright jobs list --worker echo -o json"))[0]["input"] == {"name": "Zoë ☃"}
    assert job["id"] in home.ok("runwright jobs list --worker echo")
    assert json.loads(home.ok(f"runwright jobs get {job['id'][-8:]} -o json"))["id"] == job["id"]


def make_worker(rw: Runwright, name: str, source: str) -> str:
    return rw.workers.create(name, "python", source_code=source).id


def statuses(rw: Runwright, worker: str) -> list[str]:
    return [job.status for job in rw.jobs.list(worker=worker)]


def test_five_hundred_queued_jobs_are_cancelled_by_one_command(home: Home, rw: Runwright) -> None:
    make_worker(rw, "slow", "def handler(input, env):\n    return 1\n")
    rw.jobs.submit_batch("slow", [{}] * 500, scheduled_at=FAR)
    rw.jobs.submit_batch("slow", [{}] * 2, scheduled_at=FAR, priority=1)
    only = home.ok("runwright jobs cancel --worker slow --status queued --dry-run")
    assert only == "cancel would apply to 502 queued jobs of slow.\n"
    refused = home.run("runwright jobs cancel --worker slow --status queued")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "502 queued jobs of slow" in refused.stderr
    no = home.terminal("runwright jobs cancel --worker slow --status queued")
    assert no.expect("Cancel them? [y/N]").send("n\n").end() == 1
    assert statuses(rw, "slow") == ["queued"] * 502
    yes = home.terminal("runwright jobs cancel --worker slow --status queued")
    assert yes.expect("502 queued jobs of slow. Cancel them? [y/N]").send("y\n").end() == 0
    assert "✓ 502/502 cancelled" in yes.text
    assert statuses(rw, "slow") == ["cancelled"] * 502
    started = home.ok("runwright jobs retry --worker slow --status cancelled --worker-version 1 -y --detach")
    watched = home.ok(f"runwright jobs watch {started.split()[1]} --timeout 60s")
    assert "completed  502/502 done, 0 failed" in watched
    assert "no queued and running jobs of slow on v2" in home.ok(
        "runwright jobs cancel --worker slow --worker-version 2 -y"
    )


def test_ids_on_stdin_name_the_jobs(home: Home, rw: Runwright) -> None:
    make_worker(rw, "piped", "def handler(input, env):\n    return 1\n")
    jobs = rw.jobs.submit_batch("piped", [{}] * 3, scheduled_at=FAR)
    pipe = "runwright jobs list --worker piped -o jsonl | head -2 | runwright jobs cancel --stdin -y"
    assert "2/2 cancelled" in home.ok(pipe)
    assert sorted(statuses(rw, "piped")) == ["cancelled", "cancelled", "queued"]
    twice = f"{jobs[0].id}\n\n{jobs[0].id}\n"
    named = home.ok("runwright jobs cancel --stdin --dry-run", input=twice)
    assert named == "cancel would apply to 1 of the 1 jobs that are named.\n"
    assert "1/1 cancelled" in home.ok("runwright jobs cancel --stdin -y", input=twice)
    bad = home.run("runwright jobs cancel --stdin -y", input='{"name": "x"}\n')
    assert (bad.returncode, "Line 1 of stdin is no job" in bad.stderr) == (2, True)


def test_watched_jobs_are_printed_as_they_end_and_the_worst_is_the_exit_code(
    home: Home, rw: Runwright
) -> None:
    make_worker(rw, "mixed", "def handler(input, env):\n    return 1 / input['by']\n")
    good, bad = (rw.jobs.run("mixed", {"by": by}, wait=60) for by in (1, 0))
    done = home.run(f"runwright jobs watch {bad.id} {good.id[-8:]}")
    assert done.returncode == 1, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [bad.id, good.id]
    assert "ZeroDivisionError" in done.stdout
    assert home.run(f"runwright jobs watch {good.id}").returncode == 0
    newest = home.run("runwright jobs watch --worker mixed --timeout 0s")
    assert newest.returncode == 6, newest.stderr
    assert [line.split()[0] for line in newest.stdout.splitlines()] == [good.id, bad.id]
    waiting = rw.jobs.submit("mixed", {}, scheduled_at=FAR).id
    assert home.run(f"runwright jobs watch {good.id} {waiting} --timeout 0s").returncode == 6


def test_jobs_that_cannot_be_retried_are_counted_and_the_exit_code_tells(home: Home, rw: Runwright) -> None:
    worker = make_worker(rw, "resting", "def handler(input, env):\n    raise ValueError('down')\n")
    failed = [rw.jobs.submit("resting").id for _ in range(2)]
    assert {rw.jobs.wait(one, 60).status for one in failed} == {"failed"}
    rw.workers.pause(worker)
    done = home.run("runwright jobs retry --worker resting --status failed -y")
    assert (done.returncode, "error: 2 could not be retried: " in done.stderr) == (1, True), done.stderr
    assert "✗ 0/2 retried" in done.stdout
    rw.workers.resume(worker)
    assert "2/2 retried" in home.ok("runwright jobs retry --worker resting --status failed -y")


def test_last_nights_failures_are_retried_once_however_often_it_is_asked(home: Home, rw: Runwright) -> None:
    worker = make_worker(rw, "nightly", "def handler(input, env):\n    raise ValueError('down')\n")
    failed = [rw.jobs.submit("nightly", {"n": n}) for n in range(12)]
    assert {rw.jobs.wait(job.id, 60).status for job in failed} == {"failed"}
    rw.workers.update(worker, source_code="def handler(input, env):\n    return input['n']\n")
    line = "runwright jobs retry --worker nightly --status failed --since 24h"
    assert "would apply to 12 failed jobs of nightly" in home.ok(f"{line} --dry-run")
    assert "12/12 retried" in home.ok(f"{line} -y")
    assert json.loads(home.ok(f"{line} -y -o json"))["matched"] == 0
    nothing = "Nothing to retry: no failed jobs of nightly since 24h. Jobs that were retried already are left out.\n"
    assert home.ok(line) == home.ok(f"{line} -y") == home.ok(f"{line} --dry-run") == nothing
    jobs = [rw.jobs.wait(job.id, 60) for job in rw.jobs.list(worker="nightly")]
    assert sorted(job.status for job in jobs) == ["completed"] * 12 + ["failed"] * 12
    again: list[Any] = [job.output for job in jobs if job.status == "completed"]
    assert sorted(again) == list(range(12))


def test_a_plan_adds_changes_and_with_a_question_deletes(home: Home, rw: Runwright) -> None:
    home.ok("runwright init plan --template cron")
    toml = home.folder / "plan" / "runwright.toml"
    text = (
        toml.read_text() + '\n[[webhook]]\nurl = "https://hooks.example.com/p"\nevents = ["ava.job.failed"]\n'
    )
    toml.write_text(text)
    made = home.ok("runwright deploy plan")
    assert "+ schedule plan: weekdays at nine" in made
    assert "its signing secret, shown this once: " in made
    worker_id = rw.workers.get("plan").id
    (schedule,) = rw.schedules.list(worker_id=worker_id)
    assert (schedule.cron, schedule.input, schedule.overlap) == (
        "0 9 * * MON-FRI",
        {"channel": "#ops"},
        "skip",
    )
    toml.write_text(text.replace("0 9", "30 8").replace("max_retries = 1", "max_retries = 2"))
    planned = json.loads(home.ok("runwright deploy plan --dry-run -o json"))
    assert [field["name"] for field in planned["workers"][0]["fields"]] == ["max_retries"]
    changed = home.ok("runwright deploy plan")
    assert "cron  0 9 * * MON-FRI → 30 8 * * MON-FRI" in changed
    assert "Nothing to change" in home.ok("runwright deploy plan")
    assert rw.workers.get("plan").max_retries == 2
    toml.write_text("\n".join(text.split("[[worker.schedule]]")[:1]) + text[text.index("[[webhook]]") :])
    kept = home.ok("runwright deploy plan")
    assert "schedule plan: weekdays at nine" in kept
    assert len(list(rw.schedules.list(worker_id=worker_id))) == 1
    refused = home.run("runwright deploy plan --prune")
    assert (refused.returncode, "needs a confirmation" in refused.stderr) == (2, True)
    terminal = home.terminal("runwright deploy plan --prune")
    terminal.expect("- schedule plan: weekdays at nine").expect("Continue? [y/N]").send("y\n")
    assert terminal.end() == 0, terminal.text
    assert list(rw.schedules.list(worker_id=worker_id)) == []
