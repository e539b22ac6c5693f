/** The address of the page: its path chooses the page, its query holds filters and positions, and all of it comes back. */

import { BASE, at } from "./base.ts";
import { build } from "./routes.ts";

const SAVED = "scroll";

class Router {
  path = $state("/");
  query = $state.raw(new URLSearchParams());
  /** Counts visits to a page, not changes of its query. */
  visit = $state(0);

  #scrolls: (() => HTMLElement | undefined) | undefined;
  #guard: (() => boolean) | undefined;

  start(scrolled: () => HTMLElement | undefined): () => void {
    this.#scrolls = scrolled;
    history.scrollRestoration = "manual";
    this.#read();
    const back = () => {
      this.#read();
      this.visit += 1;
      const top = (history.state as Record<string, number> | null)?.[SAVED] ?? 0;
      requestAnimationFrame(() => requestAnimationFrame(() => this.#scrolls?.()?.scrollTo(0, top)));
    };
    const click = (event: MouseEvent) => this.#click(event);
    window.addEventListener("popstate", back);
    document.addEventListener("click", click);
    return () => {
      window.removeEventListener("popstate", back);
      document.removeEventListener("click", click);
    };
  }

  /** Ask before the page is left while this returns true. */
  guard(unsaved: (() => boolean) | undefined): void {
    this.#guard = unsaved;
  }

  get unsaved(): boolean {
    return this.#guard?.() ?? false;
  }

  /** Show a page; `path` has no base, and may have a query. */
  go(path: string, { replace = false } = {}): void {
    if (!replace && this.unsaved && !confirm("Leave without saving what you changed?")) return;
    this.#guard = undefined;
    const old = this.path;
    this.#save();
    if (replace) history.replaceState(null, "", at(path));
    else history.pushState(null, "", at(path));
    this.#read();
    if (this.path !== old) this.#scrolls?.()?.scrollTo(0, 0);
    this.visit += 1;
  }

  get(name: string): string | undefined {
    return this.query.get(name) || undefined;
  }

  /** Change parts of the query; undefined removes one. Only with `push` the back button undoes it. */
  set(changes: Readonly<Record<string, string | undefined>>, { push = false } = {}): void {
    const query = { ...Object.fromEntries(this.query), ...changes };
    const address = at(build(this.path, {}, query as Record<string, string | undefined>));
    if (push) {
      this.#save();
      history.pushState(null, "", address);
    } else history.replaceState(history.state, "", address);
    this.#read();
  }

  #read(): void {
    const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : location.pathname;
    this.path = path === "" ? "/" : path;
    this.query = new URLSearchParams(location.search);
  }

  #save(): void {
    const top = this.#scrolls?.()?.scrollTop ?? 0;
    history.replaceState({ ...(history.state as object | null), [SAVED]: top }, "");
  }

  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
    if (link.origin !== location.origin || !link.pathname.startsWith(BASE) || link.dataset["outside"] !== undefined) return;
    event.preventDefault();
    this.go(link.pathname.slice(BASE.length) + link.search);
  }
}

export const router = new Router();
