/** What a person has chosen for this browser. */

import type { Zone } from "./times.ts";

export type Theme = "system" | "light" | "dark";

const THEMES: readonly Theme[] = ["system", "light", "dark"];
const PREFIX = "runwright.";

/** Return a stored choice; browsers may refuse to store anything. */
export function stored(name: string): string | undefined {
  try {
    return localStorage.getItem(PREFIX + name) ?? undefined;
  } catch {
    return undefined;
  }
}

export function store(name: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // It lasts until the page is closed.
  }
}

class Preferences {
  theme = $state<Theme>(THEMES.find((theme) => theme === stored("theme")) ?? "system");
  zone = $state<Zone>(stored("zone") === "utc" ? "utc" : "local");
  wrap = $state(stored("wrap") !== "off");

  setTheme(theme: Theme): void {
    this.theme = theme;
    store("theme", theme);
    this.apply();
  }

  setZone(zone: Zone): void {
    this.zone = zone;
    store("zone", zone);
  }

  setWrap(wrap: boolean): void {
    this.wrap = wrap;
    store("wrap", wrap ? "on" : "off");
  }

  apply(): void {
    if (this.theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = this.theme;
  }
}

export const preferences = new Preferences();
