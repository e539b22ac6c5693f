"""The dashboard in Chromium, with 100,000 jobs stored: until it answers, until jobs are there, frames while it scrolls.

It answers when a key opens the palette: from the moment that the address is opened, with the browser's cache of a
second visit. The list scrolls down fast enough that it reads page after page, and back to its top, through rows it has.
"""

import shutil
from pathlib import Path
from typing import Final

from playwright.async_api import BrowserContext, async_playwright

from tests.bench.listing import fill_jobs
from tests.bench.postgres import postgres_running
from tests.bench.process import ChildError
from tests.bench.result import Latency
from tests.bench.server import make_worker, serving

JOBS: Final = 100_000
WORKERS: Final = 20
LOADS: Final = 10
SCROLLED_FRAMES: Final = 600
ANSWERS: Final = "the overview answers a key"
DOWN: Final = "a frame while it scrolls down, reading on"
UP: Final = "a frame while it scrolls back"
PIXELS_A_FRAME: Final = 60
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


async def measure_dashboard(folder: Path) -> dict[str, Latency]:
    """Open the list of jobs ten times, then scroll it."""
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
        context = await browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
        await context.add_init_script(_ROWS_AT)
        await context.request.post("/v1/session", headers=server.address.headers, data={})
        measured = await _measure(context)
        await browser.close()
    return measured


async def _measure(context: BrowserContext) -> dict[str, Latency]:
    page = await context.new_page()
    answers, loads = [], []
    for _ in range(LOADS):
        await page.goto("/", wait_until="commit")
        answers.append(await page.evaluate(_ANSWERS) / 1000)
    for _ in range(LOADS):
        await page.goto("/jobs")
        loads.append(await page.evaluate(_ROWS_ARE_THERE) / 1000)
    down = await page.evaluate(_SCROLL, [SCROLLED_FRAMES, PIXELS_A_FRAME])
    up = await page.evaluate(_SCROLL, [SCROLLED_FRAMES, -PIXELS_A_FRAME])
    return {
        ANSWERS: Latency.of(answers),
        "the list of jobs is there": Latency.of(loads),
        DOWN: Latency.of(down),
        UP: Latency.of(up),
    }
