"""The dashboard below a path of another site."""

import re

from playwright.sync_api import Browser, expect
from tests.contract.client import Api, RawClient, data_of
from tests.contract.conftest import PLATFORM_KEY, running_server
from tests.e2e.web.conftest import WIDE, watch


def test_everything_works_below_a_path(chromium: Browser, problems: list[str]) -> None:
    with running_server(RUNWRIGHT_BASE_PATH="/x/y") as server, RawClient(server.url) as http:
        tenant = Api(http, key=PLATFORM_KEY, tenant="ten_below")
        job = tenant.run_job(tenant.make_worker()["id"])
        link = data_of(tenant.post("/v1/session/links"), 201)["url"]
        assert link.startswith(f"{server.url}/x/y/sign-in#token=")
        context = chromium.new_context(viewport=WIDE)
        watch(context, problems)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{server.url}/x/y/")
        page.get_by_role("link", name="Jobs", exact=True).click()
        page.get_by_role("link", name="Echo").click()
        expect(page).to_have_url(re.compile(rf"/x/y/jobs/{job['id']}$"))
        page.reload()
        expect(page.locator(".lead")).to_contain_text("Completed")
        expect(page.locator("[data-live=live]")).to_be_attached()
        page.go_back()
        expect(page.locator(f"[data-row={job['id']}]")).to_be_visible()
        assert [url for url in asked if not url.startswith(f"{server.url}/x/y/")] == []
        context.close()
