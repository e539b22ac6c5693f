"""What waits for a person, what happens meanwhile, and a way in for the browser, by the command line."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.contract.conftest import Server
from tests.contract.sdk.cutting_proxy import cutting_proxy
from tests.e2e.cli.conftest import Home
from tests.receiver import Receiver, receiving
from tests.waiting import eventually, until

from runwright import Runwright
from runwright.outbox.signing import hex_signature, standard_signature

HELLO = "def handler(input, env):\n    return input\n"


class Reviewer:
    """An agent that asks a person about every event."""

    def __init__(self, rw: Runwright) -> None:
        self.rw = rw
        self.event = f"custom.review-{uuid4().hex[:8]}"
        self.agent = rw.agents.register(f"reviewer-{uuid4().hex[:8]}", [self.event])

    def ask(self, **payload: object) -> str:
        """Let the agent flag an event, and return the id of the question."""
        known = {one.id for one in self.rw.inbox.list()}
        self.rw.events.publish(self.event, payload)
        claimed = eventually(lambda: self.rw.agents.claim(self.agent.uid, seconds=60))
        self.rw.agents.act(claimed[0].uid, "flag", reason="Is it right?")
        return next(one.id for one in self.rw.inbox.list() if one.id not in known)


@pytest.fixture(scope="module")
def sdk(server: Server, key: str) -> Iterator[Runwright]:
    with Runwright(server.url, key) as client:
        yield client


@pytest.fixture(scope="module")
def reviewer(sdk: Runwright) -> Reviewer:
    return Reviewer(sdk)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_questions_are_listed_and_answered_once(home: Home, reviewer: Reviewer) -> None:
    first, second, third = (reviewer.ask(order=n) for n in (1, 2, 3))
    listed = json.loads(home.ok("runwright inbox list -o json"))
    assert [one["id"] for one in listed[:3]] == [third, second, first]
    assert re.search(
        rf"{reviewer.agent.name} +{reviewer.event} +Is it right\?", home.ok("runwright inbox list")
    )
    assert '"order": 1' in home.ok(f"runwright inbox get {first}")
    done = home.run(f"runwright inbox approve {first[-8:]} --note 'Looks right.'")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("→ ")
    assert f"{first}: approve" in done.stdout
    again = home.run(f"runwright inbox reject {first}")
    assert again.returncode == 1, again.stderr
    home.ok(f"runwright inbox reject {second}")
    wrong = home.run(f"runwright inbox answer {third} maybe")
    assert (wrong.returncode, f"inbox answer {third} approve|reject|skip" in wrong.stderr) == (2, True)
    home.ok(f"runwright inbox answer {third} skip")
    answered = json.loads(home.ok("runwright inbox list --answered -o json"))
    given = {one["id"]: (one["answer"]["answer"], one["answer"]["note"]) for one in answered}
    assert (given[first], given[second][0], given[third][0]) == (
        ("approve", "Looks right."),
        "reject",
        "skip",
    )
    assert "approve, by " in home.ok(f"runwright inbox get {first[-8:]}")
    assert home.run("runwright inbox get exn_01jd9x3v7m0000000000000000").returncode == 5
    terminal = home.terminal("runwright inbox list --answered")
    assert terminal.end() == 0
    assert max(map(len, terminal.text.splitlines())) <= 80, terminal.text


def test_a_question_is_asked_answered_and_withdrawn(home: Home) -> None:
    asked = home.ok(
        "runwright inbox ask 'Which region?' --answer eu --answer us --about deploy -i n=1"
    ).strip()
    shown = home.ok(f"runwright inbox get {asked}")
    assert re.search(r"answers +eu, us", shown)
    assert '"n": 1' in shown
    assert f"{asked}: us" in home.ok(f"runwright inbox answer {asked[-8:]} us")
    late = home.run(f"runwright inbox answer {asked} eu")
    assert (late.returncode, "answered already: us" in late.stderr) == (1, True), late.stderr
    timed = home.ok("runwright inbox ask 'Deploy?' --timeout 4h --default reject").strip()
    assert re.search(r"until +.*, then reject", home.ok(f"runwright inbox get {timed}"))
    assert f"{timed}: withdrawn" in home.ok(f"runwright inbox withdraw {timed}")
    assert re.search(r"ended +withdrawn", home.ok(f"runwright inbox get {timed}"))
    wrong = home.run("runwright inbox ask 'Deploy?' --default reject")
    assert (wrong.returncode, "default" in wrong.stderr) == (2, True), wrong.stderr


def test_a_job_is_shared_by_links_that_are_listed_and_revoked(home: Home, sdk: Runwright) -> None:
    sdk.workers.create("shared", "python", source_code=HELLO)
    job = sdk.jobs.run("shared", {"n": 7}, wait=60).id
    assert home.ok("runwright jobs sharing") == "off  jobs may not be shared\n"
    assert home.run(f"runwright jobs share {job}").returncode == 4
    assert home.ok("runwright jobs sharing on") == "on  jobs may be shared\n"
    assert "The job is not shared.\n" in home.run(f"runwright jobs shares {job}").stderr
    made = home.run(f"runwright jobs share {job[-8:]} --for 90m")
    assert (made.returncode, "works for 1h30m" in made.stderr) == (0, True), made.stderr
    address, _, token = made.stdout.strip().partition("#token=")
    visit, shown = f"{address.removesuffix('/shared')}/v1/shared/job", {"authorization": f"Bearer {token}"}
    seen = httpx.get(visit, headers=shown, trust_env=False, timeout=60)
    assert seen.json()["data"]["output"] == {"n": 7}
    assert re.search(r"  1h[0-3]\dm", home.ok(f"runwright jobs shares {job}"))
    others = [json.loads(home.ok(f"runwright jobs share {job} -o json"))["id"] for _ in range(2)]
    listed = json.loads(home.ok(f"runwright jobs shares {job} -o json"))
    assert [one["id"] for one in listed[:2]] == others[::-1]
    assert re.search(rf"{others[1]}  \S+ +2[34]h\d\dm", home.ok(f"runwright jobs shares {job}"))
    assert home.run(f"runwright jobs unshare {job} shr_nothing").returncode == 5
    assert "revoked 1 link\n" in home.run(f"runwright jobs unshare {job} {others[0][-8:]}").stderr
    assert others[1] in home.ok(f"runwright jobs shares {job}")
    assert "revoked 2 links\n" in home.run(f"runwright jobs unshare {job}").stderr
    assert json.loads(home.ok(f"runwright jobs shares {job} -o json")) == []
    long = home.run(f"runwright jobs share {job} --for 31d")
    assert (long.returncode, "--for is at most 30d" in long.stderr) == (2, True)
    assert json.loads(home.ok("runwright jobs sharing off -o json")) == {"enabled": False}
    assert home.ok("runwright jobs sharing") == "off  jobs may not be shared\n"


def test_a_viewer_may_read_the_inbox_and_not_answer(
    home: Home, server: Server, sdk: Runwright, reviewer: Reviewer
) -> None:
    question = reviewer.ask(order=4)
    tenant = sdk.whoami().tenant_id
    viewer = server.run("keys", "create", "--tenant", tenant, "--role", "tenant-viewer")
    assert question in home.ok("runwright inbox list -o json", RUNWRIGHT_KEY=viewer)
    assert home.run(f"runwright inbox approve {question}", RUNWRIGHT_KEY=viewer).returncode == 4


def test_the_newest_events_are_printed_in_their_order(home: Home, sdk: Runwright) -> None:
    ids = [sdk.events.publish("custom.tail.first", {"n": n}).id for n in range(3)]
    lines = home.ok("runwright events tail -n 2 --type 'custom.tail.*' -o json").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[1:]
    assert re.search(
        r'custom\.tail\.first +\{"n": 2\}', home.ok("runwright events tail -t custom.tail.first")
    )
    assert '"n": 0' in home.ok(f"runwright events get {ids[0]}")
    worker = sdk.workers.create("tailed", "python", source_code=HELLO).id
    job = sdk.jobs.run("tailed", {}, wait=60).id
    of_worker = [
        json.loads(line) for line in home.ok("runwright events tail --worker tailed -o json").splitlines()
    ]
    assert [one["subject_id"] for one in of_worker] == [worker, job]
    of_job = home.ok(f"runwright events tail --subject {job} -o json").splitlines()
    assert [json.loads(line)["type"] for line in of_job] == ["ava.job.completed"]
    assert home.run("runwright events tail --type 'NOT A TYPE'").returncode == 2
    assert home.run("runwright events tail -f", RUNWRIGHT_URL="http://127.0.0.1:9").returncode == 3


def test_events_are_followed_across_a_lost_connection(home: Home, server: Server, sdk: Runwright) -> None:
    """The second connection is that of the stream; it is cut while events come."""
    with cutting_proxy(server.url, [10_000_000, 2_000]) as url:
        terminal = home.terminal(f"runwright events tail -f -n 0 --type custom.cut.* --url {url}")
        try:
            terminal.expect("following")
            for n in range(20):
                sdk.events.publish(f"custom.cut.n{n}")
            for n in range(20):
                terminal.expect(f"custom.cut.n{n} ")
            assert terminal.send("\x03").end() == 130
        finally:
            terminal.kill()
    assert "connected again" in terminal.text
    assert [terminal.text.count(f"custom.cut.n{n} ") for n in range(20)] == [1] * 20


def test_what_webhooks_would_get_is_sent_to_a_local_port(
    home: Home, sdk: Runwright, receiver: Receiver
) -> None:
    sdk.workers.create("listened", "python", source_code=HELLO)
    port = receiver.url.rpartition(":")[2]
    chosen = "-e job.completed -e custom.heard.*"
    terminal = home.terminal(f"runwright webhooks listen --forward-to {port}/hook {chosen}")
    try:
        terminal.expect(f"forwarding to http://127.0.0.1:{port}/hook").expect("signing secret: whsec_")
        event = sdk.events.publish("custom.heard.one", {"n": 1})
        [request] = receiver.wait_for(1, "/hook")
        secret = re.search(r"signing secret: (\S+)", terminal.text)
        assert secret is not None
        assert request.body == sdk.events.webhook_body(event.id)
        assert json.loads(request.body)["data"] == {"n": 1}
        timestamp = int(request.one("webhook-timestamp"))
        signed = standard_signature(secret[1], event.id, timestamp, request.body)
        assert (request.one("webhook-id"), request.one("webhook-signature")) == (event.id, signed)
        assert request.one("x-hld-signature-256") == f"sha256={hex_signature(secret[1], request.body)}"
        terminal.expect("custom.heard.one").expect("204")
        job = sdk.jobs.run("listened", {"n": 2}, wait=60)
        body = json.loads(receiver.wait_for(2, "/hook")[1].body)
        assert (body["type"], body["data"]["id"], body["data"]["output"]) == (
            "ava.job.completed",
            job.id,
            {"n": 2},
        )
        receiver.status = 500
        sdk.events.publish("custom.heard.two")
        terminal.expect("custom.heard.two").expect("500")
        assert terminal.send("\x03").end() == 130
    finally:
        terminal.kill()
    assert len(receiver.received) == 3, "nothing is sent again"
    assert max(map(len, terminal.text.splitlines())) <= 80, terminal.text


def test_bodies_are_printed_as_json_until_there_were_so_many(home: Home, sdk: Runwright) -> None:
    terminal = home.terminal("runwright webhooks listen -n 1 -o json -e custom.counted")
    try:
        terminal.expect("following")
        event = sdk.events.publish("custom.counted", {"n": 1})
        assert terminal.expect(f'{{"id":"{event.id}","type":"custom.counted"').end() == 0
    finally:
        terminal.kill()
    refused = home.run("runwright webhooks listen -n 1 --forward-to 'no port'")
    assert (refused.returncode, "--forward-to" in refused.stderr) == (2, True)


def test_a_link_is_printed_and_opened_at_a_desktop_only(home: Home, server: Server, tmp_path: Path) -> None:
    done = home.run("runwright open", DISPLAY=":0")
    assert done.returncode == 0, done.stderr
    url, _, token = done.stdout.strip().partition("#token=")
    assert url == f"{server.url}/sign-in"
    redeem, own = f"{server.url}/v1/session/redeem", {"origin": server.url}
    answers = [
        httpx.post(redeem, json={"token": token}, headers=own, trust_env=False, timeout=60) for _ in "ab"
    ]
    assert [one.status_code for one in answers] == [201, 401]
    opened = tmp_path / "opened.txt"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part\nmv {opened}.part {opened}\n')
    browser.chmod(0o755)
    home.env |= {"BROWSER": str(browser), "DISPLAY": ":0"}
    terminal = home.terminal("runwright open")
    assert terminal.expect("opened in your browser").end() == 0
    assert opened.read_text().strip() in terminal.text
    opened.unlink()
    for line, variables in (
        ("runwright open --no-browser", {}),
        ("runwright open", {"SSH_TTY": "/dev/pts/1"}),
    ):
        home.env |= variables
        terminal = home.terminal(line)
        assert terminal.expect("#token=").expect("works once").end() == 0
    assert not opened.exists()


def make_task(rw: Runwright, title: str) -> str:
    """Let a run create a task, and return its id."""
    schedule = {"mode": "every", "interval": "24h"}
    job = rw.automations.jobs.create("global", title, schedule, task={"title": title})
    run = rw.automations.jobs.trigger(job.id)
    return until(lambda: rw.automations.runs.get(run.id), lambda now: now.status == "delegated").task_id


def test_tasks_of_runs_are_listed_and_done(home: Home, sdk: Runwright) -> None:
    task = make_task(sdk, "Look at the numbers")
    assert re.search(
        rf"{task} +open +Look at the numbers", home.ok("runwright automation tasks --status open")
    )
    home.ok(f"runwright automation tasks update {task} --status done --owner user:ada")
    shown = json.loads(home.ok(f"runwright automation tasks get {task} -o json"))
    assert (shown["status"], shown["owner"]) == ("done", {"kind": "user", "ref": "ada"})
    assert home.run(f"runwright automation tasks update {task}").returncode == 2
    assert home.run(f"runwright automation tasks update {task} --owner ada").returncode == 2


def test_agents_of_both_kinds_are_listed_and_shown(home: Home, sdk: Runwright) -> None:
    registered = sdk.agents.register("poller-of-the-test", ["custom.polled"], description="Looks.")
    create = "--model some-model --base-url https://llm.example.com/v1"
    home.ok(f"runwright agents create --template llm --name llm-of-the-test {create}")
    rows = {one["name"]: one for one in json.loads(home.ok("runwright agents list -o json"))}
    assert rows["poller-of-the-test"]["answers_by"] == "polling"
    assert rows["llm-of-the-test"]["answers_by"] == "prompts to some-model"
    for name in ("poller-of-the-test", registered.uid):
        assert re.search(r"events +custom\.polled", home.ok(f"runwright agents get {name}"))
    assert "https://llm.example.com/v1" in home.ok("runwright agents get llm-of-the-test")
    assert home.run("runwright agents get no-agent").returncode == 5
