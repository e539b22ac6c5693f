"""Automations from one end to the other: the documentation's example, the command line, the language model agent."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server, running_server
from tests.model_endpoint import ModelEndpoint, model_endpoint, says, wants
from tests.preloaded import preloaded
from tests.receiver import receiving

PAGE = Path(__file__).parents[2] / "docs" / "incoming-webhooks.md"
PROGRAM = Path(sys.executable).with_name("runwright")
Json = Any
"""What a command prints; which of it is right is for the tests to say."""

Run = Callable[..., Json]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelEndpoint]:
    with model_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def server(model: ModelEndpoint) -> Iterator[Server]:
    """A server that may send to this machine, and whose workers reach the model's endpoint."""
    settings = {
        "RUNWRIGHT_DEV": "1",
        "RUNWRIGHT_EGRESS_TRUSTED": f"localhost:{model.port}",
        "RUNWRIGHT_EGRESS_PORTS": "443",
    }
    with running_server(**settings) as one:
        yield one


@pytest.fixture
def tenant(server: Server) -> dict[str, str]:
    """The variables of somebody who asks the server for a fresh tenant."""
    name = f"ten_{uuid4().hex}"
    key = server.run("keys", "create", "--tenant", name, "--role", "tenant-system-admin")
    inherited = {
        variable: value for variable, value in os.environ.items() if not variable.startswith("RUNWRIGHT_")
    }
    path = f"{PROGRAM.parent}{os.pathsep}{inherited['PATH']}"
    return inherited | {"PATH": path, "RUNWRIGHT_URL": server.url, "RUNWRIGHT_KEY": key, "TENANT": name}


@pytest.fixture
def api(server: Server, tenant: dict[str, str]) -> Iterator[Api]:
    with RawClient(server.url) as http:
        yield Api(http, key=PLATFORM_KEY, tenant=tenant["TENANT"])


@pytest.fixture
def run(tenant: dict[str, str]) -> Run:
    """Run a command and return what it prints as JSON, or its complaint where it fails."""

    def call(*arguments: str, form: str = "json", fails: bool = False, **variables: str) -> Json:
        done = preloaded.run(*arguments, "-o", form, env=tenant | variables, seconds=90)
        assert (done.returncode != 0) is fails, done.stderr + done.stdout
        if fails:
            return done.stderr
        return json.loads(done.stdout) if form == "json" else done.stdout

    return call


def test_the_example_of_the_documentation(tenant: dict[str, str], api: Api) -> None:
    section = PAGE.read_text(encoding="utf-8").split("## From a push to a webhook")[1].split("\n## ")[0]
    [script] = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    with receiving() as receiver:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=tenant | {"RECEIVER": f"{receiver.url}/hook", "HOOK_SECRET": "from-github"},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        [told] = receiver.wait_for(1)
    assert '"status":"completed"' in done.stdout
    assert "/api/webhooks/global/github--wbh_pushes" in done.stdout
    assert json.loads(told.body) == {"commit": "c0ffee"}
    assert "custom.released" in [value for _, value in told.headers]
    [job] = api.get("/jobs").json()["data"]
    lines = api.get(f"/jobs/{job['id']}/logs").json()["data"]["logs"]
    assert "Release acme/site at c0ffee with ***" in [line["msg"] for line in lines]
    assert "r3l-0042" not in done.stdout + told.body.decode()


def test_jobs_from_the_command_line(run: Run, api: Api) -> None:
    api.make_worker(name="echo")
    common = ("automation", "jobs")
    made = run(*common, "create", "--name", "nightly", "--scope", "global", "--schedule", "0 3 * * *", "--agent", "echo",
               "--prompt", "tidy up", "--retry", "backoff:2:5s")  # fmt: skip
    assert (made["name"], made["schedule"]["expr"], made["enabled"]) == ("nightly", "0 3 * * *", True)
    assert made["retry"] == {"strategy": "backoff", "max_retries": 2, "base_delay": "5s"}
    assert [job["id"] for job in run(*common)["jobs"]] == [made["id"]]
    assert run(*common, "get", made["id"])["id"] == made["id"]
    changed = run(*common, "update", made["id"], "--schedule", "every:2h", "--enabled=false")
    assert (changed["schedule"], changed["enabled"]) == ({"mode": "every", "interval": "2h"}, False)
    assert "Requires at least one change flag" in run(*common, "update", made["id"], fails=True)
    done = run(*common, "trigger", made["id"])
    assert (done["status"], done["job_id"]) == ("completed", made["id"])
    assert [one["id"] for one in run(*common, "history", made["id"], "--since", "1h")["runs"]] == [done["id"]]
    assert run("automation", "runs", "get", done["id"])["id"] == done["id"]
    assert run("automation", "runs", "--status", "failed")["runs"] == []
    assert "already ended" in run("automation", "runs", "cancel", done["id"], fails=True)
    lines = run(*common, form="jsonl").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [made["id"]]
    text = run(*common, "get", made["id"], form="human")
    assert text.startswith("Job nightly\n")
    assert "every:2h" in text
    assert "backoff:2:5s" in text
    assert "12/1h" in text
    assert "nightly" in run(*common, form="human")
    assert run(*common, "delete", made["id"])["id"] == made["id"]
    assert "automation: job not found" in run(*common, "get", made["id"], fails=True)


