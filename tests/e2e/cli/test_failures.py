"""Every failure has its exit code, a message that names what is wrong, and no stack."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.contract.conftest import Server
from tests.contract.sdk.cutting_proxy import cutting_proxy
from tests.e2e.cli.conftest import PROGRAM, Home

from runwright import Runwright

if TYPE_CHECKING:
    import subprocess

CREATE_HOOK = (
    "runwright automation triggers create --scope global --agent good --event webhook --prompt p"
    " --endpoint-slug x"
)
CHATTY = """
import time
def handler(input, env):
    while True:
        print('x' * 200, flush=True)
        time.sleep(0.01)
"""
SLEEPY = "import time\n\ndef handler(input, env):\n    print('begun', flush=True)\n    time.sleep(600)\n"


@pytest.fixture(scope="module", autouse=True)
def workers(server: Server, key: str) -> None:
    """Workers that complete, fail, sleep and are paused."""
    with Runwright(server.url, key) as rw:
        rw.workers.create("good", "python", source_code="def handler(input, env):\n    return 1\n")
        rw.workers.create(
            "bad", "python", source_code="def handler(input, env):\n    raise ValueError('boom')\n"
        )
        rw.workers.create("sleepy", "python", source_code=SLEEPY)
        rw.workers.create("paused", "python", source_code="def handler(input, env):\n    return 1\n")
        rw.workers.pause("paused")
        for _ in range(2):
            rw.workers.create("twin", "python", source_code="def handler(input, env):\n    return 1\n")


def failed(done: "subprocess.CompletedProcess[str]", code: int, message: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("runwright run good -q", 0, ""),
        ("runwright run bad -q", 1, "ValueError: boom"),
        ("runwright run paused", 1, "is paused and takes no new jobs"),
        ("runwright jobs list --stauts x", 2, "No such option: --stauts"),
        ("runwright jobs list --status asleep", 2, "'asleep' is no state"),
        ("runwright jobs list -o xml", 2, "'xml' is not one of"),
        ("runwright jobs list --since yesterday", 2, "--since is no time"),
        ("runwright jobs cancel", 2, "Name the jobs to cancel"),
        ("runwright jobs cancel job_01jd9x3v7m0000000000000000 --status queued", 2, "either ids or a filter"),
        ("runwright jobs cancel --stdin --status queued </dev/null", 2, "either ids or a filter"),
        ("runwright run good -i x", 2, "write KEY=VALUE"),
        ("runwright run good -i rows=1e999", 2, "rows is inf: JSON has no such number"),
        ("runwright run good -i @nothing.json", 2, "-i @nothing.json: No such file or directory."),
        ("runwright run good -i name=$'\\xff'", 2, "name is no valid text"),
        ("runwright run good -i @/dev/zero", 2, "-i @/dev/zero has more than 1048576 characters"),
        ("yes | runwright run good -i -", 2, "-i - has more than 1048576 characters"),
        ("yes | runwright secrets set LONG", 2, "Value of LONG has more than 1048576 characters"),
        ("runwright secrets import /dev/zero", 2, "/dev/zero has more than"),
        ("runwright run good --priority 99", 2, "99 is not in the range"),
        ("runwright run twin", 2, "2 workers are named 'twin'"),
        ("runwright workers rollback good vX", 2, "'vX' is no version"),
        ("runwright workers delete good", 2, "This needs a confirmation"),
        ("runwright secrets set NAME=value", 2, "A value is never an argument"),
        (
            f"{CREATE_HOOK} --name h --webhook-secret-value s3cret-value",
            2,
            "a secret is never an argument",
        ),
        ("runwright serve --platform-key abc", 2, "No such option: --platform-key"),
        ("runwright serve --vault-key abc", 2, "No such option: --vault-key"),
        ("runwright secrets import .", 2, ". cannot be read"),
        ("runwright init /dev/null/x", 2, "/dev/null/x: Not a directory."),
        ("PYTHONIOENCODING=ascii runwright workers get good", 0, ""),
        (f"{PROGRAM} workers get good >&-", 0, ""),
        (f"{PROGRAM} mcp </dev/null", 0, ""),
        (f"{PROGRAM} workers get good >/dev/full", 1, "No space left on device."),
        ("runwright jobs watch --timeout 0s | head -0", 0, ""),
        ("printf abc | runwright secrets set SHORT", 2, "Must have at least 4 characters"),
        ("runwright deploy", 2, "has no runwright.toml"),
        ("runwright deploy nowhere", 2, "There is no folder nowhere"),
        ("runwright jobs list --url ftp://x", 2, "is not an address such as"),
        ("runwright jobs list --profile nope", 2, "There is no profile 'nope'"),
        ("runwright dev --url https://example.com .", 2, "has no runwright.toml"),
        ("runwright jobs list --url http://127.0.0.1:9", 3, "does not answer: Connection refused."),
        ("RUNWRIGHT_KEY=rwk_wrong runwright jobs list", 4, "missing, wrong or revoked"),
        ("runwright run nope", 5, "There is no worker 'nope'"),
        ("runwright jobs get job_01jd9x3v7m0000000000000000", 5, "There is no job"),
        ("runwright jobs get zzzzzzzz", 5, "No job has an id that ends in 'zzzzzzzz'"),
        ("runwright run gooood", 5, "Did you mean 'good'?"),
        ("runwright workers get nope", 5, "There is no worker 'nope'"),
        ("runwright secrets rm NOPE -y", 5, "There is no such secret"),
        ("runwright workers rollback good 99", 5, "There is no such version"),
    ],
)
def test_each_failure_has_its_exit_code(home: Home, line: str, code: int, message: str) -> None:
    done = home.run(line)
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert code == 0 or done.stdout == ""


REFUSED = """\
[[worker]]
name = "digest"
secrets = ["GOOD", "not-a-name"]
runtime_version = "9.9"

