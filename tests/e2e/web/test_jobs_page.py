"""The list of jobs: live rows, filters in the address, the keyboard, hostile names."""

import re

from playwright.sync_api import Page, Request, expect
from tests.contract.client import Api
from tests.contract.conftest import Server
from tests.e2e.web.cable import cable_to
from tests.e2e.web.conftest import press_in_turn

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def test_rows_appear_and_change_while_one_looks(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(name="Live worker")
    page.goto("/jobs")
    expect(page.get_by_text("No job has been submitted yet")).to_be_visible()
    expect(page.locator("[data-live=live]")).to_be_attached()
    job = tenant.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
    row = page.locator(f"[data-row={job['id']}]")
    expect(row).to_contain_text("Live worker")
    expect(row).to_contain_text("Scheduled")
    tenant.post(f"/jobs/{job['id']}/cancel")
    expect(row).to_contain_text("Cancelled")


def test_filters_live_in_the_address_and_come_back(page: Page, tenant: Api) -> None:
    good, bad = (
        tenant.make_worker(name="Good"),
        tenant.make_worker(name="Bad", source_code="def handler(i, e):\n    raise ValueError('no luck')\n"),
    )
    tenant.run_job(good["id"])
    tenant.run_job(bad["id"])
    page.goto("/jobs")
    rows = page.locator("[data-row]")
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
    expect(page.locator("[data-row]")).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0
    expect(page).to_have_title("Jobs · Runwright")


def test_the_list_is_used_by_the_keyboard_alone(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    first = tenant.run_job(worker["id"])
    last = tenant.run_job(worker["id"])
    page.goto("/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    press_in_turn(page, "g", "j")
    expect(page.locator("[data-row]")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(f"[data-row={last['id']}] input")).to_be_checked()
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile(first["id"]))
    page.keyboard.press("Control+k")
    page.keyboard.type("jobs")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/jobs$"))


def test_all_that_match_are_cancelled_after_a_look_at_how_many(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(name="Many")
    later = "2099-01-01T00:00:00Z"
    jobs = [{"worker_id": worker["id"], "scheduled_at": later} for _ in range(250)]
    tenant.post("/jobs/batch", {"jobs": jobs})
    kept = tenant.make_job(tenant.make_worker(name="Kept")["id"], scheduled_at=later)
    page.goto(f"/jobs?worker={worker['id']}")
    expect(page.locator("[data-total]")).to_have_text("250 jobs")
    page.get_by_role("checkbox", name="Select all rows").check()
    page.get_by_role("button", name="Select all 250 that match").click()
    page.get_by_role("toolbar").get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("the worker Many")
    dialog.get_by_role("button", name="Cancel 250 jobs").click()
    expect(dialog).to_contain_text("Cancel: done")
    expect(dialog).to_contain_text(re.compile("Cancelled ?250"))
    dialog.get_by_role("button", name="Close", exact=True).last.click()
    expect(page.locator("[data-row]").first).to_contain_text("Cancelled")
    assert tenant.get(f"/jobs/{kept['id']}").json()["data"]["status"] == "queued"


def test_new_rows_wait_while_one_reads_further_down(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    later = "2099-01-01T00:00:00Z"
    tenant.post(
        "/jobs/batch", {"jobs": [{"worker_id": worker["id"], "scheduled_at": later} for _ in range(120)]}
    )
    page.goto("/jobs")
    rows = page.locator("[data-row]")
    expect(rows.first).to_be_visible()
    expect(page.locator("[data-live=live]")).to_be_attached()
    page.locator("main").evaluate("main => main.scrollTo(0, 600)")
    first = rows.first.get_attribute("data-row")
    made = tenant.make_job(worker["id"], scheduled_at=later)
    page.get_by_role("button", name="1 new").click()
    expect(page.locator(f"[data-row={made['id']}]")).to_be_visible()
    assert first != made["id"]


FOCUSED_ROW = "(document.activeElement.closest('[data-row]')?.dataset.row ?? null)"
IN_ORDER = """() => {
  const rows = [...document.querySelectorAll("[data-row]")].map((row) => Number(row.ariaRowIndex));
  return rows[0] > 2 && rows.every((row, place) => row === rows[0] + place);
}"""


def test_the_focus_stays_with_its_row_and_goes_to_no_other(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    later = "2099-01-01T00:00:00Z"
    jobs = [{"worker_id": worker["id"], "scheduled_at": later} for _ in range(200)]
    tenant.post("/jobs/batch", {"jobs": jobs})
    page.goto("/jobs")
    expect(page.locator("[data-live=live]")).to_be_attached()
    link = page.locator("[data-row]").nth(1).get_by_role("link")
    link.focus()
    focused = page.evaluate(FOCUSED_ROW)
    made = tenant.make_job(worker["id"], scheduled_at=later)
    expect(page.locator(f"[data-row={made['id']}]")).to_be_visible()
    assert page.evaluate(FOCUSED_ROW) == focused
    page.locator("main").evaluate("main => main.scrollTo(0, 3000)")
    page.wait_for_function(f"{FOCUSED_ROW} === null && !document.querySelector('[data-row={focused}]')")
    page.wait_for_function(IN_ORDER)  # by which Tab goes


def test_a_lost_connection_is_said_and_made_up_for(page: Page, tenant: Api, server: Server) -> None:
    worker = tenant.make_worker()
    with cable_to(server.url) as cable:
        page.goto(f"{cable.url}/jobs")
        expect(page.locator("[data-live=live]")).to_be_attached()
        cable.cut()
        expect(page.locator("[data-banner=lost]")).to_be_visible(timeout=40_000)
        job = tenant.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
        cable.mend()
        expect(page.locator("[data-banner=lost]")).to_be_hidden(timeout=40_000)
        expect(page.locator(f"[data-row={job['id']}]")).to_be_visible()


def test_many_tabs_share_one_stream(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    streams: list[Request] = []  # that are open; one that was cut is opened again
    most = 0

    def note(request: Request) -> None:
        nonlocal most
        if "/v1/ava/stream" in request.url:
            streams.append(request)
            most = max(most, len(streams))

    def forget(request: Request) -> None:
        if request in streams:
            streams.remove(request)

    page.context.on("request", note)
    page.context.on("requestfailed", forget)
    page.context.on("requestfinished", forget)
    tabs = [page, *(page.context.new_page() for _ in range(7))]
    for tab in tabs:
        tab.goto("/jobs")
        expect(tab.locator("[data-live=live]")).to_be_attached()
    job = tenant.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
    for tab in tabs:
        tab.bring_to_front()
        expect(tab.locator(f"[data-row={job['id']}]")).to_be_visible()
    assert most == 1
    tabs[0].close()
    expect(tabs[1].locator("[data-live=live]")).to_be_attached()
    tenant.post(f"/jobs/{job['id']}/cancel")
    tabs[-1].bring_to_front()
    expect(tabs[-1].locator(f"[data-row={job['id']}]")).to_contain_text("Cancelled")
