/** Lists of the agents' API, whose pages name the next one by its address. */

import type { ListPage } from "./live-list.svelte.ts";

export function peerPage<T>(answer: { next: string | null; results: readonly T[] } | undefined): ListPage<T> {
  const next = answer?.next ? new URL(answer.next, "http://x/").searchParams.get("cursor") : null;
  return { rows: answer?.results ?? [], total: undefined, next: next ?? undefined };
}

/** Return what a call of a typed client answered. */
export function answered<T>({ data }: { data?: T }): T {
  if (data === undefined) throw new Error("The answer was empty.");
  return data;
}
