"""Every page: nothing serious for axe in either theme, no overflow on a narrow screen, a screenshot to look at."""

import json
from collections.abc import Iterator, Mapping
from typing import Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.contract.client import Api, Json, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server
from tests.e2e.web.conftest import ARTIFACTS, ROOT, THEMES, WIDE, sign_in, watch
from tests.e2e.web.connected import Connected
from tests.e2e.web.world import World

NARROW = 380
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
SERIOUS = {"serious", "critical"}
RULES = """async (rules) => {
  const found = await axe.run(document, { runOnly: rules });
  return found.violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + " " + (node.any[0]?.message ?? "")) }));
}"""
CHECKED = {
    "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "dark": {"type": "rule", "values": ["color-contrast"]},  # the others see no difference
}
OPERATOR: Mapping[str, str] = {"tenants": "/tenants", "system": "/system", "queues-operator": "/queues"}


class Visit(Protocol):
    """Opens a page in a theme."""

    def __call__(self, caller: Api, theme: str, width: int | None = None) -> Page: ...


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
    contexts: list[BrowserContext] = []

    def open_page(caller: Api, theme: str, width: int | None = None) -> Page:
        context = chromium.new_context(
            base_url=server.url,
            viewport={"width": width or WIDE["width"], "height": WIDE["height"]},
            color_scheme="dark" if theme == "dark" else "light",
            timezone_id="UTC",
            locale="en-GB",
            reduced_motion="reduce",
        )
        contexts.append(context)
        watch(context, problems)
        sign_in(context, caller)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


def show(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    page.evaluate("document.fonts.ready.then(() => true)")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("theme", THEMES)
def test_every_page_is_accessible_and_has_its_picture(
    visit: Visit, callers: Mapping[Api, Mapping[str, str]], theme: str
) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Json] = {}
    for caller, pages in callers.items():
        page = visit(caller, theme)
        for name, path in pages.items():
            show(page, path)
            page.screenshot(path=ARTIFACTS / f"{name}-{theme}.png")
            page.evaluate(AXE.read_text())
            violations = [one for one in page.evaluate(RULES, CHECKED[theme]) if one["impact"] in SERIOUS]
            if violations:
                found[name] = violations
    assert found == {}, json.dumps(found, indent=1)


@pytest.mark.timeout(300)
def test_every_page_fits_a_narrow_screen(visit: Visit, callers: Mapping[Api, Mapping[str, str]]) -> None:
    too_wide = {}
    for caller, pages in callers.items():
        page = visit(caller, "light", NARROW)
        for name, path in pages.items():
            show(page, path)
            page.screenshot(path=ARTIFACTS / f"{name}-narrow.png")
            width = page.evaluate("document.querySelector('main').scrollWidth")
            if width > NARROW:
                too_wide[name] = width
    assert too_wide == {}
