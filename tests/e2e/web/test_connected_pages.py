"""Schedules, webhooks, the inbox, agents, events, queues, secrets, keys, the audit log: nothing serious for axe in either
theme, no overflow on a narrow screen, and a screenshot of each to look at.
"""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from tests.contract.client import Api, Json, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server
from tests.e2e.web.conftest import ARTIFACTS, THEMES, WIDE, sign_in, watch
from tests.e2e.web.connected import Connected
from tests.e2e.web.test_every_page import AXE, RULES, SERIOUS, show

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def connected(http: RawClient, server: Server) -> Connected:
    made = Connected(Api(http, key=PLATFORM_KEY, tenant="ten_connected"), server)
    made.fill()
    return made


@pytest.fixture
def visit(chromium: Browser, server: Server, problems: list[str]) -> Iterator[Visit]:
    contexts: list[BrowserContext] = []

    def open_page(caller: Api, theme: str, width: int = WIDE["width"]) -> Page:
        context = chromium.new_context(
            base_url=server.url,
            viewport={"width": width, "height": WIDE["height"]},
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


@pytest.mark.timeout(400)
@pytest.mark.parametrize("theme", THEMES)
def test_pages_are_accessible_and_have_their_pictures(visit: Visit, connected: Connected, theme: str) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Json] = {}
    for caller, pages in (
        (connected.api, connected.pages()),
        (
            connected.api.having(role="platform-admin"),
            {"tenants": "/tenants", "system": "/system", "queues-operator": "/queues"},
        ),
    ):
        page = visit(caller, theme)
        for name, path in pages.items():
            show(page, path)
            page.screenshot(path=ARTIFACTS / f"{name}-{theme}.png")
            page.evaluate(AXE.read_text())
            violations = [one for one in page.evaluate(RULES) if one["impact"] in SERIOUS]
            if violations:
                found[name] = violations
    assert found == {}, json.dumps(found, indent=1)
