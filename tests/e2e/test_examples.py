"""Every example is deployed and run by the commands that its README prints; a stand-in plays the services."""

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server, running_server
from tests.e2e.test_printed_commands import shell_environment
from tests.model_endpoint import says, wants
from tests.printed import PrintedCommandError, Shell, Statement, read_page
from tests.stand_in import StandIn, stand_in
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
EXAMPLE_COUNT = 12
SERVICE = re.compile(r"https://[a-z]+\.example")
ALLOWED = re.compile(r"allow = \[[^\]]*\]")
WEBHOOK = re.compile(r"deliveries go to (\S+)\n.*?shown this once: (\S+)", re.DOTALL)

WAITS = {"runwright inbox list": "900 is more than 50", "av /executions/ ": "approve.*flag|flag.*approve"}
"""What a person would look for again: a listing, and what it shows in the end."""

Json = Any
"""What a job returns; which of it is right is for the tests to say."""


class Played:
    """An example after its commands have run."""

    def __init__(self, api: Api, shell: Shell, printed: str) -> None:
        self.api = api
        self.shell = shell
        self.printed = printed

    def wait(self, worker: str, count: int) -> list[Json]:
        """Wait until a worker has so many jobs that have ended, and return them."""
        return until(
            lambda: self.jobs(worker),
            lambda jobs: len([one for one in jobs if one["completed_at"]]) >= count,
        )

    def jobs(self, worker: str) -> list[Json]:
        """Return the jobs of a worker, oldest first."""
        [found] = [
            one for one in self.api.get("/workers", per_page="100").json()["data"] if one["name"] == worker
        ]
        jobs = self.api.get("/jobs", **{"filter[worker_id]": found["id"]}).json()["data"]
        return [self.api.get(f"/jobs/{one['id']}").json()["data"] for one in reversed(jobs)]

    def log(self, job: Json) -> str:
        lines = self.api.get(f"/jobs/{job['id']}/logs").json()["data"]["logs"]
        return "\n".join(line["msg"] for line in lines)


Play = Callable[[str], Played]


@pytest.fixture(scope="module")
def remote() -> Iterator[StandIn]:
    with stand_in() as service:
        yield service


@pytest.fixture(scope="module")
def server(remote: StandIn) -> Iterator[Server]:
    with running_server(RUNWRIGHT_DEV="1", RUNWRIGHT_EGRESS_TRUSTED=f"localhost:{remote.port}") as one:
        yield one


@pytest.fixture
def play(server: Server, remote: StandIn, tmp_path: Path) -> Iterator[Play]:
    """Copy an example, with the stand-in's address in place of the services', and type its README's commands."""
    remote.answers.clear()
    remote.asked.clear()
    stack = ExitStack()

    def run(name: str) -> Played:
        folder = tmp_path / "shell" / "work"
        tenant = f"ten_{uuid4().hex}"
        shell = Shell(tmp_path / "shell", shell_environment(server, tenant, tmp_path), {})
        stack.enter_context(shell)
        copy_example(EXAMPLES / name, folder, remote.url)
        http = stack.enter_context(RawClient(server.url))
        api = Api(http, key=PLATFORM_KEY, tenant=tenant)
        return Played(api, shell, type_commands(shell, folder / "README.md"))

    with stack:
        yield run


def copy_example(source: Path, folder: Path, address: str) -> None:
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for path in (folder / "README.md", folder / "runwright.toml"):
        text = SERVICE.sub(address, path.read_text())
        path.write_text(ALLOWED.sub('allow = ["localhost"]', text))


def type_commands(shell: Shell, readme: Path) -> str:
    """Type every command; what a person would copy from the answers is put into the variables."""
    printed = ""
    statements, skipped = read_page(readme.read_text())
    assert not skipped
    for statement in statements:
        try:
            for listing, awaited in WAITS.items():
                if listing in statement.text:
                    shell.run(
                        Statement(
                            0, f"until {{ {statement.text}\n}} | grep -Eq '{awaited}'; do sleep 0.1; done"
                        )
                    )
            output = shell.run(statement)
        except PrintedCommandError as failure:
            pytest.fail(f"{readme.parent.name}/README.md: {failure}")
        printed += output
        if found := WEBHOOK.search(output):
            shell.run(Statement(0, f"WEBHOOK_URL='{found[1]}' WEBHOOK_SECRET='{found[2]}'"))
    return printed


