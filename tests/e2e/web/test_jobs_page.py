"""The list of jobs: live rows, filters in the address, the keyboard, hostile names."""

import re

from playwright.sync_api import Page, expect
from tests.contract.client import Api

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def test_rows_appear_and_change_while_one_looks(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(name="Live worker")
    page.goto("/jobs")
    expect(page.get_by_text("No job has been submitted yet")).to_be_visible()
    expect(page.locator("[data-live=live]")).to_be_attached()
    job = tenant.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
    row = page.locator(f"tr[data-row={job['id']}]")
    expect(row).to_contain_text("Live worker", timeout=5_000)
    expect(row).to_contain_text("Scheduled")
    tenant.post(f"/jobs/{job['id']}/cancel")
    expect(row).to_contain_text("Cancelled", timeout=5_000)


def test_filters_live_in_the_address_and_come_back(page: Page, tenant: Api) -> None:
    good, bad = (
        tenant.make_worker(name="Good"),
        tenant.make_worker(name="Bad", source_code="def handler(i, e):\n    raise ValueError('no luck')\n"),
    )
    tenant.run_job(good["id"])
    tenant.run_job(bad["id"])
    page.goto("/jobs")
    rows = page.locator("tr[data-row]")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Status").click()
    page.get_by_role("option", name="Failed").click()
    page.keyboard.press("Escape")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("no luck")
    expect(page).to_have_url(re.compile(r"\?status=failed$"))
    page.go_back()
    expect(rows).to_have_count(2)
    page.go_forward()
    expect(rows).to_have_count(1)
    page.reload()
    expect(rows).to_have_count(1)


def test_names_are_text_whatever_they_hold(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(
        name=HOSTILE, source_code=f"def handler(i, e):\n    raise ValueError({HOSTILE!r})\n"
    )
    tenant.run_job(worker["id"])
    page.goto("/jobs")
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    expect(page.locator("tr[data-row]")).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0
    expect(page).to_have_title("Jobs · Runwright")


def test_the_list_is_used_by_the_keyboard_alone(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    first = tenant.run_job(worker["id"])
    last = tenant.run_job(worker["id"])
    page.goto("/")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.locator("tr[data-row]")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(f"tr[data-row={last['id']}] input")).to_be_checked()
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile(first["id"]))
    page.keyboard.press("Control+k")
    page.keyboard.type("jobs")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/jobs$"))
