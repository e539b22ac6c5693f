/** Keys that do something: single ones, and two after another (`g j`). They are off while one types. */

import { untrack } from "svelte";

export interface Shortcut {
  /** `j`, `shift+x`, `mod+k`, `g j`. */
  keys: string;
  label: string;
  run: () => void;
  /** Also while one types. */
  always?: boolean;
}

const SEQUENCE_MS = 1200;
export const IS_APPLE = /Mac|iP(hone|ad|od)/.test(navigator.platform);

class Shortcuts {
  #groups = $state.raw<readonly (readonly Shortcut[])[]>([]);
  #first = "";
  #until = 0;

  /** All that are in force; a later one takes the place of an earlier one with the same keys. */
  get list(): readonly Shortcut[] {
    return [...new Map(this.#groups.flat().map((one) => [one.keys, one])).values()];
  }

  /** Put shortcuts in force; call the result to take them back. */
  add(shortcuts: readonly Shortcut[]): () => void {
    // Effects put shortcuts in force, and must not follow those of others.
    this.#groups = [...untrack(() => this.#groups), shortcuts];
    return () => {
      this.#groups = untrack(() => this.#groups).filter((group) => group !== shortcuts);
    };
  }

  start(): () => void {
    const press = (event: KeyboardEvent) => this.#press(event);
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }

  #press(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.isComposing) return;
    const key = nameOf(event);
    const now = performance.now();
    const sequence = now < this.#until ? `${this.#first} ${key}` : key;
    const found = this.list.find((one) => one.keys === sequence) ?? this.list.find((one) => one.keys === key);
    // Inside a shadow root the target is its host; the editor is in one.
    const free = !isTyping(event.composedPath()[0] ?? null) && !document.querySelector("dialog[open]");
    this.#first = key;
    this.#until = free && this.list.some((one) => one.keys.startsWith(`${key} `)) ? now + SEQUENCE_MS : 0;
    if (!found || !(free || found.always)) return;
    this.#until = 0;
    event.preventDefault();
    found.run();
  }
}

/** Return how a key is shown to people. */
export function shown(keys: string): string[] {
  return keys
    .split(/[ +]/)
    .map((key) => ({ mod: IS_APPLE ? "⌘" : "Ctrl", shift: "⇧", Enter: "↵", Escape: "Esc" })[key] ?? (key.length === 1 ? key.toUpperCase() : key));
}

function nameOf(event: KeyboardEvent): string {
  const mod = IS_APPLE ? event.metaKey : event.ctrlKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.altKey || (event.ctrlKey && IS_APPLE) || (event.metaKey && !IS_APPLE)) return "";
  const shift = event.shiftKey && /^[a-z]$|^.{2,}$/.test(key) ? "shift+" : "";
  return (mod ? "mod+" : "") + shift + key;
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) && !isToggle(target);
}

function isToggle(target: HTMLElement): boolean {
  return target instanceof HTMLInputElement && (target.type === "checkbox" || target.type === "radio");
}

export const shortcuts = new Shortcuts();
