"""Every page and its dialogs: nothing serious for axe in either theme, no overflow on a narrow screen, and everything
is done by the keyboard alone; with `PICTURES=1` screenshots.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.contract.client import Api, Json, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server
from tests.e2e.web import keyboard
from tests.e2e.web.conftest import ARTIFACTS, ROOT, THEMES, WIDE, Theme, sign_in, watch
from tests.e2e.web.connected import Connected
from tests.e2e.web.world import World

NARROW = 380
PICTURES = bool(os.environ.get("PICTURES"))
"""Whether to write screenshots: a hundred of them take longer than all that is asserted."""

AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
SERIOUS = {"serious", "critical"}
RULES = """async (rules) => {
  const found = await axe.run(document.querySelector("dialog[open]") ?? document, { runOnly: rules });
  return found.violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + " " + (node.any[0]?.message ?? "")) }));
}"""
CHECKED: Mapping[Theme, Json] = {
    "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "dark": {"type": "rule", "values": ["color-contrast"]},  # the others see no difference
}
Visit = Callable[[Api], Page]
OPERATOR: Mapping[str, str] = {"tenants": "/tenants", "system": "/system", "queues-operator": "/queues"}


@pytest.fixture(scope="module")
def callers(http: RawClient, server: Server) -> Iterator[Mapping[Api, Mapping[str, str]]]:
    """The pages of a tenant's administrator and of the operator, with something on every one."""
    api = Api(http, key=PLATFORM_KEY, tenant="ten_acme")
    world, connected = World(api), Connected(api, server)
    world.fill()
    connected.fill()
    yield {
        api: {**world.pages(), **connected.pages()},
        api.having(role="platform-admin"): OPERATOR,
    }
    world.end()


@pytest.fixture
def visit(chromium: Browser, server: Server, problems: list[str]) -> Iterator[Visit]:
    """Opens a page of a caller."""
    contexts: list[BrowserContext] = []

    def open_page(caller: Api) -> Page:
        context = chromium.new_context(
            base_url=server.url, viewport=WIDE, timezone_id="UTC", locale="en-GB", reduced_motion="reduce"
        )
        contexts.append(context)
        watch(context, problems)
        sign_in(context, caller)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.timeout(400)
def test_every_page_is_accessible_in_both_themes_and_fits_a_narrow_screen(
    visit: Visit, callers: Mapping[Api, Mapping[str, str]]
) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Json] = {}
    for caller, pages in callers.items():
        page = visit(caller)
        for name, path in pages.items():
            show(page, path)
            page.evaluate(AXE.read_text())
            for theme in THEMES:
                look_at(page, name, theme)
                if violations := serious_violations(page, theme):
                    found[f"{name}, {theme}"] = violations
            if (width := width_when_narrow(page, name)) > NARROW:
                found[f"{name}, narrow"] = width
    assert found == {}, json.dumps(found, indent=1)


def show(page: Page, path: str) -> None:
    page.set_viewport_size(WIDE)
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    page.evaluate("document.fonts.ready.then(() => true)")


def look_at(page: Page, name: str, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    take_picture(page, f"{name}-{theme}")


def take_picture(page: Page, name: str) -> None:
    """Write a screenshot for a person to look at, where one asks for it."""
    if PICTURES:
        page.screenshot(path=ARTIFACTS / f"{name}.png")


def serious_violations(page: Page, theme: Theme) -> list[Json]:
    return [one for one in page.evaluate(RULES, CHECKED[theme]) if one["impact"] in SERIOUS]


def width_when_narrow(page: Page, name: str) -> int:
    page.set_viewport_size({"width": NARROW, "height": WIDE["height"]})
    take_picture(page, f"{name}-narrow")
    return int(
        page.evaluate(
            "(document.querySelector('dialog[open]') ?? document.querySelector('main')).scrollWidth"
        )
    )


@pytest.mark.timeout(600)
def test_every_page_is_used_by_the_keyboard_alone(
    visit: Visit, callers: Mapping[Api, Mapping[str, str]]
) -> None:
    found: dict[str, Json] = {}
    for caller, pages in callers.items():
        page = visit(caller)
        for name, path in pages.items():
            show(page, path)
            keyboard.begin(page)
            found[name] = keyboard.walk(page)
    found = {name: wrong for name, wrong in found.items() if wrong}
    assert found == {}, json.dumps(found, indent=1)


@pytest.mark.timeout(900)
def test_every_dialog_is_accessible_and_used_by_the_keyboard_alone(
    visit: Visit, callers: Mapping[Api, Mapping[str, str]]
) -> None:
    found: dict[str, Json] = {}
    for caller, pages in callers.items():
        page = visit(caller)
        for name, path in pages.items():
            prepare(page, path)
            if page.locator("dialog[open]").count() == 0:
                found |= dialogs_of(page, name, path)
    found = {name: wrong for name, wrong in found.items() if wrong}
    assert found == {}, json.dumps(found, indent=1)


def prepare(page: Page, path: str) -> None:
    page.set_viewport_size(WIDE)
    show(page, path)
    keyboard.begin(page)
    page.evaluate(AXE.read_text())


def dialogs_of(page: Page, name: str, path: str) -> dict[str, Json]:
    """Return what is wrong in each dialog of a page."""
    found: dict[str, Json] = {}
    for opener, button, entry in list(keyboard.openers(page)):
        try:
            with keyboard.opened_dialog(page, button, entry):
                found[f"{name}, {opener}"] = look_at_dialog(page, f"{name}-{opener.strip(' …')}")
        except AssertionError as error:
            found[f"{name}, {opener}, opened and closed"] = str(error)[:400]
            prepare(page, path)
    return found


def look_at_dialog(page: Page, name: str) -> Json:
    """Return what is wrong in the dialog that is open."""
    wrong = keyboard.walk(page)
    for theme in THEMES:
        look_at(page, name.replace(" ", "-").lower(), theme)
        if violations := serious_violations(page, theme):
            wrong[theme] = violations
    if (width := width_when_narrow(page, name)) > NARROW:
        wrong["narrow"] = width
    page.set_viewport_size(WIDE)
    return wrong
