"""The dashboard by the keyboard alone: what has the focus is seen, in order; dialogs keep it and give it back."""

import re

import pytest
from playwright.sync_api import Page, expect
from tests.contract.client import Api, Json, data_of
from tests.contract.test_inbox import Flagging
from tests.e2e.web.conftest import press_in_turn

MOST_TABS = 80
FOCUSED = """() => {
  let found = document.activeElement;
  while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
  if (!found || found === document.body) return null;
  const look = () => [null, "::after"].map((part) => {
    const { boxShadow, outline, borderColor, top } = getComputedStyle(found, part);
    return [boxShadow, outline, borderColor, top].join();
  }).join();
  const box = found.getBoundingClientRect(), focused = look();
  found.blur();
  const ring = look() !== focused;
  found.focus();
  return {
    name: found.getAttribute("aria-label") ?? found.labels?.[0]?.textContent.trim() ?? found.textContent.trim().replace(/\\s+/g, " "),
    role: found.getAttribute("role") ?? found.tagName.toLowerCase(),
    ring,
    seen: box.width > 0 && box.height > 0,
    inDialog: Boolean(found.closest("dialog")),
  };
}"""


def focused(page: Page) -> Json:
    return page.evaluate(FOCUSED)


def tab_to(page: Page, name: str | re.Pattern[str], *, keys: str = "Tab") -> list[str]:
    """Press Tab until a control has the focus, and return what had it on the way; each was seen to have it."""
    passed: list[str] = []
    for _ in range(MOST_TABS):
        page.keyboard.press(keys)
        found = focused(page)
        if found is None:
            continue
        assert found["ring"], found
        assert found["seen"], found
        passed.append(found["name"])
        if re.search(name, found["name"]):
            return passed
    raise AssertionError(f"Tab does not reach {name}: {passed}")


def opened(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)


def test_a_dialog_takes_the_focus_keeps_it_and_gives_it_back(page: Page, tenant: Api) -> None:
    tenant.make_worker(name="Report")
    for path, button in (
        ("/schedules", "New schedule"),
        ("/webhooks", "New endpoint"),
        ("/secrets", "Set a secret"),
        ("/keys", "New key"),
        ("/events", "Publish"),
    ):
        opened(page, path)
        tab_to(page, f"^{button}")
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        names = set()
        for _ in range(30):
            page.keyboard.press("Tab")
            found = focused(page)
            assert found is None or found["inDialog"], (path, found)
            names |= {found["name"]} if found else set()
        assert len(names) >= 3, (path, names)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        back = focused(page)
        assert back is not None, path
        assert back["name"].startswith(button), (path, back)


def test_the_first_tab_leads_past_the_navigation(page: Page, tenant: Api) -> None:
    tenant.make_worker(name="Report")
    opened(page, "/workers")
    page.keyboard.press("Tab")
    assert focused(page)["name"] == "Skip to the content"
    page.keyboard.press("Enter")
    passed = tab_to(page, "^Report")
    assert "Overview" not in passed
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Report")


def test_the_main_act_of_each_page_is_done_by_the_keyboard(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(name="Report")
    job = tenant.run_job(worker["id"])
    schedule = tenant.make_schedule(worker["id"], name="Nightly")
    opened(page, f"/jobs/{job['id']}")
    tab_to(page, "^Run again")
    page.keyboard.press("Enter")
    tab_to(page, "^Run$")
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile(job["id"]))
    opened(page, f"/schedules/{schedule['id']}")
    tab_to(page, "^Pause")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    opened(page, f"/workers/{worker['id']}")
    tab_to(page, "^Activity")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Versions")).to_be_focused()
    expect(page.get_by_role("tabpanel")).to_contain_text("v1")
    tab_to(page, "^More", keys="Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More")).to_be_focused()
    Flagging(tenant).flag({"order": 1}, "May I?")
    opened(page, "/inbox")
    page.keyboard.press("a")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()


def test_rows_are_walked_opened_and_selected(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    jobs = [{"worker_id": worker["id"], "scheduled_at": "2099-01-01T00:00:00Z"} for _ in range(60)]
    made = data_of(tenant.post("/jobs/batch", {"jobs": jobs}), 201)
    opened(page, "/jobs")
    expect(page.locator("[data-row]").first).to_be_visible()
    for _ in range(45):
        page.keyboard.press("j")
    cursor = page.locator("[data-row].cursor")
    expect(cursor).to_be_in_viewport(ratio=0.9)
    newest_first = [one["id"] for one in reversed(made)]
    assert cursor.get_attribute("data-row") == newest_first[44]
    page.keyboard.press("x")
    expect(page.get_by_role("toolbar", name="Selected jobs")).to_contain_text("1 selected")
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile(newest_first[44]))


@pytest.mark.parametrize("path", ["/jobs", "/workers", "/inbox"])
def test_the_keys_are_listed(page: Page, tenant: Api, path: str) -> None:
    tenant.run_job(tenant.make_worker()["id"])
    Flagging(tenant).flag({"order": 1}, "May I?")
    opened(page, path)
    expect(page.locator("[data-row], article").first).to_be_visible()
    page.keyboard.press("?")
    listed = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(listed).to_contain_text("Search and commands")
    expect(listed).to_contain_text("Next row" if path != "/inbox" else "Approve")
    page.keyboard.press("Escape")
    press_in_turn(page, "g", "s")
    expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
