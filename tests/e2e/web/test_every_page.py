"""Every page: nothing serious for axe in either theme, no overflow on a narrow screen, a screenshot to look at."""

import json
from collections.abc import Iterator
from typing import Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.contract.client import Api, Json, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server
from tests.e2e.web.conftest import ARTIFACTS, ROOT, THEMES, WIDE, sign_in, watch
from tests.e2e.web.world import World

NARROW = 380
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
SERIOUS = {"serious", "critical"}
RULES = """async () => {
  const found = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
  return found.violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + " " + (node.any[0]?.message ?? "")) }));
}"""


class Visit(Protocol):
    """Opens a page of the world's administrator in a theme."""

    def __call__(self, theme: str, width: int | None = None) -> Page: ...


@pytest.fixture(scope="module")
def world(http: RawClient) -> Iterator[World]:
    world = World(Api(http, key=PLATFORM_KEY, tenant="ten_acme"))
    world.fill()
    yield world
    world.end()


@pytest.fixture
def visit(chromium: Browser, server: Server, world: World, problems: list[str]) -> Iterator[Visit]:
    contexts: list[BrowserContext] = []

    def open_page(theme: str, width: int | None = None) -> Page:
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
        sign_in(context, world.api)
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
def test_every_page_is_accessible_and_has_its_picture(visit: Visit, world: World, theme: str) -> None:
    page = visit(theme)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Json] = {}
    for name, path in world.pages().items():
        show(page, path)
        page.screenshot(path=ARTIFACTS / f"{name}-{theme}.png")
        page.evaluate(AXE.read_text())
        violations = [one for one in page.evaluate(RULES) if one["impact"] in SERIOUS]
        if violations:
            found[name] = violations
    assert found == {}, json.dumps(found, indent=1)


@pytest.mark.timeout(300)
def test_every_page_fits_a_narrow_screen(visit: Visit, world: World) -> None:
    page = visit("light", NARROW)
    too_wide = {}
    for name, path in world.pages().items():
        show(page, path)
        page.screenshot(path=ARTIFACTS / f"{name}-narrow.png")
        width = page.evaluate("document.querySelector('main').scrollWidth")
        if width > NARROW:
            too_wide[name] = width
    assert too_wide == {}