def test_triggers_from_the_command_line(run: Run) -> None:
    common = ("automation", "triggers")
    made = run(*common, "create", "--name", "hook", "--scope", "workspace", "--workspace", "ws1", "--event", "webhook",
               "--agent", "echo", "--prompt", "{{.Kind}}", "--filter", "data.a=1,data.b=2", "--filter", "kind=webhook",
               "--endpoint-slug", "hook", RUNWRIGHT_WEBHOOK_SECRET="s3cret-value")  # fmt: skip
    assert made["filter"] == {"data.a": "1", "data.b": "2", "kind": "webhook"}
    assert "s3cret-value" not in json.dumps(made)
    text = run(*common, "get", made["id"], form="human")
    assert f"/api/webhooks/workspaces/ws1/hook--{made['webhook_id']}" in text
    assert run(*common, "--event", "webhook", "--scope", "workspace")["triggers"] == [made]
    assert run(*common, "--source", "config")["triggers"] == []
    assert run(*common, "update", made["id"], "--prompt", "new")["prompt"] == "new"
    assert "prompt" in run(*common, "update", made["id"], "--prompt", "{{", fails=True)
    assert run(*common, "history", made["id"])["runs"] == []
    assert run(*common, "delete", made["id"])["id"] == made["id"]
    assert "page not found" in run(*common, "get", "../jobs", fails=True)
    assert "cannot be the id" in run(*common, "get", "..", fails=True)


def test_a_stranger_and_a_server_that_is_away_are_told_apart(run: Run) -> None:
    assert "does not answer" in run("automation", "jobs", "--url", "http://127.0.0.1:9", fails=True)
    assert "missing, wrong or revoked" in run("automation", "jobs", fails=True, RUNWRIGHT_KEY="wrong")
    assert "is not an address such as https" in run(
        "automation", "jobs", "--url", "file:///etc/passwd", fails=True
    )


def test_a_language_model_uses_a_worker_as_its_tool(run: Run, api: Api, model: ModelEndpoint) -> None:
    """Through the sandbox's network, two jobs of the agent and one of the tool, and an event at the end."""
    assert api.call("PUT", "/secrets/LLM_API_KEY", json={"value": "sk-very-secret-key"}).status_code in {
        200,
        201,
    }
    api.make_worker(
        name="find commit", source_code="def handler(input, env):\n    return {'author': 'Ada', **input}\n"
    )
    model.script = [
        wants(("find_commit_0", '{"id": "c0ffee"}'), ("raise_event", '{"event": "custom.asked"}'), tokens=30),
        says("Ada wrote it.", tokens=12),
    ]
    made = run("agents", "create", "--template", "llm", "--name", "triage", "--model", "m1", "--tool",
               "find commit=Returns a commit.", "--base-url", f"http://localhost.:{model.port}/v1", "--raises-events")  # fmt: skip
    assert made["network"] == {"allow": ["localhost"]}
    job = run("automation", "jobs", "create", "--name", "ask", "--scope", "global", "--schedule", "at:2099-01-01T00:00",
              "--agent", "triage", "--prompt", "Who wrote c0ffee?")  # fmt: skip
    done = run("automation", "jobs", "trigger", job["id"])
    assert done["status"] == "completed", done
    assert model.keys == ["Bearer sk-very-secret-key"] * 2
    assert [message["role"] for message in model.asked[1]["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    assert {"author": "Ada", "id": "c0ffee"} in [
        json.loads(message["content"])
        for message in model.asked[1]["messages"]
        if message.get("content", "").startswith("{")
    ]
    jobs = api.get("/jobs").json()["data"]
    assert sorted(one["status"] for one in jobs) == ["completed"] * 3
    answers = [one["output"] for one in jobs if "answer" in (one["output"] or {})]
    assert answers == [{"answer": "Ada wrote it.", "steps": 2, "tokens": 42,
                        "events": [{"event": "custom.asked", "payload": {}}]}]  # fmt: skip
    transcript = "\n".join(
        line["msg"] for one in jobs for line in api.get(f"/jobs/{one['id']}/logs").json()["data"]["logs"]
    )
    for said in (
        "[user] Who wrote c0ffee?",
        "[assistant] calls find_commit_0",
        "[tool] raised",
        "[assistant] Ada wrote it.",
    ):
        assert said in transcript
    assert "sk-very-secret-key" not in transcript + json.dumps(jobs)