def test_report_by_cron(play: Play, remote: StandIn) -> None:
    orders = [
        {"product": "lamp", "amount": 120},
        {"product": "desk", "amount": 1300},
        {"product": "lamp", "amount": 80},
    ]
    remote.answers["GET /orders"] = lambda _: orders
    remote.answers["POST /hooks/T024-B7QX"] = lambda _: 200
    played = play("report-by-cron")
    [job] = played.jobs("weekly-report")
    assert (job["output"]["orders"], job["output"]["revenue"]) == (3, 1500)
    assert remote.requests("GET", "/orders")[-1].query == "days=7"
    [posted] = remote.requests("POST", "/hooks/T024-B7QX")
    assert posted.json["text"].splitlines()[1].split() == ["desk", "1,300"]
    assert "T024" not in played.log(job) + played.printed
    [schedule] = played.api.get("/schedules").json()["data"]
    assert (schedule["cron"], schedule["timezone"], schedule["catch_up"]) == (
        "0 8 * * MON",
        "Europe/Berlin",
        "last",
    )


def test_github_deploy(play: Play, remote: StandIn) -> None:
    remote.answers["POST /rollouts"] = lambda _: {"id": "roll-7"}
    played = play("github-deploy")
    [job] = played.jobs("deployer")
    assert job["output"]["rollout"] == "roll-7"
    [asked] = remote.requests("POST", "/rollouts")
    assert asked.json == {"repository": "acme/site", "commit": "c0ffee254729296a45a3885639ac7e10f9d54979"}
    assert asked.headers["authorization"] == "Bearer dpl_4f9a0c"
    assert asked.headers["idempotency-key"] == asked.json["commit"]
    played.shell.run(
        Statement(
            0,
            """PUSH=${PUSH/main/other}; SIGNATURE=$(printf %s "$PUSH" | openssl dgst -sha256 -hmac "$WEBHOOK_SECRET" | sed 's/.* //')
curl -sS --fail-with-body "$WEBHOOK_URL" -d "$PUSH" -H "X-Hub-Signature-256: sha256=$SIGNATURE" | grep '"matched":0'""",
        )
    )
    with pytest.raises(PrintedCommandError, match="401"):
        played.shell.run(
            Statement(
                0, 'curl -sSi --fail-with-body "$WEBHOOK_URL" -d "$PUSH" -H "X-Hub-Signature-256: sha256=00"'
            )
        )
    assert len(played.jobs("deployer")) == 1


