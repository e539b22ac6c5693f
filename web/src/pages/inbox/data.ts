/** What waits for a person, as its page reads it. */

import { api, rawly, type Schemas } from "../../lib/client.ts";
import { given } from "../../lib/lists.ts";
import type { ListPage } from "../../lib/live-list.svelte.ts";
import type { WithRaw } from "../../lib/payloads.ts";
import { isState, lookOf } from "../../ui/statuses.ts";

export type InboxItem = WithRaw<Schemas["InboxItem"], "payload">;
export const ON_INBOX = ["ava.execution.", "ava.agent.action", "ava.question."] as const;
/** The server counts up to here. */
export const MOST_COUNTED = 1000;

export async function listInbox(status: "waiting" | "answered", cursor: string | undefined, signal: AbortSignal): Promise<ListPage<InboxItem>> {
  const { data, pagination } = await api.get("/v1/ava/inbox", { query: given({ "filter[status]": status, per_page: 50, cursor }), signal });
  return { rows: rawly<InboxItem[]>(data), total: pagination.waiting, next: pagination.next_cursor ?? undefined };
}

export async function getItem(id: string, signal: AbortSignal): Promise<InboxItem> {
  return rawly<InboxItem>((await api.get("/v1/ava/inbox/{item_id}", { path: { item_id: id }, signal })).data);
}

export async function answer(id: string, choice: string, note: string): Promise<InboxItem> {
  const body = { answer: choice, note: note.trim() || null };
  return rawly<InboxItem>((await api.post("/v1/ava/inbox/{item_id}/answer", { path: { item_id: id }, body })).data);
}

export async function withdraw(id: string): Promise<InboxItem> {
  return rawly<InboxItem>((await api.delete("/v1/ava/inbox/{item_id}", { path: { item_id: id } })).data);
}

/** Return what a question is called in the list: what it is about, else itself. */
export function title(item: InboxItem): string {
  return item.subject || item.question || item.id;
}

/** Return how a question ended, for its chip. */
export function end(item: InboxItem): string {
  return item.answer ? outcome(item.answer.answer) : verb(item.status);
}

/** Return an answer as a button says it. */
export function verb(choice: string): string {
  return choice.slice(0, 1).toUpperCase() + choice.slice(1).replaceAll("_", " ");
}

/** Return what became of an item that was answered so. */
export function outcome(choice: string): string {
  return isState(choice) ? lookOf(choice).word : verb(choice);
}
