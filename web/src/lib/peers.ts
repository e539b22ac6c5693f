/** Lists of the agents' API, whose pages name the next one by its address. */

import type { ListPage } from "./live-list.svelte.ts";

export interface Peers<T> {
  next: string | null;
  results: readonly T[];
}

export function peerPage<T>(answer: Peers<T>): ListPage<T> {
  const next = answer.next ? new URL(answer.next, "http://x/").searchParams.get("cursor") : null;
  return { rows: answer.results, total: undefined, next: next ?? undefined };
}

/** Return what a call of a typed client answered; its types lose the methods of lists, so the caller names them. */
export function answered<T>({ data }: { data?: unknown }): T {
  if (data === undefined) throw new Error("The answer was empty.");
  return data as T;
}
