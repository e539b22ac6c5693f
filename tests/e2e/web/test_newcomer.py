"""Ten tasks of a person who has never seen the dashboard: only by names that can be read, in so many steps.

Each begins at the overview. A step is a click, or a field that is filled.
"""

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from tests.contract.client import Api, Json, data_of
from tests.contract.test_inbox import Flagging
from tests.e2e.web.conftest import sign_in
from tests.waiting import daily_far_from_now

FAILS = (
    "def charge(order):\n    raise ValueError('The card was declined')\n\ndef handler(i, e):\n    charge(i)\n"
)
LATER = "2099-01-01T00:00:00Z"
Role = str


class Newcomer:
    """Acts on a page, and counts the steps."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.steps = 0
        page.goto("/")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    def click(self, role: Role, name: str | re.Pattern[str], *, within: Locator | None = None) -> None:
        found = (within or self.page).get_by_role(role, name=name)  # type: ignore[arg-type]
        found.first.click()
        self.steps += 1

    def fill(self, label: str, text: str, *, within: Locator | None = None) -> None:
        (within or self.page).get_by_label(label, exact=True).fill(text)
        self.steps += 1


@pytest.fixture
def newcomer(page: Page, tenant: Api) -> Newcomer:
    """A newcomer who is signed in to a tenant in which something has happened."""
    tenant.make_worker(name="Quick")
    return Newcomer(page)


def failed(tenant: Api) -> Json:
    worker = tenant.make_worker(name="Charge card", source_code=FAILS)
    return tenant.run_job(worker["id"], input={"order": "ord_1"})


def test_find_why_a_job_failed(newcomer: Newcomer, tenant: Api) -> None:
    failed(tenant)
    newcomer.page.reload()
    newcomer.click("link", re.compile("Failed in 24 h"))
    newcomer.click("link", "Charge card")
    expect(newcomer.page.get_by_role("region", name="Error")).to_contain_text("The card was declined")
    expect(newcomer.page.get_by_role("region", name="Error")).to_contain_text("main.py:2")
    assert newcomer.steps <= 2


def test_run_a_job_again_with_other_input(newcomer: Newcomer, tenant: Api) -> None:
    failed(tenant)
    newcomer.click("link", "Jobs")
    newcomer.click("link", "Charge card")
    newcomer.click("button", "Run again …")
    newcomer.fill("Input", '{"order": "ord_2"}')
    newcomer.click("button", re.compile("^Run$"))
    newcomer.page.get_by_role("tab", name="Input and output").click()
    expect(newcomer.page.get_by_role("region", name="Input")).to_contain_text("ord_2")
    assert newcomer.steps <= 5


def test_pause_a_schedule_and_see_the_next_firing(newcomer: Newcomer, tenant: Api) -> None:
    worker = tenant.make_worker(name="Report")
    for name, cron in (("Every day", daily_far_from_now()[0]), ("Every minute", "* * * * *")):
        tenant.make_schedule(worker["id"], name=name, cron=cron)
    newcomer.page.reload()
    firings = newcomer.page.get_by_role("region", name="Next firings")
    expect(firings.get_by_role("listitem").first).to_contain_text(re.compile(r"Every minute.*(in \d+ s|now)"))
    assert newcomer.steps == 0
    newcomer.click("link", re.compile("Every day"), within=firings)
    newcomer.click("button", "Pause")
    expect(newcomer.page.get_by_role("button", name="Resume")).to_be_visible()
    expect(newcomer.page.get_by_text("does not fire while it is paused")).to_be_visible()
    assert newcomer.steps <= 2


def test_approve_what_waits(newcomer: Newcomer, tenant: Api) -> None:
    Flagging(tenant).flag({"order": 1}, "More than I may approve")
    newcomer.click(
        "link", re.compile("question"), within=newcomer.page.get_by_role("region", name="Needs you")
    )
    newcomer.click("button", re.compile("^Approve"))
    expect(newcomer.page.get_by_text("Nothing waits for you")).to_be_visible()
    assert newcomer.steps <= 2


def test_roll_a_worker_back(newcomer: Newcomer, tenant: Api) -> None:
    worker = tenant.make_worker(name="Report", source_code="def handler(i, e):\n    return 1\n")
    data_of(tenant.patch(f"/workers/{worker['id']}", {"source_code": "def handler(i, e):\n    return 2\n"}))
    newcomer.click("link", "Workers")
    newcomer.click("link", "Report")
    newcomer.click("tab", "Versions")
    newcomer.click("button", "Roll back to version 1")
    newcomer.click("button", "Roll back", within=newcomer.page.get_by_role("dialog"))
    expect(newcomer.page.get_by_text("Version 1 is active")).to_be_visible()
    assert newcomer.steps <= 5


def test_find_the_slowest_worker(newcomer: Newcomer, tenant: Api) -> None:
    slow = tenant.make_worker(
        name="Slow", source_code="import time\ndef handler(i, e):\n    time.sleep(0.3)\n"
    )
    jobs = [tenant.run_job(worker["id"]) for worker in (slow, tenant.make_worker(name="Fast"))]
    slowest = max(jobs, key=lambda job: int(job["duration_ms"]))  # on a busy machine it may be the other
    newcomer.click("link", "Workers")
    newcomer.click("button", "p95")
    expect(newcomer.page.locator("[data-row]").first).to_contain_text(slowest["worker_name"])
    assert newcomer.steps <= 2


def test_cancel_all_queued_jobs_of_one_worker(newcomer: Newcomer, tenant: Api) -> None:
    worker, other = tenant.make_worker(name="Import"), tenant.make_worker(name="Export")
    for each, count in ((worker, 70), (other, 1)):
        jobs = [{"worker_id": each["id"], "scheduled_at": LATER} for _ in range(count)]
        data_of(tenant.post("/jobs/batch", {"jobs": jobs}), 201)
    newcomer.click("link", "Workers")
    newcomer.click("link", "Import")
    newcomer.click("button", "More")
    newcomer.click("menuitem", re.compile("Cancel its queued jobs"))
    dialog = newcomer.page.get_by_role("dialog")
    expect(dialog).to_contain_text("the worker Import")
    expect(dialog).to_contain_text("and 65 more")
    newcomer.click("button", "Cancel 70 jobs")
    expect(dialog).to_contain_text(re.compile("Cancelled ?70"))
    assert newcomer.steps <= 5
    assert tenant.get("/jobs", **{"filter[status]": "queued"}).json()["pagination"]["total"] == 1


def test_redeliver_a_webhook(newcomer: Newcomer, tenant: Api) -> None:
    tenant.make_webhook(url="https://hooks.invalid/shop", events=["custom.*"])
    data_of(tenant.post("/events", {"type": "custom.paid", "payload": {}}), 201)
    newcomer.click("link", "Webhooks")
    newcomer.click("link", re.compile("hooks.invalid"))
    newcomer.click("link", "custom.paid")
    newcomer.click("button", "Redeliver")
    expect(newcomer.page.get_by_text("It is being sent again")).to_be_visible()
    assert newcomer.steps <= 4


def test_create_a_key_that_only_reads(newcomer: Newcomer, tenant: Api) -> None:
    newcomer.click("link", "API keys")
    newcomer.click("button", "New key")
    newcomer.fill("Name", "grafana")
    newcomer.click("button", re.compile("^Create$"))
    newcomer.click("button", "I have kept it")
    [key] = tenant.get("/v1/keys").json()["data"]
    assert (key["role"], key["scopes"]) == ("tenant-viewer", ["read"])
    assert newcomer.steps <= 5


ACTS = {
    "tenant-viewer": set(),
    "tenant-admin": {"Approve"},
    "tenant-system-admin": {"Approve", "Retry", "Pause", "New schedule", "New key", "Set a secret"},
    "platform-admin": {"Approve", "Retry", "Pause", "New schedule", "New key", "Set a secret", "New tenant"},
}
"""Which controls each role is shown, and what the server refuses to the others."""


def attempts(ids: Json) -> dict[str, tuple[str, str, Json]]:
    return {
        "Approve": ("POST", f"/inbox/{ids['item']}/answer", {"answer": "approve"}),
        "Retry": ("POST", f"/jobs/{ids['job']}/retry", None),
        "Pause": ("PATCH", f"/workers/{ids['worker']}", {"status": "paused"}),
        "New schedule": ("POST", "/schedules", {"worker_id": ids["worker"], "cron": "0 0 1 1 *"}),
        "New key": ("POST", "/v1/keys", {"role": "tenant-viewer"}),
        "Set a secret": ("PUT", "/secrets/A_NAME", {"value": "a-value"}),
        "New tenant": ("POST", "/v1/tenants", {"name": "x"}),
    }


@pytest.mark.parametrize("role", ACTS)
def test_each_control_is_shown_to_whom_the_server_lets_act(
    context: BrowserContext, tenant: Api, role: str
) -> None:
    job = tenant.run_job(tenant.make_worker(name="Echo")["id"])
    Flagging(tenant).flag({"order": 1}, "May I?")
    [item] = tenant.get("/inbox").json()["data"]
    ids = {"job": job["id"], "worker": job["worker_id"], "item": item["id"]}
    caller = tenant.having(role=role)
    sign_in(context, caller)
    page = context.new_page()
    pages = {
        "Approve": "/inbox",
        "Retry": f"/jobs/{ids['job']}",
        "Pause": f"/workers/{ids['worker']}",
        "New schedule": "/schedules",
        "New key": "/keys",
        "Set a secret": "/secrets",
        "New tenant": "/tenants",
    }
    for control, path in pages.items():
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("status", name="Loading")).to_have_count(0)
        button = page.get_by_role("button", name=re.compile(f"^{control}"))
        allowed = control in ACTS[role]
        if allowed:
            expect(button.first).to_be_visible()
        else:
            assert button.count() == 0, (role, control)
            method, target, body = attempts(ids)[control]
            assert caller.call(method, target, json=body).status_code == 403, (role, control)
