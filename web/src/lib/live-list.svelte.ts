/**
 * A long list, newest first, that follows what happens: rows are patched in place by their id, and new ones wait until
 * they are asked for, unless one is at the top.
 */

import { untrack } from "svelte";

import { live, type LiveEvent } from "./live.svelte.ts";
import { throttled } from "./resource.svelte.ts";
import { SignedOutError } from "./session.svelte.ts";

export interface ListPage<T> {
  rows: readonly T[];
  total: number | undefined;
  next: string | undefined;
}

export interface LiveListOptions<T> {
  /** Read one page; what it reads of the state before it waits is followed, and a change of it begins the list anew. */
  page: (cursor: string | undefined, signal: AbortSignal) => Promise<ListPage<T>>;
  /** Read one row again; undefined if it is gone. */
  row: (id: string, signal: AbortSignal) => Promise<T | undefined>;
  id: (row: T) => string;
  on: readonly string[];
  which?: (event: LiveEvent) => boolean;
  /** Whether new rows belong at the top of this order. */
  newestFirst: () => boolean;
  /** Whether one looks at the top of the list. */
  atTop: () => boolean;
}

const MOST_PATCHED = 20;

export class LiveList<T> {
  rows = $state.raw<readonly T[]>([]);
  /** New rows that wait. */
  fresh = $state.raw<readonly T[]>([]);
  /** More have come than one page shows, so the list begins anew when they are shown. */
  overflow = $state(false);
  total = $state<number | undefined>();
  error = $state.raw<unknown>();
  loading = $state(true);
  loadingMore = $state(false);

  #next: string | undefined;
  #options: LiveListOptions<T>;
  #stop = new AbortController();
  #touched = new Set<string>();
  /** The ids of the rows that it was made of, so that a page more costs no look at all rows. */
  #known: { rows: readonly T[]; ids: Set<string> } = { rows: [], ids: new Set() };

  constructor(options: LiveListOptions<T>) {
    this.#options = options;
    const soon = throttled(() => void this.#refresh());
    $effect(() => {
      const stop = new AbortController();
      this.#stop = stop;
      this.loading = true;
      void this.#begin(options.page(undefined, stop.signal), stop.signal);
      return () => stop.abort();
    });
    $effect(() =>
      live.on(options.on, (event) => {
        if (options.which && !options.which(event)) return;
        this.#touched.add(event.subject_id);
        soon.call();
      }),
    );
    $effect(() => {
      if (live.gaps) untrack(() => soon.call());
    });
    $effect(() => soon.stop);
  }

  get hasMore(): boolean {
    return this.#next !== undefined;
  }

  async more(): Promise<void> {
    if (this.loadingMore || this.loading || this.#next === undefined) return;
    const { signal } = this.#stop;
    this.loadingMore = true;
    try {
      const page = await this.#options.page(this.#next, signal);
      if (signal.aborted) return;
      const { id } = this.#options;
      const known = this.#knownIds();
      const added = page.rows.filter((row) => !known.has(id(row)));
      const rows = this.rows.concat(added);
      for (const row of added) known.add(id(row));
      this.#known = { rows, ids: known };
      this.rows = rows;
      this.#next = page.next;
      this.error = undefined;
    } catch (error) {
      this.#failed(error, signal);
    }
    this.loadingMore = false;
  }

  /** Put the rows that wait on top. */
  show(): void {
    if (this.overflow) void this.reload();
    else this.rows = [...this.fresh, ...this.rows];
    this.fresh = [];
    this.overflow = false;
  }

  /** Begin anew. */
  async reload(): Promise<void> {
    const { signal } = this.#stop;
    await this.#begin(this.#options.page(undefined, signal), signal);
  }

  /** Read rows again soon, because something was done to them. */
  async patch(ids: Iterable<string>): Promise<void> {
    for (const id of ids) this.#touched.add(id);
    await this.#refresh();
  }

  async #begin(loading: Promise<ListPage<T>>, signal: AbortSignal): Promise<void> {
    try {
      const page = await loading;
      if (signal.aborted) return;
      this.rows = page.rows;
      this.total = page.total;
      this.#next = page.next;
      this.fresh = [];
      this.overflow = false;
      this.error = undefined;
    } catch (error) {
      if (signal.aborted) return;
      this.#failed(error, signal);
    }
    this.loading = false;
  }

  async #refresh(): Promise<void> {
    const { signal } = this.#stop;
    const touched = this.#touched;
    this.#touched = new Set();
    try {
      const head = await untrack(() => this.#options.page(undefined, signal));
      if (signal.aborted) return;
      this.total = head.total;
      this.#merge(head.rows);
      await this.#patchRest(touched, head.rows, signal);
      this.error = undefined;
    } catch (error) {
      this.#failed(error, signal);
    }
  }

  #merge(head: readonly T[]): void {
    const { id } = this.#options;
    const newer = new Map(head.map((row) => [id(row), row]));
    const known = new Set(this.rows.map(id));
    const unknown = head.filter((row) => !known.has(id(row)));
    this.rows = this.rows.map((row) => newer.get(id(row)) ?? row);
    if (!this.#options.newestFirst() || !unknown.length) return;
    const gap = unknown.length === head.length && this.rows.length > 0;
    if (this.#options.atTop()) {
      if (gap) {
        this.rows = head;
        void this.reload();
      } else this.rows = [...unknown, ...this.rows];
    } else {
      this.fresh = unknown;
      this.overflow = gap;
    }
  }

  async #patchRest(touched: Set<string>, head: readonly T[], signal: AbortSignal): Promise<void> {
    const { id, row } = this.#options;
    for (const one of head) touched.delete(id(one));
    const stale = this.rows.filter((one) => touched.has(id(one))).slice(0, MOST_PATCHED);
    if (!stale.length) return;
    const read = await Promise.all(stale.map((one) => row(id(one), signal)));
    if (signal.aborted) return;
    const newer = new Map(read.flatMap((one) => (one === undefined ? [] : [[id(one), one] as const])));
    this.rows = this.rows.map((one) => newer.get(id(one)) ?? one);
  }

  #knownIds(): Set<string> {
    if (this.#known.rows !== this.rows) this.#known = { rows: this.rows, ids: new Set(this.rows.map(this.#options.id)) };
    return this.#known.ids;
  }

  #failed(error: unknown, signal: AbortSignal): void {
    if (!signal.aborted && !(error instanceof SignedOutError)) this.error = error;
  }
}