[[worker.schedule]]
name = "nightly"
cron = "99 * * * *"

[[worker.schedule]]
cron = "0 9 * * *"
timezone = "Mars"

[[webhook]]
url = "ftp://hooks.example.com/x"
events = ["ava.job.faild"]

[[automation]]
name = "triage"
agent = "digest"
event = "ava.job.failed"
prompt = "Why did {{ .Data fail?"

[[automation]]
name = "hourly"
agent = "digest"
schedule = "every:nonsense"
prompt = "Go."

[env.prod.worker.digest.input_schema]
type = "nonsense"
"""


def test_all_that_the_server_would_refuse_is_named_before_anything_is_changed(
    home: Home, rw: Runwright
) -> None:
    home.write("digest/main.py", "def handler(input, env):\n    return 1\n")
    home.write("digest/runwright.toml", REFUSED)
    for dry_run in ("", " --dry-run"):
        refused = home.run(f"runwright deploy digest --env prod{dry_run}")
        failed(refused, 2, "runwright.toml has 9 problems. Nothing was changed.")
        shown = re.findall(r"runwright\.toml:(\d+): (\S+)", refused.stderr)
        assert [(int(line), key) for line, key in shown] == [
            (3, "worker[0].secrets[1]"),
            (4, "worker[0].runtime_version"),
            (8, "worker[0].schedule[0].cron"),
            (12, "worker[0].schedule[1].timezone"),
            (15, "webhook[0].url"),
            (16, "webhook[0].events[0]"),
            (22, "automation[0].prompt"),
            (27, "automation[1].schedule"),
            (31, "env.prod.worker.digest.input_schema.type"),
        ]
    assert [one.name for one in rw.workers.list(q="digest")] == []
    assert list(rw.webhooks.list()) == []


def test_a_plan_warns_of_an_agent_and_an_event_that_are_not_there(home: Home) -> None:
    home.write("warned/main.py", "def handler(input, env):\n    return 1\n")
    toml = '[[worker]]\nname = "warned"\n\n[[automation]]\nname = "t"\nagent = "nobody"\nprompt = "Why?"\n'
    home.write("warned/runwright.toml", toml + 'event = "ava.job.faild"\n')
    done = home.run("runwright deploy warned --dry-run")
    assert done.returncode == 0, done.stderr
    assert "runwright.toml:6: automation[0].agent: There is no worker and no agent nobody" in done.stderr
    assert "runwright.toml:8: automation[0].event: No event is called ava.job.faild." in done.stderr


def test_a_plan_of_a_key_that_may_not_deploy_says_that_it_was_not_checked(
    home: Home, tenant_key: Callable[[str], tuple[str, str]]
) -> None:
    home.write("viewed/main.py", "def handler(input, env):\n    return 1\n")
    viewer = {"RUNWRIGHT_KEY": tenant_key("tenant-viewer")[1]}
    done = home.run("runwright deploy viewed --dry-run", **viewer)
    assert done.returncode == 0, done.stderr
    assert "The server has not checked this: the key may not deploy." in done.stderr


def test_a_first_deploy_that_fails_is_tried_again(home: Home, rw: Runwright) -> None:
    home.write("first/main.py", "import not_there\n\ndef handler(input, env):\n    return 1\n")
    home.write("first/runwright.toml", '[[worker]]\nname = "first"\n')
    for version in (1, 2):
        broken = home.run("runwright deploy first")
        assert broken.returncode == 1, broken.stderr
        assert f"The build of first v{version} failed" in broken.stderr
        assert "No module named 'not_there'" in broken.stderr
    assert home.run("runwright run first").returncode == 1
    home.write("first/main.py", "def handler(input, env):\n    return 1\n")
    assert "✓ serving v3, the first that serves" in home.ok("runwright deploy first")
    assert rw.jobs.run("first", {}, wait=60).output == 1


def test_a_file_of_variables_becomes_secrets_and_a_refused_one_is_named(home: Home, rw: Runwright) -> None:
    home.write(".env", "FIRST=value-one\nexport SECOND='value two'\n")
    assert home.ok("runwright secrets import .env --dry-run") == "would set FIRST, SECOND\n"
    assert {"FIRST", "SECOND"}.isdisjoint(one.name for one in rw.secrets.list())
    assert home.ok("runwright secrets import .env") == "set FIRST, SECOND\n"
    home.write("bad.env", "THIRD=value-three\nSHORT=abc\nFOURTH=value-four\n")
    refused = home.run("runwright secrets import bad.env")
    failed(refused, 2, "The secret SHORT is refused, and those after it are not set.")
    assert "  SHORT  Must have at least 4 characters" in refused.stderr
    names = {one.name for one in rw.secrets.list()}
    assert (names >= {"FIRST", "SECOND", "THIRD"}, "FOURTH" in names) == (True, False)


def test_a_wait_that_is_over_shows_the_job_as_it_is(home: Home, rw: Runwright) -> None:
    done = home.run("runwright run sleepy --timeout 1s")
    assert (done.returncode, "Traceback" in done.stderr) == (6, False), done.stderr
    shown = re.search(r"(queued|running) .*(job_\w{26})$", done.stderr)
    assert shown is not None, done.stderr
    assert rw.jobs.get(shown[2]).status in {"queued", "running"}
    rw.jobs.cancel(shown[2])
    assert rw.jobs.wait(shown[2], 60).status == "cancelled"


def test_a_key_that_may_only_read_may_not_write(
    home: Home, tenant_key: Callable[[str], tuple[str, str]]
) -> None:
    viewer = {"RUNWRIGHT_KEY": tenant_key("tenant-viewer")[1]}
    assert home.ok("runwright workers list -o json", **viewer) == "[]\n"
    failed(home.run("runwright secrets set TOKEN", input="value-of-it", **viewer), 4, "tenant-system-admin")


def test_a_build_that_fails_names_its_reason_and_leaves_what_serves(home: Home, rw: Runwright) -> None:
    home.ok("runwright init built && runwright deploy built")
    before = rw.workers.get("built").version
    home.write("built/requirements.txt", "git+https://example.com/x\n")
    done = home.run("runwright deploy built")
    assert done.returncode == 1
    assert f"The build of built v{before + 1} failed" in done.stderr
    assert rw.workers.get("built").version == before


def test_a_file_that_is_wrong_changes_nothing(home: Home, rw: Runwright) -> None:
    home.write("one/main.py", "def handler(input, env):\n    return 1\n")
    home.write(
        "one/runwright.toml", '[[worker]]\nname = "one"\ntimeout = 5\nconfig = { API_KEY = "sk-12345678" }\n'
    )
    done = home.run("runwright deploy one")
    failed(done, 2, "runwright.toml has 2 problems")
    assert "runwright.toml:3: worker[0].timeout" in done.stderr
    assert "Did you mean timeout_seconds?" in done.stderr
    assert "runwright secrets set API_KEY" in done.stderr
    assert "one" not in {worker.name for worker in rw.workers.list()}


@pytest.mark.parametrize(
    ("source", "message"),
    [("def handler(input, env)\n", "main.py:1"), ("def main():\n    pass\n", "main.py has no handler")],
)
def test_code_that_cannot_run_is_not_uploaded(home: Home, rw: Runwright, source: str, message: str) -> None:
    home.write("two/main.py", source)
    failed(home.run("runwright deploy two"), 1, message)
    assert "two" not in {worker.name for worker in rw.workers.list()}


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(home: Home, rw: Runwright) -> None:
    terminal = home.terminal("runwright run sleepy")
    assert terminal.expect("begun").send("\x03").end() == 130
    (job,) = [one for one in rw.jobs.list(worker="sleepy", status="running") if one.id in terminal.text]
    assert f"runwright logs {job.id} -f" in terminal.text
    assert f"runwright jobs cancel {job.id}" in terminal.text
    assert home.run(f"runwright jobs cancel {job.id} -y").returncode == 0
    assert rw.jobs.wait(job.id, 60).status == "cancelled"


def test_ctrl_c_cancels_the_job_where_that_was_asked_for(home: Home, rw: Runwright) -> None:
    terminal = home.terminal("runwright run sleepy --cancel-on-interrupt")
    assert terminal.expect("begun").send("\x03").expect("Cancelled job_").end() == 130
    job_id = terminal.text.rpartition("Cancelled ")[2].split(".")[0]
    assert rw.jobs.wait(job_id, 30).status == "cancelled"


def test_a_protected_profile_asks_for_its_name(home: Home, server: Server, key: str) -> None:
    home.ok(f"runwright login {server.url} --profile prod --protected --with-key", input=key)
    named = {"RUNWRIGHT_URL": "", "RUNWRIGHT_KEY": ""}
    assert "prod" in home.ok("runwright profile list", **named)
    assert key not in home.ok("runwright profile show prod -o json", **named)
    assert json.loads(home.ok("runwright whoami -o json", **named))["profile"] == "prod"
    set_secret = "runwright secrets set TOKEN"
    failed(home.run(set_secret, input="value-1", **named), 2, "--yes-to prod")
    failed(home.run(f"{set_secret} -y --yes-to qa", input="value-1", **named), 2, "--yes-to prod")
    done = home.run(f"{set_secret} --yes-to prod", input="value-1", **named)
    assert (done.returncode, "→ prod" in done.stderr) == (0, True)
    person = Home(home.folder, **named)
    wrong = person.terminal("runwright secrets rm TOKEN -y")
    assert wrong.expect("Type prod to continue").send("production\n").end() == 1
    right = person.terminal("runwright secrets rm TOKEN -y")
    assert right.expect("Type prod to continue").send("prod\n").end() == 0
    assert "is deleted" in right.text


def test_a_projects_file_gets_no_key_but_that_of_a_profile_with_its_address(
    home: Home, server: Server
) -> None:
    """The address in a file that was cloned is not trusted with the key of the environment."""
    home.write("runwright.toml", f'url = "{server.url}"\n')
    done = home.run("runwright jobs list", RUNWRIGHT_URL="", RUNWRIGHT_DATA_DIR="/nonexistent")
    assert done.returncode == 4


def test_control_characters_of_logs_are_kept_from_terminals(home: Home, rw: Runwright) -> None:
    rw.workers.create(
        "loud", "python", source_code="def handler(input, env):\n    print('a\\x1b]0;owned\\x07b\\x1b[2Jc')\n"
    )
    terminal = home.terminal("runwright run loud")
    assert terminal.end() == 0
    assert "abc" in terminal.raw
    assert "owned" not in terminal.raw
    assert "\x1b[2J" not in terminal.raw
    assert "\x1b[2J" in home.ok("runwright logs loud")


def test_an_upload_that_is_interrupted_leaves_no_version(
    home: Home, rw: Runwright, server: Server, tmp_path: Path
) -> None:
    home.ok("runwright init big && runwright deploy big")
    before = [one.version for one in rw.workers.versions("big")]
    (tmp_path / "big" / "data.bin").write_bytes(_noise(20_000_000))
    with cutting_proxy(server.url, [], takes=1_000_000) as url:
        terminal = home.terminal(f"runwright deploy big --url {url}")
        assert terminal.expect("uploading").send("\x03").end() == 130
    assert [one.version for one in rw.workers.versions("big")] == before


def _noise(size: int) -> bytes:
    """Return bytes that do not compress."""
    with Path("/dev/urandom").open("rb") as source:
        return source.read(size)


def test_a_lost_connection_says_what_continues(home: Home, rw: Runwright, server: Server) -> None:
    rw.workers.create("chatty", "python", source_code=CHATTY)
    with cutting_proxy(server.url, [6_000] + [1] * 50) as url:
        done = home.run("runwright run chatty", RUNWRIGHT_URL=url)
    (job,) = rw.jobs.list(worker="chatty")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"The connection was lost; {job.id} continues on the server." in done.stderr
    assert f"runwright logs {job.id} -f" in done.stderr
    rw.jobs.cancel(job.id)
    assert rw.jobs.wait(job.id, 30).status == "cancelled"


def test_names_cannot_control_a_terminal(home: Home, rw: Runwright) -> None:
    """Whoever may deploy chooses names, and others look at them."""
    name = "a\x1b]0;owned\x07\x1b[2Jb\u202ec\n✓ forged"
    worker = rw.workers.create(
        name, "python", source_code=f"def handler(input, env):\n    raise ValueError({name!r})\n"
    )
    schedule = rw.schedules.create(worker.id, "0 0 1 1 *", "UTC", name=name)
    job = rw.jobs.run(worker.id, {}, wait=60)
    for line in (
        f"workers get {worker.id}",
        "workers list",
        f"workers pause {worker.id}",
        f"workers resume {worker.id}",
        f"workers versions {worker.id}",
        f"run {worker.id}",
        f"run {worker.id} --dry-run",
        f"jobs list --worker {worker.id}",
        f"jobs get {job.id}",
        f"jobs watch {job.id}",
        f"jobs retry {job.id} -y",
        f"explain {job.id}",
        f"logs {job.id}",
        "stats",
        "top --once",
        f"schedules get {schedule.id}",
        f"schedules pause {schedule.id}",
        "schedules list",
        "events tail",
    ):
        terminal = home.terminal(f"runwright {line}")
        assert terminal.end() in {0, 1}, terminal.text
        assert "\x1b]" not in terminal.raw, line
        assert "\x1b[2J" not in terminal.raw, line
        assert "\u202e" not in terminal.raw, line
        assert not any(row.startswith("✓ forged") for row in terminal.text.splitlines()), line
    question = home.terminal(f"runwright workers delete {worker.id}").expect("Delete them for good?")
    assert question.send("n\n").end() == 1
    assert "owned" not in question.raw
    assert name in json.loads(home.ok(f"runwright workers get {worker.id} -o json"))["name"]


def test_a_webhooks_secret_comes_from_a_pipe_or_a_file(home: Home, rw: Runwright) -> None:
    create = f"{CREATE_HOOK} --webhook-secret-value"
    home.write("secret.txt", "from-a-file-1\n")
    home.ok(f"{create} @secret.txt --name by-file")
    home.ok(f"{create} - --name by-pipe", input="from-a-pipe-1")
    terminal = home.terminal(f"{create} - --name by-hand")
    assert terminal.expect("The webhook's secret:").send("from-a-hand-1\n").end() == 0, terminal.text
    assert "from-a-hand-1" not in terminal.raw
    stopped = home.terminal("runwright secrets set TYPED")
    assert stopped.expect("Value of TYPED:").send("\x03").end() == 130
    assert {one.name for one in rw.automations.triggers.list()} >= {"by-file", "by-pipe", "by-hand"}
    assert "TYPED" not in {one.name for one in rw.secrets.list()}
