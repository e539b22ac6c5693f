"""What one does on the pages of schedules, webhooks, the inbox, events, secrets and keys; who may; hostile text."""

import re

from playwright.sync_api import BrowserContext, Page, expect
from tests.contract.client import Api, data_of
from tests.contract.test_inbox import Flagging
from tests.e2e.web.conftest import sign_in
from tests.e2e.web.connected import bearer
from tests.waiting import daily_far_from_now

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def test_a_schedule_is_made_with_its_firings_in_view_run_paused_and_counted(page: Page, tenant: Api) -> None:
    tenant.make_worker(name="Report")
    cron, at = daily_far_from_now()
    page.goto("/schedules")
    expect(page.get_by_text("Nothing is scheduled yet")).to_be_visible()
    page.get_by_role("button", name="New schedule").first.click()
    dialog = page.get_by_role("dialog", name="New schedule")
    dialog.get_by_label("Worker").select_option("Report")
    dialog.get_by_label("Time zone").fill("Etc/UTC")
    dialog.get_by_label("Cron expression").fill("0 9 * *")
    expect(dialog.locator("aside .problem")).to_be_visible()
    dialog.get_by_label("Cron expression").fill(cron)
    expect(dialog.locator("[data-words]")).to_have_text(f"At {at}")
    expect(dialog.get_by_role("list", name="Next firings").locator("li")).to_have_count(10)
    dialog.get_by_label("Name").fill(HOSTILE)
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    page.get_by_role("button", name="Run now").click()
    tick = page.locator("[data-row]")
    expect(tick).to_contain_text("Fired")
    expect(tick).to_contain_text("manual")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Backfill").click()
    page.get_by_role("button", name="Count the firings").click()
    expect(page.locator("[data-dry-run]")).to_contain_text("1 firing")
    [schedule] = tenant.get("/schedules").json()["data"]
    assert (schedule["enabled"], schedule["timezone"]) == (False, "Etc/UTC")
    assert page.locator("main img").count() == 0


def test_an_endpoint_is_made_with_its_secret_shown_once_tested_and_rotated(page: Page, tenant: Api) -> None:
    page.goto("/webhooks")
    page.get_by_role("button", name="New endpoint").first.click()
    dialog = page.get_by_role("dialog", name="New endpoint")
    dialog.get_by_label("URL").fill("https://hooks.invalid/receive")
    dialog.get_by_label("Your own").check()
    dialog.get_by_role("button", name="Create").click()
    secret = page.locator("[data-secret] code")
    first = secret.inner_text()
    assert first.startswith("whsec_")
    page.get_by_role("button", name="I have kept it").click()
    expect(page).to_have_url(re.compile(r"/webhooks/"))
    assert first not in page.content()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("The test has failed")).to_be_visible()
    data_of(tenant.post("/events", {"type": "custom.paid", "payload": {"order": 9007199254740993}}), 201)
    row = page.locator("[data-row]", has_text="custom.paid")
    row.get_by_role("link").click()
    detail = page.get_by_role("region", name="Delivery", exact=True)
    expect(detail).to_contain_text("no answer")
    expect(detail).to_contain_text("9007199254740993")
    detail.get_by_role("button", name="Redeliver").click()
    expect(page.get_by_text("It is being sent again")).to_be_visible()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Rotate").click()
    page.get_by_role("button", name="Rotate", exact=True).click()
    expect(secret).to_be_visible()
    assert secret.inner_text() != first


def test_what_an_agent_flags_is_decided_by_the_keyboard(page: Page, tenant: Api) -> None:
    agent = Flagging(tenant)
    page.goto("/inbox")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    expect(page.locator("[data-live=live]")).to_be_attached()
    agent.flag({"order": 9007199254740993, "note": HOSTILE}, HOSTILE)
    question = page.get_by_role("article", name="Question")
    expect(question).to_contain_text(HOSTILE)
    expect(question).to_contain_text("9007199254740993")
    page.keyboard.press("r")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    page.get_by_role("tab", name="Answered").click()
    expect(question).to_contain_text("Rejected by usr_test")
    assert page.locator("main img").count() == 0
    page.goto("/agents")
    expect(page.locator("[data-row]").first.get_by_role("cell").nth(4)).to_have_text("1")


