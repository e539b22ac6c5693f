"""Contract §0 and §9: a development server that needs no key, and reads its definitions from a file."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.contract.agh.client import JOBS, TRIGGERS, answer, invalid, refused
from tests.contract.client import Json, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server, running_server
from tests.waiting import until

from runwright.client.session import Credentials

FILE = """
[automation]
max_concurrent_jobs = 3
[[automation.jobs]]
scope = "global"
name = "digest"
agent = "nobody"
prompt = "PROMPT"
schedule = { mode = "cron", expr = "0 8 * * *" }
[[automation.triggers]]
scope = "global"
name = "deploy"
agent = "nobody"
prompt = "go"
event = "webhook"
endpoint_slug = "deploy"
webhook_secret_ref = "env:DEPLOY_SECRET"
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("automations") / "automations.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="module")
def dev_server(file: Path) -> Iterator[Server]:
    settings = {"RUNWRIGHT_DEV": "1", "RUNWRIGHT_AUTOMATION_FILE": str(file), "DEPLOY_SECRET": "from-outside"}
    with running_server(**settings) as one:
        yield one


@pytest.fixture
def dev(dev_server: Server) -> Iterator[RawClient]:
    with RawClient(dev_server.url) as http:
        yield http


def await_prompt(dev: RawClient, prompt: str) -> None:
    """Wait until the job's prompt is this."""
    until(lambda: jobs(dev)[0]["prompt"], lambda now: now == prompt)


def jobs(dev: RawClient) -> list[Json]:
    found: list[Json] = answer(dev.get(JOBS, params={"source": "config"}))["jobs"]
    return found


def test_0_no_key_is_needed_here_and_a_strangers_page_is_still_kept_out(dev: RawClient) -> None:
    assert len(jobs(dev)) == 1
    refused(dev.get(JOBS, headers={"host": "rebound.example"}), 403, "host not allowed")
    refused(dev.post(JOBS, json={}, headers={"origin": "https://evil.example"}), 403, "origin not allowed")
    refused(dev.get(JOBS, headers={"authorization": "Bearer wrong"}), 401)


def test_0_a_browsers_session_acts_for_its_own_tenant_here_too(dev_server: Server) -> None:
    with httpx.Client(base_url=dev_server.url, trust_env=False, timeout=60) as browser:
        assert [job["name"] for job in answer(browser.get(JOBS))["jobs"]] == ["digest"]
        caller = Credentials(api_key=PLATFORM_KEY, tenant="ten_other", user="usr_test", role="tenant-viewer")
        headers = caller.headers() | {"x-internal-secret": PLATFORM_KEY}
        assert browser.post("/v1/session", json={}, headers=headers).status_code == 201
        assert answer(browser.get(JOBS))["jobs"] == []


def test_9_what_a_file_defines_can_only_be_switched(dev: RawClient) -> None:
    [job] = jobs(dev)
    [trigger] = answer(dev.get(TRIGGERS))["triggers"]
    assert job["id"].startswith("jobcfg_")
    assert trigger["webhook_id"] == trigger["id"].replace("trgcfg_", "wbh_")
    assert trigger["webhook_secret_present"] is True
    path = f"{JOBS}/{job['id']}"
    message = "config-backed automation jobs only accept enabled updates"
    invalid(dev.patch(path, json={"enabled": False, "prompt": "x"}), message)
    invalid(dev.delete(path), "config-backed automation jobs cannot be deleted")
    invalid(dev.delete(f"{TRIGGERS}/{trigger['id']}"), "config-backed automation triggers cannot be deleted")
    assert answer(dev.patch(path, json={"enabled": False}))["job"]["enabled"] is False
    assert answer(dev.patch(path, json={"enabled": True}))["job"]["enabled"] is True


def test_9_the_file_is_read_again_at_sighup_and_a_bad_one_changes_nothing(
    dev: RawClient, dev_server: Server, file: Path
) -> None:
    file.write_text(FILE.replace("PROMPT", "another prompt"))
    os.kill(dev_server.pid, signal.SIGHUP)
    await_prompt(dev, "another prompt")
    file.write_text(FILE.replace("PROMPT", "bad").replace("0 8 * * *", "0 0 30 2 *"))
    os.kill(dev_server.pid, signal.SIGHUP)
    file_refused = (dev_server.data_dir / "server.log").read_text
    until(file_refused, lambda log: "automation_file_refused" in log)
    assert "automation.jobs[0].schedule.expr is invalid" in file_refused()
    assert jobs(dev)[0]["prompt"] == "another prompt"
    file.write_text(FILE.replace("PROMPT", "good again"))
    os.kill(dev_server.pid, signal.SIGHUP)
    await_prompt(dev, "good again")
