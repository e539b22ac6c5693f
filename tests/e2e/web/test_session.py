"""Signing in and out, and what happens when a session ends while one works."""

from playwright.sync_api import BrowserContext, Page, expect
from tests.contract.client import Api, data_of
from tests.contract.conftest import MakeKey
from tests.e2e.web.conftest import sign_in


def test_one_signs_in_with_a_key_and_out_again(
    context: BrowserContext, tenant: Api, make_key: MakeKey
) -> None:
    page = context.new_page()
    page.goto("/jobs")
    page.get_by_label("API key").fill("rwk_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(
        page.get_by_text("key", exact=False).filter(has_text="unknown").or_(page.locator(".problem"))
    ).to_be_visible()
    page.get_by_label("API key").fill(make_key(tenant.tenant, "tenant-viewer"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    expect(page.get_by_text(tenant.tenant)).to_be_visible()
    assert page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    page.get_by_role("button", name="tenant-viewer").click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_link_signs_in_once_and_only_by_a_click(context: BrowserContext, tenant: Api) -> None:
    link = data_of(tenant.post("/v1/session/links"), 201)["url"]
    page = context.new_page()
    page.goto(link)
    button = page.get_by_role("button", name="Sign in")
    expect(button).to_be_visible()
    assert "token" not in page.url
    assert context.cookies() == []
    button.click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert [cookie["httpOnly"] for cookie in context.cookies()] == [True]
    context.clear_cookies()
    page.goto(link)
    page.reload()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Make a new link")


def test_a_session_that_ends_is_renewed_over_the_page(
    context: BrowserContext, page: Page, tenant: Api, make_key: MakeKey
) -> None:
    tenant.make_worker(name="Renewed")
    page.goto("/jobs")
    expect(page.get_by_text("No job has been submitted yet")).to_be_visible()
    context.clear_cookies()
    search = page.get_by_label("Search in errors")
    search.fill("typed before")
    dialog = page.get_by_role("dialog", name="Your session has ended")
    expect(dialog).to_be_visible()
    dialog.get_by_label("I have the platform key").uncheck()
    dialog.get_by_label("API key").fill(make_key(tenant.tenant, "tenant-system-admin"))
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_text("No job fits this filter")).to_be_visible()
    expect(search).to_have_value("typed before")


def test_roles_hide_what_they_may_not_do(context: BrowserContext, tenant: Api) -> None:
    worker = tenant.make_worker()
    tenant.run_job(worker["id"])
    sign_in(context, tenant.having(role="tenant-viewer"))
    page = context.new_page()
    page.goto("/jobs")
    expect(page.get_by_role("link", name="Echo")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)
