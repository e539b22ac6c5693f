"""A job that is shared: made and revoked on its page, seen live by people who are not signed in, and nothing else."""

from playwright.sync_api import Browser, BrowserContext, Page, Request, expect
from tests.contract.client import Api
from tests.contract.conftest import Server
from tests.e2e.web.conftest import WIDE, sign_in, watch

WAITS = """
import time
def handler(input, env):
    from runwright import job
    print("before it waits <b>text</b>")
    while job.get("go") is None:
        time.sleep(0.02)
    print("after it waited")
    return {"order": 9007199254740993}
"""


def test_a_job_is_shared_and_read_live_without_signing_in(
    chromium: Browser, page: Page, tenant: Api, server: Server, problems: list[str]
) -> None:
    worker = tenant.make_worker(name="Waits", source_code=WAITS, timeout_seconds=120)
    job = tenant.make_job(worker["id"], input={"customer": "Ana"})
    page.goto(f"/jobs/{job['id']}")
    expect(page.get_by_role("log")).to_contain_text("before it waits")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Share").click()
    dialog = page.get_by_role("dialog", name="Share this job")
    dialog.get_by_role("button", name="Turn it on").click()
    dialog.get_by_role("button", name="Make a link").click()
    link = dialog.locator("[data-link]").inner_text()
    assert link.startswith(f"{server.url}/shared#token=rwj_")
    context = chromium.new_context(viewport=WIDE)
    watch(context, problems)
    asked: list[Request] = []

    def note(request: Request) -> None:
        asked.append(request)

    context.on("request", note)
    visitor = context.new_page()
    visitor.goto(link)
    expect(visitor.get_by_role("heading", level=1)).to_have_text("Waits")
    expect(visitor.get_by_role("log")).to_contain_text("before it waits <b>text</b>")
    expect(visitor.locator(".lead")).to_contain_text("Running")
    expect(visitor.get_by_role("region", name="Input")).to_contain_text("Ana")
    tenant.post(f"/jobs/{job['id']}/cancel")
    expect(visitor.locator(".lead")).to_contain_text("Cancelled")
    assert context.cookies() == []
    token = link.partition("=")[2]
    assert all("cookie" not in one.all_headers() and token not in one.url for one in asked)
    called = {one.url.partition("?")[0] for one in asked if "/v1/" in one.url}
    assert called == {f"{server.url}/v1/shared/job", f"{server.url}/v1/shared/job/logs"}
    assert visitor.get_by_role("link").count() == 0
    assert visitor.locator("main b").count() == 0
    dialog.get_by_role("button", name="Revoke").click()
    expect(dialog.get_by_text("Links that work")).to_be_hidden()
    visitor.reload()
    expect(visitor.get_by_role("alert")).to_contain_text("was revoked")
    context.close()


def test_only_who_may_share_is_offered_to(context: BrowserContext, tenant: Api) -> None:
    job = tenant.run_job(tenant.make_worker()["id"])
    sign_in(context, tenant.having(role="tenant-admin"))
    page = context.new_page()
    page.goto(f"/jobs/{job['id']}")
    page.get_by_role("button", name="More").click()
    expect(page.get_by_role("menuitem", name="Copy the id")).to_be_visible()
    assert page.get_by_role("menuitem", name="Share").count() == 0