def test_what_a_program_asks_is_answered_by_several_and_withdrawn(page: Page, tenant: Api) -> None:
    page.goto("/inbox")
    expect(page.locator("[data-live=live]")).to_be_attached()
    several = {"quorum": 2, "timeout_seconds": 3600, "default": "reject"}
    asked = data_of(tenant.post("/inbox", {"question": HOSTILE, "subject": "order 12"} | several), 201)
    question = page.get_by_role("article", name="Question")
    expect(question).to_contain_text(HOSTILE)
    expect(question).to_contain_text("2 of whom must agree")
    page.keyboard.press("a")
    expect(page.get_by_text("Approve: more people must agree")).to_be_visible()
    headers = tenant.headers | {"x-user-id": "ada"}
    path = f"/v1/ava/inbox/{asked['id']}/answer"
    assert tenant.http.post(path, json={"answer": "approve"}, headers=headers).status_code == 200
    page.get_by_role("tab", name="Answered").click()
    expect(question).to_contain_text("Approved by ada")
    data_of(tenant.post("/inbox", {"question": "Too late?"}), 201)
    page.get_by_role("tab", name="Waiting").click()
    question.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    assert page.locator("main img").count() == 0


def test_events_come_live_and_are_published_as_they_are_typed(page: Page, tenant: Api) -> None:
    page.goto("/events?type=custom.*")
    expect(page.locator("[data-live=live]")).to_be_attached()
    data_of(tenant.post("/events", {"type": "custom.other", "payload": {}}), 201)
    expect(page.locator("[data-row]", has_text="custom.other")).to_be_visible()
    page.get_by_role("button", name="Publish").click()
    dialog = page.get_by_role("dialog", name="Publish an event")
    dialog.get_by_label("Type").fill("ava.mine")
    dialog.get_by_role("button", name="Publish").click()
    expect(dialog.get_by_label("Type")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Type").fill("custom.mine")
    dialog.get_by_label("Payload").fill('{"order": 9007199254740993}')
    dialog.get_by_role("button", name="Publish").click()
    detail = page.get_by_role("region", name="Event", exact=True)
    expect(detail).to_contain_text("9007199254740993")
    expect(detail).to_contain_text("No webhook and no agent subscribes")


def test_a_key_is_made_for_reading_rotated_and_revoked(page: Page, tenant: Api) -> None:
    page.goto("/keys")
    page.get_by_role("button", name="New key").first.click()
    page.get_by_label("Name").fill("grafana")
    page.get_by_role("button", name="Create").click()
    secret = page.locator("[data-secret] code")
    first = secret.inner_text()
    page.get_by_role("button", name="I have kept it").click()
    row = page.locator("[data-row]")
    expect(row).to_contain_text("tenant-viewer")
    page.get_by_role("button", name="Rotate grafana").click()
    page.get_by_role("button", name="Rotate", exact=True).click()
    expect(secret).to_be_visible()
    assert secret.inner_text() != first
    page.get_by_role("button", name="I have kept it").click()
    page.get_by_role("button", name="Revoke grafana").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(row).to_contain_text("Revoked")
    [key] = tenant.get("/v1/keys").json()["data"]
    assert (key["role"], key["scopes"]) == ("tenant-viewer", ["read"])
    assert key["revoked_at"] is not None
    page.goto("/audit?action=key.*")
    expect(page.locator("[data-row]")).to_have_count(3)


def test_a_secret_is_set_and_never_shown(page: Page, tenant: Api) -> None:
    page.goto("/secrets")
    page.get_by_role("button", name="Set a secret").first.click()
    page.get_by_label("Name").fill("API_TOKEN")
    page.get_by_label("Value").fill("the-value-of-it")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator("[data-row=API_TOKEN]")).to_contain_text("no worker")
    assert "the-value-of-it" not in page.content()
    assert [one["name"] for one in tenant.get("/secrets").json()["data"]] == ["API_TOKEN"]


def test_a_trigger_is_tried_with_a_sample(page: Page, tenant: Api) -> None:
    body = {
        "scope": "global",
        "name": "Deploy",
        "agent_name": "deployer",
        "event": "custom.push",
        "filter": {"data.ref": "main"},
        "prompt": "Deploy {{ .Data.ref }}",
    }
    made = tenant.http.post("/api/automation/triggers", json=body, headers=bearer(tenant))
    assert made.status_code == 201, made.text
    page.goto("/automations?tab=triggers")
    page.get_by_role("button", name="Test Deploy").click()
    verdict = page.locator("[data-verdict]")
    expect(verdict).to_have_text("It would not fire")
    page.get_by_label("Data").fill('{"ref": "main"}')
    expect(verdict).to_have_text("It would fire")


def test_who_only_reads_sees_nothing_that_would_be_refused(context: BrowserContext, tenant: Api) -> None:
    sign_in(context, tenant.having(role="tenant-viewer"))
    page = context.new_page()
    for path in ("/schedules", "/webhooks", "/secrets", "/agents", "/automations", "/events"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("status", name="Loading")).to_have_count(0)
        assert page.locator("main .button.primary").count() == 0, path
    for hidden in ("API keys", "Audit log", "Tenants", "System"):
        assert page.get_by_role("link", name=hidden).count() == 0
