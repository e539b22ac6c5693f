"""The dashboard in Chromium, with 100,000 jobs stored: until it answers, until jobs are there, frames while it scrolls.

It answers when a key opens the palette: from the moment that the address is opened, with the browser's cache of a
second visit. The list scrolls down fast enough that it reads page after page, and back to its top, through rows it has.
A frame lasts from one to the next; what it costs the page itself is measured apart from what it costs the browser
(`frames.py`), since a machine without a graphics card draws by its processor.
"""

import shutil
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.bench.frames import CATEGORIES, frame_costs
from tests.bench.listing import fill_jobs
from tests.bench.postgres import postgres_running
from tests.bench.process import ChildError
from tests.bench.result import Dashboard, Latency
from tests.bench.server import make_worker, serving

JOBS: Final = 100_000
WORKERS: Final = 20
LOADS: Final = 10
SCROLLED_FRAMES: Final = 600
ANSWERS: Final = "the overview answers a key"
FIRST_ANSWERS: Final = "the same with nothing in the browser's cache"
DOWN: Final = "a frame while it scrolls down, reading on"
UP: Final = "a frame while it scrolls back"
OWN: Final = "{}: scripts, styles and layout"
WHOLE: Final = "{}: the main thread"
RASTER: Final = "{}: the rasterizers"
PIXELS_A_FRAME: Final = 60
FRAME_MS: Final = 17.0
"""Sixty frames a second."""

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")

_ROWS_AT: Final = """
new MutationObserver((_, self) => {
  if (!document.querySelector("[data-row]")) return;
  self.disconnect();
  requestAnimationFrame(() => (window.rowsAt = performance.now()));
}).observe(document, { childList: true, subtree: true });
"""
_ROWS_ARE_THERE: Final = """() => new Promise((done) => {
  const look = () => (window.rowsAt ? done(window.rowsAt) : requestAnimationFrame(look));
  look();
})"""
_ANSWERS: Final = """() => new Promise((done) => {
  const press = () => {
    window.dispatchEvent(new KeyboardEvent("keydown", { key: "k", ctrlKey: true, bubbles: true }));
    const look = () => (document.querySelector("dialog[open]") ? done(performance.now()) : requestAnimationFrame(look));
    look();
  };
  const wait = () => (document.querySelector("main h1") ? press() : requestAnimationFrame(wait));
  wait();
})"""
_SCROLL: Final = """async ([frames, pixels]) => {
  const main = document.querySelector("main");
  const gaps = [];
  let last = await new Promise(requestAnimationFrame);
  for (let frame = 0; frame < frames; frame += 1) {
    main.scrollBy(0, pixels);
    const now = await new Promise(requestAnimationFrame);
    gaps.push((now - last) / 1000);
    last = now;
  }
  return gaps;
}"""


async def measure_dashboard(folder: Path) -> Dashboard:
    """Open the overview and the list of jobs ten times each, then scroll the list."""
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        raise ChildError(f"there is none of {', '.join(_BROWSERS)}")
    async with (
        postgres_running(folder) as dsn,
        serving(folder, "--database-url", dsn) as server,
        async_playwright() as playwright,
    ):
        with server.connect() as connection:
            await fill_jobs(dsn, [make_worker(connection) for _ in range(WORKERS)], JOBS)
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        url = f"http://{server.address.host}:{server.address.port}"
        first = [await _first_answer(browser, url, server.address.headers) for _ in range(LOADS)]
        context = await _signed_in(browser, url, server.address.headers)
        measured = await _measure(browser, context)
        await browser.close()
    measured.times[FIRST_ANSWERS] = Latency.of(first)
    return measured


async def _signed_in(browser: Browser, url: str, headers: dict[str, str]) -> BrowserContext:
    context = await browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
    await context.add_init_script(_ROWS_AT)
    await context.request.post("/v1/session", headers=headers, data={})
    return context


async def _first_answer(browser: Browser, url: str, headers: dict[str, str]) -> float:
    """Return how long a browser waits that was never here."""
    context = await _signed_in(browser, url, headers)
    seconds = await _answer(await context.new_page())
    await context.close()
    return seconds


async def _answer(page: Page) -> float:
    await page.goto("/", wait_until="commit")
    milliseconds: float = await page.evaluate(_ANSWERS)
    return milliseconds / 1000


async def _measure(browser: Browser, context: BrowserContext) -> Dashboard:
    page = await context.new_page()
    answers = [await _answer(page) for _ in range(LOADS + 1)]
    loads = []
    for _ in range(LOADS):
        await page.goto("/jobs")
        loads.append(await page.evaluate(_ROWS_ARE_THERE) / 1000)
    measured = Dashboard(
        times={ANSWERS: Latency.of(answers[1:]), "the list of jobs is there": Latency.of(loads)},
        late_percent={},
    )
    for name, pixels in ((DOWN, PIXELS_A_FRAME), (UP, -PIXELS_A_FRAME)):
        await _scroll(browser, page, measured, name, pixels)
    return measured


async def _scroll(browser: Browser, page: Page, measured: Dashboard, name: str, pixels: int) -> None:
    await browser.start_tracing(page=page, categories=CATEGORIES)
    gaps = await page.evaluate(_SCROLL, [SCROLLED_FRAMES, pixels])
    costs = frame_costs(await browser.stop_tracing())
    measured.late_percent[name] = 100 * sum(gap > FRAME_MS / 1000 for gap in gaps) / len(gaps)
    measured.times[name] = Latency.of(gaps)
    measured.times[OWN.format(name)] = Latency.of(costs.own)
    measured.times[WHOLE.format(name)] = Latency.of(costs.whole)
    measured.times[RASTER.format(name)] = Latency.of([costs.raster])
