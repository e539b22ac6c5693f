"""Workers: create one and run it, change its code and settings, go back to a version."""

import re

from playwright.sync_api import BrowserContext, FilePayload, Page, expect
from tests.contract.bundles import send, zip_of
from tests.contract.client import Api, data_of
from tests.e2e.web.conftest import sign_in

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def test_a_newcomer_creates_a_worker_and_runs_it_in_three_clicks(page: Page, tenant: Api) -> None:
    page.goto("/")
    page.get_by_role("link", name="Create a worker from a template").click()
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("dialog", name="Run hello").get_by_role("button", name="Run").click()
    expect(page.locator(".lead")).to_contain_text("Completed")
    expect(page.get_by_role("log")).to_contain_text("Greeting world")
    [worker] = tenant.get("/workers").json()["data"]
    assert worker["name"] == "hello"


def test_code_is_changed_and_changed_back(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(name=HOSTILE)
    page.goto(f"/workers/{worker['id']}?tab=code")
    page.get_by_role("textbox", name="Code").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("def handler(input, env):\nreturn 2")  # the editor indents
    page.get_by_role("button", name="Save as new version").click()
    expect(page.get_by_text("Saved as version 2")).to_be_visible()
    page.get_by_role("tab", name="Versions").click()
    page.get_by_role("button", name="v2").click()
    expect(page.get_by_role("region", name="Changes of main.py")).to_contain_text("+    return 2")
    page.get_by_role("button", name="Roll back").nth(1).click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Version 1 is active")).to_be_visible()
    assert "return input" in data_of(tenant.get(f"/workers/{worker['id']}"))["source_code"]
    assert page.locator("main img").count() == 0
    expect(page).to_have_title(f"{HOSTILE} · Runwright")


def test_files_are_deployed_without_what_must_not_be_uploaded(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker()
    page.goto(f"/workers/{worker['id']}")
    page.get_by_role("button", name="Deploy").click()
    dialog = page.get_by_role("dialog", name="Deploy to Echo")
    chooser = dialog.get_by_label("Archive or files")
    chooser.set_input_files([FilePayload(name="app.py", mimeType="text/plain", buffer=b"x = 1\n")])
    expect(dialog).to_contain_text("There is no main.py among the files.")
    expect(dialog.get_by_role("button", name="Deploy")).to_be_disabled()
    code = b"def handler(input, env):\n    return 'deployed'\n" * 40
    chooser.set_input_files(
        [
            FilePayload(name="main.py", mimeType="text/plain", buffer=code),
            FilePayload(name=".env", mimeType="text/plain", buffer=b"TOKEN=1"),
        ]
    )
    expect(dialog).to_contain_text("left out: .env")
    dialog.get_by_label("Message").fill("By hand")
    dialog.get_by_role("button", name="Deploy").click()
    expect(page.get_by_text("Version 2 is active")).to_be_visible()
    expect(page.get_by_role("tabpanel")).to_contain_text("By hand")
    files = data_of(tenant.get(f"/workers/{worker['id']}/versions/2/files"))["files"]
    assert [one["path"] for one in files] == ["main.py"]
    assert tenant.run_job(worker["id"])["output"] == "deployed"


def test_settings_are_changed_and_problems_are_at_their_fields(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(config={"KEEP": "a", "DROP": 1})
    page.goto(f"/workers/{worker['id']}?tab=settings")
    page.get_by_label("Time limit").fill("42")
    page.get_by_label("Configuration").fill('{"KEEP": 9007199254740993}')
    page.get_by_label("Secrets").fill("not a name!")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".field", has=page.get_by_label("Secrets"))).to_contain_text(
        re.compile("Must|pattern|letters")
    )
    page.get_by_label("Secrets").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The worker was changed")).to_be_visible()
    now = data_of(tenant.get(f"/workers/{worker['id']}"))
    assert (now["timeout_seconds"], now["config"], now["secrets"]) == (42, {"KEEP": 9007199254740993}, [])


def test_the_release_line_of_a_runtime_is_chosen_and_makes_a_version(page: Page, tenant: Api) -> None:
    runtimes = data_of(tenant.get("/runtimes"))
    [line, *_] = [
        version["runtime_version"]
        for runtime in runtimes
        if runtime["name"] == "python"
        for version in runtime["versions"]
    ]
    worker = tenant.make_worker(runtime_version=line)
    page.goto(f"/workers/{worker['id']}?tab=settings")
    choice = page.get_by_label("Version of python")
    expect(choice).to_have_value(line)
    choice.select_option("the server's own")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The worker was changed")).to_be_visible()
    now = data_of(tenant.get(f"/workers/{worker['id']}"))
    assert (now["runtime_version"], now["version"]) == (None, worker["version"] + 1)
    page.get_by_role("tab", name="Versions").click()
    page.get_by_role("button", name="Roll back to version 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Version 1 is active")).to_be_visible()
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_label("Version of python")).to_have_value(line)


