"""A person who has no mouse: walks through what a page shows by Tab, opens its menus and dialogs, and comes back."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Locator, Page, expect
from tests.contract.client import Json

MOST_TABS: Final = 600
LOOKED_AFTER: Final = 8
"""So many presses of Tab, it is looked whether the walk has ended."""

OPENS_DIALOG: Final = re.compile(
    r" …$|^New |^Publish$|^Set |^Delete |^Deploy$|^Register |^Test |^Rotate |^Revoke |^Limits |^Suspend |^Run$|^Roll back to"
)
_CONTROLS: Final = "a[href], button, input, select, textarea, summary, [tabindex], [contenteditable=true]"
_SCRIPT: Final = """(controls) => {
  const inside = (root) => [...root.querySelectorAll("*")].flatMap((one) => [one, ...(one.shadowRoot ? inside(one.shadowRoot) : [])]);
  const active = () => { let found = document.activeElement; while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement; return found; };
  const scope = () => document.querySelector("dialog[open]") ?? document.querySelector("main") ?? document.body;
  const holds = (one) => { for (let at = one; at; at = at.parentNode ?? at.host) if (at === scope()) return true; return false; };
  const nameOf = (one) => (one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent ?? "").trim().replace(/\\s+/g, " ").slice(0, 60) || one.outerHTML.slice(0, 100);
  const isSeen = (one) => { const box = one.getBoundingClientRect(); return one.checkVisibility({ visibilityProperty: true }) && box.width > 0 && box.height > 0; };
  const reached = new Set();
  let ended = false, first = null;
  const enter = (one) => { ended ||= one === first; first ??= one; reached.add(one); };
  document.addEventListener("focusin", () => (holds(active()) ? enter(active()) : (ended = true)), true);
  document.addEventListener("focusout", (event) => { if (!event.relatedTarget && reached.size) ended = true; }, true);
  const isReached = (one) => reached.has(one) || (one.type === "radio" && [...reached].some((other) => other.type === "radio" && other.name === one.name));
  const found = () => inside(scope()).filter((one) => one.matches(controls) && one.tabIndex >= 0 && !one.disabled && isSeen(one) && !one.matches(".cm-scroller"));
  const look = (one) => [null, "::after"].map((part) => { const { boxShadow, outline, borderColor, top } = getComputedStyle(one, part); return [boxShadow, outline, borderColor, top].join(); }).join();
  const problemOf = (one) => {
    one.blur();
    const before = look(one);
    one.focus();
    const box = one.getBoundingClientRect();
    if (one.type !== "radio" && look(one) === before && !one.matches(".cm-content, [role=log], main")) return "has no ring";
    if (box.bottom <= 0 || box.top >= innerHeight || box.right <= 0 || box.left >= innerWidth) return "is out of sight";
    return "";
  };
  const pressed = (one) => getComputedStyle(one).cursor === "pointer" && isSeen(one) && !one.closest("a[href], button, input, select, textarea, label, summary, [tabindex]");
  window.walk = {
    begin: () => {
      const top = scope(), own = top.getAttribute("tabindex");
      top.tabIndex = -1;  // a page without a frame has no content that takes the focus
      top.focus();
      if (own === null) top.removeAttribute("tabindex");
      reached.clear(); first = null; ended = false;
    },
    settled: () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))),
    ended: () => ended,
    hasEditor: () => inside(scope()).some((one) => one.matches(".cm-content")),
    inEditor: () => Boolean(active()?.matches(".cm-content")),
    missed: () => found().filter((one) => !isReached(one)).map(nameOf),
    unclear: () => [...reached].filter((one) => one.isConnected && isSeen(one)).map((one) => [nameOf(one), problemOf(one)]).filter(([, problem]) => problem),
    pointed: () => inside(scope()).filter(pressed).map((one) => one.outerHTML.slice(0, 120)),
    name: () => (active() ? nameOf(active()) : ""),
    inDialog: () => Boolean(active()?.closest("dialog[open]")) || Boolean(active()?.getRootNode()?.host?.closest("dialog[open]")),
  };
}"""


def begin(page: Page) -> None:
    """Prepare a page that was loaded."""
    page.evaluate(_SCRIPT, _CONTROLS)


def walk(page: Page) -> Json:
    """Walk through the content, or the dialog that is open; return what is wrong, by kind."""
    trapped_in, missed = "", []
    # What was missed may have come after the focus had passed: rows that were drawn anew, or a control that a scroll brings.
    for is_slow in (False, True, True):
        page.evaluate("walk.begin()")
        trapped_in = _press_tab_to_the_end(page, is_slow=is_slow)
        missed = page.evaluate("walk.missed()")
        if not missed:
            break
    wrong = {
        "not left by Tab": trapped_in,
        "not reached by Tab": missed,
        "not seen to have the focus": page.evaluate("walk.unclear()"),
        "for the mouse alone": page.evaluate("walk.pointed()"),
    }
    return {kind: found for kind, found in wrong.items() if found}


def _press_tab_to_the_end(page: Page, *, is_slow: bool) -> str:
    """Press Tab until it leads out of the content; where it does not, return what has the focus.

    Slowly: as a person does, who sees what each press led to, and what came with it, before the next.
    """
    has_editor = page.evaluate("walk.hasEditor()")
    for count in range(MOST_TABS):
        if has_editor and page.evaluate("walk.inEditor()"):
            page.keyboard.press("Escape")  # Tab indents otherwise
        page.keyboard.press("Tab")
        if is_slow:
            page.evaluate("walk.settled()")
        if count % LOOKED_AFTER == 0 and page.evaluate("walk.ended()"):
            return ""
    return str(page.evaluate("walk.name()"))


def menus(page: Page) -> Iterator[Locator]:
    """Yield the buttons of the content's menus."""
    yield from page.locator("main [aria-haspopup=menu]").all()


def check_menu(page: Page, button: Locator) -> list[str]:
    """Open a menu, walk through it, and leave it; return the names of its entries."""
    button.focus()
    page.keyboard.press("Enter")
    entries = page.locator("main [role^=menuitem]:not([aria-disabled=true])")
    expect(entries.first).to_be_focused()
    names = [name.strip() for name in entries.all_inner_texts()]
    for place in range(1, len(names)):
        page.keyboard.press("ArrowDown")
        expect(entries.nth(place)).to_be_focused()
    page.keyboard.press("Escape")
    expect(entries).to_have_count(0)
    expect(button).to_be_focused()
    return names


def openers(page: Page) -> Iterator[tuple[str, Locator, str | None]]:
    """Yield what opens a dialog: its name, the button, and the entry of the button's menu.

    Of buttons of rows those of the first one.
    """
    seen: set[str] = set()
    for button in page.locator("main button:not([disabled]):not([role])").all():
        name = " ".join((button.get_attribute("aria-label") or button.inner_text()).split())
        kind = name.split(" ")[0] if not name.startswith("Roll") else "Roll"
        if OPENS_DIALOG.search(name) and kind not in seen:
            seen.add(kind)
            yield name, button, None
    for button in menus(page):
        for entry in check_menu(page, button):
            if entry.endswith("…"):
                yield entry, button, entry


@contextmanager
def opened_dialog(page: Page, button: Locator, entry: str | None) -> Iterator[Locator]:
    """Open a dialog by keys; at the end close it by Escape, and see that the focus is back."""
    button.focus()
    page.keyboard.press("Enter")
    if entry is not None:
        expect(page.locator("main [role^=menuitem]").first).to_be_focused()
        page.get_by_role("menuitem", name=entry).focus()
        page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    expect(dialog).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    yield dialog
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
