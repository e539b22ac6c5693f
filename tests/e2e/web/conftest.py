"""A real Chromium that looks at the dashboard of a real server; without one, its tests are skipped with the reason.

Every test has a tenant and a browser profile of its own. A violation of the Content-Security-Policy, an exception on
the page or an error in its console fails the test that caused it.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY, Server

from runwright.web.files import Dashboard

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ARTIFACTS = ROOT / "build" / "screenshots"
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
WIDE: ViewportSize = {"width": 1440, "height": 900}
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_EXPECTED = re.compile(r"Failed to load resource: .*(401|403|404|422|net::ERR)")
"""What Chromium itself writes about answers; the page shows them."""

expect.set_options(timeout=30_000)  # as actions have; the default of 5 s is too short for a busy machine

OpenPage = Callable[..., Page]


def _program() -> str | None:
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


class SharedBrowser:
    """The browser of the tests of this folder, as one takes a second to start. It ends with the last of them,
    before what the session has: while it runs, nothing else in the process can run an event loop.
    """

    def __init__(self) -> None:
        self.is_last_test = False
        self._browser: Browser | None = None
        self._stack = ExitStack()

    def get(self, program: str) -> Browser:
        if self._browser is None or not self._browser.is_connected():
            self.close()
            playwright = self._stack.enter_context(sync_playwright())
            # Chromium's own sandbox cannot be set up for root.
            arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
            self._browser = playwright.chromium.launch(executable_path=program, args=arguments)
            self._stack.callback(self._browser.close)
        return self._browser

    def close(self) -> None:
        self._browser = None
        self._stack.close()


shared_browser: Final = SharedBrowser()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Note whether this is the folder's last test."""
    shared_browser.is_last_test = nextitem is None or not nextitem.path.is_relative_to(HERE)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = _program()
    missing = None
    if program is None:
        missing = f"there is none of {', '.join(_PROGRAMS)}"
    elif not Dashboard.open().is_built:
        missing = "the dashboard was not built"
    if missing is not None or program is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"The dashboard cannot be tested: {missing}.")
        pytest.skip(f"The dashboard is not tested: {missing}.")
    yield shared_browser.get(program)
    if shared_browser.is_last_test:
        shared_browser.close()


@pytest.fixture
def tenant(http: RawClient) -> Api:
    """An administrator of a fresh tenant."""
    return Api(http, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex[:12]}")


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """What went wrong on a page; a test that expects something takes it out."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def context(chromium: Browser, server: Server, problems: list[str]) -> Iterator[BrowserContext]:
    """A browser profile of its own, signed out."""
    context = chromium.new_context(
        base_url=server.url, viewport=WIDE, color_scheme="light", timezone_id="UTC", locale="en-GB"
    )
    watch(context, problems)
    yield context
    context.close()


def watch(context: BrowserContext, problems: list[str]) -> None:
    """Note what goes wrong on the pages of a profile."""

    def said(message: ConsoleMessage) -> None:
        if message.type == "error" and not _EXPECTED.search(message.text):
            problems.append(message.text)

    context.on("console", said)
    context.on("weberror", lambda error: problems.append(str(error.error)))


def sign_in(context: BrowserContext, caller: Api) -> None:
    """Give a profile the session of a caller."""
    response = context.request.post("/v1/session", headers=caller.headers, data={})
    assert response.status == 201, response.text()


def press_in_turn(page: Page, *keys: str) -> None:
    """Press keys that belong together, without a pause in which the first would be forgotten."""
    page.evaluate(
        """(keys) => keys.forEach((key) =>
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))""",
        keys,
    )


@pytest.fixture
def page(context: BrowserContext, tenant: Api) -> Page:
    """A page of a signed in administrator."""
    sign_in(context, tenant)
    return context.new_page()
