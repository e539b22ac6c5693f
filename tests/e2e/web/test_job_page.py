"""The page of a job: its log as it is written, why it waits, and what can be done with it."""

import re

from playwright.sync_api import BrowserContext, Page, expect
from tests.contract.client import Api, data_of

SAYS = """
import time
def handler(input, env):
    from runwright import job, log
    print("first \\x1b[31mred\\x1b[0m <b>line</b>")
    while job.get("go") is None:
        time.sleep(0.02)
    log.info("last line", rows=12)
    return input
"""
SETS_STATE = "def handler(input, env):\n    from runwright import job\n    job.set('go', 1)\n"
RAISES = "def handler(input, env):\n    raise ValueError(1)\n"
BIG = "9007199254740993"


def test_a_log_is_shown_as_it_is_written_and_the_state_follows(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(source_code=SAYS, timeout_seconds=120)
    job = tenant.make_job(worker["id"])
    page.goto(f"/jobs/{job['id']}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("first red <b>line</b>")
    expect(page.locator(".lead")).to_contain_text("Running")
    assert log.locator("b").count() == 0
    expect(log.locator(".red")).to_have_text("red")
    expect(page.locator("[data-live=live]")).to_be_attached()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".lead")).to_contain_text("Cancelled")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_a_job_says_why_it_waits(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    job = tenant.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
    data_of(tenant.patch(f"/workers/{worker['id']}", {"status": "paused"}))
    page.goto(f"/jobs/{job['id']}")
    expect(page.locator(".lead")).to_contain_text("Its worker is paused")
    expect(page.locator(".lead")).to_contain_text("It is scheduled to start")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".lead")).to_contain_text("Cancelled before it started")


def test_a_job_runs_again_with_input_that_is_sent_as_it_was_typed(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    job = tenant.call(
        "POST",
        "/jobs?wait=30",
        content=f'{{"worker_id": "{worker["id"]}", "input": {{"n": {BIG}}}}}'.encode(),
    )
    page.goto(f"/jobs/{data_of(job, 201)['id']}?tab=data")
    expect(page.get_by_role("region", name="Input")).to_contain_text(BIG)
    expect(page.get_by_role("region", name="Output")).to_contain_text(BIG)
    page.get_by_role("button", name="Run again").click()
    field = page.get_by_role("textbox", name="Input")
    field.fill("{")
    expect(page.get_by_text("Is not JSON")).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    field.fill(f'{{"n": {BIG}, "again": [1.50]}}')
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page).not_to_have_url(re.compile("tab=data"))
    expect(page.locator(".lead")).to_contain_text("Completed")
    made = re.sub(r"[?#].*", "", page.url).rpartition("/")[2]
    assert f'"input":{{"n": {BIG}, "again": [1.50]}}' in tenant.get(f"/jobs/{made}").text
    page.get_by_role("button", name="Retry").click()
    expect(page).not_to_have_url(re.compile(made))
    expect(page.get_by_role("link", name=re.compile("job_"))).to_be_visible()


def test_a_failure_shows_the_users_own_code_first(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(
        source_code="def charge(order):\n    raise ValueError('<i>declined</i>')\n\ndef handler(i, e):\n    charge(1)\n"
    )
    job = tenant.run_job(worker["id"])
    page.goto(f"/jobs/{job['id']}")
    error = page.get_by_role("region", name="Error")
    expect(error).to_contain_text("<i>declined</i>")
    expect(error.locator("ol > li").first).to_contain_text("charge")
    expect(error.locator("ol > li").first).to_contain_text("main.py:2")
    error.get_by_role("button", name="Whole stack").click()
    expect(error).to_contain_text("Traceback")


def test_a_job_is_copied_as_a_command(context: BrowserContext, page: Page, tenant: Api) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    job = tenant.run_job(tenant.make_worker()["id"], input={"text": "it's"})
    page.goto(f"/jobs/{job['id']}")
    expect(page.locator(".lead")).to_contain_text("Completed")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Copy as curl").click()
    expect(page.get_by_text("Copied as curl")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -X POST 'http://")
    assert """"input": {"text":"it'\\''s"}}'""" in copied


def test_a_job_of_another_tenant_is_not_there(page: Page, tenant: Api) -> None:
    other = tenant.having(tenant="ten_other_browser")
    job = other.run_job(other.make_worker()["id"])
    page.goto(f"/jobs/{job['id']}")
    expect(page.get_by_role("alert")).to_contain_text("There is no job")
    expect(page.get_by_role("alert")).to_contain_text("request req_")


def test_the_timeline_parts_the_boot_of_an_attempt_from_its_queue_and_its_run(
    page: Page, tenant: Api
) -> None:
    worker = tenant.make_worker(source_code="import time\ndef handler(i, e):\n    time.sleep(1)\n")
    job = tenant.run_job(worker["id"])
    [attempt] = data_of(tenant.get(f"/jobs/{job['id']}/attempts"))
    assert job["created_at"] <= attempt["claimed_at"] <= attempt["started_at"]
    page.goto(f"/jobs/{job['id']}")
    bars = page.get_by_role("region", name="Timeline").get_by_role("img")
    expect(bars).to_have_attribute("aria-label", re.compile(r"Starting .*, Running [1-9]"))


def test_a_part_of_a_timeline_of_many_attempts_is_looked_at_closely(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(source_code=RAISES, max_retries=3)
    job = tenant.run_job(worker["id"])
    page.goto(f"/jobs/{job['id']}")
    timeline = page.get_by_role("region", name="Timeline")
    expect(timeline.get_by_role("img")).to_have_count(4)
    shown = timeline.get_by_role("slider", name="Shown part of the timeline")
    whole = shown.get_attribute("aria-valuetext")
    assert whole is not None
    shown.press("+")
    expect(shown).not_to_have_attribute("aria-valuetext", whole)
    timeline.get_by_role("button", name="Show all").click()
    expect(shown).to_have_attribute("aria-valuetext", whole)
