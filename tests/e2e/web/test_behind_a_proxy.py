"""The dashboard behind nginx and HAProxy, with the configurations of docs/proxies.md."""

import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, expect
from tests.contract.client import Api, RawClient, data_of
from tests.contract.conftest import PLATFORM_KEY, running_server
from tests.e2e.web.conftest import WIDE, watch
from tests.e2e.web.proxies import NAMES, free_port, proxy

UPLOADED = 3 * 1024 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_one_signs_in_sees_what_happens_and_uploads(
    chromium: Browser, problems: list[str], tmp_path: Path, name: str
) -> None:
    port = free_port()
    outside = f"https://localhost:{port}"
    with running_server(RUNWRIGHT_PUBLIC_URL=outside) as server, RawClient(server.url) as http:
        tenant = Api(http, key=PLATFORM_KEY, tenant="ten_proxied", role="platform-admin")
        worker = tenant.make_worker()
        with proxy(name, tmp_path, port=port, upstream=server.url.removeprefix("http://")):
            link = data_of(tenant.post("/v1/session/links"), 201)["url"]
            assert link.startswith(f"{outside}/sign-in#token=")
            context = chromium.new_context(viewport=WIDE, base_url=outside, ignore_https_errors=True)
            watch(context, problems)
            page = context.new_page()
            page.goto(link)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            [cookie] = context.cookies()
            assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
            page.goto("/jobs")
            expect(page.locator("[data-live=live]")).to_be_attached()
            job = tenant.make_job(worker["id"], scheduled_at="2099-01-01T00:00:00Z")
            row = page.locator(f"[data-row={job['id']}]")
            expect(row).to_be_visible()
            tenant.post(f"/jobs/{job['id']}/cancel")
            expect(row).to_contain_text("Cancelled")
            page.goto(f"/workers/{worker['id']}?deploy=1")
            dialog = page.get_by_role("dialog", name="Deploy to Echo")
            files = [
                FilePayload(
                    name="main.py", mimeType="text/plain", buffer=b"def handler(i, e):\n    return 2\n"
                ),
                FilePayload(name="data.bin", mimeType="text/plain", buffer=secrets.token_bytes(UPLOADED)),
            ]
            dialog.get_by_label("Archive or files").set_input_files(files)
            dialog.get_by_role("button", name="Deploy").click()
            expect(page.get_by_text("Version 2 is active")).to_be_visible(timeout=30_000)
            bound = data_of(tenant.post("/v1/keys", {"role": "tenant-viewer"}), 201)["key"]
            # What comes through the proxy is no caller on this machine.
            headers = {"authorization": f"Bearer {bound}"}
            refused = context.request.post("/v1/session/links", headers=headers)
            assert refused.status == 403, refused.text()
            context.close()