def test_a_cancel_of_what_has_no_queued_job_says_so(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(name="Idle")
    tenant.run_job(worker["id"])
    page.goto(f"/workers/{worker['id']}")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name=re.compile("Cancel its queued jobs")).click()
    dialog = page.get_by_role("dialog", name="There is nothing to cancel")
    expect(dialog).to_contain_text("No job with the status queued, the worker Idle is queued or running.")
    dialog.get_by_role("button", name="Close", exact=True).last.click()
    expect(dialog).to_be_hidden()


def test_a_pause_is_shown_where_others_look(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(name="Shared")
    page.goto("/workers")
    expect(page.locator("[data-row]", has_text="Shared")).to_contain_text("Active")
    data_of(tenant.patch(f"/workers/{worker['id']}", {"status": "paused"}))
    expect(page.locator("[data-row]", has_text="Shared")).to_contain_text("Paused")
    page.get_by_role("link", name="Shared").click()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_a_viewer_looks_and_changes_nothing(context: BrowserContext, tenant: Api) -> None:
    worker = tenant.make_worker()
    sign_in(context, tenant.having(role="tenant-viewer"))
    page = context.new_page()
    for tab in ("", "?tab=code", "?tab=versions", "?tab=settings"):
        page.goto(f"/workers/{worker['id']}{tab}")
        expect(page.get_by_role("heading", name="Echo")).to_be_visible()
        expect(page.get_by_role("tabpanel")).to_be_visible()
        for name in ("Run", "Pause", "Save", "Save as new version", "Roll back"):
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)


ORDER_SCHEMA = {
    "type": "object",
    "required": ["order", "cents"],
    "properties": {
        "order": {"type": "string", "title": "Order", "maxLength": 5},
        "cents": {"type": "integer", "title": "Cents"},
        "currency": {"enum": ["EUR", "CHF"], "default": "EUR", "title": "Currency"},
        HOSTILE: {"type": "boolean"},
    },
}


def test_a_worker_is_run_by_a_form_of_its_input_schema(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(input_schema=ORDER_SCHEMA)
    page.goto(f"/workers/{worker['id']}")
    page.get_by_role("button", name="Run", exact=True).click()
    dialog = page.get_by_role("dialog", name="Run Echo")
    dialog.get_by_label("Order").fill("too long")
    dialog.get_by_label("Cents").fill("9007199254740993")
    dialog.get_by_role("button", name="Run").click()
    expect(dialog.get_by_label("Order")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Order").fill("ord_1")
    dialog.get_by_role("tab", name="JSON").click()
    written = dialog.get_by_label("Input")
    expect(written).to_have_value(re.compile(r'"cents": 9007199254740993,\s+"currency": "EUR"'))
    written.fill('{"order": "ord_2", "cents": 9007199254740993, "other": [1]}')
    dialog.get_by_role("tab", name="Form").click()
    expect(dialog.get_by_label("Order")).to_have_value("ord_2")
    dialog.get_by_label("Currency").select_option("CHF")
    dialog.get_by_role("button", name="Run").click()
    expect(page.locator(".lead")).to_contain_text("Completed")
    [job] = tenant.get("/jobs").json()["data"]
    assert job["input"] == {"order": "ord_2", "cents": 9007199254740993, "currency": "CHF", "other": [1]}
    page.get_by_role("button", name="Run again").click()
    again = page.get_by_role("dialog", name="Run again")
    again.get_by_label("Order").fill("ord_3")
    again.get_by_role("button", name="Run").click()
    expect(again).to_be_hidden()
    assert tenant.get("/jobs").json()["data"][0]["input"] == job["input"] | {"order": "ord_3"}
    assert page.locator("main img").count() == 0


def test_code_that_does_not_build_needs_a_person(page: Page, tenant: Api) -> None:
    worker = tenant.make_worker(name="Invoices")
    broken = send(tenant, worker["id"], zip_of({"main.py": "def handler(:\n"}), check="true", wait="60")
    assert data_of(broken, 201)["status"] == "failed"
    page.goto("/")
    page.get_by_role("link", name="The newest code of Invoices does not build").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("SyntaxError")
    page.goto("/workers?newest=ready")
    expect(page.get_by_text("No worker fits this filter")).to_be_visible()
    page.get_by_role("button", name="Newest code").click()
    page.get_by_role("option", name="does not build").click()
    expect(page.get_by_role("link", name="Invoices")).to_be_visible()
