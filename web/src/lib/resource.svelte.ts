/** What a page shows of the server: read when the page opens, again when what it depends on changes, and live. */

import { untrack } from "svelte";

import { live, type LiveEvent } from "./live.svelte.ts";
import { SignedOutError } from "./session.svelte.ts";

const QUIET_MS = 120;
const BUSY_MS = 1000;

export interface ResourceOptions {
  /** Types of events after which it is read again: `ava.job.`, `ava.worker.changed`. */
  on?: readonly string[];
  /** Which of these events matter; default all. */
  which?: (event: LiveEvent) => boolean;
  /** Also read it again after so many seconds. */
  every?: number;
}

export class Resource<T> {
  data = $state.raw<T | undefined>();
  error = $state.raw<unknown>();
  /** It is being read, for the first time or because what it depends on has changed. */
  loading = $state(true);
  #again = $state(0);

  constructor(load: (signal: AbortSignal) => Promise<T>, { on = [], which = () => true, every }: ResourceOptions) {
    let quietly = false;
    $effect(() => {
      void this.#again;
      const controller = new AbortController();
      if (!quietly) this.loading = true;
      quietly = false;
      void this.#take(load(controller.signal), controller.signal);
      return () => controller.abort();
    });
    const soon = throttled(() => {
      quietly = true;
      this.#again += 1;
    });
    $effect(() => (on.length ? live.on(on, (event) => which(event) && soon.call()) : undefined));
    $effect(() => {
      if (live.gaps) untrack(() => soon.call());
    });
    $effect(() => {
      if (every === undefined) return undefined;
      const timer = setInterval(() => !document.hidden && soon.call(), every * 1000);
      return () => clearInterval(timer);
    });
    $effect(() => soon.stop);
  }

  /** Read it again. */
  reload(): void {
    this.#again += 1;
  }

  async #take(loading: Promise<T>, signal: AbortSignal): Promise<void> {
    try {
      const data = await loading;
      if (signal.aborted) return;
      this.data = data;
      this.error = undefined;
    } catch (error) {
      if (signal.aborted || error instanceof SignedOutError) return;
      this.error = error;
    }
    this.loading = false;
  }
}

/** Return what `load` reads. Call it while a component is made; what `load` reads of the state before it waits is followed. */
export function resource<T>(load: (signal: AbortSignal) => Promise<T>, options: ResourceOptions = {}): Resource<T> {
  return new Resource(load, options);
}

/** Let a function run soon after it was called, at most once a second, and not while the page is hidden. */
export function throttled(run: () => void): { call: () => void; stop: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = -BUSY_MS;
  const fire = () => {
    timer = undefined;
    if (document.hidden) {
      document.addEventListener("visibilitychange", call, { once: true });
      return;
    }
    last = performance.now();
    run();
  };
  const call = () => {
    timer ??= setTimeout(fire, Math.max(QUIET_MS, last + BUSY_MS - performance.now()));
  };
  const stop = () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", call);
  };
  return { call, stop };
}
