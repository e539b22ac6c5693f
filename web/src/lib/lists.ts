/** Pages of the API's lists, as a `LiveList` takes them. */

import type { ListPage } from "./live-list.svelte.ts";

interface Answer<T> {
  data: readonly T[];
  pagination: { total?: number; next_cursor: string | null };
}

export function pageOf<T>({ data, pagination }: Answer<T>): ListPage<T> {
  return { rows: data, total: pagination.total, next: pagination.next_cursor ?? undefined };
}

/** Return the object without what is undefined or empty. */
export function given<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const set = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return Object.fromEntries(set) as { [K in keyof T]: Exclude<T[K], undefined> };
}