def test_llm_triage(play: Play, remote: StandIn) -> None:
    script = [
        wants(("find-customer", '{"email": "bob@example.com"}')),
        wants(("file-ticket", '{"team": "billing", "priority": "urgent", "summary": "Charged twice"}')),
        says("Filed as urgent for billing."),
    ]
    remote.answers["POST /v1/chat/completions"] = lambda _: script.pop(0)
    played = play("llm-triage")
    triage = played.wait("triage", 3)
    [customer] = played.jobs("find-customer")
    assert customer["output"] == {"plan": "free", "open_invoices": 2}
    [ticket] = played.jobs("file-ticket")
    assert ticket["output"] == {"filed": True, "team": "billing", "priority": "urgent"}
    assert triage[-1]["output"] == {"answer": "Filed as urgent for billing."}
    asked = remote.requests("POST", "/v1/chat/completions")
    assert {one.headers["authorization"] for one in asked} == {"Bearer sk-proj-4f9a0c"}
    assert "I was charged twice!" in asked[0].json["messages"][1]["content"]
    assert [one["role"] for one in asked[2].json["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]


def test_stripe_webhook(play: Play, remote: StandIn) -> None:
    remote.answers["POST /orders/1042/fulfilment"] = lambda _: {}
    played = play("stripe-webhook")
    [job] = played.jobs("fulfil-order")
    assert job["output"]["order"] == "1042"
    [asked] = remote.requests("POST", "/orders/1042/fulfilment")
    assert asked.json == {"paid": 4200, "currency": "eur"}
    assert asked.headers["idempotency-key"] == "evt_1NG8Du2eZvKYlo2C"
    with pytest.raises(PrintedCommandError, match="409"):
        played.shell.run(
            Statement(
                0,
                'curl -sSi --fail-with-body "$WEBHOOK_URL" -d "$EVENT" -H "Stripe-Signature: t=$AT,v1=$SIGNATURE"',
            )
        )


def test_human_approval(play: Play, remote: StandIn) -> None:
    remote.answers["POST /payments"] = lambda _: 201
    played = play("human-approval")
    played.wait("refund-pay", 2)
    payments = {one.json["order"]: one for one in remote.requests("POST", "/payments")}
    assert {order: one.json["amount"] for order, one in payments.items()} == {"A-1041": 20, "A-1042": 900}
    assert payments["A-1041"].headers["idempotency-key"] != payments["A-1042"].headers["idempotency-key"]
    [question] = played.api.get("/inbox", **{"filter[status]": "answered"}).json()["data"]
    assert (question["asked_by"], question["payload"]) == ("refunds", {"order": "A-1042", "amount": 900})
    assert (question["answer"]["answer"], question["answer"]["note"]) == ("approve", "A regular customer.")
    with pytest.raises(PrintedCommandError, match="approve"):
        played.shell.run(Statement(0, "runwright inbox reject exn_…"))


@pytest.mark.registry
def test_pandas_job(play: Play) -> None:
    played = play("pandas-job")
    first, second = played.jobs("sales-statistics")
    assert [one["revenue"] for one in first["output"]["months"]] == [300, 530, 483]
    assert [one["growth_percent"] for one in first["output"]["months"]] == [None, 76.7, -8.9]
    assert first["output"]["best_product"] == "lamp"
    assert second["output"]["months"][1] == {
        "month": "2026-06",
        "orders": 1,
        "revenue": 30,
        "growth_percent": 200.0,
    }


@pytest.mark.registry
def test_node_scraper(play: Play, remote: StandIn) -> None:
    remote.answers["GET /"] = lambda _: "".join(
        f'<article><h2><a href="/{n}"> News {n} &amp; more </a></h2></article>' for n in range(5)
    )
    played = play("node-scraper")
    [job] = played.jobs("headlines")
    assert job["output"]["headlines"][0] == {"title": "News 0 & more", "url": f"{remote.url}/0"}
    assert len(job["output"]["headlines"]) == 3


def test_wasm_from_c(play: Play) -> None:
    played = play("wasm-c")
    [job] = played.jobs("iban-check")
    assert job["output"] == {"ibans": [
        {"iban": "DE89370400440532013000", "valid": True}, {"iban": "DE89370400440532013001", "valid": False},
    ]}  # fmt: skip
    assert "2 found" in played.log(job)


def test_wasm_from_rust(play: Play) -> None:
    played = play("wasm-rust")
    [job] = played.jobs("describe")
    assert job["output"] == {"count": 5, "mean": 58.3, "median": 13, "p95": 195.09999999999997}
    assert "5 numbers" in played.log(job)


def test_wasm_assemblyscript(play: Play) -> None:
    played = play("wasm-assemblyscript")
    [job] = played.jobs("way-length")
    assert job["output"] == {"points": 3, "km": 1221}
    assert "leg 1: 877.5 km" in played.log(job)


def test_shell_backup(play: Play, remote: StandIn) -> None:
    export = b"id,name\n1,Ada\n" * 1000
    remote.answers["GET /export"] = lambda _: export
    remote.answers["PUT"] = lambda _: 201
    played = play("shell-backup")
    [job] = played.jobs("nightly-backup")
    [asked] = remote.requests("PUT", f"/backups/{job['output']['name']}")
    assert asked.headers["authorization"] == "Bearer sto_4f9a0c"
    assert len(asked.body) == job["output"]["bytes"] < len(export)
    command = [
        "openssl",
        "enc",
        "-d",
        "-aes-256-cbc",
        "-pbkdf2",
        "-pass",
        "pass:correct horse battery staple",
    ]
    decrypted = subprocess.run(command, input=asked.body, capture_output=True, check=True).stdout
    assert gzip.decompress(decrypted) == export
    assert "battery" not in played.log(job) + played.printed


def test_agent_reviewer(play: Play) -> None:
    played = play("agent-reviewer")
    listed, _ = json.JSONDecoder().raw_decode(played.printed[played.printed.index('{"next"') :])
    assert sorted(one["action"] for one in listed["results"]) == ["approve", "flag"]


def test_every_example_is_tested_and_listed() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert len(folders) == EXAMPLE_COUNT
    index = (EXAMPLES / "README.md").read_text()
    assert set(re.findall(r"\]\(([a-z-]+)/README\.md\)", index)) == folders
    source = Path(__file__).read_text()
    assert all(f'play("{name}")' in source for name in folders)
